"""Errors of each test structure, from the trials' ``test_errors.csv``."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.trials import Trial
from tamis.evaluation.errors import PER_STRUCTURE_FIELDS

Array = NDArray[np.float64]
ERRORS_FILE = "test_errors.csv"
N_ERRORS = 3
"""Columns at the end of a line: energy error, force MAE, force RMSE."""


@dataclass(frozen=True)
class Layout:
    """The test structures: ids, groups, blocks, n_atoms, each of n entries."""

    ids: tuple[str, ...]
    groups: tuple[str, ...]
    blocks: tuple[str, ...]
    n_atoms: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class TestErrors:
    """layout: the structures. forces: (points, n), MAE, eV/Å, NaN for structures without forces.
    energies: (points, n), absolute error, meV/atom.
    """

    __test__ = False  # this is no test case of pytest

    layout: Layout
    forces: Array
    energies: Array


class Reader:
    """Reads each file once; equal lists of structures become one ``Layout``."""

    def __init__(self) -> None:
        self._layouts: dict[tuple[tuple[str, ...], ...], Layout] = {}
        self._known: dict[Path, TestErrors | None] = {}

    def read(self, trial: Trial) -> TestErrors | None:
        """None where the file is missing or damaged, or does not fit to the trial's points."""
        if trial.folder not in self._known:
            self._known[trial.folder] = self._read(trial)
        return self._known[trial.folder]

    def _read(self, trial: Trial) -> TestErrors | None:
        try:
            with (trial.folder / ERRORS_FILE).open(newline="") as file:  # names may hold line breaks
                header, *lines = csv.reader(file)
        except (OSError, ValueError, csv.Error):
            return None
        n_points = len(trial.points)
        if header != list(PER_STRUCTURE_FIELDS) or not lines or len(lines) % n_points:
            return None
        try:
            numbers = np.array([[float(e), float(f)] for *_, e, f, _ in lines]).reshape(n_points, -1, 2)
            layout = self._layout([tuple(line[1:-N_ERRORS]) for line in lines[: numbers.shape[1]]])
        except (ValueError, IndexError):
            return None
        energies, forces = np.abs(numbers[..., 0]), numbers[..., 1]
        given = ~np.isnan(forces).all(axis=0)
        if not np.isfinite(energies).all() or not np.isfinite(forces[:, given]).all():
            return None
        return TestErrors(layout, forces, energies)

    def _layout(self, rows: Sequence[tuple[str, ...]]) -> Layout:
        key = tuple(rows)
        if key not in self._layouts:
            ids, groups, blocks, n_atoms = zip(*rows, strict=True)
            self._layouts[key] = Layout(ids, groups, blocks, tuple(map(int, n_atoms)))
        return self._layouts[key]
