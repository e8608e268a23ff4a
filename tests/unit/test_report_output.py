"""What a report leaves: links to MLflow, escaped text, files under new names, and what the command prints."""

import json
import subprocess
import sys

import pytest
from tests.report_folders import report, write_trial

from tamis.commands.arguments import new_name, number_of, read_arguments
from tamis.commands.report import make_report
from tamis.core.errors import TamisError
from tamis.records.record import read_record
from tamis.report.document import Cell, Document, Paragraph, Section, Table
from tamis.report.files import to_latex, to_markdown
from tamis.report.html import to_html
from tamis.report.links import read_links
from tamis.tracking import Tracker


def test_links_lead_to_the_runs_that_mlflow_has(tmp_path, mlflow_uri):
    folder = write_trial(tmp_path / "trial")
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tamis", by_group=False, artifacts=False)
    run = tracker.write(read_record(folder), folder, None).run_id
    links = read_links(mlflow_uri, "http://ui")
    assert links.run(folder).startswith("http://ui/#/experiments/") and links.run(folder).endswith(
        f"/runs/{run}"
    )
    assert links.run(tmp_path) == ""
    assert "searchFilter=params.%60model%60%20%3D%20%22snap%22" in links.search(folder, {"model": "snap"})
    other = write_trial(tmp_path / "random", pruner="random", descriptor="none")
    tracker.write(read_record(other), other, None)
    _, cells = make_report([folder, other], read_links(mlflow_uri, "http://ui"))
    assert "params.%60dataset.element%60%20%3D%20%22Si%22" in to_html(cells)
    _, document = make_report([folder], links)
    assert f"/runs/{run}" in to_html(Document("T", "", document.sections[-1:]))


def test_without_a_database_there_are_no_links(tmp_path):
    assert read_links(f"sqlite:///{tmp_path}/none.db", "x").runs == {}
    (tmp_path / "text.db").write_text("this is no database, however long it may be " * 10)
    assert read_links(f"sqlite:///{tmp_path}/text.db", "x").runs == {}


def test_writers_escape_what_means_something_to_them():
    table = Table(
        "t", "title & more", ["a_b", "c"], [["5 % < 6 Å", Cell("x|y", mark=True, link='http://u/?a="b"')]]
    )
    document = Document("<T>", "s", [Section("S", [Paragraph("p & q"), table]), Section("empty", [])])
    page = to_html(document)
    assert "&lt;T&gt;" in page and "p &amp; q" in page and "empty" not in page
    assert 'href="http://u/?a=&quot;b&quot;"' in page
    assert r"a\_b & c \\" in to_latex(table) and r"5 \% $<$ 6 \AA{} & = x|y \\" in to_latex(table)
    assert r"= x\|y" in to_markdown(document)


def test_long_tables_are_cut_in_the_page_and_whole_in_the_files():
    table = Table("t", "title", ["n"], [[str(i)] for i in range(30)], most=10)
    page = to_html(Document("T", "", [Section("S", [table])]))
    assert "<td>9</td>" in page and "<td>10</td>" not in page and "10 of 30 rows" in page


def test_arguments_are_folders_and_known_options(tmp_path):
    odd = tmp_path / "model=snap"
    odd.mkdir()
    folders, chosen = read_arguments([str(odd), "out=x=y"], {"out": "", "title": "t"}, "usage: ...")
    assert folders == [odd] and chosen == {"out": "x=y", "title": "t"}
    with pytest.raises(TamisError, match="otu=... is unknown"):
        read_arguments([str(odd), "otu=x"], {"out": ""}, "usage: ...")
    with pytest.raises(TamisError, match="^usage"):
        read_arguments([], {}, "usage: ...")
    with pytest.raises(TamisError, match="--out: options are written key=value"):
        read_arguments([str(odd), "--out", "x"], {"out": ""}, "usage: ...")
    with pytest.raises(SystemExit) as stop:
        read_arguments(["--help"], {}, "usage: ...")
    assert stop.value.code == 0
    for wrong in ("much", "-1", "inf", "nan"):
        with pytest.raises(TamisError, match="at least 0"):
            number_of({"within": wrong}, "within")


def test_a_second_report_gets_another_name(tmp_path):
    assert new_name(tmp_path / "report") == tmp_path / "report"
    (tmp_path / "report").mkdir()
    (tmp_path / "a.html").touch()
    assert (
        new_name(tmp_path / "report").name == "report-2" and new_name(tmp_path / "a.html").name == "a-2.html"
    )


def test_the_command_prints_verdict_and_path(tmp_path):
    write_trial(tmp_path / "study" / "0")
    command = [sys.executable, "-m", "tamis.commands.report", "study"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "mlearn Si: whether" in done.stdout and "cannot be decided" in done.stdout
    assert f"report: {tmp_path}/study/report/report.html" in done.stdout
    wrong = subprocess.run(
        [*command[:-1], "nowhere"], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert wrong.returncode == 1 and "is no folder" in wrong.stderr and "Traceback" not in wrong.stderr


def test_records_are_the_truth_and_stay_as_they_are(tmp_path):
    folder = write_trial(tmp_path / "study" / "0")
    before = (folder / "record.json").read_bytes()
    report(tmp_path / "study")
    assert (folder / "record.json").read_bytes() == before and json.loads(before)["status"] == "complete"
