"""From the per-atom values of a basis to the latent space in which pruners choose.

Values are read in pieces of a fixed size: to find the scale, to find the axes where they are asked for, and to project
and pool. So a pool may be larger than the memory. A store that remembers blocks reads each file once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.fields import Between, Checked, OneOf
from tamis.core.memory import GIB, Memory
from tamis.selection.base import Array, Features, Indices, Pruner
from tamis.selection.components import PrincipalAxes, axes_of, number_for, numbers_for_axes, scatter

ROWS_AT_ONCE, NUMBERS_AT_ONCE = 4096, 2**22
"""A piece ends with the structure that fills it to this many environments, or numbers."""
WORKED_ON = 3
"""Copies of a piece that are made while its moments are taken, or while it is scaled and pooled."""


class Values(Protocol):
    """One array (n_atoms, K) per structure, which can be read several times: a list, or the store's ``lazy_values``."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Array]: ...


@dataclass(frozen=True)
class LatentSpace(Checked):
    """Scaling, rotation and pooling of per-atom values, fitted on the pool alone.

    The order is scale, then PCA, then pool. Scaling and PCA are fitted on environments, because a rare atom is a large
    part of the spread of environments but a small part of the spread of structure means. Because pooling comes last,
    a structure's vector is exactly the mean of the environments that atom-wise pruners see.

    pooling: ``mean`` gives a structure the mean of its environments, (K,); ``mean_std`` appends the standard
        deviation over its atoms, (2 K,), which tells a crystal with one odd atom from a slightly strained one.
    scaling: ``none`` keeps the basis' own numbers; ``standard`` makes every column zero mean and unit variance;
        ``global`` subtracts the mean and divides all columns by one number, so that the mean squared distance from the
        mean is 1 and columns keep their relative weight. A column that does not vary beyond rounding becomes zero.
    pca_variance: part of the environments' variance that the kept principal axes hold, between 0 and 1; None keeps
        all columns.
    """

    pooling: Annotated[str, OneOf("mean", "mean_std")]
    scaling: Annotated[str, OneOf("none", "standard", "global")]
    pca_variance: Annotated[float | None, Between(0, 1, say=0.99, above=True, below=True)]

    def features(
        self,
        values: Values,
        groups: Sequence[str],
        pruner: Pruner | None = None,
        memory: Memory | None = None,
    ) -> Features:
        """The pool in this latent space.

        Parameters
        ----------
        values : one array (n_atoms, K) per structure of the pool; K = 0 for ``descriptor=none``.
        groups : the kind of each structure, as many names as arrays.
        pruner : environments are left out where it does not need them. None: they are there.
        memory : limit for the features and the pruner's own copies. None: no limit.

        Raises
        ------
        TamisError : there are no structures, numbers are not finite, or the memory is too small.
        """
        if len(values) == 0:
            raise TamisError("the pool is empty: there are no structures to make features of")
        memory = memory or Memory(limit=2**62, remember=False)
        with memory.holding():
            moments = _moments(values, memory)
            projection = self._fit(moments, _pieces(values), memory)
            n_rows = moments.n_rows if pruner is None or pruner.needs_environments else 0
            width = (2 if self.pooling == "mean_std" else 1) * projection.width
            shapes = (len(values), width), (n_rows, projection.width)
            working = 0 if pruner is None else 8 * pruner.working(*shapes)
            needed = 8 * sum(rows * columns for rows, columns in shapes) + working
            memory.reserve(needed, _describe(len(values), n_rows, working))
            vectors, n_atoms = np.empty(shapes[0]), np.empty(len(values), dtype=np.intp)
            environments = np.empty(shapes[1])
            row = structure = 0
            for rows, sizes in _pieces(values):
                projected = projection.of(rows)
                here = slice(structure, structure := structure + len(sizes))
                n_atoms[here], vectors[here] = sizes, self._pool(projected, sizes)
                if n_rows:
                    environments[row : (row := row + len(rows))] = projected
        owners = np.repeat(np.arange(len(values), dtype=np.intp), n_atoms if n_rows else 0)
        return Features(vectors, environments, owners, n_atoms, tuple(groups))

    def _fit(self, moments: _Moments, pieces: Iterable[Piece], memory: Memory) -> _Projection:
        width = len(moments.mean)
        shift, factor = np.zeros(width), np.ones(width)
        if self.scaling != "none" and width:
            magnitude = np.maximum(moments.highest, -moments.lowest)
            deviation = moments.deviation
            # What is left of a constant column is rounding, which a division by its spread would blow up to noise of
            # unit variance: of the column itself, or of the larger columns that cancelled in it.
            varies = deviation > np.maximum(1e-10 * magnitude, 1e-14 * magnitude.max())
            spread = deviation if self.scaling == "standard" else np.sqrt(np.sum(deviation[varies] ** 2))
            shift = moments.mean
            factor = np.divide(1.0, spread, out=np.zeros(width), where=varies)
        range_ = (moments.highest - moments.lowest) * factor
        if self.pca_variance is None or not range_.any():
            return _Projection(None if self.scaling == "none" else shift, factor, None)
        # The axes go through the mean; signs of axes are arbitrary, distances are not.
        turn = _leading_axes(pieces, moments, factor, self.pca_variance, memory)
        return _Projection(moments.mean, factor, turn)

    def _pool(self, environments: Array, sizes: Indices) -> Array:
        starts = np.cumsum(sizes) - sizes
        means = np.add.reduceat(environments, starts, axis=0) / sizes[:, None]
        if self.pooling == "mean":
            return np.asarray(means)
        squares = (environments - np.repeat(means, sizes, axis=0)) ** 2
        deviations = np.sqrt(np.add.reduceat(squares, starts, axis=0) / sizes[:, None])
        return np.hstack([means, deviations])


