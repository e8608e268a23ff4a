"""A matrix as a picture: colour for the eye, and the number in every field."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from tamis.report.document import Picture
from tamis.report.style import INK, label, panel

Array = NDArray[np.float64]
FIELD = (0.62, 0.42)
"""Inches of a field."""


def heat_map(
    name: str,
    title: str,
    values: Array,
    rows: Sequence[str],
    columns: Sequence[str],
    framed: NDArray[np.bool_],
    y: str,
    x: str,
    centre: float | None = None,
) -> Picture:
    """A picture of ``values`` (rows, columns); NaN stays empty, ``framed`` fields get a frame.

    centre : the value that is white, for ratios; blue is below, red above. None: shades of one colour from 0 to 1.
    """
    size = (max(4.6, 1.6 + FIELD[0] * len(columns)), 1.7 + FIELD[1] * len(rows))
    figure, ax = panel(title, size)
    ax.grid(False)
    if centre is None:
        ax.imshow(values, cmap="Blues", vmin=0.0, vmax=2.0, aspect="auto")  # pale enough for the number
    else:
        shown = np.log(values / centre)
        reach = max(float(np.nanmax(np.abs(shown))), 0.1) * 1.6
        ax.imshow(shown, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    for i in range(len(rows)):
        for j in range(len(columns)):
            if np.isfinite(values[i, j]):
                ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=9, color="#111111")
            if framed[i, j]:
                ax.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, ec="#e09f3e", lw=2.5))
    ax.set_xticks(range(len(columns)), columns, rotation=35, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(rows)), rows)
    ax.tick_params(colors=INK)
    label(ax, x, y)
    what = "; framed: the own descriptor" if framed.any() else ""
    return Picture(name, f"{title}{what}.", figure)
