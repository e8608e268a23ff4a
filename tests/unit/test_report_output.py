"""What a report leaves: links to MLflow, escaped text, files under new names, and what the command prints."""

import json

import pytest
from tests.report_folders import report, write_protocol, write_trial
from tests.typed import typed

from tamis.commands import compare, pick
from tamis.commands import report as report_command
from tamis.commands.arguments import new_name, percent
from tamis.commands.report import make_report
from tamis.records.record import read_record
from tamis.report.document import Cell, Document, Paragraph, Section, Table
from tamis.report.files import to_latex, to_markdown
from tamis.report.html import to_html
from tamis.report.links import read_links
from tamis.tracking import Tracker


def test_links_lead_to_the_runs_that_mlflow_has(tmp_path, mlflow_uri):
    folder = write_trial(tmp_path / "trial")
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tamis", by_group=False, artifacts=False)
    run = tracker.write(read_record(folder), folder)
    links = read_links(mlflow_uri, "http://ui")
    assert links.run(folder).startswith("http://ui/#/experiments/") and links.run(folder).endswith(
        f"/runs/{run}"
    )
    assert links.run(tmp_path) == ""
    assert "searchFilter=params.%60model%60%20%3D%20%22snap%22" in links.search(folder, {"model": "snap"})
    other = write_trial(tmp_path / "random", pruner="random", descriptor="none")
    tracker.write(read_record(other), other)
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


@pytest.mark.parametrize("command", [compare, pick, report_command])
def test_help_has_an_example(command, capsys):
    assert typed(command, "--help") == 0
    said = capsys.readouterr().out
    assert "examples:" in said and f"tamis {command.__name__.split('.')[-1]} " in said


@pytest.mark.parametrize("wrong", ["much", "-1", "inf", "nan"])
def test_a_wrong_amount_is_refused(tmp_path, capsys, wrong):
    assert typed(pick, tmp_path, f"--within={wrong}") == 2
    assert "argument --within" in capsys.readouterr().err


def test_percent_may_have_its_sign():
    assert percent("10%") == percent("10") == 10.0


def test_a_second_report_gets_another_name(tmp_path):
    assert new_name(tmp_path / "report") == tmp_path / "report"
    (tmp_path / "report").mkdir()
    (tmp_path / "a.html").touch()
    assert (
        new_name(tmp_path / "report").name == "report-2" and new_name(tmp_path / "a.html").name == "a-2.html"
    )


def test_the_command_prints_answers_and_path(tmp_path, capsys):
    write_trial(write_protocol(tmp_path / "study") / "0")
    no_runs = ("--tracking", f"sqlite:///{tmp_path}/none.db")
    assert typed(report_command, tmp_path / "study", "--no-coverage", *no_runs) == 0
    said = capsys.readouterr().out
    assert "mlearn Si published, forces: whether" in said and "cannot be decided" in said
    assert f"report: {tmp_path}/study/report/report.html" in said
    assert "was not worked out" in (tmp_path / "study" / "report" / "report.md").read_text()
    assert typed(report_command, tmp_path / "nowhere") == 1
    assert "is no folder" in capsys.readouterr().err


def test_records_are_the_truth_and_stay_as_they_are(tmp_path):
    folder = write_trial(tmp_path / "study" / "0")
    before = (folder / "record.json").read_bytes()
    report(tmp_path / "study")
    assert (folder / "record.json").read_bytes() == before and json.loads(before)["status"] == "complete"
