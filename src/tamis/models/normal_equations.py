"""Least squares on energies, forces and stresses through Gram matrices, one per fold.

The loss of coefficients c on a set of structures is a weighted sum of three mean squares,

    w_E² <(dE / N)²> + <dF²> + w_S² <(V dσ / N)²>,

energies and strain derivatives per atom, forces per component, each mean over the rows that have a label. Means make
the weights independent of how many structures are kept. They are means by the weights of the structures, where these
have any: a structure of weight 2 counts as two, one of weight 0 not at all, and only ratios of weights matter. Each
term is a quadratic form of c, whose matrices add up over structures; so folds, weights and ridges cost sums of small
matrices and no further pass over the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, blas, lapack, solve_triangular

from tamis.bases.base import DesignRows
from tamis.core.errors import TamisError
from tamis.core.packed import Factor, diagonal_places, packed, unpacked
from tamis.data.dataset import Dataset
from tamis.models.free_atoms import FreeAtoms, element_counts

Array = NDArray[np.float64]

Indices = NDArray[np.intp]

FREE_RIDGE = 1e-12
"""Ridge on the scaled columns of the free-atom energies: enough to determine them where the composition is fixed."""
MATRICES_OF_A_SOLUTION = 5
"""Square matrices while one system is solved: combined, factorised, products before they are packed; or a QR's rows."""
PREDICTION_TOLERANCE = 1e-7
"""Relative change of the predictions by the last step of refinement, at most."""
LEAST_SHRINKAGE = 1e-2
"""Of the square of the change from step to step; steps that shrink less, too, end in a QR of the rows."""
ZERO_COLUMN = 1e-14
"""Columns with norms below this part of the largest count as zero everywhere."""


@dataclass(frozen=True)
class Weights:
    """energy: w_E in 1/Å; stress: w_S in 1/Å (its residuals are strain derivatives per atom, eV)."""

    energy: float
    stress: float


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Unweighted rows of one kind: ``matrix`` (n, columns) and ``target`` (n,).

    Force and stress rows leave out the columns of the free-atom energies, which come last and are zero in them.
    weight: of the squares of their residuals. gram: ``packed_gram`` of the matrix, where it is known already.
    """

    matrix: Array
    target: Array
    weight: float = 1.0
    gram: Array | None = None

    @property
    def is_used(self) -> bool:
        """Whether there are rows, and their weight is not 0."""
        return len(self.target) > 0 and self.weight > 0.0

    @property
    def total_weight(self) -> float:
        """The sum of the weights of the rows."""
        return self.weight * len(self.target)

    def times(self, coefficients: Array) -> Array:
        """Predictions, (n,)."""
        return np.asarray(self.matrix @ coefficients[: self.matrix.shape[1]])


@dataclass(frozen=True, eq=False)
class FewRows:
    """Rows of one kind of all structures, of which each has the same few; those without a label have weight 0.

    matrix: (n_structures * per_structure, columns); target, weight: (n_structures * per_structure,).
    """

    matrix: Array
    target: Array
    weight: Array
    per_structure: int

    def of(self, structures: Indices) -> list[RowBlock]:
        """The rows of ``structures`` that have a weight, in blocks of equal weights."""
        places = (structures[:, None] * self.per_structure + np.arange(self.per_structure)).ravel()
        weights = self.weight[places]
        return [
            RowBlock(self.matrix[some], self.target[some], float(weight))
            for weight in np.unique(weights[weights > 0.0])
            for some in [places[weights == weight]]
        ]


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Weighted |X c - y|² as c' gram c - 2 c' moment + square.

    gram: (K, K), ``packed``; moment: (K,). rows: how many rows it sums over; weight: the sum of their weights.
    """

    gram: Array
    moment: Array
    square: float
    rows: int
    weight: float

    def __add__(self, other: Quadratic) -> Quadratic:
        """Sum over the rows of both."""
        return Quadratic(
            self.gram + other.gram,
            self.moment + other.moment,
            self.square + other.square,
            self.rows + other.rows,
            self.weight + other.weight,
        )

    def __sub__(self, other: Quadratic) -> Quadratic:
        """Sum over the rows that are not in ``other``."""
        return Quadratic(
            self.gram - other.gram,
            self.moment - other.moment,
            self.square - other.square,
            self.rows - other.rows,
            self.weight - other.weight,
        )

    @classmethod
    def of(cls, blocks: Sequence[RowBlock], size: int) -> Quadratic:
        """Sum over the rows of ``blocks``, for ``size`` coefficients."""
        moment, square, rows, weight = np.zeros(size), 0.0, 0, 0.0
        used = [block for block in blocks if block.is_used]
        for block in used:
            columns = block.matrix.shape[1]
            moment[:columns] += block.weight * (block.target @ block.matrix)
            square += block.weight * float(block.target @ block.target)
            rows += len(block.target)
            weight += block.total_weight
        return cls(_sum_of_grams(used, size), moment, square, rows, weight)

    @property
    def size(self) -> int:
        """Number of coefficients."""
        return len(self.moment)

    def mean_square(self, coefficients: Array) -> float:
        """<(X c - y)²> of coefficients (K,); NaN where there are no rows."""
        return float(self.mean_squares(coefficients[:, None])[0])

    def mean_squares(self, coefficients: Array) -> Array:
        """Weighted <(X c - y)²> of each column of ``coefficients`` (K, n), (n,); NaN where there are no rows."""
        if self.rows == 0:
            return np.full(coefficients.shape[1], np.nan)
        product = blas.dsymm(1.0, unpacked(self.gram, self.size), coefficients)
        totals = np.einsum("ij,ij->j", coefficients, product) - 2.0 * self.moment @ coefficients + self.square
        return np.asarray(np.maximum(totals, 0.0) / self.weight)


