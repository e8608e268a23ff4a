"""Optuna's plots of a search: what is drawn, what is said of the rest, and that nothing else is touched."""

import optuna
import pytest
from matplotlib import pyplot, rcParams
from matplotlib.image import imread

from tamis.search_plots import draw_search, plots_of, ranked


def searched(n: int, directions=("minimize",), sign: float = 1.0) -> optuna.Study:
    """Trials of a space with a condition; the value depends on ``x`` most."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=3)
    study = optuna.create_study(study_name="a search", directions=list(directions), sampler=sampler)
    for _ in range(n):
        trial = study.ask()
        x, kind = trial.suggest_float("x", 0.01, 1, log=True), trial.suggest_categorical("kind", ["a", "b"])
        depth = trial.suggest_int("depth", 1, 5) if kind == "a" else 0
        trial.suggest_float("always", 1.0, 1.0)
        first = x**2 + 0.01 * depth
        study.tell(trial, [first, sign * first][: len(directions)])
    return study


def test_every_plot_of_one_objective(tmp_path):
    style, figures = dict(rcParams), pyplot.get_fignums()
    missing = draw_search(searched(25), ["validation/error"], tmp_path)
    assert missing == {}
    drawn = {path.name for path in tmp_path.glob("*.png")}
    assert drawn == {"history.png", "importance.png", "slice.png", "contour.png"}
    for name in drawn:
        assert imread(tmp_path / name).std() > 0.01, f"{name} is empty"
    page = (tmp_path / "search.html").read_text()
    assert page.count("Plotly.newPlot(") >= 4, "no plots on the page"
    assert "What validation/error depends on" in page and "Not drawn" not in page
    assert '<script src="' not in page, "the page needs the network"
    assert dict(rcParams) == style and pyplot.get_fignums() == figures


def test_the_plots_of_several_objectives():
    study = searched(3, ["minimize", "maximize"])
    names = [plot.name for plot in plots_of(study, ["test/a", "b"])]
    assert names[0] == "pareto_front"
    assert names[1:5] == ["history-test-a", "importance-test-a", "slice-test-a", "contour-test-a"]
    assert len(names) == len(set(names)) == 9
    four = searched(0, ["minimize"] * 4)
    assert all(plot.name != "pareto_front" for plot in plots_of(four, list("abcd"))), "four cannot be drawn"


@pytest.mark.filterwarnings("ignore:PedAnova")
def test_importance_follows_the_direction():
    """Maximising -v is minimising v: the same keys matter."""
    turned, same = searched(40, ["minimize", "maximize"], sign=-1.0), searched(40, ["minimize", "minimize"])

    def bars(study, objective: str):
        (plot,) = [one for one in plots_of(study, ["u", "v"]) if one.name == f"importance-{objective}"]
        (bar,) = plot.draw(optuna.visualization).data
        return dict(zip(bar.y, bar.x, strict=True))

    assert bars(turned, "v") == pytest.approx(bars(same, "v"))
    assert bars(turned, "v") == pytest.approx(bars(turned, "u"))
    other_way = searched(40, ["minimize", "minimize"], sign=-1.0)
    assert bars(other_way, "v") != pytest.approx(bars(same, "v")), "the direction plays no part"


def test_keys_are_ranked_and_constant_ones_left_out():
    assert ranked(searched(40))[0] == "x"
    assert set(ranked(searched(40))) == {"x", "kind", "depth"}


def test_what_cannot_be_drawn_is_said_and_ends_nothing(tmp_path):
    study = optuna.create_study(study_name="narrow")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=4)
    missing = draw_search(study, ["e"], tmp_path)
    assert set(missing) == {"contour.png", "contour in search.html"}
    assert missing["contour.png"] == "it needs 2 keys with several values, and there are 1"
    assert "it needs 2 keys" in (tmp_path / "search.html").read_text()
    assert (tmp_path / "slice.png").exists()


def test_without_plotly_there_are_pictures_but_no_page(tmp_path, monkeypatch):
    monkeypatch.setattr("tamis.search_plots._as_html", missing_module)
    monkeypatch.setattr("tamis.search_plots._page", missing_module)
    monkeypatch.setattr("tamis.search_plots.plots_of", lambda *given: list(plots_of(*given))[:1])
    missing = draw_search(searched(5), ["e"], tmp_path)
    assert missing["search.html"] == "No module named 'plotly'"
    assert (tmp_path / "history.png").exists() and not (tmp_path / "search.html").exists()


def missing_module(*_):
    raise ModuleNotFoundError("No module named 'plotly'")


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_trials(tmp_path, n):
    missing = draw_search(searched(n), ["e"], tmp_path / "plots")
    assert missing == {"all plots": f"{n} trials are complete; at least 2 are needed"}
    assert not (tmp_path / "plots").exists()
