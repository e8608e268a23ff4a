"""A matrix of models and descriptors as a table, and as a picture with the number in every field."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from tamis.analysis.matrix import Matrix
from tamis.report.document import Cell, Row

if TYPE_CHECKING:
    from tamis.report.document import Picture

FIELD = (0.62, 0.42)
"""Inches of a field."""


def rows_of(matrix: Matrix, cell: Callable[[int, int], Cell]) -> list[Row]:
    """A row for each of the matrix, with its name; ``cell`` gets the numbers of row and column."""
    return [[row, *(cell(i, j) for j in range(len(matrix.columns)))] for i, row in enumerate(matrix.rows)]


def heat_map(
    matrix: Matrix,
    name: str,
    title: str,
    centre: float | None = None,
    axes: tuple[str, str] = ("model", "structures chosen with"),
) -> Picture:
    """A picture of the values; NaN stays empty, and fields of own descriptors get a frame.

    centre : the value that is white, for ratios; blue is below, red above. None: shades of one colour from 0 to 1.
    """
    from matplotlib.patches import Rectangle

    from tamis.report.document import Picture
    from tamis.report.style import INK, label, panel

    size = (max(4.6, 1.6 + FIELD[0] * len(matrix.columns)), 1.7 + FIELD[1] * len(matrix.rows))
    figure, ax = panel(title, size)
    ax.grid(False)
    if centre is None:
        ax.imshow(
            matrix.values, cmap="Blues", vmin=0.0, vmax=2.0, aspect="auto"
        )  # pale enough for the number
    else:
        shown = np.log(matrix.values / centre)
        reach = max(float(np.nanmax(np.abs(shown))), 0.1) * 1.6
        ax.imshow(shown, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    for (i, j), value in np.ndenumerate(matrix.values):
        if np.isfinite(value):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color="#111111")
        if matrix.own[i, j]:
            ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec="#e09f3e", lw=2.5))
    columns = range(len(matrix.columns))
    ax.set_xticks(columns, matrix.columns, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(matrix.rows)), matrix.rows)
    ax.tick_params(colors=INK)
    label(ax, axes[1], axes[0])
    framed = "; framed: the own descriptor" if matrix.own.any() else ""
    return Picture(name, f"{title}{framed}.", figure)
