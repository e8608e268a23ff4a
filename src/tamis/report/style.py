"""How figures look: colours of arms, panels of one size, ink that the page may recolour."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from tamis.core.names import in_figure
from tamis.report.curves import COLOURS

INK = "#10203f"
"""Of axes and text; a colour that nothing else has, since the page puts its own in its place."""
SIZE = (4.6, 3.9)
"""Inches: readable on a phone, where a panel has the whole width."""
OTHERS = ("#8c6d31", "#c05f9d", "#5f7f8c", "#a0a03a", "#4a5bb5")
"""Of arms without a colour of their own."""


def panel(title: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """An empty panel."""
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    ax = figure.subplots()
    ax.set_title(in_figure(title), fontsize=11, color=INK)
    ax.tick_params(colors=INK, labelsize=9, which="both")
    for spine in ax.spines.values():
        spine.set_color(INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(alpha=0.25, lw=0.6)
    return figure, ax


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
