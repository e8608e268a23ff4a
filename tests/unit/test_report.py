"""Reports: what is read, how it is put in order, what the page says, and that it always says something."""

import csv
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from tests.report_folders import write_study, write_trial

from tamis.exceptions import TamisError
from tamis.record import read_record
from tamis.report.arguments import new_name, number_of, read_arguments
from tamis.report.command import make_report
from tamis.report.comparison import Comparison, corrected
from tamis.report.context import target_of
from tamis.report.document import Cell, Document, Paragraph, Section, Table
from tamis.report.files import to_latex, to_markdown, write_document
from tamis.report.html import to_html
from tamis.report.links import Links, read_links
from tamis.report.names import name_variants
from tamis.report.study import study_of
from tamis.report.trials import find_trials, read_trials
from tamis.statistics.hypothesis import BETTER
from tamis.tracking import Tracker

VOID = {"meta", "br", "img", "path", "use", "rect", "link", "input", "hr"}
MD = {
    "md/stable_fraction": 0.9,
    "properties/elastic_C11_error_percent": -7.0,
    "md/outside_kept_common_space_fraction": 0.2,
}


class Page(HTMLParser):
    """Open tags that were never closed, addresses, and tag names."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action") and v]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag


def report(folder: Path) -> str:
    """The report of the trials below ``folder`` as text, without drawing figures."""
    return to_markdown(make_report([folder], Links())[1])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete study with a planted own effect, in two splits, with properties, another pruner and a toy failure."""
    folder = tmp_path_factory.mktemp("report") / "study"
    write_study(folder / "published", extra=MD, with_kept=True)
    for seed in range(3):
        write_trial(folder / f"cur-{seed}", "snap", "snap", "cur", seed, level=0.05)
    write_trial(folder / "failed", status="failed", reason="the moon is <full>")
    out = folder.parent / "report"
    context, document = make_report([folder], Links())
    write_document(document, out)
    return context, out


