"""What each structure tells a model that is linear in a basis: its design rows, with the prior as the unit.

A structure has one row for its energy per atom and one for each force component. With rows X_i, the energy row times
the weight w_E, the coefficients' precision after keeping the structures S is P + sum over S of X_i^T X_i (Chaloner and
Verdinelli, Stat. Sci. 10, 273 (1995)). No label is needed for it.

Everything that has to be known beside the rows follows from the pool:

* **Free atoms.** A fit has a constant for each element. So energy rows are taken less what the composition explains.
* **Energy weight.** A model fails an atom by an error that is in proportion to how much that atom's values vary, and
  errors of different atoms are independent. Then the error of an energy per atom has the variance s^2 / N, s^2 the
  variance of the values over the atoms of the pool, and w_E^2 is the mean square of the force rows of a structure over
  the mean of s^2 / N, each column alone counted the same.
* **Columns** are scaled to unit mean square over the structures of the pool, as the ridge of a linear fit does.
* **Prior.** ``PRIOR`` times the mean information that one structure has per column. Directions of which the whole pool
  tells less than the prior are left out: no choice could learn them.
* **Misfits in common.** No choice of coefficients gives all energies, and like structures are missed alike: hot frames
  lie too high together. So an energy per atom has, beside the coefficients, a Gaussian process over the mean values of
  structures (B. J. N. Blight and L. Ott, Biometrika 62, 79 (1975); M. C. Kennedy and A. O'Hagan, J. R. Stat. Soc. B 63,
  425 (2001)), with covariance exp(-d^2 / 2), d in units of the root mean square distance from the mean. Its standard
  deviation is ``MISFIT`` times the error of a force component. An energy then tells little of structures that are
  unlike its own, and kinds of structure that no other teaches about are kept, too. Only where there are forces.
* **Noise.** ``UNIFORM``: all structures are missed alike. ``SPREAD``: the squared error expected in a structure is in
  proportion to v = ``FLOOR`` + (1 - ``FLOOR``) q, where q is the mean square of what the values of its atoms differ by
  from the mean of their element, each column in units of its spread; the mean of q over the atoms of the pool is 1. Its
  rows count 1 / v in the precision, as in weighted least squares. What is to become small is the mean absolute error.
  It is in proportion to sqrt(v + d) where the coefficients add the variance d, about sqrt(v) + d / (2 sqrt(v)), so a
  structure counts 1 / sqrt(v) in the mean G. Neither weight changes the trace of the information of the whole pool.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import blas

from tamis.bases.base import Array
from tamis.core.memory import Memory
from tamis.core.packed import packed_gram, unpacked
from tamis.selection.greedy import first_largest

PRIOR = 0.1
"""Prior precision of a column, in the mean information of one structure."""
NOTHING = 1e-12
"""Rows with less information than this part of the prior are left out; atoms of a perfect crystal have such forces."""
ROWS_PER_PRODUCT = 3
"""Products of columns are kept where there are more rows than this part of the columns: gains are then cheaper."""
CONSTANT = 1e-10
"""A column that varies by less than this part of its size is constant: the rest is rounding."""
UNIFORM, SPREAD = "uniform", "spread"
"""How large the errors of a model are in different structures."""
FLOOR = 0.1
"""Expected squared error of a structure whose atoms all have mean values, in the mean over the pool."""
MISFIT = 0.05
"""Å. Energies per atom are missed in common by this times a force component; 20/Å is the middle of the energy weights
that fits try."""
MISFITS, LEFT = 60, 1e-3
"""Directions of common misfits, at most; the part of a variance that may be left out."""
SQUARES = 6
"""Matrices of all columns in memory while directions are found: sums, their eigenvectors, and LAPACK's workspace."""


@dataclass(frozen=True, eq=False)
class AtomRows:
    """One structure in a basis of K functions.

    values: (n_atoms, K). forces: (3 n_atoms, K), 1/Å, minus the derivatives of the sum of the values by the positions;
    no rows where the basis has no derivatives. species: (n_atoms,) number of each atom's element.
    """

    values: Array
    forces: Array
    species: NDArray[np.int64]