@dataclass(frozen=True, eq=False)
class _Projection:
    """(rows - shift) * factor, or (rows - shift) @ turn; None leaves a step out."""

    shift: Array | None
    factor: Array
    turn: Array | None

    @property
    def width(self) -> int:
        return len(self.factor) if self.turn is None else self.turn.shape[1]

    def of(self, rows: Array) -> Array:
        if self.shift is None:
            return rows
        shifted = rows - self.shift
        return shifted * self.factor if self.turn is None else np.asarray(shifted @ self.turn)


@dataclass(eq=False)
class _Moments:
    """Moments of each column, of the rows seen so far.

    squares: (K,) sums of squares of the deviations from the mean.
    """

    n_rows: int
    mean: Array
    squares: Array
    lowest: Array
    highest: Array

    @classmethod
    def empty(cls, width: int) -> _Moments:
        """Of no rows."""
        infinity = np.full(width, np.inf)
        return cls(0, np.zeros(width), np.zeros(width), infinity, -infinity)

    @property
    def deviation(self) -> Array:
        return np.asarray(np.sqrt(self.squares / self.n_rows))

    def add(self, rows: Array) -> None:
        """Combine with the moments of more rows (Chan, Golub and LeVeque, Am. Stat. 37, 242 (1983))."""
        mean = rows.mean(axis=0)
        centred = rows - mean
        away, total = mean - self.mean, self.n_rows + len(rows)
        self.squares += np.einsum("ij,ij->j", centred, centred) + away**2 * (self.n_rows * len(rows) / total)
        self.mean += away * (len(rows) / total)
        self.n_rows = total
        np.minimum(self.lowest, rows.min(axis=0), out=self.lowest)
        np.maximum(self.highest, rows.max(axis=0), out=self.highest)


Piece = tuple[Array, Indices]


def _moments(values: Values, memory: Memory) -> _Moments:
    """The moments; also reserves memory for the largest structure, where it exceeds a piece."""
    moments, largest = _Moments.empty(0), 0
    for rows, _ in _pieces(values):
        if moments.n_rows == 0:
            moments = _Moments.empty(rows.shape[1])
        if rows.nbytes > max(largest, 8 * NUMBERS_AT_ONCE):
            memory.reserve(WORKED_ON * (rows.nbytes - largest), f"values of {len(rows)} environments")
            largest = rows.nbytes
        moments.add(rows)
    return moments


def _leading_axes(
    pieces: Iterable[Piece], moments: _Moments, factor: Array, part: float, memory: Memory
) -> Array:
    """The axes that hold the part of the variance of scaled environments, times the scale, (K, k).

    From (K, K) products, or from the environments where these are fewer than columns.
    """
    n, width = moments.n_rows, len(factor)
    parts = (rows for rows, _ in pieces)
    with memory.holding():
        needed = 8 * (numbers_for_axes(n, width) + (n * width if n < width else 0))
        memory.reserve(needed, f"principal axes of {width} columns (latent.pca_variance)")
        if n < width:
            axes = PrincipalAxes.of(np.concatenate(list(parts)), moments.mean, factor)
            return axes.turn(axes.number_for(part))
        squares, turned = axes_of(scatter(parts, moments.mean, factor))
        return factor[:, None] * turned[:, : number_for(squares, part)]


def _describe(n_structures: int, n_rows: int, working: int) -> str:
    environments = f" and {n_rows} environments" if n_rows else ""
    more = f", with {working / GIB:.3g} GiB that the pruner works with," if working else ""
    return f"latent vectors of {n_structures} structures{environments}{more}"


def _pieces(values: Values) -> Iterator[Piece]:
    """Values of some structures, (n_rows, K), and the number of atoms of each; the pieces are copies."""
    arrays: list[Array] = []
    n_rows = 0
    for i, array in enumerate(values):
        if not np.isfinite(array).all():
            raise TamisError(
                f"structure {i} of the pool has features that are NaN or infinite; look for overlapping atoms in it "
                "or remove it"
            )
        arrays.append(array)
        n_rows += len(array)
        if n_rows >= ROWS_AT_ONCE or n_rows * array.shape[1] >= NUMBERS_AT_ONCE:
            yield _piece(arrays)
            arrays, n_rows = [], 0
    if arrays:
        yield _piece(arrays)


def _piece(arrays: Sequence[Array]) -> Piece:
    sizes = np.array([len(array) for array in arrays], dtype=np.intp)
    return np.concatenate(arrays).astype(np.float64, copy=False), sizes
