"""Reports: what is read, how it is put in order, what the page says, and that it always says something."""

import csv
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from tests.report_folders import comparisons, report, write_protocol, write_study, write_trial

from tamis.analysis.arms import results_of
from tamis.analysis.hypothesis import BETTER
from tamis.analysis.test_errors import CachedTestErrors
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands.report import make_report
from tamis.report.context import target_of
from tamis.report.files import write_document
from tamis.report.links import Links

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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A complete study with a planted own effect, in two splits, with properties, another pruner and a toy failure."""
    folder = tmp_path_factory.mktemp("report") / "study"
    write_study(write_protocol(folder) / "published", extra=MD)
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
    (comparison,) = context.forces.values()
    (answer,) = context.answers
    assert answer.outcome == BETTER and answer.effect == comparison.verdict.pooled  # all there is is judged
    assert answer.effect.ratio == pytest.approx(np.exp(-0.2), rel=0.02)
    low, high = answer.effect.interval()
    assert low < -0.2 + 0.02 and high > -0.2 - 0.02
    assert "sets chosen by a model's own descriptor are better for it" in (out / "report.md").read_text()
    every = list(csv.DictReader((out / "tables" / "matrix-mlearn-si-fps.csv").open()))
    assert sorted(row["pruner"] for row in every) == ["cur", "fps", "fps", "fps"]
    rows = [row for row in every if row["pruner"] == "fps"]
    own = {row["model \\ chosen with"]: row[row["model \\ chosen with"]] for row in rows}
    assert own.keys() == {"ace", "snap", "chimes"}
    assert all(cell.startswith("= 0.8") for cell in own.values())
    assert all(row["acsf"].startswith(("1.0", "0.9")) for row in rows)


def test_the_data_efficiency_factor_follows_from_the_exponent(whole):
    (comparison,) = whole[0].forces.values()
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
        "(fps, cur)",
        "relative to the pool",
        "overlap (Jaccard)",
        "Pareto front",
        "by group of test structures",
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
        (lambda f: write_study(write_protocol(f), seeds=[0]), "at least 3 are needed"),
        (
            lambda f: write_study(write_protocol(f, models=["snap"]), models=["snap"]),
            "only one model has an own one",
        ),
        (lambda f: write_study(f), "No trial measured properties or MD"),
        (lambda f: write_study(f), "so nothing is judged"),
        (lambda f: write_study(f, fractions=(0.2,)), "at one budget, about 120 atoms"),
        (lambda f: write_study(write_protocol(f), fractions=(0.1, 0.3)), "not from 3 to 50 % as planned"),
        (lambda f: write_trial(f / "0", status="failed", reason="no luck"), "Nothing can be compared"),
        (lambda f: write_trial(f / "0", status="running"), "this report is not final"),
        (lambda f: write_trial(f / "0", status="stopped", reason="rule"), "1 stopped"),
        (lambda f: write_trial(f / "0"), "no finished curve of random draws"),
    ],
    ids=[
        "one seed",
        "one model",
        "no properties",
        "no protocol",
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
        "Left out without a usable test_errors.csv: 2 curves",
        "Left out as unfinished: 1 curve",
        "it blew up",
        "2 of 4",
        "Trials that were there more than once: 1;",
    ):
        assert words in text, words


def test_a_changed_test_set_is_not_mixed_in(tmp_path):
    folder = write_study(tmp_path / "study", seeds=range(3))
    path = folder / "snap-snap-0" / "test_errors.csv"
    path.write_text(path.read_text().replace("Si/test#0", "Si/test#99"))
    assert "Left out without a usable test_errors.csv: 1 curve." in report(folder)


def test_errors_that_are_not_finite_are_not_taken(tmp_path):
    trial = read_trials([write_trial(tmp_path / "a", fractions=(0.5, 1.0))])[0]
    assert CachedTestErrors().read(trial) is not None
    path = trial.folder / "test_errors.csv"
    first, line, *rest = path.read_text().splitlines()
    path.write_text("\n".join([first, ",".join([*line.split(",")[:-2], "nan", "0.1"]), *rest]))
    assert CachedTestErrors().read(trial) is None


def test_the_report_says_what_pruning_is_worth_against_random(whole):
    """The own sets' errors are lower by 18 % (exp(-0.2)) than those of random ones, in every split."""
    context, out = whole
    (comparison,) = context.forces.values()
    models, effect = comparison.own_effect("random")
    assert models == ["snap", "ace", "chimes"] and effect.ratio == pytest.approx(np.exp(-0.2), rel=0.02)
    assert comparison.own_effect("stratified") == ([], None)
    text = (out / "report.md").read_text()
    assert "Averaged over snap, ace, chimes, test errors of forces are 1" in text
    assert "than with sets of as many atoms chosen by random, over 4 splits" in text
    assert "chosen by stratified" not in text


def test_what_is_not_shown_is_bounded_by_the_interval_and_nothing_else(tmp_path):
    text = report(write_study(write_protocol(tmp_path / "study"), own_gain=0.0))
    (effect,) = (c.verdict.pooled for c in comparisons(tmp_path / "study"))
    low, high = (100 * (value - 1) for value in effect.ratio_interval())
    assert (
        "no difference between sets chosen by a model's own descriptor and those chosen by the others" in text
    )
    assert low < 0 < high and f"{-low:.1f} % lower to {high:.1f} % higher)" in text
    assert "Mean effects outside of this interval are excluded" in text


def test_the_size_at_which_sets_are_compared_is_the_budgets_own(tmp_path):
    """Budgets end with a whole structure: the label is the median, not the curve that comes nearest to 10 %."""
    for seed, fraction in enumerate((0.12, 0.134, 0.134)):
        write_trial(tmp_path / str(seed), seed=seed, fractions=(0.03, fraction, 0.5))
    curves = list(results_of(read_trials(find_trials([tmp_path]))).curves)
    assert target_of(curves) == pytest.approx(8 / 60)
    assert target_of([]) is None


@pytest.mark.parametrize(("of_random", "equal"), [(0.3, True), (0.4, False)])
def test_sets_that_differ_in_atoms_are_not_said_to_have_as_many(tmp_path, of_random, equal):
    """A budget of structures: random kept 24 structures' worth of atoms where the others kept 18."""
    folder = tmp_path / "study"
    for model in ("ace", "snap", "chimes"):
        for seed in range(4):
            write_trial(folder / f"{model}-{seed}", model, "none", "random", seed, fractions=(of_random,))
            for d in ("ace", "snap", "chimes", "acsf", "soap"):
                level = 0.1 * np.exp(-0.2 * (d == model))
                write_trial(
                    folder / f"{model}-{d}-{seed}", model, d, "fps", seed, fractions=(0.3,), level=level
                )
    text = report(folder)
    assert ("as many atoms" in text, "at equal atoms" in text) == (equal, equal)
    assert ("differ in atoms (180 to 240 atoms)" in text) != equal
