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
from tamis.report.links import Links, read_links
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


def test_a_report_begins_with_the_set_to_take(tmp_path):
    levels = {0: (0.100, 0.098), 1: (0.100, 0.105)}
    for seed, (whole, half) in levels.items():
        write_trial(tmp_path / f"all{seed}", seed=seed, fractions=(1.0,), level=whole, started=2.0)
        # errors fall as atoms^-0.3: half of the pool with the given level at the whole of it
        write_trial(tmp_path / f"half{seed}", seed=seed, fractions=(0.1, 0.5), level=half * 0.5**0.3)
    _, document = make_report([tmp_path], Links())
    table = next(part for part in document.sections[0].parts if isinstance(part, Table))
    (row,) = table.rows
    assert document.sections[0].title == "Which set to take"
    assert row[0] == "snap" and row[3:5] == ["300", "50"] and row[-1] == "2"
    assert row[5:7] == [f"{(0.98 * 1.05) ** 0.5:.2f}", "0.98 to 1.05"]
    assert float(row[7]) / float(row[8]) == pytest.approx((0.98 * 1.05) ** 0.5, rel=0.01)


def test_where_nothing_smaller_serves_the_set_to_take_is_the_whole_pool(tmp_path):
    write_trial(tmp_path / "all", fractions=(1.0,), level=0.1, started=2.0)
    write_trial(tmp_path / "half", fractions=(0.1, 0.5), level=0.2)
    _, document = make_report([tmp_path], Links())
    table = next(part for part in document.sections[0].parts if isinstance(part, Table))
    assert table.rows[0][1] == "none" and "needs the whole pool" in report(tmp_path)


def test_without_the_whole_pool_a_report_says_so(tmp_path):
    write_trial(tmp_path / "0", fractions=(0.1,))
    text = report(tmp_path)
    assert "No trial kept the whole pool" in text and "lowest validation error at each budget" in text


def test_a_single_trial_has_a_page_with_its_pictures(tmp_path):
    folder = write_trial(tmp_path / "trial")
    (folder / "parity.png").write_bytes(b"a picture")
    context, document = make_report([folder], Links())
    page = to_html(document)
    assert "snap was trained on 60 of 60 structures" in page and "data:image/png;base64,YSBwaWN0dXJl" in page
    assert "Which set to take" not in page
    assert "data:image" not in to_html(make_report([tmp_path], Links())[1]), (
        "a sweep's page has no trial's pictures"
    )


def test_records_are_the_truth_and_stay_as_they_are(tmp_path):
    folder = write_trial(tmp_path / "study" / "0")
    before = (folder / "record.json").read_bytes()
    report(tmp_path / "study")
    assert (folder / "record.json").read_bytes() == before and json.loads(before)["status"] == "complete"