def _sum_of_grams(blocks: Sequence[RowBlock], size: int) -> Array:
    """Products of the columns of all rows, times their weights, ``packed`` (size, size)."""
    if not blocks:
        return np.zeros(size * (size + 1) // 2)
    columns = blocks[0].matrix.shape[1]
    known = np.zeros(columns * (columns + 1) // 2)
    for block in blocks:
        if block.gram is not None:
            blas.daxpy(block.gram, known, a=block.weight)
    others = [block for block in blocks if block.gram is None]
    if others:
        new = np.zeros((columns, columns), order="F")
        for block in others:
            new = blas.dsyrk(block.weight, block.matrix.T, beta=1.0, c=new, overwrite_c=True)
        known += packed(new)
    if columns == size:
        return known
    whole = np.zeros((size, size), order="F")
    whole[:columns, :columns] = unpacked(known, columns)
    return packed(whole)


@dataclass(frozen=True, eq=False)
class Terms:
    """The three quadratic forms of a set of structures."""

    energy: Quadratic
    force: Quadratic
    stress: Quadratic

    @staticmethod
    def n_bytes(size: int, n_sets: int) -> int:
        """Memory of the terms of so many sets of structures, and of solving with one of them."""
        return 4 * 3 * n_sets * size * (size + 1) + 8 * MATRICES_OF_A_SOLUTION * size**2

    @property
    def kinds(self) -> tuple[Quadratic, Quadratic, Quadratic]:
        """Energy, force, stress."""
        return self.energy, self.force, self.stress

    def __add__(self, other: Terms) -> Terms:
        """Sums over the structures of both."""
        return Terms(*(mine + theirs for mine, theirs in zip(self.kinds, other.kinds, strict=True)))

    def __sub__(self, other: Terms) -> Terms:
        """Sums over the structures that are not in ``other``."""
        return Terms(*(mine - theirs for mine, theirs in zip(self.kinds, other.kinds, strict=True)))

    def combine(self, weights: Weights) -> tuple[Array, Array]:
        """Gram matrix (``packed``) and moment of the weighted loss."""
        factors = (weights.energy**2, 1.0, weights.stress**2)
        return self.weighted_sum(
            [f / term.weight if term.rows else 0.0 for f, term in zip(factors, self.kinds, strict=True)]
        )

    def weighted_sum(self, factors: Sequence[float]) -> tuple[Array, Array]:
        """Gram matrix (``packed``) and moment of the energy, force and stress terms times ``factors``, summed."""
        gram, moment = factors[1] * self.force.gram, factors[1] * self.force.moment
        for term, factor in ((self.energy, factors[0]), (self.stress, factors[2])):
            if factor != 0.0:  # in place: the matrices are larger than caches
                blas.daxpy(term.gram, gram, a=factor)
                moment += factor * term.moment
        return gram, moment


@dataclass(frozen=True, eq=False)
class Rows:
    """Unweighted rows of n structures with their targets, by kind; forces by structure.

    The columns are the basis functions, then one per element that counts its atoms (the free-atom energies that no
    isolated atom fixes).
    """

    energy: FewRows
    force: tuple[RowBlock, ...]
    stress: FewRows

    @property
    def size(self) -> int:
        """Number of columns."""
        return int(self.energy.matrix.shape[1])

    def kinds(self, structures: Indices) -> tuple[list[RowBlock], list[RowBlock], list[RowBlock]]:
        """Blocks of the energies, forces and stresses of the chosen structures that count."""
        force = [block for i in structures if (block := self.force[i]).is_used]
        return self.energy.of(structures), force, self.stress.of(structures)

    def terms(self, structures: Indices) -> Terms:
        """Quadratic forms of the chosen structures."""
        return Terms(*(Quadratic.of(blocks, self.size) for blocks in self.kinds(structures)))

    def weighted(self, structures: Indices, weights: Weights) -> list[tuple[RowBlock, float]]:
        """Blocks, and the factor by which the loss multiplies their rows."""
        blocks_of_all_kinds = []
        factors = (weights.energy, 1.0, weights.stress)
        for blocks, weight in zip(self.kinds(structures), factors, strict=True):
            total = sum(block.total_weight for block in blocks)
            blocks_of_all_kinds += [
                (block, weight * np.sqrt(block.weight) / np.sqrt(total)) for block in blocks
            ]
        return blocks_of_all_kinds


def gather_rows(
    design: Sequence[DesignRows],
    dataset: Dataset,
    elements: Sequence[str],
    free: FreeAtoms,
    grams: Sequence[Array | None] | None = None,
) -> Rows:
    """Rows of labelled structures; energies less those of the ``free`` atoms; missing labels are left out.

    grams : ``packed_gram`` of the force rows of each structure, where it is known.
    """
    n_atoms, weights = dataset.n_atoms, dataset.label_weights
    counts = element_counts(dataset.structures, elements)
    energy = np.empty((len(dataset), design[0].energy.shape[0] + free.n_open))
    strain = np.empty((len(dataset), *design[0].strain_gradient.shape))
    forces = []
    for i, (rows, of_free) in enumerate(zip(design, free.rows(counts), strict=True)):
        energy[i, : energy.shape[1] - free.n_open] = rows.energy - of_free
        strain[i] = rows.strain_gradient
        n_rows = 3 * int(n_atoms[i]) if dataset.has_forces[i] else 0
        forces.append(
            RowBlock(
                rows.forces.reshape(-1, rows.forces.shape[2])[:n_rows],
                dataset.forces[i].ravel()[:n_rows],
                float(weights[i, 1]),
                None if grams is None else grams[i],
            )
        )
    energy[:, energy.shape[1] - free.n_open :] = counts[:, ~free.fixed]
    energy /= n_atoms[:, None]
    strain /= n_atoms[:, None, None]
    targets = dataset.stresses * (dataset.volumes / n_atoms)[:, None]
    labelled = np.isfinite(targets)
    return Rows(
        FewRows(energy, (dataset.energies - counts @ free.energies) / n_atoms, weights[:, 0], 1),
        tuple(forces),
        FewRows(
            strain.reshape(-1, strain.shape[2]),
            np.where(labelled, targets, 0.0).ravel(),
            np.where(labelled, weights[:, 2:], 0.0).ravel(),
            targets.shape[1],
        ),
    )


def factorise(gram: Array, size: int, ridge: float, n_free: int) -> Factor:
    """The factor of ``gram`` (packed) + ridge D², D² its diagonal: a ridge on scaled columns.

    The last ``n_free`` columns (free-atom energies) get no more ridge than keeps them determined. Columns that are
    zero everywhere (an element that no structure has) get the coefficient 0. Columns are not scaled in fact: the
    factorisation does not depend on it (van der Sluis, Numer. Math. 14, 14, 1969).

    Raises
    ------
    LinAlgError : not positive definite to rounding.
    """
    matrix, places = gram.copy(), diagonal_places(size)
    diagonal = gram[places]
    added = _ridges(ridge, size, n_free) * diagonal
    added[diagonal <= ZERO_COLUMN**2 * diagonal.max()] = 1.0
    matrix[places] += added
    return Factor.of(matrix, size)


def solve(gram: Array, moment: Array, ridge: float, n_free: int) -> Array:
    """Minimise c' gram c - 2 c' moment + ridge |D c|²; for ``gram`` and the ridge see ``factorise``, which raises."""
    return factorise(gram, len(moment), ridge, n_free).solve(moment)


def solve_ridges(gram: Array, moment: Array, ridges: Sequence[float], n_free: int) -> Array:
    """``solve`` for several ridges, (K, n_ridges); a column of NaN where the matrix is not positive definite."""
    solutions = np.full((len(moment), len(ridges)), np.nan, order="F")
    for i, ridge in enumerate(ridges):
        with suppress(LinAlgError):
            solutions[:, i] = solve(gram, moment, ridge, n_free)
    return solutions


def solve_definite(matrix: Array, target: Array, lower: bool = False) -> Array:
    """Solution with a symmetric matrix in Fortran order, of which one triangle is used, and overwritten.

    Raises
    ------
    LinAlgError : not positive definite to rounding.
    """
    factor, failed = lapack.dpotrf(matrix, lower=lower, overwrite_a=True, clean=False)
    if failed:
        raise LinAlgError(f"the leading minor of order {failed} is not positive definite")
    return np.asarray(lapack.dpotrs(factor, target, lower=lower)[0])


def solve_rows(rows: Rows, structures: Indices, weights: Weights, ridge: float, n_free: int) -> Array:
    """The same minimum from the rows themselves, by QR: slower, and right where the Gram matrix is not.

    The triangular factor is updated piece by piece, so no copy of all rows is made.
    """
    blocks, size = rows.weighted(structures, weights), rows.size
    squares = np.zeros(size)
    for block, factor in blocks:
        squares[: block.matrix.shape[1]] += factor**2 * np.einsum("ij,ij->j", block.matrix, block.matrix)
    inverse = _inverse_norms(squares)
    damping = np.where(inverse > 0.0, np.sqrt(_ridges(ridge, size, n_free)), 1.0)
    triangle = np.column_stack([np.diag(damping), np.zeros(size)])  # the last column becomes Q' y
    for piece in _scaled_pieces(blocks, inverse):
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, piece]), mode="r"))
    return np.asarray(solve_triangular(triangle[:size, :size], triangle[:size, size]) * inverse)


