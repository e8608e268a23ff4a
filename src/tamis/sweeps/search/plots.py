"""Optuna's plots of a search, on one page that needs no network."""

from __future__ import annotations

import html
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from optuna import Study, visualization
from optuna.distributions import CategoricalDistribution
from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial, TrialState

from tamis.core.files import write_atomically
from tamis.core.messages import reason_of
from tamis.sweeps.search.best import TABLE_FILE, best_numbers, objective_names, rows_of
from tamis.sweeps.search.studies import ended

log = logging.getLogger(__name__)
PAGE = "search.html"
ENOUGH = 2
"""Complete trials below which no plot says anything."""
MOST_SLICES, MOST_CONTOURS = 6, 4
"""The most important keys: in a slice plot, side by side; in a contour plot, which has a panel for each pair."""
ROW_HEIGHT = 240
"""Pixels of a row of panels."""
STYLE = "body{font:16px/1.5 sans-serif;max-width:72rem;margin:2rem auto;padding:0 1rem;color:#222}h2{margin-top:2.5rem}"
TABLE_STYLE = (
    ".wide{overflow-x:auto}table{border-collapse:collapse;font-size:14px}"
    "th,td{padding:.2rem .7rem;text-align:left;border-bottom:1px solid #ddd}"
)
COLOUR_KEY = "pruner"
"""The searched key by which the front is coloured."""
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")
"""Of Okabe and Ito, which colour-blind people can tell apart."""
SYMBOLS = ("circle", "diamond", "square")
MOST_ROWS = 20
"""Of the table."""
Plot = tuple[str, Callable[[], Any]]


def leave_plots(study: Study, folder: Path) -> None:
    """Draw what can be drawn into ``search.html``, unless no trial has ended since that was done.

    The page names each plot that cannot be made, with the reason; the search is more than its pictures.
    """
    path, trials = folder / PAGE, ended(study)
    n_complete = sum(trial.state == TrialState.COMPLETE for trial in trials)
    last = max((one.datetime_complete.timestamp() for one in trials if one.datetime_complete), default=0.0)
    if n_complete < ENOUGH or (path.exists() and path.stat().st_mtime > last):
        return
    sections, missing = [], []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about what is experimental in Optuna
        for title, draw in plots_of(study, objective_names(study)):
            try:
                text = _styled(draw()).to_html(
                    full_html=False, include_plotlyjs=False, config={"responsive": True}
                )
                sections.append(f"<h2>{html.escape(title)}</h2>\n{text}\n")
            except Exception as error:
                missing.append(f"{title}: {reason_of(error).splitlines()[0]}")
    if not sections:
        log.warning("no plots: %s", "; ".join(missing))
        return
    if missing:
        sections.append(f"<h2>Not drawn</h2>\n<p>{html.escape('; '.join(missing))}</p>\n")
    page = _page(
        f"Search {study.study_name}", f"{n_complete} complete trials", "".join([_table(study), *sections])
    )
    write_atomically(path, page.encode())


def plots_of(study: Study, objectives: Sequence[str]) -> Iterator[Plot]:
    """Heading of each plot, and what draws it: the Pareto front of 2 or 3 objectives, and four for each objective."""
    if len(objectives) == 2:
        yield "Pareto front", lambda: front(study, objectives)
    if len(objectives) == 3:
        yield "Pareto front", lambda: visualization.plot_pareto_front(study)
    for i, objective in enumerate(objectives):
        yield from _plots_of_one(study, objective, i)