def test_the_page_is_one_file_of_well_formed_html_without_scripts_or_anything_from_elsewhere(whole):
    text = (whole[1] / "report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == [] and "script" not in page.tags
    assert all(address.startswith("#") for address in page.addresses)
    assert "url(http" not in text and "@import" not in text
    assert "prefers-color-scheme: dark" in text and 'name="viewport"' in text
    assert "the moon is &lt;full&gt;" in text


def test_the_planted_effect_is_in_the_verdict_and_in_the_matrix(whole):
    context, out = whole
    (comparison,) = context.primary.values()
    verdict = comparison.verdict
    assert verdict.outcome == BETTER
    assert verdict.pooled.ratio == pytest.approx(np.exp(-0.2), rel=0.02)
    assert verdict.pooled.low < -0.2 + 0.02 and verdict.pooled.high > -0.2 - 0.02
    assert (
        "training sets pruned with a model's own descriptor are better for it"
        in (out / "report.md").read_text()
    )
    rows = list(csv.DictReader((out / "tables" / "matrix-mlearn-si-fps.csv").open()))
    own = {row["model \\ chosen with"]: row[row["model \\ chosen with"]] for row in rows}
    assert own.keys() == {"ace", "snap", "chimes"}
    assert all(cell.startswith("= 0.8") for cell in own.values())
    assert all(row["acsf"].startswith(("1.0", "0.9")) for row in rows)


def test_the_data_efficiency_factor_follows_from_the_exponent(whole):
    (comparison,) = whole[0].primary.values()
    found = comparison.efficiency("snap", "snap", "random", 0.2)
    assert found.value == pytest.approx(np.exp(0.2 / 0.3), rel=0.1)  # error ~ atoms^-0.3


def test_every_table_and_figure_has_its_files(whole):
    out = whole[1]
    names = {path.stem for path in (out / "tables").glob("*.csv")}
    assert names == {path.stem for path in (out / "tables").glob("*.tex")} and len(names) > 8
    figures = {path.stem for path in (out / "figures").glob("*.png")}
    assert figures == {path.stem for path in (out / "figures").glob("*.svg")} and len(figures) > 8
    linked = set(re.findall(r"\(figures/(.*?)\.svg\)", (out / "report.md").read_text()))
    assert linked == figures


@pytest.mark.parametrize(
    "words",
    [
        "Properties and stability",
        "elastic_C11, %",
        "Other pruners",
        "relative to the pool",
        "overlap (Jaccard)",
        "Pareto front",
        "Errors by group",
        "outside_kept_common_space_fraction",
        "1 failed",
    ],
)
def test_what_was_measured_is_shown(whole, words):
    assert words in (whole[1] / "report.md").read_text()


def test_groups_are_counted_relative_to_the_pool(whole):
    rows = list(csv.DictReader((whole[1] / "tables" / "groups-mlearn-si.csv").open()))
    shares = {row["chosen with"]: [float(row[g]) for g in ("MD", "Elastic", "Surface")] for row in rows}
    assert all(np.mean(three) == pytest.approx(1.0, abs=0.02) for three in shares.values())  # equal groups


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda f: write_study(f, seeds=[0]), "at least 3 are needed"),
        (lambda f: write_study(f, models=["snap"]), "only one model has an own one"),
        (lambda f: write_study(f), "No trial measured properties or MD"),
        (lambda f: write_study(f, fractions=(0.2,)), "at one budget, about 120 atoms"),
        (lambda f: write_study(f, fractions=(0.1, 0.3)), "not from 3 to 50 % as planned"),
        (lambda f: write_trial(f / "0", status="failed", reason="no luck"), "Nothing can be compared"),
        (lambda f: write_trial(f / "0", status="running"), "report of an unfinished study"),
        (lambda f: write_trial(f / "0", status="stopped", reason="rule"), "1 stopped"),
        (lambda f: write_trial(f / "0"), "no finished curve of random draws"),
    ],
    ids=[
        "one seed",
        "one model",
        "no properties",
        "one budget",
        "two budgets",
        "all failed",
        "running",
        "stopped",
        "one",
    ],
)
def test_a_report_says_what_it_lacks(tmp_path, make, words):
    make(tmp_path / "study")
    assert words in report(tmp_path / "study")


def test_a_study_half_done_and_damaged_is_reported(tmp_path):
    folder = write_study(tmp_path / "study")
    for name in ("snap-ace-2", "snap-ace-3"):
        (folder / name / "record.json").unlink()
    (folder / "ace-ace-0" / "record.json").write_text('{"config": ')
    (folder / "ace-snap-0" / "test_errors.csv").unlink()
    (folder / "ace-snap-1" / "test_errors.csv").write_text("nonsense\n1,2\n")
    write_trial(folder / "short", "ace", "snap", "fps", 9, fractions=(0.03, 0.1))
    write_trial(folder / "unmeasured", "ace", "snap", "fps", 8, problems={"dynamics": "it blew up"})
    write_trial(folder / "again", "ace", "snap", "fps", 3, started=9.0)
    text = report(folder)
    for words in (
        "1 unreadable",
        "2 curves have no usable test_errors.csv",
        "1 unfinished curves are left out",
        "it blew up",
        "2 of 4",
        "1 trials were there more than once",
        "groups of the kept structures are not known",
    ):
        assert words in text, words


def test_a_changed_test_set_is_not_mixed_in(tmp_path):
    folder = write_study(tmp_path / "study", seeds=range(3))
    path = folder / "snap-snap-0" / "test_errors.csv"
    path.write_text(path.read_text().replace("Si/test#0", "Si/test#99"))
    assert "1 curves have no usable" in report(folder)


def test_properties_and_stability_have_their_matrices(whole):
    """Every trial has the same values: relative to random they are 1, and MD survived for 0.9 of its steps."""
    names = {path.stem for path in (whole[1] / "figures").glob("matrix-*.svg")}
    assert names == {
        "matrix-mlearn-si-fps",
        "matrix-properties-100-mlearn-si",
        "matrix-stability-100-mlearn-si",
    }
    fields = {
        kind: re.findall(
            r">(\d\.\d\d)</text>", (whole[1] / "figures" / f"matrix-{kind}-100-mlearn-si.svg").read_text()
        )
        for kind in ("properties", "stability")
    }
    assert set(fields["properties"]) == {"1.00"} and set(fields["stability"]) == {"0.90"}
    assert (
        len(fields["properties"]) == len(fields["stability"]) == 3 * 6
    )  # models, five descriptors and random


