"""Minimum set cover: structures that bring new environments."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from tamis.exceptions import TamisError
from tamis.pruners.base import Array, Features, Indices, Pruner
from tamis.pruners.greedy import TIE, environments_by_structure, first_largest

N_PROBES = 500
"""Environments from which the default bandwidth is estimated."""


@dataclass(frozen=True)
class MinimumSetCover(Pruner):
    """Always the structure whose newest atom is newest to what is kept, plus the entropy of the structure.

    The score is that of QUESTS' minimum set cover (Schwalbe-Koda et al., Nat. Commun. 16, 4014 (2025)): max over
    atoms i of dH_i = -ln sum_j exp(-|x_i - x_j|^2 / 2 h^2), j over kept environments, plus the structure's own
    entropy -mean_i ln mean_j exp(...). The first is the one of largest entropy. The package's own loop gives the same
    order (a test), but is slower, and its sums underflow in latent spaces wider than its own, where all far
    structures then score infinity alike; here sums are kept as logarithms.

    bandwidth: h, in the unit of the latent space; null: the median distance of an environment to its nearest other
        one, which is thermal noise in most data. QUESTS' own is 0.015 1/Å (descriptor=quests, latent.scaling=none).
    variance: part of the environments' variance on which distances are taken, 1 for all: fewer columns are faster.
    """

    bandwidth: float | None
    variance: float
    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.bandwidth is not None and not self.bandwidth > 0.0:
            raise TamisError(
                f"pruner.bandwidth is {self.bandwidth}; it must be above 0, or null for a bandwidth from the data"
            )
        if not 0.0 < self.variance <= 1.0:
            raise TamisError(
                f"pruner.variance is {self.variance}; it must be above 0 and at most 1, say 0.99"
            )

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        environments = self._reduce(features.environments)
        if not environments.any():
            return np.arange(n_structures, dtype=np.intp)
        width = nearest_distance(environments) if self.bandwidth is None else self.bandwidth
        return greedy_cover(environments_by_structure(features, environments / width), n_structures)

    def _reduce(self, environments: Array) -> Array:
        """Centred environments, on their leading principal axes where ``variance`` is below 1."""
        centred = environments - environments.mean(axis=0)
        if np.abs(centred).max() <= TIE * np.abs(environments).max():
            return np.zeros_like(centred)
        if self.variance == 1.0:
            return centred
        from sklearn.decomposition import PCA

        return PCA(n_components=self.variance, svd_solver="covariance_eigh").fit_transform(centred)


def greedy_cover(blocks: list[Array], n: int) -> Indices:
    """``n`` of the blocks (n_rows, d), where the kernel has unit bandwidth."""
    entropies = np.array([np.log(len(b)) - log_kernel_sums(b, b).mean() for b in blocks])
    sizes = np.array([len(b) for b in blocks])
    owners = np.repeat(np.arange(len(blocks)), sizes)
    rows = np.concatenate(blocks)
    log_sums = np.full(len(rows), -np.inf)
    scores = entropies
    order: list[int] = []
    while True:
        i = first_largest(scores, float(np.abs(scores[np.isfinite(scores)]).max()))
        order.append(i)
        if len(order) == n:
            return np.array(order, dtype=np.intp)
        kept = owners != i
        owners, rows, log_sums = owners[kept], rows[kept], log_sums[kept]
        log_sums = np.logaddexp(log_sums, log_kernel_sums(rows, blocks[i]))
        novelty = np.full(len(blocks), -np.inf)
        starts = np.flatnonzero(np.diff(owners, prepend=-1))
        novelty[owners[starts]] = np.maximum.reduceat(-log_sums, starts)
        scores = novelty + entropies


def log_kernel_sums(rows: Array, others: Array) -> Array:
    """ln sum_j exp(-|rows_i - others_j|^2 / 2), (n_rows,), without underflow."""
    exponents = rows @ others.T
    exponents -= 0.5 * np.einsum("ij,ij->i", rows, rows)[:, None]
    exponents -= 0.5 * np.einsum("ij,ij->i", others, others)
    largest = exponents.max(axis=1)
    exponents -= largest[:, None]
    # A difference of large numbers may leave a squared distance slightly below zero.
    return np.minimum(largest, 0.0) + np.log(np.exp(exponents, out=exponents).sum(axis=1))


def nearest_distance(environments: Array) -> float:
    """Median distance of evenly picked environments to their nearest other one that differs from them."""
    probes = environments[:: max(1, len(environments) // N_PROBES)]
    squares = np.einsum("ij,ij->i", environments, environments)
    distances = squares - 2.0 * probes @ environments.T
    distances += np.einsum("ij,ij->i", probes, probes)[:, None]
    # Equal environments, and each probe itself, are no neighbours; squared, their distance is rounding of squares.
    distances[distances <= 1e-12 * squares.max()] = np.inf
    nearest = distances.min(axis=1)
    return float(np.sqrt(np.median(nearest[np.isfinite(nearest)])))
