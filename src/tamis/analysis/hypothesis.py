"""The hypothesis: a set pruned with a model's own descriptor is better for it than one pruned with another's.

Descriptors choose different structures, so some column of a row is the best one, in every draw of seeds. With seeds
enough the own one differs from the mean of the others, beyond chance, in any world, also where being own means nothing.
What would be special is that it is better in row after row. So the own assignment (SNAP to snap, GAP to SOAP, ...) is
compared with all ways to assign different descriptors to the models, on the matrix from which the means of rows
and columns are taken: how good a descriptor is for everyone does not count. If being own means
nothing, the own assignment is one of them like any other, so that p is exact whatever the distribution (the
principle of R. A. Fisher's randomisation test).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import perm

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.contrasts import Effect, contrast, own_against_others

Array = NDArray[np.float64]

MOST = 50_000
"""More assignments than this are drawn at random instead of going through all of them."""
ALPHA = 0.05
BETTER, WORSE, EQUIVALENT = "own is better", "own is worse", "equivalent"
NOT_SHOWN, UNDECIDABLE, NOT_ASKED = "no difference shown", "cannot be decided", "not asked"


@dataclass(frozen=True)
class Arm:
    """A model and the descriptor that chose its sets; ``own``: the model's own one. Leave out baselines."""

    model: str
    descriptor: str
    own: bool


@dataclass(frozen=True)
class Assignment:
    """Outcome of the test.

    estimate: mean over models of the own cell of the matrix, after the means of rows and columns were taken from it.
    p: one-sided, part of the assignments whose mean is as low or lower. n: assignments. smallest: lowest possible p.
    """

    estimate: float
    p: float
    n: int
    smallest: float


@dataclass(frozen=True)
class Verdict:
    """The comparison of own and others on one data set.

    by_model: own against the mean of the others, for each model that has both. pooled: the mean of these over models,
    None where no seed has all of them. assignment: whether being own is what matters, None
    where it cannot be asked. p: of both questions together, that is the larger; NaN where one cannot be asked.
    """

    by_model: Mapping[str, Effect]
    pooled: Effect | None
    assignment: Assignment | None
    p: float


def judge(
    values: Array,
    arms: Sequence[Arm],
    seed_counts: Array,
    n_blocks: float,
    rng: np.random.Generator,
    alpha: float = ALPHA,
) -> Verdict:
    """Ask both questions.

    Parameters
    ----------
    values : (A, R, B), see ``resampling.cells``. arms : A of them; rows of models, columns of descriptors.
    seed_counts : (B, R). n_blocks : effective test blocks. rng : for ``own_assignment``.
    alpha : error rate.

    "Better" (or "worse") needs both: on this data the own descriptors' sets give smaller errors than the mean of the
    others (crossed bootstrap over seeds and test blocks), and they do so beyond what any assignment of descriptors to
    models would (permutation). The first alone is about these sets, not about what being own means.
    """
    weights = {}
    for model in dict.fromkeys(arm.model for arm in arms):
        mine = [i for i, arm in enumerate(arms) if arm.model == model]
        own, others = [i for i in mine if arms[i].own], [i for i in mine if not arms[i].own]
        if len(own) == 1 and others:
            weights[model] = own_against_others(own[0], others, len(arms))
    by_model = {model: contrast(values, w, seed_counts, n_blocks) for model, w in weights.items()}
    if not weights:
        return Verdict(by_model, None, None, np.nan)
    pooled = contrast(values, np.mean(list(weights.values()), axis=0), seed_counts, n_blocks)
    better, worse = (_assign(sign * values[..., 0], arms, list(weights), rng) for sign in (1.0, -1.0))
    return Verdict(by_model, pooled, better, _p(pooled, better, worse, alpha))


def _assign(
    values: Array, arms: Sequence[Arm], models: Sequence[str], rng: np.random.Generator
) -> Assignment | None:
    """The matrix of means over seeds that all its cells have, and the own assignment in it."""
    columns = [
        d
        for d in dict.fromkeys(arm.descriptor for arm in arms)
        if all(any(arm.model == m and arm.descriptor == d for arm in arms) for m in models)
    ]
    index = {(arm.model, arm.descriptor): i for i, arm in enumerate(arms)}
    if len(columns) < 2:
        return None
    cells = np.array([[values[index[m, d]] for d in columns] for m in models])  # (M, D, R)
    common = np.isfinite(cells).all(axis=(0, 1))
    if not common.any():
        return None
    own = {
        row: columns.index(arm.descriptor)
        for row, model in enumerate(models)
        for arm in arms
        if arm.model == model and arm.own and arm.descriptor in columns
    }
    return own_assignment(cells[:, :, common].mean(axis=2), own, rng)


def centred(matrix: Array) -> Array:
    """The matrix without the means of its rows and columns."""
    rows, columns = matrix.mean(axis=1, keepdims=True), matrix.mean(axis=0, keepdims=True)
    return matrix - rows - columns + matrix.mean()


def own_assignment(matrix: Array, own: Mapping[int, int], rng: np.random.Generator) -> Assignment | None:
    """Compare the own assignment with all others.

    Parameters
    ----------
    matrix : (models, descriptors), log of the error. own : row -> column. rng : draws where there are too many.

    Returns
    -------
    None where fewer than two models have an own descriptor of their own, or the matrix has a gap in their rows.
    """
    rows = sorted(own)
    columns = [own[row] for row in rows]
    if len(rows) < 2 or len(set(columns)) < len(columns) or not np.isfinite(matrix[rows]).all():
        return None
    residual = centred(matrix[rows])
    n_columns = residual.shape[1]
    total = perm(n_columns, len(rows))
    if total <= MOST:
        chosen = np.array(list(permutations(range(n_columns), len(rows))))
    else:
        order = np.argsort(rng.random((MOST, n_columns)), axis=1)[:, : len(rows)]
        chosen = np.concatenate([[columns], order])
    sums = residual[np.arange(len(rows)), chosen].sum(axis=1)
    observed = residual[np.arange(len(rows)), columns].sum()
    # equal up to rounding counts as equal: the own assignment is one of those that are gone through
    as_low = sums <= observed + 1e-12 * np.abs(residual).max()
    return Assignment(
        estimate=float(observed / len(rows)),
        p=float(as_low.mean()),
        n=len(chosen),
        smallest=1.0 / len(chosen),
    )


def _p(pooled: Effect, better: Assignment | None, worse: Assignment | None, alpha: float) -> float:
    if not pooled.enough or better is None or worse is None or better.smallest > alpha / 2:
        return np.nan
    # two directions are looked at: each may take half of the error rate
    return max(pooled.p, min(1.0, 2 * (better if pooled.estimate < 0 else worse).p))


def outcome_of(effect: Effect | None, p: float, alpha: float = ALPHA, margin: float | None = None) -> str:
    """The outcome that an effect and its corrected ``p`` stand for; see ``Protocol`` for the margin."""
    if effect is None or not effect.enough:
        return UNDECIDABLE
    if p <= alpha:
        return BETTER if effect.estimate < 0 else WORSE
    if margin is not None:
        low, high = effect.ratio_interval(1.0 - 2.0 * alpha)
        if 1.0 - margin < low and high < 1.0 + margin:
            return EQUIVALENT
    return UNDECIDABLE if np.isnan(p) else NOT_SHOWN
