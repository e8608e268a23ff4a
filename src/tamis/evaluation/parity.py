"""Parity plots: reference against prediction."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from tamis.core.units import GPA_PER_EV_PER_A3, MEV_PER_EV
from tamis.data.dataset import Dataset
from tamis.models.base import Predictions

COLOURS = {"train": "#9aa5b1", "validation": "#e6a03c", "test": "#2f6fb0"}


def draw_parity(parts: Mapping[str, tuple[Predictions, Dataset]], path: Path) -> None:
    """Draw energies, forces and stresses of the parts into one PNG, with the MAE in the legend."""
    figure = Figure(figsize=(12, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    titles = (
        ("energy", "eV/atom", MEV_PER_EV, "meV/atom"),
        ("force", "eV/Å", 1.0, "eV/Å"),
        ("stress", "GPa", 1.0, "GPa"),
    )
    for ax, (title, unit, factor, error_unit), column in zip(axes, titles, range(3), strict=True):
        ax.set(title=title, xlabel=f"reference ({unit})", ylabel=f"prediction ({unit})")
        for part, (predictions, dataset) in parts.items():
            reference, predicted = _pairs(predictions, dataset)[column]
            if reference.size:
                mae = np.mean(np.abs(predicted - reference)) * factor
                ax.plot(
                    reference,
                    predicted,
                    ".",
                    ms=3,
                    alpha=0.6,
                    color=COLOURS.get(part),
                    label=f"{part}: MAE {mae:.3g} {error_unit}",
                )
        if ax.lines:
            low, high = ax.get_xlim()
            ax.axline((low, low), slope=1, color="0.5", lw=0.8, zorder=0)
            ax.set_xlim(low, high)
            ax.legend(fontsize=8, frameon=False)
    figure.savefig(path, dpi=120)


def _pairs(predictions: Predictions, dataset: Dataset) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
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