def test_the_report_says_what_pruning_is_worth_against_random(whole):
    """The own sets' errors are lower by 18 % (exp(-0.2)) than those of random ones, in every split."""
    context, out = whole
    (comparison,) = context.primary.values()
    models, effect = comparison.own_effect("random")
    assert models == ["snap", "ace", "chimes"] and effect.ratio == pytest.approx(np.exp(-0.2), rel=0.02)
    assert comparison.own_effect("stratified") == ([], None)
    text = (out / "report.md").read_text()
    assert "random sets of as many atoms is shown. Errors of snap, ace, chimes are 1" in text
    assert "stratified sets" not in text


def test_colours_follow_the_corrected_p(whole):
    """Green in the test of the hypothesis means: still shown after the correction."""
    page = (whole[1] / "report.html").read_text()
    rows = list(csv.DictReader((whole[1] / "tables" / "own-against-each-mlearn-si-fps.csv").open()))
    shown = sum(row["p"].startswith("<") or float(row["p"] or 1.0) <= 0.05 for row in rows)
    part = page[page.index("the own descriptor against each other one") :]
    assert 0 < shown == part[: part.index("</table>")].count('class="good"')


def test_what_is_not_shown_is_bounded_by_the_interval_and_nothing_else(tmp_path):
    text = report(write_study(tmp_path / "study", own_gain=0.0))
    (effect,) = (c.verdict.pooled for c in _primary(tmp_path / "study"))
    low, high = (100 * (value - 1) for value in effect.ratio_interval)
    assert "no difference between the own descriptor and the others is shown" in text
    assert low < 0 < high and f"{-low:.1f} % lower to {high:.1f} % higher)" in text
    assert "Mean effects outside of this interval are excluded" in text


def test_the_size_at_which_sets_are_compared_is_the_budgets_own(tmp_path):
    """Budgets end with a whole structure: the label is the median, not the curve that comes nearest to 10 %."""
    for seed, fraction in enumerate((0.12, 0.134, 0.134)):
        write_trial(tmp_path / str(seed), seed=seed, fractions=(0.03, fraction, 0.5))
    curves = list(study_of(read_trials(find_trials([tmp_path]))).curves)
    assert target_of(curves) == pytest.approx(8 / 60)
    assert target_of([]) is None


# order


def test_configurations_are_named_by_what_differs_from_the_usual_one():
    usual, other = '{"r_cut": 5.0, "n": 3}', '{"r_cut": 6.0, "n": 3}'
    names = name_variants([("ace", usual), ("ace", usual), ("ace", other), ("soap", other)])
    assert names == {("ace", usual): "ace", ("ace", other): "ace (r_cut=6.0)", ("soap", other): "soap"}


def test_data_sets_splits_and_settings_of_the_model_are_never_mixed(tmp_path):
    for i, more in enumerate(
        [{}, {"seed": 1}, {"split": "grouped"}, {"element": "Mo"}, {"model_r_cut": 6.0, "r_cut": 6.0}]
    ):
        write_trial(tmp_path / str(i), **more)
    study = study_of(read_trials(find_trials([tmp_path])))
    names = [ground.name for ground in study.grounds]
    assert names == ["mlearn Mo", "mlearn Si", "mlearn Si, basis.r_cut=6.0", "mlearn Si (split=grouped)"]
    assert [ground.is_primary for ground in study.grounds] == [True, True, False, False]
    assert all(curve.own for curve in study.curves)


