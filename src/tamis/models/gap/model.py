"""Gaussian approximation potentials, retrained by slicing stored covariances, as gap_fit would fit them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve_triangular

from tamis.bases.gap.basis import GapBasis
from tamis.bases.pair_kernel import PairKernel
from tamis.bases.soap import SoapBasis
from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Whole
from tamis.core.memory import Memory
from tamis.data.dataset import Dataset, structure_key
from tamis.data.dealing import ALWAYS_TRAINED
from tamis.models.base import Array
from tamis.models.free_atoms import FreeAtoms, element_counts
from tamis.models.gap.sparse_gp import (
    Sigmas,
    WhitenedRows,
    held_out_errors,
    leading,
    pivoted_order,
    posterior,
    prior_factor,
    whiten,
)
from tamis.models.grids import Axis, ChosenSetting, GridPoint, Losses, choose
from tamis.models.judging import (
    AS_GOOD_AS_NONE,
    ENERGY,
    FORCE,
    Judges,
    judges_by_folds,
    judges_by_tuning,
    parts_of,
)
from tamis.models.linear import LinearPotential
from tamis.models.normal_equations import Indices, Terms
from tamis.models.tuning import TunedModel
from tamis.selection.candidates import choose_candidates
from tamis.store import Store

JUDGED_POINTS = 300
"""How many sparse points settings are compared with, the first of the nested order; the last fit takes all."""
FORCE_SIGMAS, RATIOS = (1e-4, 1.0), (1e-3, 1e2)
"""eV/Å, and Å per square root of an atom: how far a grid may widen."""


@dataclass(frozen=True)
class GapModel(TunedModel):
    """Sparse GP on SOAP and distances; noise retuned in every fit, sparse points from the kept structures only.

    basis: SOAP, the own descriptor.
    zeta: exponent of the SOAP kernel.
    pair: two-body term; None leaves it out.
    candidates_per_structure: environments of each structure whose covariances are computed, at least 1.
    n_sparse: SOAP sparse points, chosen by pivoted Cholesky among the candidates of the kept structures.
    delta, pair_delta: eV, standard deviation of the energy that an atom gets from SOAP, and from each distance.
    jitter: eV², added to the diagonal of the covariance of the sparse points, as gap_fit's sparse_jitter.
    force_sigmas: noise of the forces to try, eV/Å; with delta fixed, also how much the prior counts.
    energy_ratios, virial_ratios: noise of energies and virials to try, each over that of the forces, Å per square
        root of an atom (gap_fit's default_sigma is force_sigma times the ratio, for one atom).
    """

    basis: SoapBasis
    zeta: Annotated[int, Whole(1, say=4)]
    pair: PairKernel | None
    candidates_per_structure: Annotated[int, Whole(1)]
    n_sparse: Annotated[int, Whole(1)]
    delta: Annotated[float, Above(0.0, "eV")]
    pair_delta: Annotated[float, Above(0.0, "eV")]
    jitter: Annotated[float, Above(0.0, "eV²")]
    force_sigmas: Annotated[tuple[float, ...], AtLeast(1e-5, "eV/Å")]
    energy_ratios: Annotated[tuple[float, ...], AtLeast(1e-3)]
    virial_ratios: Annotated[tuple[float, ...], AtLeast(1e-3)]

    @property
    def axes(self) -> tuple[Axis, Axis, Axis]:
        """Force noise, and the ratios of the noise of energies and virials to it."""
        return (
            Axis.of(self.force_sigmas, *FORCE_SIGMAS),
            Axis.of(self.energy_ratios, *RATIOS),
            Axis.of(self.virial_ratios, *RATIOS),
        )

    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Choose candidates from all structures that are not for testing; compute the covariances of every structure.

        The candidates are remembered for ``fit``, as a cached property would: they follow from the data set.
        """
        basis = self.basis_of(dataset.subset(np.flatnonzero(~dataset.is_test)), store)
        store.prepare(basis, dataset.structures)
        self.__dict__["_prepared"] = basis

    def basis_of(self, dataset: Dataset, store: Store) -> GapBasis:
        """Covariances with candidates from ``dataset``."""
        candidates = choose_candidates(self.basis, dataset.structures, self.candidates_per_structure, store)
        return GapBasis(self.basis, self.zeta, self.pair, candidates)

    def fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> LinearPotential:
        """Choose sparse points, then the noise by folds (or by ``tuning``), then solve on all of ``kept``.

        Without ``prepare``, or with structures that it has not seen, the candidates are those of ``kept``.
        """
        kept = with_mean_weights_of_one(kept)
        basis, owned = self._candidates_of(kept, store)
        columns, factor = self._sparse_points(basis, owned, store.memory)
        known = self.free_energies_of(kept)
        free = FreeAtoms.of(kept, basis.elements, known, per_atom=True).on(basis, store)

        def whitened(dataset: Dataset) -> WhitenedRows:
            design = store.stream(basis, dataset.structures)
            counts = element_counts(dataset.structures, basis.elements)
            title = f"covariances of {len(dataset)} structures with {len(columns)} sparse points"
            store.memory.reserve(8 * len(columns) * len(dataset), title)  # those of energies stay
            with store.memory.holding():
                others = 3 * int(dataset.n_atoms.sum()) + 6 * len(dataset)
                n_labels = (
                    1 if dataset.weights is None else 3
                )  # their targets, and the roots of their weights
                store.memory.reserve(8 * (len(columns) + n_labels) * others, title)
                return whiten(design, dataset, columns, factor, counts @ free.energies, free.rows(counts))

        by_folds = judges_by_folds(kept, self.n_folds, rng)
        judges = judges_by_tuning(kept, tuning) if self.needs_tuning_set else by_folds
        n_pair_points = basis.n_features - basis.n_candidates
        with store.memory.holding():
            numbers = np.unique(by_folds.folds).tolist()
            n_points = min(len(columns), n_pair_points + JUDGED_POINTS)
            n_bytes = basis.candidates.points.nbytes + Terms.n_bytes(len(columns), len(numbers) + 1)
            n_bytes += Terms.n_bytes(n_points, 2 * self.n_folds)  # each held-out part, and the rest
            store.memory.reserve(n_bytes, f"candidates and normal equations of {len(columns)} sparse points")
            parts = {k: whitened(kept.subset(np.flatnonzero(by_folds.folds == k))) for k in numbers}
            total = functools.reduce(Terms.__add__, [part.terms for part in parts.values()])
            judging = [part for k, part in parts.items() if k != ALWAYS_TRAINED]
            if self.needs_tuning_set:
                judging = [whitened(tuning.subset(part)) for part in parts_of(tuning, self.n_folds, rng)]
            choice = self._choose(total, judging, n_points, judges) if judging else None
        sigmas = sigmas_at(self.grid[len(self.grid) // 2] if choice is None else choice.point)
        coefficients = np.zeros(basis.n_features)
        coefficients[columns] = solve_triangular(factor, self._final(total, sigmas))
        report = {
            "energy_sigma_eV": sigmas.energy,
            "force_sigma_eV_per_A": sigmas.force,
            "virial_sigma_eV": sigmas.virial,
            "n_candidates": float(owned.sum()),
            "n_sparse": float(len(columns) - n_pair_points),
            "n_pair_points": float(n_pair_points),
            **self.tuning_report(choice, judges, kept, tuning),
        }
        offsets = free.offsets(coefficients, np.zeros(free.n_open))
        return LinearPotential(basis, coefficients, offsets, diagnostics=report, problem=judges.problem)

    def _candidates_of(self, kept: Dataset, store: Store) -> tuple[GapBasis, NDArray[np.bool_]]:
        """The prepared basis, and which of its candidates come from ``kept``."""
        keys = {structure_key(atoms) for atoms in kept.structures}
        basis: GapBasis | None = self.__dict__.get("_prepared")
        if basis is None or not keys <= set(basis.candidates.owners):
            basis = self.basis_of(kept, store)
        return basis, np.isin(basis.candidates.owners, list(keys))

    def _sparse_points(
        self, basis: GapBasis, owned: NDArray[np.bool_], memory: Memory
    ) -> tuple[Indices, Array]:
        """Columns of the sparse points, distances before environments, and the Cholesky factor of their prior."""
        pool = np.flatnonzero(owned)
        with memory.holding():  # the kernel, where elements differ, the points, and what is factorised
            width = 9 * len(pool) + 8 * (basis.candidates.points.shape[1] + min(self.n_sparse, len(pool)))
            memory.reserve(
                width * len(pool), f"covariances of {len(pool)} candidates (model.candidates_per_structure)"
            )
            tolerance = max(self.jitter / self.delta**2, 1e-12)
            order = pivoted_order(basis.between(pool), tolerance, self.n_sparse)
        columns = np.concatenate([np.arange(basis.n_candidates, basis.n_features), pool[order]])
        deltas = np.where(columns < basis.n_candidates, self.delta, self.pair_delta)
        prior = basis.between(columns) / deltas[:, None] ** 2  # terms do not covary
        prior[np.diag_indices_from(prior)] += self.jitter / deltas**4
        return columns, prior_factor(prior)

    def _choose(
        self, total: Terms, parts: Sequence[WhitenedRows], size: int, judges: Judges
    ) -> ChosenSetting | None:
        """The setting that the held-out parts choose with ``size`` points; None where no setting has a solution."""
        whole, judged = leading(total, size), [leading(part.terms, size) for part in parts]
        trains = [whole if self.needs_tuning_set else whole - own for own in judged]

        def losses(points: Sequence[GridPoint]) -> Losses:
            sums = np.full((len(parts), 2, len(points)), np.inf)
            for k, (part, own, train) in enumerate(zip(parts, judged, trains, strict=True)):
                for i, point in enumerate(points):
                    with suppress(LinAlgError):
                        sums[k, :, i] = held_out_errors(part, own.force, posterior(train, sigmas_at(point)))
            rows = np.array([[own.energy.weight, own.force.weight] for own in judged], dtype=float)
            return Losses(sums, rows, functools.partial(log_errors, judges))

        return choose(self.axes, self.widenings, losses)

    def _final(self, total: Terms, sigmas: Sigmas) -> Array:
        try:
            return posterior(total, sigmas)
        except LinAlgError as error:
            raise TamisError(
                f"the fit with {sigmas} has no finite solution ({error}); raise the smallest of model.force_sigmas"
            ) from error


def with_mean_weights_of_one(dataset: Dataset) -> Dataset:
    """Weights of each kind of label over their mean, without those of 0, so that they leave the noise as it is."""
    if dataset.weights is None:
        return dataset
    weights = dataset.label_weights
    used = weights > 0.0
    means = np.sum(weights, axis=0) / np.maximum(used.sum(axis=0), 1)
    scaled = replace(dataset, weights=weights / np.where(means > 0.0, means, 1.0))
    return dataset.sharing_copies(scaled, np.arange(len(dataset)))


def sigmas_at(point: GridPoint) -> Sigmas:
    """The noise at a point of the grid."""
    force, energy_ratio, virial_ratio = point
    return Sigmas(energy=force * energy_ratio, force=force, virial=force * virial_ratio)


def log_errors(judges: Judges, sums: Array, rows: Array) -> Array:
    """log(energy MAE per atom) + log(force RMSE), (n,), of sums of |energy errors| and squared force errors (2, n).

    Energies count by their MAE: there is one a structure, and a single held-out surface or defect of a rare kind would
    decide the mean square, although the last fit will have seen it. Forces count where there are some to judge by (see
    ``judging``).
    """
    powers, least = (1.0, 0.5), (AS_GOOD_AS_NONE, judges.negligible_force**2)
    judged = np.flatnonzero(judges.kinds[[ENERGY, FORCE]] & (rows > 0))
    return np.sum([powers[k] * np.log(sums[k] / rows[k] + least[k]) for k in judged], axis=0) + np.zeros(
        sums.shape[1]
    )