def _scaled_pieces(blocks: Sequence[tuple[RowBlock, float]], inverse: Array) -> Iterator[Array]:
    """Weighted rows on scaled columns, and their targets as the last column, about four times as many as columns."""
    parts, n_rows = [], 0
    for block, factor in blocks:
        width = block.matrix.shape[1]
        part = np.zeros((len(block.target), len(inverse) + 1))
        np.multiply(block.matrix, factor * inverse[:width], out=part[:, :width])
        part[:, -1] = factor * block.target
        parts.append(part)
        n_rows += len(part)
        if n_rows >= 4 * len(inverse):
            yield np.concatenate(parts)
            parts, n_rows = [], 0
    if parts:
        yield np.concatenate(parts)


def solve_checked(
    rows: Rows, terms: Terms, structures: Indices, weights: Weights, ridge: float, n_free: int
) -> tuple[Array, bool]:
    """Solve through the Gram matrix, refine once on the rows, fall back to QR where the step was not small.

    Returns the coefficients and whether QR was needed.
    """
    try:
        coefficients = _solve_and_refine(rows, terms, structures, weights, ridge, n_free)
        if coefficients is not None:
            return coefficients, False
    except LinAlgError:
        pass  # the Gram matrix is singular to rounding: the rows themselves decide
    try:
        return solve_rows(rows, structures, weights, ridge, n_free), True
    except (LinAlgError, ValueError) as error:
        raise TamisError(
            f"the least squares problem has no finite solution ({error}); raise the ridge"
        ) from error


