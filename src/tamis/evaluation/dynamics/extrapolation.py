"""The share of a run's environments that lie outside the kept structures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis, StructureBasis
from tamis.core.errors import TamisError
from tamis.core.fields import Between, Checked, Whole
from tamis.data.dataset import Dataset
from tamis.models.base import Array
from tamis.selection.components import PrincipalAxes, column_squares, numbers_for_components
from tamis.selection.rows import project
from tamis.store import Store

AXES_VARIANCE = 0.999
"""Part of the pool's variance that the axes hold; the rest is noise, and each dimension costs time."""
ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Extrapolation(Checked):
    """An environment is outside if its nearest kept one is further away than nearest neighbours in the full pool are.

    space: the one space that is common to all trials; the model's own space is measured beside it.
    percentile: of the distances from each environment of the pool to the nearest one in another structure of the
        pool; environments further away than this are outside.
    frames: at most this many of the runs of one name, evenly spread.
    pool_environments: at most this many, evenly spread, give the percentile.
    """

    space: Basis
    percentile: Annotated[float, Between(0, 100, say=99, above=True, below=True)]
    frames: Annotated[int, Whole(1)]
    pool_environments: Annotated[int, Whole(1)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.space, StructureBasis):
            raise TamisError(
                f"extrapolation.space is {type(self.space).__name__}, which describes whole structures, and "
                "environments of atoms are compared: take a descriptor of atoms, such as soap"
            )

    def outside(
        self, basis: Basis, pool: Dataset, kept: Dataset, frames: Sequence[Atoms], store: Store
    ) -> Array:
        """Share of the environments of each of ``frames`` that lie outside ``kept``, in the space of ``basis``.

        The scale of the space, its axes and the threshold come from ``pool`` alone.
        """
        with store.memory.holding():
            values = store.values(basis, pool.structures)
            n = sum(len(block) for block in values)
            needed = 8 * (n * basis.n_features + numbers_for_components(n, basis.n_features))
            store.memory.reserve(needed, f"axes of {n} environments of {len(pool)} structures")
            whole = np.concatenate(values)
            mean, turn = axes(whole)
            environments = project(whole, mean, turn)
            del whole, values
        owners = np.repeat(np.arange(len(pool)), pool.n_atoms)
        asked = np.unique(np.linspace(0, len(environments) - 1, self.pool_environments).round().astype(int))
        usual = nearest(environments[asked], environments, owners[asked], owners)
        threshold = np.percentile(usual, self.percentile)
        mine = np.concatenate([(block - mean) @ turn for block in store.lazy_values(basis, kept.structures)])
        theirs = np.concatenate([(basis.values(atoms) - mean) @ turn for atoms in frames])
        is_outside = nearest(theirs, mine) > threshold
        starts = np.cumsum([0, *(len(atoms) for atoms in frames)])
        return np.array([is_outside[a:b].mean() for a, b in pairwise(starts)])


def axes(values: Array) -> tuple[Array, Array]:
    """Mean (K,) and a matrix (K, k) that scales columns to unit variance and turns to the principal axes.

    Columns that vary by rounding only become zero.
    """
    mean = values.mean(axis=0)
    deviation = np.sqrt(column_squares(values, mean) / len(values))
    varies = deviation > 1e-10 * max(values.max(initial=1e-300), -values.min(initial=0.0))
    scale = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=varies)
    found = PrincipalAxes.of(values, mean, scale)
    parts = np.cumsum(found.squares) / max(found.squares.sum(), 1e-300)
    n_axes = min(int(np.searchsorted(parts, AXES_VARIANCE)) + 1, len(parts))
    return mean, found.turn(n_axes)


def nearest(
    points: Array,
    others: Array,
    owners: NDArray[np.intp] | None = None,
    other_owners: NDArray[np.intp] | None = None,
) -> Array:
    """Distance of each of ``points`` (n, k) to the nearest of ``others`` (m, k), of another owner if they have any."""
    found = np.empty(len(points))
    lengths = np.einsum("ij,ij->i", others, others)
    for begin in range(0, len(points), ROWS_AT_ONCE):
        rows = slice(begin, begin + ROWS_AT_ONCE)
        squares = lengths - 2.0 * points[rows] @ others.T
        if owners is not None and other_owners is not None:
            squares[owners[rows][:, None] == other_owners] = np.inf
        # cancellation leaves 1e-8 of the lengths, which is exact enough where one asks for the largest distances
        best = squares.min(axis=1) + np.einsum("ij,ij->i", points[rows], points[rows])
        found[rows] = np.sqrt(np.maximum(best, 0.0))
    return found
