"""Optuna's plots of a search, on one page that needs no network."""

from __future__ import annotations

import html
import logging
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from optuna import Study, visualization
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from tamis.core.files import write_atomically
from tamis.sweeps.search.best import objective_names
from tamis.sweeps.search.studies import ended

log = logging.getLogger(__name__)
PAGE = "search.html"
ENOUGH = 2
"""Complete trials below which no plot says anything."""
MOST_SLICES, MOST_CONTOURS = 12, 4
"""Keys in a slice plot, side by side; keys in a contour plot, which has a panel for each pair."""
ROW_HEIGHT = 240
"""Pixels of a row of panels."""
STYLE = "body{font:16px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}h2{margin-top:2.5rem}"
Plot = tuple[str, Callable[[], Any]]


def leave_plots(study: Study, folder: Path) -> None:
    """Draw what can be drawn into ``search.html``, unless no trial has ended since that was done.

    The page names each plot that cannot be made, with the reason; the search is more than its pictures.
    """
    path = folder / PAGE
    n_complete = sum(trial.state == TrialState.COMPLETE for trial in ended(study))
    last = max(
        (trial.datetime_complete.timestamp() for trial in ended(study) if trial.datetime_complete), default=0
    )
    if n_complete < ENOUGH or (path.exists() and path.stat().st_mtime > last):
        return
    sections, missing = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what is experimental in Optuna
        for title, draw in plots_of(study, objective_names(study)):
            try:
                sections.append((title, draw().to_html(full_html=False, include_plotlyjs=False)))
            except Exception as error:
                missing.append(f"{title}: {(str(error) or type(error).__name__).strip().splitlines()[0]}")
    if not sections:
        log.warning("no plots: %s", "; ".join(missing))
        return
    page = _page(f"Search {study.study_name}", f"{n_complete} complete trials", sections, missing)
    write_atomically(path, page.encode())


def plots_of(study: Study, objectives: Sequence[str]) -> Iterator[Plot]:
    """Heading of each plot, and what draws it: the Pareto front of 2 or 3 objectives, and four for each objective."""
    if len(objectives) in (2, 3):
        yield "Pareto front", partial(visualization.plot_pareto_front, study)
    for i, objective in enumerate(objectives):
        yield from _plots_of_one(study, objective, i if len(objectives) > 1 else None)


def _plots_of_one(study: Study, objective: str, i: int | None) -> Iterator[Plot]:
    """Of objective number ``i``; None: the only one, whose direction Optuna knows."""
    target: Callable[[FrozenTrial], float] | None = None if i is None else lambda trial: trial.values[i]
    low = target
    if i is not None and study.directions[i].name == "MAXIMIZE":  # Optuna takes low targets for good ones
        low = lambda trial: -trial.values[i]  # noqa: E731
    of_it: dict[str, Any] = {"target_name": objective} | ({} if target is None else {"target": target})

    def contours() -> Any:
        keys = ranked(study, low)[:MOST_CONTOURS]
        if len(keys) < 2:
            raise ValueError(f"it needs 2 keys with several values, and there are {len(keys)}")
        figure = visualization.plot_contour(study, params=keys, **of_it)
        return figure.update_layout(height=ROW_HEIGHT * len(keys)) if len(keys) > 2 else figure

    yield f"History of {objective}", partial(visualization.plot_optimization_history, study, **of_it)
    yield (
        f"What {objective} depends on",
        partial(
            visualization.plot_param_importances,
            study,
            **(of_it if low is None else {**of_it, "target": low}),
        ),
    )
    yield (
        f"{objective} against each key",
        lambda: visualization.plot_slice(study, params=ranked(study, low)[:MOST_SLICES], **of_it),
    )
    yield f"{objective} against pairs of keys", contours


def ranked(study: Study, target: Callable[[FrozenTrial], float] | None = None) -> list[str]:
    """The searched keys that took several values, the most important first.

    Parameters
    ----------
    target : of a trial, low ones are good; None: the value of a study with one objective.
    """
    values: dict[str, set[Any]] = {}
    for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,)):
        for key, value in trial.params.items():
            values.setdefault(key, set()).add(value)
    importances = get_param_importances(study, target=target)
    several = [key for key, taken in values.items() if len(taken) > 1]
    return sorted(several, key=lambda key: -importances.get(key, -math.inf))


def _page(title: str, below: str, sections: Sequence[tuple[str, str]], missing: Sequence[str]) -> str:
    """One page with the program that draws in it, once."""
    from plotly.offline import get_plotlyjs

    body = "".join(f"<h2>{html.escape(name)}</h2>\n{text}\n" for name, text in sections)
    if missing:
        body += f"<h2>Not drawn</h2>\n<ul>{''.join(f'<li>{html.escape(one)}</li>' for one in missing)}</ul>\n"
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n<script>{get_plotlyjs()}</script></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n<p>{html.escape(below)}</p>\n{body}</body></html>\n"
    )
