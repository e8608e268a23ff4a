"""Optuna's plots of a search: a PNG of each, and all of them on one page that needs no network."""

from __future__ import annotations

import html
import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from tamis.core.files import write_atomically

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)
PAGE = "search.html"
ENOUGH = 2
"""Complete trials below which no plot says anything."""
MOST_SLICES = 12
"""Keys in a slice plot: one panel each, side by side."""
MOST_CONTOURS = 4
"""Keys in a contour plot: a panel for each pair."""
ROW_HEIGHT = 240
"""Pixels of a row of panels on the page."""
FRONTS = (2, 3)
"""Numbers of objectives whose Pareto front can be drawn."""
STYLE = "body{font:16px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}h2{margin-top:2.5rem}"


@dataclass(frozen=True)
class Plot:
    """A plot: how its file is called, its heading, and what draws it with Optuna's plotly or matplotlib back end.

    rows: of panels, if it is a square of them.
    """

    name: str
    title: str
    draw: Callable[[ModuleType], Any]
    rows: int = 1


def draw_search(study: Study, objectives: Sequence[str], folder: Path) -> dict[str, str]:
    """Draw what can be drawn into ``folder``: ``<plot>.png``, and ``search.html`` with all of them.

    Parameters
    ----------
    objectives : what to call the values of a trial, one name each.

    Returns
    -------
    missing : plot -> why it is not there. A plot that fails ends nothing.
    """
    from optuna.trial import TrialState

    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < ENOUGH:
        return {"all plots": f"{len(complete)} trials are complete; at least {ENOUGH} are needed"}
    folder.mkdir(parents=True, exist_ok=True)
    missing: dict[str, str] = {}
    sections = []
    for plot in plots_of(study, objectives):
        with _noting(missing, f"{plot.name}.png"):
            _draw_png(plot, folder / f"{plot.name}.png")
        with _noting(missing, f"{plot.name} in {PAGE}"):
            sections.append((plot.title, _as_html(plot)))
    with _noting(missing, PAGE):
        page = _page(f"Search {study.study_name}", f"{len(complete)} complete trials", sections, missing)
        write_atomically(folder / PAGE, page.encode())
    for name, reason in missing.items():
        log.info("%s is not drawn: %s", name, reason)
    return missing


def plots_of(study: Study, objectives: Sequence[str]) -> Iterator[Plot]:
    """The plots of a study: the Pareto front where there is one, and four for each objective."""
    if len(objectives) in FRONTS:
        names = list(objectives)
        yield Plot("pareto_front", "Pareto front", lambda v: v.plot_pareto_front(study, target_names=names))
    for i, objective in enumerate(objectives):
        suffix = f"-{re.sub(r'[^A-Za-z0-9_.]+', '-', objective)}" if len(objectives) > 1 else ""
        yield from _plots_of_one(study, objective, i if len(objectives) > 1 else None, suffix)


def _plots_of_one(study: Study, objective: str, i: int | None, suffix: str) -> Iterator[Plot]:
    """Of objective number ``i``; None: the only one, whose direction Optuna knows."""
    kept: dict[str, Any] = {} if i is None else {"target": lambda trial: trial.values[i]}
    of_it: dict[str, Any] = {**kept, "target_name": objective}
    low = kept.get("target")
    if i is not None and study.directions[i].name == "MAXIMIZE":  # Optuna takes low targets for good ones
        low = lambda trial: -trial.values[i]  # noqa: E731
    more: dict[str, Any] = {} if low is None else {"target": low}

    def importances(v: ModuleType) -> Any:
        return v.plot_param_importances(study, _importance(), target_name=objective, **more)

    def contour(v: ModuleType) -> Any:
        return v.plot_contour(study, params=_at_least(2, ranked(study, low))[:MOST_CONTOURS], **of_it)

    def slices(v: ModuleType) -> Any:
        return v.plot_slice(study, params=_at_least(1, ranked(study, low))[:MOST_SLICES], **of_it)

    yield Plot(
        f"history{suffix}",
        f"History of {objective}",
        lambda v: v.plot_optimization_history(study, **of_it),
    )
    yield Plot(f"importance{suffix}", f"What {objective} depends on", importances)
    yield Plot(f"slice{suffix}", f"{objective} against each key", slices)
    yield Plot(f"contour{suffix}", f"{objective} against pairs of keys", contour, MOST_CONTOURS)


