"""The look of all figures: colours that colour-blind readers tell apart, panels, ticks that do not collide."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, Locator, NullLocator
from numpy.typing import NDArray

from tamis.core.files import write_atomically
from tamis.core.names import in_figure

VERMILLION, BLUE, ORANGE, GREEN, PURPLE, SKY, BROWN, GREY = (
    *("#D55E00", "#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9"),
    *("#8C6D31", "#8A8F98"),
)
PALETTE = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BROWN)
"""M. Okabe and K. Ito, Color Universal Design (2008), without black and yellow, which pages swallow, and a brown."""
INK = "#10203f"
"""Colour of axes and text; nothing else has it, since a page replaces it by its own."""
SIZE = (4.6, 3.6)
"""Inches of a panel: readable on a phone, where it has the whole width."""
DPI = 150
SUBDIVISIONS = ((1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
"""Ticks of a decade, from many to few."""
NEAREST = 0.14
"""Part of an axis that a label needs."""
LETTERS = 11
"""Of a title, to the inch."""
ROOM = 1.15
"""A logarithmic axis begins and ends this factor beyond what is drawn."""


class LogTicks(Locator):
    """Round numbers on a logarithmic axis, as many as have room for their labels."""

    def __call__(self) -> list[float]:
        """Ticks between the limits of the axis."""
        return self.tick_values(*sorted(self.axis.get_view_interval()))  # type: ignore[union-attr]

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Ticks between two positive numbers."""
        low, high = np.log10([vmin, vmax])
        decades = np.arange(np.floor(low), np.ceil(high) + 1)
        for step in range(1, len(decades) + 1):
            for subdivisions in SUBDIVISIONS if step == 1 else SUBDIVISIONS[-1:]:
                ticks = (10.0 ** decades[::step, None] * np.array(subdivisions)).ravel()
                shown = ticks[(ticks >= vmin * (1 - 1e-9)) & (ticks <= vmax * (1 + 1e-9))]
                if len(shown) > 1 and np.diff(np.log10(shown)).min() >= NEAREST * (high - low):
                    return [float(tick) for tick in shown]
        return [float(t) for t in AutoLocator().tick_values(vmin, vmax) if vmin <= t <= vmax][:6:2]


def panel(title: str, size: tuple[float, float] = SIZE) -> tuple[Figure, Axes]:
    """An empty figure of one panel."""
    figure, ((ax,),) = panels([[title]], size)
    return figure, ax


def panels(
    titles: Sequence[Sequence[str]], size: tuple[float, float] = SIZE
) -> tuple[Figure, NDArray[np.object_]]:
    """An empty figure of several panels, ``size`` each."""
    shape = (len(titles), len(titles[0]))
    figure = Figure(figsize=(size[0] * shape[1], size[1] * shape[0]), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(*shape, squeeze=False)
    for ax, title in zip(axes.flat, (title for row in titles for title in row), strict=True):
        ax.set_title(_in_width(title, size[0]), fontsize=10.5, color=INK)
        ax.tick_params(colors=INK, labelsize=9, which="both")
        for spine in ax.spines.values():
            spine.set_color(INK)
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25, lw=0.6)
    return figure, axes


def headline(figure: Figure, text: str) -> None:
    """A title above all panels, in as many lines as it takes."""
    figure.suptitle(_in_width(text, figure.get_figwidth()), color=INK, fontsize=11)


def _in_width(text: str, inches: float) -> str:
    """Lines that a figure of this width does not clip."""
    letters = max(int(inches * LETTERS), 20)
    return in_figure("\n".join(line for one in text.splitlines() for line in wrap(one, letters)))


def log_axes(ax: Axes, *which: str) -> None:
    """Logarithmic axes whose ticks are plain numbers, with a little room around what is drawn."""
    for name in which:
        ax.set(**{f"{name}scale": "log"})
        axis = getattr(ax, f"{name}axis")
        low, high = sorted(axis.get_view_interval())
        if low > 0.0 and high < ROOM**3 * low:
            ax.set(**{f"{name}lim": (low / ROOM, high * ROOM)})
        axis.set_major_locator(LogTicks())
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())


def label(ax: Axes, x: str, y: str) -> None:
    """Names of the axes, with units."""
    ax.set_xlabel(in_figure(x), color=INK, fontsize=10)
    ax.set_ylabel(in_figure(y), color=INK, fontsize=10)


def legend(*axes: Axes, columns: int = 3) -> None:
    """Below all panels; each name once."""
    found: dict[Any, Any] = {}
    for ax in axes:
        for handle, name in zip(*ax.get_legend_handles_labels(), strict=True):
            found.setdefault(name, handle)
    if found:
        axes[0].get_figure().legend(  # type: ignore[union-attr]
            [*found.values()],
            [*found],
            loc="outside lower center",
            ncols=min(columns, len(found)),
            frameon=False,
            fontsize=9,
            labelcolor=INK,
        )


def save(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all; its ending says the format."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI, format=path.suffix[1:])
    write_atomically(path, drawn.getvalue())