def front(study: Study, objectives: Sequence[str]) -> Any:
    """Complete trials in the plane of two objectives, a colour a pruner where it was searched; others are pale."""
    from plotly import graph_objects

    complete = [trial for trial in ended(study) if trial.state == TrialState.COMPLETE]
    kinds = sorted({str(trial.params.get(COLOUR_KEY, "trials")) for trial in complete})
    figure = graph_objects.Figure()
    best = best_numbers(study)
    for i, kind in enumerate(kinds):
        mine = [trial for trial in complete if str(trial.params.get(COLOUR_KEY, "trials")) == kind]
        figure.add_scatter(
            x=[trial.values[0] for trial in mine],
            y=[trial.values[1] for trial in mine],
            name=kind,
            mode="markers",
            text=[_hover(trial) for trial in mine],
            marker={
                "color": COLOURS[i % len(COLOURS)],
                "symbol": SYMBOLS[i // len(COLOURS) % len(SYMBOLS)],
                "size": 9,
                "opacity": [1.0 if trial.number in best else 0.35 for trial in mine],
            },
        )
    line = sorted((trial.values for trial in complete if trial.number in best), key=lambda values: values[0])
    figure.add_scatter(
        x=[values[0] for values in line],
        y=[values[1] for values in line],
        name="Pareto front",
        mode="lines",
        line={"color": "#444", "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    legend = COLOUR_KEY if kinds != ["trials"] else ""
    return figure.update_layout(
        xaxis_title=objectives[0], yaxis_title=objectives[1], legend_title=legend, template="plotly_white"
    )


def _hover(trial: FrozenTrial) -> str:
    return "<br>".join([f"trial {trial.number}", *(f"{key}: {value}" for key, value in trial.params.items())])


def _table(study: Study) -> str:
    """The best trials, each number with a link to the folder of its records."""
    head, rows = rows_of(study)
    cells = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    lines = [
        f'<tr><td><a href="{row[0]}/">{row[0]}</a></td>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows[:MOST_ROWS]
    ]
    more = f"<p>{len(rows) - MOST_ROWS} more are in {TABLE_FILE}.</p>" if len(rows) > MOST_ROWS else ""
    title = "The Pareto front" if len(study.directions) > 1 else "The best trials"
    table = f'<div class="wide"><table><tr>{cells}</tr>{"".join(lines)}</table></div>'
    return f"<h2>{title}</h2>\n{table}{more}\n"


def _plots_of_one(study: Study, name: str, i: int) -> Iterator[Plot]:
    """History, importance, slices and contours of objective ``i``."""
    sign = -1.0 if study.directions[i].name == "MAXIMIZE" else 1.0

    def value(trial: FrozenTrial) -> float:
        return float(trial.values[i])

    def low(trial: FrozenTrial) -> float:  # Optuna's measure of importance takes low values for good ones
        return sign * trial.values[i]

    def contours() -> Any:
        numeric = _numeric(study)  # between names there is no surface
        keys = [key for key in ranked(study, low) if key in numeric][:MOST_CONTOURS]
        if len(keys) < 2:
            raise ValueError(f"it needs 2 keys with several values, and there are {len(keys)}")
        figure = visualization.plot_contour(study, params=keys, target=value, target_name=name)
        return figure.update_layout(height=ROW_HEIGHT * len(keys)) if len(keys) > 2 else figure

    def history() -> Any:
        target = None if len(study.directions) == 1 else value  # without it Optuna draws the best so far, too
        return visualization.plot_optimization_history(study, target=target, target_name=name)

    def slices() -> Any:
        keys = ranked(study, low)[:MOST_SLICES]
        return visualization.plot_slice(study, params=keys, target=value, target_name=name)

    yield f"History of {name}", history
    yield (
        f"What {name} depends on",
        lambda: visualization.plot_param_importances(study, target=low, target_name=name),
    )
    yield f"{name} against each key", slices
    yield f"{name} against pairs of keys", contours


def _styled(figure: Any) -> Any:
    """The look of tamis' other figures, as wide as the page; the heading above says what a title would."""
    from tamis.core.figures import PALETTE

    layout = {"template": "plotly_white", "colorway": PALETTE, "title": None, "width": None, "autosize": True}
    return figure.update_layout(layout, margin={"t": 30}, legend={"orientation": "h", "y": 1.1})


def _numeric(study: Study) -> set[str]:
    """The keys whose values are numbers."""
    kinds = {key: kind for trial in ended(study) for key, kind in trial.distributions.items()}
    return {key for key, kind in kinds.items() if not isinstance(kind, CategoricalDistribution)}


def ranked(study: Study, low: Callable[[FrozenTrial], float]) -> list[str]:
    """The searched keys that took several values, the most important first; ``low`` values are good ones."""
    complete = [trial for trial in ended(study) if trial.state == TrialState.COMPLETE]
    importances = get_param_importances(study, target=low)
    return [key for key in importances if len({one.params[key] for one in complete if key in one.params}) > 1]


def _page(title: str, below: str, body: str) -> str:
    """One page with the program that draws in it, once."""
    from plotly.offline import get_plotlyjs

    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f"<style>{STYLE}{TABLE_STYLE}</style>\n<script>{get_plotlyjs()}</script></head>\n"
        f"<body><h1>{html.escape(title)}</h1>\n<p>{html.escape(below)}</p>\n{body}</body></html>\n"
    )
