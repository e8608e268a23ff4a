"""The crossed bootstrap: seeds and test structures are drawn again, independently of each other.

Every seed's potentials are judged on the same test structures, and the structures of one trajectory or strain mode go
together. So both are drawn: seeds, and blocks of test structures, each with replacement, and every statistic is
computed of the crossing of the two draws (A. B. Owen, Ann. Appl. Stat. 1, 386 (2007), the pigeonhole bootstrap). Its
variance is never below the true one in the limit of many of both.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

L = TypeVar("L", bound=Hashable)

TINY = 1e-300
"""In place of an error of zero, which has no logarithm."""
CHUNK = 256
"""Curves that are worked on at a time, so that thousands of them need no gigabytes."""


@dataclass(frozen=True, eq=False)
class Curves:
    """Learning curves that were judged on the same test structures.

    errors: (K, P, S), of each curve, point and test structure; shorter curves are filled up with anything.
    point_weights: (K, P), see ``endpoint.area_weights``; zero where a curve has no point.
    structure_weights: (S,), what a structure counts in the mean error (its atoms, for forces).
    blocks: (S,), number of the block of each structure.
    arms, seeds: (K,), who chose, and with which split of the pool; several curves of one arm and seed are draws.
    """

    errors: Array
    point_weights: Array
    structure_weights: Array
    blocks: Indices
    arms: Indices
    seeds: Indices

    @property
    def n_arms(self) -> int:
        """Arms, counted from 0."""
        return int(self.arms.max()) + 1

    @property
    def n_seeds(self) -> int:
        """Seeds, counted from 0."""
        return int(self.seeds.max()) + 1

    def effective_blocks(self) -> float:
        """As how many equal blocks the test blocks count: (sum c)² / sum c² of their shares c of the error.

        A test set in which one trajectory makes most of the error is a small one, however many structures it has.
        """
        per_structure = np.einsum("kp,kps->s", self.point_weights, self.errors) * self.structure_weights
        shares = np.bincount(self.blocks, np.abs(per_structure))
        return float(shares.sum() ** 2 / np.maximum(np.sum(shares**2), TINY))


def draw_counts(n: int, n_draws: int, rng: np.random.Generator) -> Array:
    """Counts of each of ``n`` units in draws with replacement, (1 + n_draws, n); the first row is ones."""
    return np.concatenate([np.ones((1, n)), rng.multinomial(n, np.full(n, 1.0 / n), size=n_draws)])


def log_errors(errors: Array, structure_weights: Array, blocks: Indices, block_counts: Array) -> Array:
    """Log of the mean over structures of ``errors`` (..., S), in each draw of blocks: (..., B)."""
    weights = block_counts[:, blocks] * structure_weights  # (B, S)
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), TINY)
    return np.log(np.maximum(errors @ weights.T, TINY))


def cells(curves: Curves, block_counts: Array) -> Array:
    """Mean of log(error) over log(atoms) of each arm and seed, in each draw: (A, R, B); NaN where there is no curve."""
    values = functional(curves, curves.point_weights[:, None], block_counts)[:, 0]
    return mean_of_draws(values, curves.arms, curves.seeds, (curves.n_arms, curves.n_seeds))


def functional(curves: Curves, matrices: Array, block_counts: Array) -> Array:
    """Linear functionals of log(error) of each curve: matrices (K, G, P) to (K, G, B)."""
    parts = []
    for start in range(0, len(curves.errors), CHUNK):
        some = slice(start, start + CHUNK)
        logs = log_errors(curves.errors[some], curves.structure_weights, curves.blocks, block_counts)
        parts.append(matrices[some] @ logs)
    return np.concatenate(parts)


def mean_of_draws(values: Array, arms: Indices, seeds: Indices, shape: tuple[int, int]) -> Array:
    """Mean of ``values`` (K, ...) over the curves of each arm and seed; NaN where there is none."""
    total = np.zeros((*shape, *values.shape[1:]))
    count = np.zeros(shape)
    np.add.at(total, (arms, seeds), values)
    np.add.at(count, (arms, seeds), 1.0)
    count = count.reshape(*shape, *([1] * (values.ndim - 1)))
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def codes(labels: Sequence[L]) -> tuple[Indices, list[L]]:
    """Numbers for labels, and the labels in their order of first occurrence."""
    names: dict[L, int] = {}
    numbers = np.array([names.setdefault(label, len(names)) for label in labels], dtype=np.intp)
    return numbers, list(names)