def _solve_and_refine(
    rows: Rows, terms: Terms, structures: Indices, weights: Weights, ridge: float, n_free: int
) -> Array | None:
    """Coefficients refined until a step changes the predictions no more than it may; None where steps do not shrink.

    The right-hand side of a step is the gradient of the loss from the rows' residuals, which does not suffer from the
    squared condition number (Björck, Numerical Methods for Least Squares Problems, 1996, section 6.6.5).
    """
    gram, moment = terms.combine(weights)
    factor = factorise(gram, rows.size, ridge, n_free)
    coefficients = factor.solve(moment)
    damping = _ridges(ridge, rows.size, n_free) * gram[diagonal_places(rows.size)]
    blocks = rows.weighted(structures, weights)
    before = np.inf
    while True:
        gradient, norm = -damping * coefficients, 0.0
        for block, weight in blocks:
            predicted = block.times(coefficients)
            gradient[: block.matrix.shape[1]] += weight**2 * ((block.target - predicted) @ block.matrix)
            norm += weight**2 * float(predicted @ predicted)
        step = factor.solve(gradient)
        coefficients = coefficients + step
        change = sum(weight**2 * float(np.sum(block.times(step) ** 2)) for block, weight in blocks)
        if change <= PREDICTION_TOLERANCE**2 * norm:
            return coefficients
        if not change < LEAST_SHRINKAGE * before:
            return None
        before = change


def _ridges(ridge: float, n_columns: int, n_free: int) -> Array:
    ridges = np.full(n_columns, ridge)
    ridges[n_columns - n_free :] = FREE_RIDGE
    return ridges


def _inverse_norms(squares: Array) -> Array:
    """Inverse norms of columns from their squares, 0 for a column that is zero everywhere."""
    norms = np.sqrt(squares)
    used = norms > ZERO_COLUMN * norms.max()
    return np.where(used, 1.0 / np.where(used, norms, 1.0), 0.0)
