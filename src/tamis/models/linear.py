"""Potentials that are linear in their coefficients: retrained by slicing stored rows and solving."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Annotated

import numpy as np
from ase.calculators.calculator import Calculator

from tamis.bases.base import LinearBasis
from tamis.core.fields import Above
from tamis.core.packed import packed_gram
from tamis.data.dataset import Dataset
from tamis.data.dealing import ALWAYS_TRAINED
from tamis.models.base import Array, Potential, Predictions
from tamis.models.free_atoms import FreeAtoms, element_counts
from tamis.models.grids import GridPoint, Losses, choose
from tamis.models.judging import Judges, judges_by_folds, judges_by_tuning, parts_of
from tamis.models.normal_equations import (
    Rows,
    Terms,
    gather_rows,
    solve_checked,
    solve_ridges,
)
from tamis.models.tuning import Setting, WeightedModel
from tamis.store import Store

FORCE_GRAM = "force_gram"
"""Name under which the store remembers the products of force rows: retrains on parts of a set add them up."""
Judged = tuple[Terms, list[Terms]]
"""The terms of structures to train on, and of parts of those to judge by."""


@dataclass(frozen=True, eq=False)
class LinearPotential(Potential):
    """A basis with coefficients (K,), eV, and free-atom energies ``offsets`` (n_elements,), eV."""

    basis: LinearBasis
    coefficients: Array
    offsets: Array

    def calculator(self) -> Calculator:
        """An ASE calculator with energy, forces and stress."""
        return self.basis.calculator(self.coefficients, self.offsets)

    def write(self, folder: Path) -> list[Path]:
        """Write the family's own files."""
        return self.basis.write(folder, self.coefficients, self.offsets)

    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        """pair_style and pair_coeff lines, or None."""
        return self.basis.lammps(folder)

    def predict(self, dataset: Dataset, store: Store) -> Predictions:
        """Energies, forces, stresses: rows @ coefficients."""
        energies = element_counts(dataset.structures, self.basis.elements) @ self.offsets
        forces, stresses = [], np.full((len(dataset), 6), np.nan)
        for i, rows in enumerate(store.stream(self.basis, dataset.structures)):
            energies[i] += rows.energy @ self.coefficients
            forces.append(rows.forces @ self.coefficients)
            stresses[i] = rows.strain_gradient @ self.coefficients / dataset.volumes[i]
        return Predictions(energies, tuple(forces), stresses)