class RowSource(Protocol):
    """The rows of all structures of a pool, which can be read several times."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[AtomRows]: ...


@dataclass(frozen=True, eq=False)
class Information:
    """Rows of each structure on the directions that the pool tells of, where the prior precision is the unit matrix.

    Directions are of the basis' columns and, with forces, of misfits in common.

    blocks: one array per structure: few rows (n_rows, r), or of many rows the products of all pairs of columns,
        (r (r + 1) / 2,), the upper triangle in LAPACK's rectangular full packed format.
    mean: (r,) G, the mean of the products over the pool, which is diagonal, falling.
    energy_weight: w_E, 1/Å; 1 where there are no forces. n_columns: of the basis. has_forces: False for energies alone.
    noise: uniform or spread.
    """

    blocks: tuple[Array, ...]
    mean: Array
    energy_weight: float
    n_columns: int
    has_forces: bool
    noise: str = UNIFORM

    @classmethod
    def of(cls, rows: RowSource, memory: Memory | None = None, noise: str = UNIFORM) -> Information:
        """The information of a pool; ``rows`` are read twice, and once more where the noise is not uniform.

        Raises
        ------
        TamisError : the memory is too small.
        """
        memory = memory or Memory(limit=2**62, remember=False)
        n, sums = len(rows), _Sums.over(rows, memory)
        weight, scale = sums.weight_and_scale()
        weighed = _Weighed.alike(sums) if noise == UNIFORM else _Weighed.by_spread(rows, sums, weight, scale)
        scale /= np.sqrt(PRIOR)  # now the prior precision of every column is 1
        energies = weight * sums.energies * scale
        has_forces = bool(sums.force_gram.any())
        if has_forces:
            memory.reserve(8 * n * (len(scale) + 2 * MISFITS), f"misfits in common of {n} structures")
            misfits = weight * MISFIT * misfit_factor(sums.energies * scale)
            energies = np.concatenate([energies, misfits], axis=1)
        goal = energies.T @ (weighed.goals[:, None] * energies) / n
        width = len(scale)
        goal[:width, :width] += weighed.forces * np.outer(scale, scale)
        squares, axes = np.linalg.eigh(goal)
        kept = np.flatnonzero(n * squares > 1.0)[::-1]
        turn = axes[:, kept]
        of_forces = scale[:, None] * turn[:width]
        blocks = []
        for energy, structure, count in zip(energies, rows, weighed.counts, strict=True):
            found = np.concatenate([energy[None] @ turn, structure.forces @ of_forces])
            block = _as_block(np.sqrt(count) * found)
            memory.reserve(block.nbytes, f"design rows of {n} structures in {len(kept)} directions")
            blocks.append(block)
        return cls(tuple(blocks), squares[kept], weight, width, has_forces, noise)

    @property
    def said(self) -> tuple[str, ...]:
        """What a record tells of it."""
        counts = f"an energy per atom counts {self.energy_weight:.3g} /Å beside a force component"
        if not self.has_forces:
            counts = "energies alone: the descriptor has no derivatives"
        beside = " and of misfits in common" if self.has_forces else ""
        told = f"{counts}; {len(self.mean)} directions of {self.n_columns} columns{beside}"
        if self.noise == UNIFORM:
            return (told,)
        return told, "larger errors are expected where the values of atoms are far from their mean"


@dataclass(frozen=True, eq=False)
class _Sums:
    """Sums over a pool.

    force_gram: (K, K), one triangle. energies: (n, K) rows of energies per atom, less what the composition explains.
    spread: (K,) variance of the values about the mean of their element, over all atoms. size: (K,) root mean square.
    means: element's number -> (K,) mean of its atoms' values. mean_inverse: mean of 1 / n_atoms.
    """

    force_gram: Array
    energies: Array
    spread: Array
    size: Array
    means: dict[int, Array]
    mean_inverse: float

    @classmethod
    def over(cls, rows: RowSource, memory: Memory) -> _Sums:
        """One pass over the rows."""
        gram = energies = np.empty((0, 0))
        by_element: dict[int, Array] = {}
        counts: dict[int, Array] = {}
        for i, structure in enumerate(rows):
            values = structure.values
            if i == 0:
                width = values.shape[1]
                memory.reserve(8 * width * (SQUARES * width + len(rows)), f"products of {width} columns")
                gram, energies = np.zeros((width, width), order="F"), np.empty((len(rows), width))
                squares = np.zeros(width)
            energies[i] = values.mean(axis=0)
            squares += np.einsum("ij,ij->j", values, values)
            for element in np.unique(structure.species).tolist():
                mine = structure.species == element
                counts.setdefault(element, np.zeros(len(rows)))[i] = mine.sum()
                by_element[element] = by_element.get(element, 0.0) + values[mine].sum(axis=0)
            if len(structure.forces):
                gram = blas.dsyrk(1.0, structure.forces.T, beta=1.0, c=gram, overwrite_c=True)
        count = np.column_stack([counts[element] for element in sorted(counts)])
        n_atoms = count.sum(axis=1)
        composition = count / n_atoms[:, None]
        energies -= composition @ np.linalg.lstsq(composition, energies, rcond=None)[0]
        explained = sum(by_element[e] ** 2 / counts[e].sum() for e in counts)
        return cls(
            gram,
            energies,
            (squares - explained) / n_atoms.sum(),
            np.sqrt(squares / n_atoms.sum()),
            {e: by_element[e] / counts[e].sum() for e in counts},
            float(np.mean(1.0 / n_atoms)),
        )

    @property
    def vary(self) -> NDArray[np.bool_]:
        """Columns that differ between atoms, (K,): the spread is a difference of squares, and its rounding larger."""
        return np.asarray(self.spread > np.sqrt(CONSTANT) * 1e-8 * self.size**2)

    def expected(self, structure: AtomRows) -> float:
        """The squared error expected in a structure, in the mean over the pool (see ``SPREAD``)."""
        vary = self.vary
        if not vary.any():
            return 1.0
        means = np.array([self.means[e] for e in structure.species.tolist()])
        away = (structure.values - means)[:, vary] ** 2 / self.spread[vary]
        return FLOOR + (1.0 - FLOOR) * float(away.mean())

    def weight_and_scale(self) -> tuple[float, Array]:
        """w_E, and the factors (K,) that give the columns unit mean square; 0 for constant columns."""
        n, negligible = len(self.energies), (CONSTANT * self.size) ** 2
        force = self.force_gram.diagonal() / n
        telling = (force > negligible) & self.vary
        weight = 1.0
        if telling.any():
            weight = float(np.mean(self.mean_inverse * self.spread[telling] / force[telling]) ** -0.5)
        whole = force + weight**2 * np.mean(self.energies**2, axis=0)
        varies = whole > negligible * max(1.0, weight**2)
        return weight, np.where(varies, 1.0 / np.sqrt(np.where(varies, whole, 1.0)), 0.0)


@dataclass(frozen=True, eq=False)
class _Weighed:
    """What structures count.

    forces: (K, K) part of G of the force rows, of unscaled columns. goals: (n,) what a structure's energy row counts in
    G. counts: (n,) what its rows count in the precision.
    """

    forces: Array
    goals: Array
    counts: Array

    @classmethod
    def alike(cls, sums: _Sums) -> _Weighed:
        """All the same."""
        n = len(sums.energies)
        forces = sums.force_gram / n
        return cls(_whole(forces), np.ones(n), np.ones(n))

    @classmethod
    def by_spread(cls, rows: RowSource, sums: _Sums, weight: float, scale: Array) -> _Weighed:
        """By the squared errors that are expected."""
        n = len(rows)
        forces, expected, traces = np.zeros_like(sums.force_gram, order="F"), np.empty(n), np.empty(n)
        for i, structure in enumerate(rows):
            expected[i] = sums.expected(structure)
            block = np.concatenate([weight * sums.energies[i : i + 1], structure.forces])
            traces[i] = np.einsum("ij,ij->j", block, block) @ scale**2
            if len(structure.forces):
                forces = blas.dsyrk(
                    expected[i] ** -0.5 / n, structure.forces.T, beta=1.0, c=forces, overwrite_c=True
                )
        share = traces.sum() / (expected**-0.5 @ traces)
        return cls(
            share * _whole(forces),
            share * expected**-0.5,
            traces.sum() / (traces @ expected**-1.0) / expected,
        )


def _whole(upper: Array) -> Array:
    """The symmetric matrix of which BLAS filled one triangle."""
    return np.asarray(upper + upper.T - np.diag(upper.diagonal()))


def misfit_factor(places: Array) -> Array:
    """Factor U, (n, m), of the covariances of misfits, U U^T = exp(-d^2 / 2), up to ``LEFT`` of each variance.

    Pivoted Cholesky factorisation, which needs m columns of the matrix (S. Fine and K. Scheinberg, J. Mach. Learn. Res.
    2, 243 (2001)).

    Parameters
    ----------
    places : (n, K), where each structure lies. d is in units of the root mean square distance from the origin.
    """
    squares = np.einsum("ij,ij->i", places, places)
    unit = float(squares.mean())
    if unit == 0.0:
        return np.empty((len(places), 0))
    left, factor = np.ones(len(places)), np.empty((min(MISFITS, len(places)), len(places)))
    pivot, m = int(np.argmin(squares)), 0  # the most central one first: all variances are equal
    while m < len(factor) and left[pivot] > LEFT:
        distances = squares + squares[pivot] - 2.0 * places @ places[pivot]
        covariances = np.exp(-np.maximum(distances, 0.0) / (2.0 * unit))
        factor[m] = (covariances - factor[:m, pivot] @ factor[:m]) / np.sqrt(left[pivot])
        left -= factor[m] ** 2
        left[pivot] = 0.0
        m += 1
        pivot = first_largest(left, 1.0)
    return factor[:m].T


def _as_block(rows: Array) -> Array:
    """Rows that tell something; the products of their columns, packed, where there are many rows."""
    rows = rows[np.einsum("ij,ij->i", rows, rows) > NOTHING]
    if len(rows) * ROWS_PER_PRODUCT <= rows.shape[1]:
        return rows
    return packed_gram(rows)


def products(block: Array, width: int) -> Array:
    """block^T block, (width, width), of rows or of packed products."""
    if block.ndim == 2:
        return np.asarray(block.T @ block)
    upper = unpacked(block, width)
    return upper + np.triu(upper, 1).T
