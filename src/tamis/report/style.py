"""Colours, marks and curves of arms, the same in every figure; the rest of the look is ``core.figures``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tamis.analysis.arms import BASELINES, FAMILIES, in_order
from tamis.analysis.averages import geometric_mean
from tamis.core.figures import (
    BLUE,
    BROWN,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    headline,
    label,
    legend,
    log_axes,
    panel,
    panels,
    save,
)
from tamis.core.names import in_figure

__all__ = [
    "INK",
    "draw_curve",
    "draw_dots",
    "headline",
    "label",
    "legend",
    "log_axes",
    "look",
    "ordered",
    "panel",
    "panels",
    "save",
]

LOOKS = {
    "random": (GREY, "o"),
    "stratified": (BROWN, "s"),
    "ace": (VERMILLION, "o"),
    "soap": (BLUE, "s"),
    "acsf": (ORANGE, "^"),
    "chimes": (GREEN, "D"),
    "snap": (PURPLE, "v"),
    "quests": (SKY, "P"),
    "keep_all": (INK, "*"),
}
OTHERS = ((SKY, "X"), ("#882255", "<"), ("#999933", ">"), ("#44AA99", "h"), ("#4A5BB5", "p"))
"""Of arms that have no look above."""
DASHES = ("-", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
"""Of pruners with one descriptor, in their order; baselines are dashed."""
MANY = 20
"""Points from which on a curve has no marks."""
Line = Sequence[float] | NDArray[np.float64]


def draw_curve(
    ax: Axes,
    arm: str,
    name: str,
    style: tuple[str, str],
    x: Line,
    y: Line,
    band: tuple[Line, Line] | None = None,
    own: bool = False,
    number: int = 0,
) -> None:
    """A curve of an arm: baselines are dashed, and the own descriptor's is thick.

    style: colour and mark. band: its lower and upper end. number: of the pruner, where one descriptor has several.
    """
    dashes = "--" if arm in BASELINES else DASHES[number % len(DASHES)]
    tint, mark = style
    mark = mark if len(x) < MANY else ""
    if name:
        name = in_figure(name)
    ax.plot(x, y, ls=dashes, marker=mark, ms=4, color=tint, label=name or None, lw=2.4 if own else 1.4, mew=0)
    if band is not None:
        ax.fill_between(x, *band, color=tint, alpha=0.12, lw=0)


Dots = tuple[str, tuple[str, str], Sequence[float], tuple[float, float] | None]
"""Name, colour and mark, a value a seed, and the ends of a bar; None: the range of the values."""


def draw_dots(ax: Axes, rows: Sequence[Dots], quantity: str) -> None:
    """A row an arm: its values as strokes, their geometric mean as a mark, and a bar."""
    for row, (_, (tint, mark), values, bar) in enumerate(rows):
        if len(values) > 1:
            ax.plot(bar or (min(values), max(values)), [row, row], "-", color=tint, lw=1.6)
            ax.plot(values, [row] * len(values), "|", color=tint, ms=8)
        ax.plot(geometric_mean(values), row, mark, color=tint, ms=8, mew=0)
    ax.set_yticks(range(len(rows)), [in_figure(name) for name, *_ in rows], color=INK)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    log_axes(ax, "x")
    label(ax, quantity, "")


def look(arm: str, arms: Sequence[str]) -> tuple[str, str]:
    """Colour and mark of an arm, the same in every figure of a report."""
    if arm in LOOKS:
        return LOOKS[arm]
    strange = [a for a in sorted(arms) if a not in LOOKS]
    return OTHERS[strange.index(arm) % len(OTHERS)] if arm in strange else OTHERS[0]


def ordered(arms: Sequence[str]) -> list[str]:
    """Descriptors in the order of all tables, baselines last."""
    chosen = in_order([arm for arm in arms if arm not in BASELINES], FAMILIES)
    return [*chosen, *(arm for arm in BASELINES if arm in arms)]
