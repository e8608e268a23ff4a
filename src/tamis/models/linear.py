"""Potentials that are linear in their coefficients: retrained by slicing stored rows and solving."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from ase.calculators.calculator import Calculator

from tamis.bases.base import LinearBasis
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.dealing import ALWAYS_TRAINED
from tamis.models.base import Array, Model, Potential, Predictions
from tamis.models.grids import NOT_JUDGED, Choice, Losses, Point, choose
from tamis.models.judging import Judges, judges_by_folds, judges_by_tuning, parts_of
from tamis.models.normal_equations import (
    Quadratic,
    Rows,
    Terms,
    element_counts,
    free_atom_energies,
    gather_rows,
    solve_checked,
    solve_ridges,
)
from tamis.models.settings import POOL_VALIDATION, Setting, axes_of, check_tuning, grid_of, setting_at
from tamis.store import Store

Judged = tuple[Terms, list[Terms]]
"""The terms of structures to train on, and of parts of those to judge by."""


@dataclass(frozen=True, eq=False)
class LinearPotential(Potential):
    """A basis with coefficients (K,), eV, and free-atom energies ``offsets`` (n_elements,), eV.

    fit_report: what the fit chose and found. doubt: why that rests on too little.
    """

    basis: LinearBasis
    coefficients: Array
    offsets: Array
    fit_report: Mapping[str, float]
    doubt: str = ""

    @property
    def problem(self) -> str:
        """Why the choice of the setting rests on too little."""
        return self.doubt

    @property
    def diagnostics(self) -> Mapping[str, float]:
        """Chosen weights and ridge, fold errors, whether QR was needed."""
        return self.fit_report

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
        energies, forces, stresses = [], [], np.full((len(dataset), 6), np.nan)
        for i, (rows, atoms) in enumerate(
            zip(store.stream(self.basis, dataset.structures), dataset.structures, strict=True)
        ):
            counts = element_counts(atoms.get_chemical_symbols(), self.basis.elements)
            energies.append(rows.energy @ self.coefficients + counts @ self.offsets)
            forces.append(rows.forces @ self.coefficients)
            stresses[i] = rows.strain_gradient @ self.coefficients / dataset.volumes[i]
        return Predictions(np.array(energies), tuple(forces), stresses)


@dataclass(frozen=True)
class LinearModel(Model):
    """Ridge regression on the rows of a basis, its weights and ridge retuned in every fit.

    basis: the functions.
    energy_weights, stress_weights: what to try, 1/Å, relative to forces (see normal_equations).
    ridges: what to try, on columns scaled to unit norm, dimensionless.
    widenings: rounds, at most, in which a fit adds a value beyond an edge that was chosen (see ``grids``).
    tuning: "kept" chooses by folds of the kept structures; "pool_validation" by a labelled set taken from the pool.
    n_folds: folds of the kept structures, dealt out by group.
    """

    basis: LinearBasis
    energy_weights: tuple[float, ...]
    stress_weights: tuple[float, ...]
    ridges: tuple[float, ...]
    widenings: int
    tuning: str
    n_folds: int

    def __post_init__(self) -> None:
        for name in ("energy_weights", "stress_weights", "ridges"):
            numbers = tuple(float(x) for x in getattr(self, name))
            object.__setattr__(self, name, numbers)
            if not numbers or min(numbers) < 0 or (name == "ridges" and min(numbers) <= 0):
                raise TamisError(
                    f"{name} is {numbers}; it must list at least one number, positive for ridges"
                )
        check_tuning(self.tuning, self.n_folds, self.widenings)

    @property
    def grid(self) -> tuple[Setting, ...]:
        """Every setting that a fit tries before the grid widens, the same for any subset."""
        return grid_of(self.energy_weights, self.stress_weights, self.ridges)

    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Compute the rows of every structure into the store; refuses more columns than a fit could take, first."""
        with store.memory.holding():
            self._reserve_products(store, len(dataset))
        store.prepare(self.basis, dataset.structures)

    @property
    def needs_tuning_set(self) -> bool:
        """True for ``tuning: pool_validation``."""
        return self.tuning == POOL_VALIDATION

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
        offsets = free_atom_energies(kept, self.basis.elements)
        held_out: list[Terms] = []
        if self.needs_tuning_set:
            # of the tuning set's rows the products stay; the kept ones' take their place
            with store.memory.holding():
                held_out = self._terms_of_parts(tuning, store, offsets, rng)
        n_free = len(self.basis.elements)
        judges = self._judges(kept, tuning, rng)
        with store.memory.holding():
            rows = self._rows(kept, store, offsets)
            total, judged = self._judged(rows, held_out, judges)
            choice = self._choose(judged, judges)
            setting = self._most_cautious if choice is None else setting_at(choice.point)
            everything = np.arange(len(kept))
            solution, by_qr = solve_checked(rows, total, everything, setting.weights, setting.ridge, n_free)
        report = {
            "energy_weight_per_A": setting.weights.energy,
            "stress_weight_per_A": setting.weights.stress,
            "ridge": setting.ridge,
            "structures_tuned_on": float(len(tuning) if self.needs_tuning_set else len(kept)),
            "solved_by_qr": float(by_qr),
            "n_columns": float(len(solution)),
            **judges.report,
            **(NOT_JUDGED if choice is None else choice.report),
        }
        final = offsets + solution[-n_free:]
        return LinearPotential(self.basis, solution[:-n_free], final, report, judges.problem)

    def _terms_of_parts(
        self, tuning: Dataset, store: Store, offsets: Array, rng: np.random.Generator
    ) -> list[Terms]:
        parts = parts_of(tuning, self.n_folds, rng)  # before the rows: comparing structures takes memory, too
        rows = self._rows(tuning, store, offsets)
        return [rows.terms(part) for part in parts]

    def _judges(self, kept: Dataset, tuning: Dataset, rng: np.random.Generator) -> Judges:
        if self.needs_tuning_set:
            return judges_by_tuning(kept, tuning)
        return judges_by_folds(kept, self.n_folds, rng)

    def _judged(self, rows: Rows, held_out: list[Terms], judges: Judges) -> tuple[Terms, list[Judged]]:
        """The terms of all rows, and what judges settings; none where nothing does."""
        if held_out:
            total = rows.terms(np.arange(len(judges.folds)))
            return total, [(total, held_out)]
        parts = [rows.terms(np.flatnonzero(judges.folds == k)) for k in range(judges.n_folds)]
        always = np.flatnonzero(judges.folds == ALWAYS_TRAINED)
        rest = [rows.terms(always)] if len(always) else []
        total = functools.reduce(Terms.plus, [*parts, *rest])
        return total, [(total.minus(part), [part]) for part in parts]

    def _choose(self, judged: Sequence[Judged], judges: Judges) -> Choice | None:
        """What the held-out parts say; None where there are none, and where no setting has a solution."""
        if not judged:
            return None
        axes = axes_of(self.energy_weights, self.stress_weights, self.ridges)
        return choose(axes, self.widenings, lambda points: self._losses(judged, points, judges))

    @property
    def _most_cautious(self) -> Setting:
        return max(self.grid, key=lambda setting: setting.ridge)

    def _rows(self, dataset: Dataset, store: Store, offsets: Array) -> Rows:
        """Rows of all structures, counted: views of what is read, but for those of energies and stresses."""
        design = store.design(self.basis, dataset.structures)
        n_bytes = 8 * 7 * (self.basis.n_features + len(self.basis.elements)) * len(dataset)
        store.memory.reserve(n_bytes, f"energy and stress rows of {len(dataset)} structures")
        return gather_rows(design, dataset, self.basis.elements, offsets)

    def _losses(self, judged: Sequence[Judged], points: Sequence[Point], judges: Judges) -> Losses:
        """Squared errors of energies, forces and strain derivatives of held-out parts; infinity: no solution."""
        held_out = [part for _, parts in judged for part in parts]
        rows = np.array([[term.rows for term in _kinds(part)] for part in held_out], dtype=float)
        sums, fold = np.zeros((*rows.shape, len(points))), iter(range(len(held_out)))
        for train, parts in judged:
            coefficients = self._solutions(train, points)
            solved = np.isfinite(coefficients).all(axis=0)
            for part in parts:
                own = sums[next(fold)]
                for kind, term in enumerate(_kinds(part)):
                    if term.rows:
                        found = term.mean_squares(np.where(solved, coefficients, 0.0)) * term.rows
                        own[kind] = np.where(solved, found, np.inf)
        return Losses(sums, rows, judges.score)

    def _solutions(self, train: Terms, points: Sequence[Point]) -> Array:
        """Coefficients with every setting, (K, n_settings); NaN where there are none."""
        n_free = len(self.basis.elements)
        settings = [setting_at(point) for point in points]
        # ridges vary fastest: a matrix is combined and scaled once for all that follow each other
        return np.hstack(
            [
                solve_ridges(*train.combine(weights), [setting.ridge for setting in some], n_free)
                for weights, some in groupby(settings, key=lambda setting: setting.weights)
            ]
        )


def _kinds(terms: Terms) -> tuple[Quadratic, Quadratic, Quadratic]:
    return terms.energy, terms.force, terms.stress
