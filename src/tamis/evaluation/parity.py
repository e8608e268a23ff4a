"""Parity plots: reference against prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from tamis.core.figures import BLUE, GREY, INK, ORANGE, headline, label, panels, save
from tamis.core.units import GPA_PER_EV_PER_A3, MEV_PER_EV
from tamis.data.dataset import Dataset
from tamis.models.base import Predictions

Array = NDArray[np.float64]
MANY = 300
"""Points from which on they are small."""
PARTS = {"train": (GREY, "o"), "validation": (ORANGE, "^"), "test": (BLUE, "s")}
QUANTITIES = (
    ("energy", "eV/atom", MEV_PER_EV, "meV/atom"),
    ("force", "eV/Å", 1.0, "eV/Å"),
    ("stress", "GPa", 1.0, "GPa"),
)
"""Name, unit of the axes, what that is in the unit of errors, and that unit."""
SIZE = (4.0, 4.2)
"""Inches of a panel, which is square."""


def draw_parity(parts: Mapping[str, tuple[Predictions, Dataset]], path: Path) -> None:
    """Draw energies, forces and stresses of the parts into one picture, with the MAE in the legend."""
    pairs = {part: _pairs(*of_it) for part, of_it in parts.items()}
    shown = [i for i in range(len(QUANTITIES)) if any(pair[i][0].size for pair in pairs.values())]
    figure, axes = panels([[QUANTITIES[i][0] for i in shown]], SIZE)
    each: list[Axes] = [*axes.flat]
    for ax, i in zip(each, shown, strict=True):
        _draw(ax, {part: pair[i] for part, pair in pairs.items() if pair[i][0].size}, *QUANTITIES[i][1:])
    first = next(iter(parts.values()))[1]
    sizes = ", ".join(f"{part} {len(dataset)}" for part, (_, dataset) in parts.items())
    headline(figure, f"{'-'.join(first.elements)}: predictions against labels; structures: {sizes}")
    save(figure, path)


def _draw(
    ax: Axes, pairs: Mapping[str, tuple[Array, Array]], unit: str, factor: float, error_unit: str
) -> None:
    """One quantity: reference and prediction on equal axes."""
    ends = np.concatenate([np.concatenate(pair) for pair in pairs.values()])
    margin = 0.04 * (ends.max() - ends.min()) or 0.1
    limits = (ends.min() - margin, ends.max() + margin)
    ax.plot(limits, limits, color=INK, lw=0.8, zorder=0)
    for part, (reference, predicted) in pairs.items():
        tint, mark = PARTS.get(part, (INK, "o"))
        mae = np.mean(np.abs(predicted - reference)) * factor
        called = f"{part}: MAE {mae:.3g} {error_unit}"
        many = reference.size > MANY
        ax.plot(
            reference, predicted, mark, ms=2.5 if many else 4, alpha=0.5, mew=0, color=tint, rasterized=many
        )
        ax.plot([], [], mark, ms=5, mew=0, color=tint, label=called)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.yaxis.set_major_locator(MaxNLocator(5))
    label(ax, f"reference ({unit})", f"prediction ({unit})")
    ax.legend(
        fontsize=8.5, frameon=False, labelcolor=INK, loc="upper left", handletextpad=0.2, borderaxespad=0.1
    )


def _pairs(predictions: Predictions, dataset: Dataset) -> tuple[tuple[Array, Array], ...]:
    given = np.flatnonzero(dataset.has_forces)
    labelled = np.isfinite(dataset.stresses) & np.isfinite(predictions.stresses)
    return (
        (dataset.energies / dataset.n_atoms, predictions.energies / dataset.n_atoms),
        (
            np.concatenate([np.empty(0), *(dataset.forces[i].ravel() for i in given)]),
            np.concatenate([np.empty(0), *(predictions.forces[i].ravel() for i in given)]),
        ),
        (
            dataset.stresses[labelled] * GPA_PER_EV_PER_A3,
            predictions.stresses[labelled] * GPA_PER_EV_PER_A3,
        ),
    )
