"""The look of figures: colours of arms, panels of one size, ink that the page may recolour."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from tamis.analysis.arms import BASELINES
from tamis.core.names import in_figure

COLOURS = {
    "random": "#8a8f98",
    "stratified": "#9c8468",
    "ace": "#d1495b",
    "soap": "#2f6fb0",
    "acsf": "#e09f3e",
    "chimes": "#3a8f5c",
    "snap": "#7d4fa3",
    "quests": "#17a2b0",
}
INK = "#10203f"
"""Colour of axes and text; nothing else has it, since the page replaces it by its own."""
SIZE = (4.6, 3.9)
"""Inches: readable on a phone, where a panel has the whole width."""
OTHERS = ("#8c6d31", "#c05f9d", "#5f7f8c", "#a0a03a", "#4a5bb5")
"""Colours of arms that have none above."""
MANY = 20
"""Points from which on a curve has no markers."""
Line = Sequence[float] | NDArray[np.float64]


def panel(title: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """An empty figure of one panel."""
    figure, ((ax,),) = panels([[title]], size)
    return figure, ax


def panels(titles: Sequence[Sequence[str]], size: tuple[float, float]) -> tuple[Figure, NDArray[np.object_]]:
    """An empty figure of several panels, ``size`` each."""
    shape = (len(titles), len(titles[0]))
    figure = Figure(figsize=(size[0] * shape[1], size[1] * shape[0]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(*shape, squeeze=False, sharex="col")
    for ax, title in zip(axes.flat, (title for row in titles for title in row), strict=True):
        ax.set_title(in_figure(title), fontsize=11, color=INK)
        ax.tick_params(colors=INK, labelsize=9, which="both")
        for spine in ax.spines.values():
            spine.set_color(INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, lw=0.6)
    return figure, axes


def draw_curve(
    ax: Axes,
    arm: str,
    name: str,
    tint: str,
    x: Line,
    y: Line,
    band: tuple[Line, Line] | None = None,
    own: bool = False,
) -> None:
    """A curve of an arm: baselines are dashed, and the own descriptor's is thick. band: its lower and upper end."""
    dashes = "--" if arm in BASELINES else "-"
    marker = "." if len(x) < MANY else ""
    ax.plot(x, y, dashes, marker=marker, color=tint, label=in_figure(name), lw=2.4 if own else 1.4)
    if band is not None:
        ax.fill_between(x, *band, color=tint, alpha=0.12, lw=0)


def colour(arm: str, arms: Sequence[str]) -> str:
    """The same colour for the same arm in every figure of a report."""
    name = arm.split(" ")[0]
    if name in COLOURS and arm == name:
        return COLOURS[name]
    strange = [a for a in sorted(arms) if a not in COLOURS]
    return OTHERS[strange.index(arm) % len(OTHERS)] if arm in strange else OTHERS[0]


def log_axes(ax: Axes, *which: str) -> None:
    """Logarithmic axes with ticks that read 1, 1.5, 2, 3, 5, 7: ranges are often less than a decade."""
    for name in which:
        ax.set(**{f"{name}scale": "log"})
        axis = getattr(ax, f"{name}axis")
        subs = (1, 2, 5) if name == "x" else (1, 1.5, 2, 3, 5, 7)
        axis.set_major_locator(LogLocator(subs=subs))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def label(ax: Axes, x: str, y: str) -> None:
    """Names of the axes, with units."""
    ax.set_xlabel(in_figure(x), color=INK, fontsize=10)
    ax.set_ylabel(in_figure(y), color=INK, fontsize=10)


def legend(ax: Axes, columns: int = 3) -> None:
    """Below the panel."""
    handles, labels = ax.get_legend_handles_labels()
    ax.get_figure().legend(  # type: ignore[union-attr]
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=8.5,
        labelcolor=INK,
    )
