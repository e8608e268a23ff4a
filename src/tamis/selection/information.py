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
        sums = _Sums.over(rows, memory)
        weight, scale = sums.weight_and_scale()
        goal, counts = _unweighted(sums, weight) if noise == UNIFORM else _weighted(rows, sums, weight, scale)
        squares, axes = np.linalg.eigh(goal * np.outer(scale, scale))
        kept = np.flatnonzero(len(rows) * squares > PRIOR)[::-1]
        turn = scale[:, None] * axes[:, kept] / np.sqrt(PRIOR)
        blocks = []
        for energy, structure, count in zip(sums.energies, rows, counts, strict=True):
            block = _as_block(
                np.concatenate([weight * energy[None], structure.forces]) @ (np.sqrt(count) * turn)
            )
            memory.reserve(block.nbytes, f"design rows of {len(rows)} structures in {len(kept)} directions")
            blocks.append(block)
        has_forces = bool(sums.force_gram.any())
        return cls(tuple(blocks), squares[kept] / PRIOR, weight, len(scale), has_forces, noise)

    @property
    def said(self) -> tuple[str, ...]:
        """What a record tells of it."""
        counts = f"an energy per atom counts {self.energy_weight:.3g} /Å beside a force component"
        if not self.has_forces:
            counts = "energies alone: the descriptor has no derivatives"
        told = f"{counts}; {len(self.mean)} directions of {self.n_columns} columns"
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


def _unweighted(sums: _Sums, weight: float) -> tuple[Array, Array]:
    """G, (K, K), of unscaled columns, and what each structure counts in the precision, (n,): the same."""
    n = len(sums.energies)
    goal = sums.force_gram / n
    goal += goal.T - np.diag(goal.diagonal())  # BLAS fills one triangle
    goal += weight**2 / n * (sums.energies.T @ sums.energies)
    return goal, np.ones(n)


def _weighted(rows: RowSource, sums: _Sums, weight: float, scale: Array) -> tuple[Array, Array]:
    """The same where the expected errors of structures differ."""
    n = len(rows)
    goal, expected, traces = np.zeros_like(sums.force_gram, order="F"), np.empty(n), np.empty(n)
    for i, structure in enumerate(rows):
        expected[i] = sums.expected(structure)
        block = np.concatenate([weight * sums.energies[i : i + 1], structure.forces])
        traces[i] = np.einsum("ij,ij->j", block, block) @ scale**2
        goal = blas.dsyrk(expected[i] ** -0.5 / n, block.T, beta=1.0, c=goal, overwrite_c=True)
    goal += goal.T - np.diag(goal.diagonal())
    goal *= traces.sum() / (expected**-0.5 @ traces)
    return goal, traces.sum() / (traces @ expected**-1.0) / expected


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
