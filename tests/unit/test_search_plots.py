"""Optuna's plots of a search: what is drawn, and what is said of the rest."""

import csv
import os

import optuna
import pytest

from tamis.sweeps.search import plots
from tamis.sweeps.search.best import leave_table
from tamis.sweeps.search.plots import front, leave_plots, plots_of, ranked

pytestmark = pytest.mark.filterwarnings(
    "ignore::optuna.exceptions.ExperimentalWarning", "ignore:PedAnova", "ignore:PED-ANOVA"
)


def searched(
    n: int, directions=("minimize",), sign: float = 1.0, names=("validation/error",)
) -> optuna.Study:
    """Trials of a space with a condition; the value depends on ``x`` most."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=3)
    study = optuna.create_study(study_name="a search", directions=list(directions), sampler=sampler)
    study.set_metric_names(list(names))
    for _ in range(n):
        trial = study.ask()
        x, kind = trial.suggest_float("x", 0.01, 1, log=True), trial.suggest_categorical("kind", ["a", "b"])
        depth = trial.suggest_int("depth", 1, 5) if kind == "a" else 0
        trial.suggest_float("always", 1.0, 1.0)
        first = x**2 + 0.01 * depth
        study.tell(trial, [first, sign * first][: len(directions)])
    return study


def test_every_plot_of_one_objective(tmp_path):
    leave_plots(searched(25), tmp_path)
    page = (tmp_path / "search.html").read_text()
    assert page.count("Plotly.newPlot(") == 4
    assert "What validation/error depends on" in page and "Not drawn" not in page
    assert '<script src="' not in page, "the page needs the network"


def test_they_are_drawn_again_after_another_trial_only(tmp_path):
    study = searched(5)
    leave_plots(study, tmp_path)
    path = tmp_path / "search.html"
    path.write_text("as it was")
    leave_plots(study, tmp_path)
    assert path.read_text() == "as it was"
    os.utime(path, (0, 0))
    leave_plots(study, tmp_path)
    assert "5 complete trials" in path.read_text()


def test_the_plots_of_several_objectives():
    study = searched(3, ["minimize", "maximize"], names=["a", "b"])
    titles = [title for title, _ in plots_of(study, ["a", "b"])]
    assert titles[:3] == ["Pareto front", "History of a", "What a depends on"]
    assert len(titles) == len(set(titles)) == 9
    four = searched(0, ["minimize"] * 4, names=list("abcd"))
    assert all(title != "Pareto front" for title, _ in plots_of(four, list("abcd"))), "four cannot be drawn"


def test_importance_follows_the_direction():
    """Maximising -v is minimising v: the same keys matter."""
    names = ["u", "v"]
    turned = searched(40, ["minimize", "maximize"], sign=-1.0, names=names)
    same = searched(40, ["minimize", "minimize"], names=names)

    def bars(study, objective: str):
        (bar,) = dict(plots_of(study, names))[f"What {objective} depends on"]().data
        return dict(zip(bar.y, bar.x, strict=True))

    assert bars(turned, "v") == pytest.approx(bars(same, "v"))
    assert bars(turned, "v") == pytest.approx(bars(turned, "u"))
    other_way = searched(40, ["minimize", "minimize"], sign=-1.0, names=names)
    assert bars(other_way, "v") != pytest.approx(bars(same, "v")), "the direction plays no part"


def test_keys_are_ranked_and_constant_ones_left_out():
    found = ranked(searched(40), lambda trial: trial.value)
    assert found[0] == "x" and set(found) == {"x", "kind", "depth"}


def test_what_cannot_be_drawn_is_said_and_ends_nothing(tmp_path):
    study = optuna.create_study(study_name="narrow")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    leave_plots(study, tmp_path)
    page = (tmp_path / "search.html").read_text()
    assert page.count("Plotly.newPlot(") == 3
    assert "it needs 2 keys with several values, and there are 1" in page


def test_a_plot_whose_error_says_nothing_is_named_with_the_class(tmp_path, monkeypatch):
    def nothing(study, objectives):
        raise ValueError(" \n")

    monkeypatch.setattr(plots, "front", nothing)
    leave_plots(searched(4, ("minimize", "minimize"), names=("a", "b")), tmp_path)
    assert "Pareto front: ValueError" in (tmp_path / "search.html").read_text()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_trials(tmp_path, n):
    leave_plots(searched(n), tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_table_has_the_best_first(tmp_path):
    study = searched(6)
    leave_table(study, tmp_path)
    rows = list(csv.DictReader((tmp_path / "best.csv").open()))
    values = [float(row["validation/error"]) for row in rows]
    assert values == sorted(values) and len(values) == 6
    assert int(rows[0]["trial"]) == study.best_trial.number
    assert float(rows[0]["x"]) == study.best_trial.params["x"]


def test_the_page_has_the_best_trials_and_the_front_in_colours_of_the_pruners(tmp_path):
    study = optuna.create_study(study_name="a search", directions=["minimize", "minimize"])
    study.set_metric_names(["error", "kept"])
    for values in ([1.0, 2.0], [2.0, 1.0], [3.0, 3.0]):
        trial = study.ask()
        trial.suggest_categorical("pruner", ["fps", "random"])
        study.tell(trial, values)
    figure = front(study, ["error", "kept"])
    kinds = {trial.params["pruner"] for trial in study.trials}
    assert {one.name for one in figure.data} == {*kinds, "Pareto front"}
    assert [*figure.data[-1].x] == [1.0, 2.0], "the line joins the front alone"
    shown = {tuple(xy) for one in figure.data[:-1] for xy in zip(one.x, one.y, strict=True)}
    assert shown == {(1.0, 2.0), (2.0, 1.0), (3.0, 3.0)}
    leave_plots(study, tmp_path)
    page = (tmp_path / "search.html").read_text()
    assert '<a href="0/">0</a>' in page and '<a href="1/">1</a>' in page and '<a href="2/">' not in page