@dataclass(frozen=True)
class LinearModel(WeightedModel):
    """Ridge regression on the rows of a basis, its weights and ridge retuned in every fit.

    ridges: values to try, on columns scaled to unit norm, dimensionless.
    """

    basis: LinearBasis
    ridges: Annotated[tuple[float, ...], Above(0.0)] = field(kw_only=True)

    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Compute the rows of every structure into the store; refuses more columns than a fit could take, first."""
        with store.memory.holding():
            self._reserve_products(store, len(dataset))
        store.prepare(self.basis, dataset.structures)

    def fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> LinearPotential:
        """Choose the setting by folds (or by ``tuning``), then solve on all of ``kept``."""
        with store.memory.holding():
            self._reserve_products(store, len(kept))
            return self._fit(kept, tuning, store, rng)

    def _reserve_products(self, store: Store, n_structures: int) -> None:
        """Room for the products of columns, of which a fit holds those of each fold, and of the rest."""
        size = self.basis.n_features + len(self.basis.elements)
        n_sets = self.n_folds + 1 if self.needs_tuning_set else 2 * min(self.n_folds, n_structures) + 1
        store.memory.reserve(Terms.n_bytes(size, n_sets), f"normal equations of {size} coefficients")

    def _fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> LinearPotential:
        free = FreeAtoms.of(kept, self.basis.elements, self.free_energies_of(kept)).on(self.basis, store)
        held_out: list[Terms] = []
        if self.needs_tuning_set:
            # only the products of the tuning set's rows are kept; the rows of the kept structures take their place
            with store.memory.holding():
                parts = parts_of(
                    tuning, self.n_folds, rng
                )  # before the rows: comparing structures takes memory, too
                rows = self._rows(tuning, store, free)
                held_out = [rows.terms(part) for part in parts]
                del rows
            judges = judges_by_tuning(kept, tuning)
        else:
            judges = judges_by_folds(kept, self.n_folds, rng)
        with store.memory.holding():
            rows = self._rows(kept, store, free)
            total, judged = _judged(rows, held_out, judges)
            choice = None
            if judged:
                choice = choose(
                    self.axes, self.widenings, lambda points: self._losses(judged, points, judges)
                )
            setting = self.most_cautious if choice is None else Setting(*choice.point)
            everything = np.arange(len(kept))
            solution, by_qr = solve_checked(
                rows, total, everything, setting.weights, setting.ridge, free.n_open
            )
        coefficients, change = np.split(solution, [self.basis.n_features])
        report = {
            **setting.report,
            "solved_by_qr": float(by_qr),
            "n_columns": float(len(solution)),
            **self.tuning_report(choice, judges, kept, tuning),
        }
        return LinearPotential(
            self.basis,
            coefficients,
            free.offsets(coefficients, change),
            diagnostics=report,
            problem=judges.problem,
        )

    def _rows(self, dataset: Dataset, store: Store, free: FreeAtoms) -> Rows:
        """Rows of all structures, in reserved memory: views of the stored rows, except for energies and stresses."""
        design, grams = store.design_with(
            self.basis,
            dataset.structures,
            FORCE_GRAM,
            lambda rows: packed_gram(rows.forces.reshape(-1, self.basis.n_features)),
        )
        # 7 rows each, and a copy of those that are summed
        n_bytes = 8 * 14 * (self.basis.n_features + len(self.basis.elements)) * len(dataset)
        store.memory.reserve(n_bytes, f"energy and stress rows of {len(dataset)} structures")
        return gather_rows(design, dataset, self.basis.elements, free, grams)

    def _losses(self, judged: Sequence[Judged], points: Sequence[GridPoint], judges: Judges) -> Losses:
        """Squared errors of energies, forces and strain derivatives of held-out parts; infinity: no solution.

        By the structures' weights, as in the loss that is minimised.
        """
        rows, sums = [], []
        for train, parts in judged:
            coefficients = self._solutions(train, [Setting(*point) for point in points])
            solved = np.isfinite(coefficients).all(axis=0)
            coefficients[:, ~solved] = 0.0
            for part in parts:
                found = [
                    term.weight * term.mean_squares(coefficients) if term.rows else np.zeros(len(points))
                    for term in part.kinds
                ]
                rows.append([term.weight if term.rows else 0.0 for term in part.kinds])
                sums.append(np.where(solved | (np.array(rows[-1]) == 0.0)[:, None], found, np.inf))
        return Losses(np.array(sums), np.array(rows), judges.score)

    def _solutions(self, train: Terms, settings: Sequence[Setting]) -> Array:
        """Coefficients with every setting, (K, n_settings); NaN where there are none."""
        n_free = len(train.energy.moment) - self.basis.n_features
        # ridges vary fastest: a matrix is combined and scaled once for all that follow each other
        return np.hstack(
            [
                solve_ridges(*train.combine(weights), [setting.ridge for setting in some], n_free)
                for weights, some in groupby(settings, key=lambda setting: setting.weights)
            ]
        )


def _judged(rows: Rows, held_out: list[Terms], judges: Judges) -> tuple[Terms, list[Judged]]:
    """The terms of all rows, and those that judge settings: ``held_out`` or folds of the rows; none without either."""
    if held_out:
        total = rows.terms(np.arange(len(judges.folds)))
        return total, [(total, held_out)]
    parts = [rows.terms(np.flatnonzero(judges.folds == k)) for k in range(judges.n_folds)]
    always = np.flatnonzero(judges.folds == ALWAYS_TRAINED)
    rest = [rows.terms(always)] if len(always) else []
    total = functools.reduce(Terms.__add__, [*parts, *rest])
    return total, [(total - part, [part]) for part in parts]