def ranked(study: Study, target: Callable[[FrozenTrial], float] | None = None) -> list[str]:
    """The searched keys that took several values, the most important first.

    Parameters
    ----------
    target : of a trial, low ones are good; None: the value of a study with one objective.
    """
    from optuna.importance import get_param_importances
    from optuna.trial import TrialState

    values: dict[str, set[Any]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        for key, value in trial.params.items():
            values.setdefault(key, set()).add(value)
    with _quiet():
        importances = get_param_importances(study, evaluator=_importance(), target=target)
    several = [key for key, taken in values.items() if len(taken) > 1]
    return sorted(several, key=lambda key: -importances.get(key, -math.inf))


def _at_least(n: int, keys: list[str]) -> list[str]:
    """The keys; raises ValueError where there are fewer than ``n``, since Optuna draws an empty plot then."""
    if len(keys) < n:
        raise ValueError(f"it needs {n} keys with several values, and there are {len(keys)}")
    return keys


def _importance() -> Any:
    """PED-ANOVA: Optuna 5 takes it by itself, Optuna 4 another one that needs all keys in all trials."""
    from optuna.importance import PedAnovaImportanceEvaluator

    return PedAnovaImportanceEvaluator()


def _draw_png(plot: Plot, path: Path) -> None:
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as backend

    pyplot.switch_backend("agg")  # files only, wherever there is a screen
    before = set(pyplot.get_fignums())
    try:
        with _quiet(), pyplot.rc_context():  # Optuna changes the style for good
            axes = plot.draw(backend)
            figure = next(iter(axes.flat)).figure if hasattr(axes, "flat") else axes.figure
            _arrange(figure, plot.rows)
            figure.savefig(path, dpi=110, bbox_inches="tight")
    finally:
        for number in set(pyplot.get_fignums()) - before:
            pyplot.close(number)


def _arrange(figure: Any, rows: int) -> None:
    """Make room for the words; those between the panels of a square stand at its edges, too."""
    if rows > 1:
        figure.set_size_inches(3.0 * rows, 2.6 * rows)
    for ax in figure.axes:
        ax.tick_params(axis="x", labelrotation=30, labelsize=8)
        if rows > 1 and ax.get_subplotspec() is not None:
            ax.label_outer()


def _as_html(plot: Plot) -> str:
    from optuna import visualization

    with _quiet():
        figure = plot.draw(visualization)
    if plot.rows > 1:
        figure.update_layout(height=ROW_HEIGHT * plot.rows)
    return str(figure.to_html(full_html=False, include_plotlyjs=False))


def _page(title: str, below: str, sections: Sequence[tuple[str, str]], missing: Mapping[str, str]) -> str:
    """One page with the program that draws in it, once."""
    from plotly.offline import get_plotlyjs

    body = "".join(f"<h2>{html.escape(name)}</h2>\n{text}\n" for name, text in sections)
    if missing:
        items = "".join(f"<li>{html.escape(f'{name}: {why}')}</li>" for name, why in missing.items())
        body += f"<h2>Not drawn</h2>\n<ul>{items}</ul>\n"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n<p>{html.escape(below)}</p>\n{body}</body></html>\n"
    )


@contextmanager
def _noting(missing: dict[str, str], name: str) -> Iterator[None]:
    """Whatever a plot raises is noted in ``missing``: the search is more than its pictures."""
    try:
        yield
    except Exception as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        missing[name] = reason


@contextmanager
def _quiet() -> Iterator[None]:
    """Without Optuna's remarks on what is experimental, and on what low targets mean, which is seen to here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
