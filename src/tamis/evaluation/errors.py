"""Errors against reference labels. Only this module uses the test set."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamis.core.metrics import (
    ENERGY_MAE,
    ENERGY_RMSE,
    ENERGY_SHIFTED_MAE,
    FORCE_MAE,
    FORCE_RMSE,
    STRESS_MAE,
    STRESS_RMSE,
    TEST,
    TRAIN,
    TRANSFER,
    error,
    of_group,
)
from tamis.core.units import GPA_PER_EV_PER_A3, MEV_PER_EV
from tamis.data.dataset import Dataset
from tamis.data.signal import negligible_error, root_mean_squares, still_force
from tamis.models.base import Predictions

Array = NDArray[np.float64]
PER_STRUCTURE_FIELDS = (
    "kept_structures",
    "id",
    "group",
    "block",
    "n_atoms",
    "energy_error_meV_per_atom",
    FORCE_MAE,
    FORCE_RMSE,
)


@dataclass(frozen=True, eq=False)
class Residuals:
    """Prediction minus reference of each structure.

    energies: (n,) meV/atom; forces: n arrays (3 n_atoms,), eV/Å, empty without labels; stresses: n arrays (number of
    labelled components,), GPa. moving: (n,) False where forces are zero by symmetry, so that their residuals are
    rounding, and where there are none.
    """

    energies: Array
    forces: tuple[Array, ...]
    stresses: tuple[Array, ...]
    moving: NDArray[np.bool_]

    @classmethod
    def of(cls, predictions: Predictions, dataset: Dataset, still: float = 0.0) -> Residuals:
        """Residuals in the units in which they are reported; ``still``: see ``tamis.data.signal.still_force``."""
        asked = root_mean_squares(dataset.forces) > still
        given = root_mean_squares(predictions.forces) > negligible_error(still)
        stresses = (predictions.stresses - dataset.stresses) * GPA_PER_EV_PER_A3
        return cls(
            energies=(predictions.energies - dataset.energies) / dataset.n_atoms * MEV_PER_EV,
            forces=tuple(
                (predicted - label).ravel() if given else np.empty(0)
                for predicted, label, given in zip(
                    predictions.forces, dataset.forces, dataset.has_forces, strict=True
                )
            ),
            stresses=tuple(row[np.isfinite(row)] for row in stresses),
            moving=(asked | given) & dataset.has_forces,
        )

    def metrics(self, members: NDArray[np.intp]) -> Iterator[tuple[str, float]]:
        """MAE and RMSE over the structures ``members``.

        By structures alike, whatever their weights. There is no metric of a label that no structure has, and no force
        metric where all forces are zero by symmetry, because such errors are rounding.
        """
        for mae, rmse, residuals in (
            (ENERGY_MAE, ENERGY_RMSE, self.energies[members]),
            (FORCE_MAE, FORCE_RMSE, np.concatenate([self.forces[i] for i in members])),
            (STRESS_MAE, STRESS_RMSE, np.concatenate([self.stresses[i] for i in members])),
        ):
            if residuals.size and (mae != FORCE_MAE or self.moving[members].any()):
                yield mae, float(np.mean(np.abs(residuals)))
                yield rmse, float(np.sqrt(np.mean(residuals**2)))


def error_metrics(residuals: Residuals, dataset: Dataset, part: str, by_group: bool) -> dict[str, float]:
    """Flat metrics ``<part>/<quantity>_<mae|rmse>_<unit>``, and the same by group with ``/<group>`` appended."""
    return {error(part, name): value for name, value in metrics_of(residuals, dataset, by_group).items()}


def metrics_of(residuals: Residuals, dataset: Dataset, by_group: bool) -> dict[str, float]:
    """The same without the part."""
    metrics = dict(residuals.metrics(np.arange(len(dataset))))
    for group in sorted(set(dataset.groups)) if by_group else ():
        members = np.flatnonzero([g == group for g in dataset.groups])
        metrics |= {of_group(name, group): value for name, value in residuals.metrics(members)}
    return metrics


def write_per_structure(path: Path, residuals: Residuals, dataset: Dataset, n_kept: int) -> None:
    """Append a CSV line for each structure, at each point of a curve; a bootstrap over test structures needs them.

    Force errors of a structure without forces are "nan".
    """
    is_new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if is_new:
            writer.writerow(PER_STRUCTURE_FIELDS)
        for i, forces in enumerate(residuals.forces):
            writer.writerow(
                [
                    n_kept,
                    dataset.ids[i],
                    dataset.groups[i],
                    dataset.blocks[i],
                    dataset.n_atoms[i],
                    f"{residuals.energies[i]:.6g}",
                    f"{np.mean(np.abs(forces)) if len(forces) else np.nan:.6g}",
                    f"{np.sqrt(np.mean(forces**2)) if len(forces) else np.nan:.6g}",
                ]
            )


@dataclass(frozen=True)
class Errors:
    """Energy, force and stress errors on the kept, the validation and the test structures, and on transfer sets.

    by_group: also by group of structures.
    parity_plot: draw reference against prediction, which takes a second; None: for a single trial, not in a sweep.
    """

    by_group: bool
    parity_plot: bool | None

    def measure(
        self,
        predict: Callable[[Dataset], Predictions],
        parts: Mapping[str, Dataset],
        folder: Path,
        is_last: bool = True,
    ) -> dict[str, float]:
        """Metrics of every part (name -> structures, "train" among them).

        Appends to test_errors.csv in ``folder`` and, at the last point of a curve, draws parity.png there.
        """
        n_kept = len(parts[TRAIN])
        still = still_force(parts[TRAIN].forces)
        metrics: dict[str, float] = {}
        drawn: dict[str, tuple[Predictions, Dataset]] = {}
        for part, dataset in parts.items():
            if len(dataset) == 0:
                continue
            predictions = predict(dataset)
            residuals = Residuals.of(predictions, dataset, still)
            metrics |= error_metrics(residuals, dataset, part, self.by_group)
            if part.startswith(TRANSFER):
                shifted = np.abs(residuals.energies - residuals.energies.mean())
                metrics[error(part, ENERGY_SHIFTED_MAE)] = float(shifted.mean())
                continue
            drawn[part] = (predictions, dataset)
            if part == TEST:
                write_per_structure(folder / "test_errors.csv", residuals, dataset, n_kept)
        if self.parity_plot and is_last:
            from tamis.evaluation.parity import draw_parity

            draw_parity(drawn, folder / "parity.png")
        return metrics
