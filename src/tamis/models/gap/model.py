"""Gaussian approximation potentials, retrained by slicing stored covariances, as gap_fit would fit them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, solve_triangular

from tamis.bases.gap.basis import GapBasis
from tamis.bases.pair_kernel import PairKernel
from tamis.bases.soap import SoapBasis
from tamis.core.errors import TamisError
from tamis.core.memory import Memory
from tamis.data.dataset import Dataset, structure_key
from tamis.data.dealing import ALWAYS_TRAINED
from tamis.models.base import Array, Model
from tamis.models.gap.candidates import choose_candidates
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
from tamis.models.grids import NOT_JUDGED, Axis, Choice, Losses, Point, choose
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
from tamis.models.normal_equations import Indices, Terms, element_counts
from tamis.models.settings import POOL_VALIDATION, check_tuning
from tamis.store import Store

JUDGED_POINTS = 300
"""Settings are compared with so many sparse points, the first of the nested order; the last fit takes all."""
FORCE_SIGMAS, RATIOS = (1e-4, 1.0), (1e-3, 1e2)
"""eV/Å, and Å per square root of an atom: how far a grid may widen."""


@dataclass(frozen=True)
class GapModel(Model):
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
    widenings: rounds, at most, in which a fit adds a value beyond an edge that was chosen (see ``grids``).
    tuning: "kept" chooses by folds of the kept structures; "pool_validation" by a labelled set taken from the pool.
    n_folds: folds of the kept structures, dealt out by group.
    """

    basis: SoapBasis
    zeta: int
    pair: PairKernel | None
    candidates_per_structure: int
    n_sparse: int
    delta: float
    pair_delta: float
    jitter: float
    force_sigmas: tuple[float, ...]
    energy_ratios: tuple[float, ...]
    virial_ratios: tuple[float, ...]
    widenings: int
    tuning: str
    n_folds: int

    def __post_init__(self) -> None:
        for name, least_sigma in (("force_sigmas", 1e-5), ("energy_ratios", 1e-3), ("virial_ratios", 1e-3)):
            numbers = tuple(float(x) for x in getattr(self, name))
            object.__setattr__(self, name, numbers)
            if not numbers or not least_sigma <= min(numbers) <= max(numbers) < np.inf:
                raise TamisError(
                    f"{name} is {numbers}; it must list at least one number, each from {least_sigma:g} on"
                )
        for name in ("delta", "pair_delta", "jitter"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise TamisError(f"{name} is {getattr(self, name)}; it must be positive")
        for name, least in (("candidates_per_structure", 1), ("n_sparse", 1)):
            if getattr(self, name) < least:
                raise TamisError(f"{name} is {getattr(self, name)}; it must be at least {least}")
        if int(self.zeta) != self.zeta or self.zeta < 1:
            raise TamisError(f"zeta is {self.zeta}; it must be a whole number from 1 on, say 4")
        check_tuning(self.tuning, self.n_folds, self.widenings)

    @property
    def grid(self) -> tuple[Sigmas, ...]:
        """Every setting that a fit tries before the grid widens, the same for any subset."""
        return tuple(map(_sigmas, product(*(axis.values for axis in self._axes))))

    @property
    def _axes(self) -> tuple[Axis, Axis, Axis]:
        return (
            Axis.of(self.force_sigmas, *FORCE_SIGMAS),
            Axis.of(self.energy_ratios, *RATIOS),
            Axis.of(self.virial_ratios, *RATIOS),
        )

    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Choose the candidates of all structures that are not for testing; compute everyone's covariances.

        The candidates are remembered for ``fit``, as a cached property would: they follow from the data set.
        """
        basis = self.basis_of(dataset.subset(np.flatnonzero(~dataset.is_test)), store)
        store.prepare(basis, dataset.structures)
        self.__dict__["_prepared"] = basis

    def basis_of(self, dataset: Dataset, store: Store) -> GapBasis:
        """Covariances with candidates from ``dataset``."""
        candidates = choose_candidates(self.basis, dataset.structures, self.candidates_per_structure, store)
        return GapBasis(self.basis, self.zeta, self.pair, candidates)

    @property
    def needs_tuning_set(self) -> bool:
        """True for ``tuning: pool_validation``."""
        return self.tuning == POOL_VALIDATION

    def fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> LinearPotential:
        """Choose sparse points, then the noise by folds (or by ``tuning``), then solve on all of ``kept``.

        Without ``prepare``, or with structures that it has not seen, the candidates are those of ``kept``.
        """
        basis, owned = self._candidates_of(kept, store)
        columns, factor = self._sparse_points(basis, owned, store.memory)
        counts = [element_counts(a.get_chemical_symbols(), basis.elements) for a in kept.structures]
        offsets = _free_atom_energies(np.array(counts), kept)

        def whitened(dataset: Dataset) -> WhitenedRows:
            design = store.stream(basis, dataset.structures)
            free = [
                element_counts(a.get_chemical_symbols(), basis.elements) @ offsets for a in dataset.structures
            ]
            title = f"covariances of {len(dataset)} structures with {len(columns)} sparse points"
            store.memory.reserve(8 * len(columns) * len(dataset), title)  # those of energies stay
            with store.memory.holding():
                others = 3 * int(dataset.n_atoms.sum()) + 6 * len(dataset)
                store.memory.reserve(8 * (len(columns) + 1) * others, title)
                return whiten(design, dataset, columns, factor, np.array(free))

        by_folds = judges_by_folds(kept, self.n_folds, rng)
        judges = judges_by_tuning(kept, tuning) if self.needs_tuning_set else by_folds
        n_pair_points = basis.n_features - basis.n_candidates
        with store.memory.holding():
            numbers = np.unique(by_folds.folds).tolist()
            n_sets = len(numbers) + 4  # each part, all of them, and judgements, which look at fewer points
            n_bytes = Terms.n_bytes(len(columns), n_sets) + basis.candidates.points.nbytes
            store.memory.reserve(n_bytes, f"candidates and normal equations of {len(columns)} sparse points")
            parts = {k: whitened(kept.subset(np.flatnonzero(by_folds.folds == k))) for k in numbers}
            total = functools.reduce(Terms.plus, [part.terms for part in parts.values()])
            judging = [part for k, part in parts.items() if k != ALWAYS_TRAINED]
            if self.needs_tuning_set:
                judging = [whitened(tuning.subset(part)) for part in parts_of(tuning, self.n_folds, rng)]
            n_points = min(len(columns), n_pair_points + JUDGED_POINTS)
            choice = self._choose(total, judging, n_points, judges) if judging else None
        sigmas = self.grid[len(self.grid) // 2] if choice is None else _sigmas(choice.point)
        coefficients = np.zeros(basis.n_features)
        coefficients[columns] = solve_triangular(factor, self._final(total, sigmas))
        report = {
            "energy_sigma_eV": sigmas.energy,
            "force_sigma_eV_per_A": sigmas.force,
            "virial_sigma_eV": sigmas.virial,
            "structures_tuned_on": float(len(tuning) if self.needs_tuning_set else len(kept)),
            "n_candidates": float(owned.sum()),
            "n_sparse": float(len(columns) - n_pair_points),
            "n_pair_points": float(n_pair_points),
            **judges.report,
            **(NOT_JUDGED if choice is None else choice.report),
        }
        return LinearPotential(basis, coefficients, offsets, report, judges.problem)

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
    ) -> Choice | None:
        """What the held-out parts say with ``size`` points; None where no setting has a solution."""
        whole, judged = leading(total, size), [leading(part.terms, size) for part in parts]
        trains = [whole if self.needs_tuning_set else whole.minus(own) for own in judged]

        def losses(points: Sequence[Point]) -> Losses:
            sums = np.full((len(parts), 2, len(points)), np.inf)
            for k, (part, own, train) in enumerate(zip(parts, judged, trains, strict=True)):
                for i, point in enumerate(points):
                    with suppress(LinAlgError):
                        sums[k, :, i] = held_out_errors(part, own.force, posterior(train, _sigmas(point)))
            rows = np.array([[own.energy.rows, own.force.rows] for own in judged], dtype=float)
            return Losses(sums, rows, functools.partial(log_errors, judges))

        return choose(self._axes, self.widenings, losses)

    def _final(self, total: Terms, sigmas: Sigmas) -> Array:
        try:
            return posterior(total, sigmas)
        except LinAlgError as error:
            raise TamisError(
                f"the fit with {sigmas} has no finite solution ({error}); raise the smallest of model.force_sigmas"
            ) from error


def _sigmas(point: Point) -> Sigmas:
    force, energy_ratio, virial_ratio = point
    return Sigmas(energy=force * energy_ratio, force=force, virial=force * virial_ratio)


def log_errors(judges: Judges, sums: Array, rows: Array) -> Array:
    """log(energy MAE per atom) + log(force RMSE), (n,), of sums of |energy errors| and squared force errors (2, n).

    Of energies the MAE: there is one a structure, and some surface or defect whose kind is rare, held out, would
    decide the mean square alone, although the last fit will have seen it. Forces count where there are some to judge
    by (see ``judging``).
    """
    powers, least = (1.0, 0.5), (AS_GOOD_AS_NONE, judges.negligible_force**2)
    judged = np.flatnonzero(judges.kinds[[ENERGY, FORCE]] & (rows > 0))
    return np.sum([powers[k] * np.log(sums[k] / rows[k] + least[k]) for k in judged], axis=0) + np.zeros(
        sums.shape[1]
    )


def _free_atom_energies(counts: Array, dataset: Dataset) -> Array:
    """Energies per element, eV, that fit the energies per atom best; for one element their mean.

    gap_fit's e0_method=average takes that mean for every element. Where the composition is fixed, or an element is
    absent, the least such numbers.
    """
    n_atoms = dataset.n_atoms
    return np.asarray(np.linalg.lstsq(counts / n_atoms[:, None], dataset.energies / n_atoms, rcond=None)[0])