def test_the_published_split_is_the_usual_one_however_many_trials_the_others_have(tmp_path):
    write_trial(tmp_path / "0")
    for seed in range(2):
        write_trial(tmp_path / f"g{seed}", seed=seed, split="grouped")
    names = [ground.name for ground in study_of(read_trials(find_trials([tmp_path]))).grounds]
    assert names == ["mlearn Si", "mlearn Si (split=grouped)"]


def test_secondary_data_sets_make_the_primary_question_no_harder(tmp_path):
    write_study(tmp_path / "published", own_gain=0.02)
    alone = {model: p for (_, model), p in corrected(_primary(tmp_path)).items()}
    write_study(tmp_path / "grouped", own_gain=0.02, split="grouped")
    both = corrected(_primary(tmp_path))
    assert {model: p for (ground, model), p in both.items() if ground.is_primary} == pytest.approx(alone)
    assert len(both) == 2 * len(alone)


def _primary(folder: Path) -> list[Comparison]:
    return list(make_report([folder], Links())[0].primary.values())


def test_a_descriptor_of_the_same_family_configured_otherwise_is_not_the_own_one(tmp_path):
    write_trial(tmp_path / "0")
    write_trial(tmp_path / "1", seed=1)
    write_trial(tmp_path / "2", r_cut=6.0)
    study = study_of(read_trials(find_trials([tmp_path])))
    assert {(c.descriptor, c.own) for c in study.curves} == {("snap", True), ("snap (r_cut=6.0)", False)}


def test_trials_of_single_budgets_make_a_curve_and_properties_join_their_point(tmp_path):
    for i, fraction in enumerate((0.5, 0.1)):
        write_trial(tmp_path / str(i), fractions=(fraction,))
    write_trial(tmp_path / "2", fractions=(0.1,), extra=MD, started=2.0)
    (curve,) = study_of(read_trials(find_trials([tmp_path]))).curves
    assert curve.atoms.tolist() == [60.0, 300.0]
    assert "md/stable_fraction" in curve.points[0] and "md/stable_fraction" not in curve.points[1]


def test_folders_are_found_once_and_missing_ones_are_refused(tmp_path):
    write_trial(tmp_path / "a" / "10")
    write_trial(tmp_path / "a" / "9")
    found = find_trials([tmp_path, tmp_path / "a"])
    assert [folder.name for folder in found] == ["9", "10"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TamisError, match="no record.json below"):
        find_trials([tmp_path / "empty"])
    with pytest.raises(TamisError, match="is no folder"):
        find_trials([tmp_path / "nowhere"])


# links


def test_links_lead_to_the_runs_that_mlflow_has(tmp_path):
    folder = write_trial(tmp_path / "trial")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    fields = Tracker.__dataclass_fields__
    more = {name: False for name in ("by_group", "artifacts") if name in fields}
    tracker = Tracker(uri=uri, artifact_root=tmp_path / "artifacts", experiment="tamis", **more)
    run = tracker.write(read_record(folder), folder, None)
    links = read_links(uri, "http://ui")
    assert links.run(folder).startswith("http://ui/#/experiments/") and links.run(folder).endswith(
        f"/runs/{run}"
    )
    assert links.run(tmp_path) == ""
    assert "searchFilter=params.%60model%60%20%3D%20%22snap%22" in links.search(folder, {"model": "snap"})
    other = write_trial(tmp_path / "random", pruner="random", descriptor="none")
    tracker.write(read_record(other), other, None)
    _, cells = make_report([folder, other], read_links(uri, "http://ui"))
    assert "params.%60dataset.element%60%20%3D%20%22Si%22" in to_html(cells)
    _, document = make_report([folder], links)
    assert f"/runs/{run}" in to_html(Document("T", "", document.sections[-1:]))


def test_without_a_database_there_are_no_links(tmp_path):
    assert read_links(f"sqlite:///{tmp_path}/none.db", "x").runs == {}
    (tmp_path / "text.db").write_text("this is no database, however long it may be " * 10)
    assert read_links(f"sqlite:///{tmp_path}/text.db", "x").runs == {}


# writers


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


# the command


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
    command = [sys.executable, "-m", "tamis.report.command", "study"]
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
