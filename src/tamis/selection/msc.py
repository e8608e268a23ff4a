"""Minimum set cover: structures that bring new environments."""

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np

from tamis.core.fields import Above, Between, Checked
from tamis.selection.base import Array, Features, Indices, Pruner, Shape
from tamis.selection.components import PrincipalAxes, numbers_for_components
from tamis.selection.greedy import TIE, first_largest, lazy_largest
from tamis.selection.rows import PIECE, pieces

N_PROBES = 500
"""Environments from which the default bandwidth is estimated."""


@dataclass(frozen=True)
class MinimumSetCover(Checked, Pruner):
    """Always the structure with the largest score: the novelty of its most novel atom, plus its own entropy.

    The score is that of QUESTS' minimum set cover (Schwalbe-Koda et al., Nat. Commun. 16, 4014 (2025)): max over
    atoms i of dH_i = -ln sum_j exp(-|x_i - x_j|^2 / 2 h^2), j over kept environments, plus the structure's own
    entropy -mean_i ln mean_j exp(...). The first is the one of largest entropy. The package's own loop gives the same
    order (a test), but is slower, and its sums underflow in latent spaces wider than its own, where all distant
    structures then score infinity; here sums are kept as logarithms.

    bandwidth: h, in the unit of the latent space; null: the median distance of an environment to its nearest other
        one, which is thermal noise in most data. QUESTS' own is 0.015 1/Å (descriptor=quests, latent.scaling=none).
    variance: distances are taken on principal axes that hold this part of the environments' variance; 1: on all.
    """

    bandwidth: Annotated[float | None, Above(0)]
    variance: Annotated[float, Between(0, 1, say=0.99, above=True)]
    nested: ClassVar[bool] = True
    needs_environments: ClassVar[bool] = True

    def working(self, vectors: Shape, environments: Shape) -> int:
        """The centred environments, or their components and the axes."""
        n, width = environments
        if self.variance == 1.0:
            return n * width
        return numbers_for_components(n, width)

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        environments = self._reduce(features.environments)
        if not environments.any():
            return np.arange(n_structures, dtype=np.intp)
        width = nearest_distance(environments) if self.bandwidth is None else self.bandwidth
        environments /= width
        return greedy_cover(features.by_structure(environments), n_structures)

    def _reduce(self, environments: Array) -> Array:
        """A centred copy of the environments, on their leading principal axes where ``variance`` is below 1."""
        mean = environments.mean(axis=0)
        highest, lowest = environments.max(axis=0), environments.min(axis=0)
        reach = np.maximum(highest - mean, mean - lowest).max(initial=0.0)
        if reach <= TIE * np.maximum(highest, -lowest).max(initial=0.0):
            return np.zeros_like(environments)
        if self.variance == 1.0:
            return environments - mean
        axes = PrincipalAxes.of(environments, mean)
        return axes.components(axes.number_for(self.variance))


def greedy_cover(blocks: list[Array], n: int) -> Indices:
    """``n`` of the blocks (n_rows, d), where the kernel has unit bandwidth."""
    cover = _Cover(blocks)
    while len(cover.order) < n:
        cover.take_next()
    return np.array(cover.order, dtype=np.intp)


class _Cover:
    """A cover in progress. Kept structures only lower the scores of others: an old score bounds the new one from above.

    order: the chosen blocks. scores: (n_blocks,) of the time when the first ``seen`` of these were chosen; minus
    infinity for the chosen. log_sums: (n_rows,) logarithms of the sums over kept environments, at that time.
    """

    def __init__(self, blocks: list[Array]) -> None:
        self.blocks = blocks
        self.sizes = np.array([len(block) for block in blocks])
        self.starts = np.cumsum(self.sizes) - self.sizes
        self.entropies = np.array([_entropy(block) for block in blocks])
        self.log_sums = np.full(int(self.sizes.sum()), -np.inf)
        self.seen = np.zeros(len(blocks), dtype=np.intp)
        self.scores = np.full(len(blocks), np.inf)
        self.order: list[int] = []
        self._take(first_largest(self.entropies, _scale(self.entropies.max())))

    def take_next(self) -> None:
        """Choose the block of the largest score, the first of equal ones."""
        fresh = self.seen == len(self.order)
        self._take(lazy_largest(self.scores, fresh, self._ask, _scale))

    def _take(self, i: int) -> None:
        self.order.append(i)
        self.scores[i] = -np.inf

    def _ask(self, stale: Indices) -> Array:
        """Scores of these blocks, updated for all chosen blocks."""
        for seen in np.unique(self.seen[stale]):
            group = stale[self.seen[stale] == seen]
            missed = np.concatenate([self.blocks[i] for i in self.order[seen:]])
            step = max(1, PIECE // len(missed) // int(self.sizes[group].max()))
            for first in range(0, len(group), step):
                self._lower(group[first : first + step], missed)
        self.seen[stale] = len(self.order)
        return self.scores[stale]

    def _lower(self, group: Indices, missed: Array) -> None:
        rows = np.concatenate([self.blocks[i] for i in group])
        sizes = self.sizes[group]
        begins = np.cumsum(sizes) - sizes
        places = np.repeat(self.starts[group] - begins, sizes) + np.arange(len(rows))
        log_sums = self.log_sums[places]
        for part in pieces(len(missed), len(rows)):
            log_sums = np.logaddexp(log_sums, log_kernel_sums(rows, missed[part]))
        self.log_sums[places] = log_sums
        self.scores[group] = np.maximum.reduceat(-log_sums, begins) + self.entropies[group]


def _entropy(block: Array) -> float:
    """Entropy of the rows of a block; in pieces, because the kernel matrix of a large cell is large."""
    sums = [log_kernel_sums(block[part], block) for part in pieces(len(block), len(block))]
    return float(np.log(len(block)) - np.concatenate(sums).mean())


def _scale(score: float) -> float:
    """The scale on which scores are compared: they are logarithms, whose unit is 1."""
    return max(1.0, abs(score))


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
    lengths = np.einsum("ij,ij->i", probes, probes)
    squares = np.einsum("ij,ij->i", environments, environments)
    # Equal environments, and each probe itself, are no neighbours; squared, their distance is rounding of squares.
    nothing = 1e-12 * squares.max()
    nearest = np.full(len(probes), np.inf)
    for part in pieces(len(environments), len(probes)):
        distances = probes @ environments[part].T
        distances *= -2.0
        distances += squares[part]
        distances += lengths[:, None]
        distances[distances <= nothing] = np.inf
        np.minimum(nearest, distances.min(axis=1), out=nearest)
    return float(np.sqrt(np.median(nearest[np.isfinite(nearest)])))
