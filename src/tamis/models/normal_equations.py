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
from tamis.data.dataset import Dataset
from tamis.models.free_atoms import FreeAtoms, element_counts

Array = NDArray[np.float64]

Indices = NDArray[np.intp]

FREE_RIDGE = 1e-12
"""Ridge on the scaled columns of the free-atom energies: enough to determine them where the composition is fixed."""
MATRICES_OF_A_SOLUTION = 5
"""Square matrices while one system is solved: combined, one term of it, scaled, factorised, and what is spare."""
PREDICTION_TOLERANCE = 1e-7
"""Relative change of the predictions by a step of refinement above which the rows are solved by QR instead."""


@dataclass(frozen=True)
class Weights:
    """energy: w_E in 1/Å; stress: w_S in 1/Å (its residuals are strain derivatives per atom, eV)."""

    energy: float
    stress: float


@dataclass(frozen=True, eq=False)
class RowBlock:
    """Unweighted rows of one kind of one structure: ``matrix`` (n, columns) and ``target`` (n,).

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

    def times(self, coefficients: Array) -> Array:
        """Predictions, (n,)."""
        return np.asarray(self.matrix @ coefficients[: self.matrix.shape[1]])


def packed_gram(matrix: Array) -> Array:
    """The products of all pairs of columns, (K (K + 1) / 2,), in LAPACK's rectangular full packed format."""
    return np.asarray(lapack.dtrttf(blas.dsyrk(1.0, matrix.T))[0])


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Weighted |X c - y|² as c' gram c - 2 c' moment + square.

    gram: (K, K), upper triangle (Fortran order, as BLAS fills it); moment: (K,). rows: how many rows it sums over;
    weight: the sum of their weights.
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
        gram, moment, square, rows, weight = np.zeros((size, size), order="F"), np.zeros(size), 0.0, 0, 0.0
        labelled = [block for block in blocks if block.is_used]
        if labelled:
            columns = labelled[0].matrix.shape[1]
            small = np.zeros((columns, columns), order="F")
            known = sum(block.weight * block.gram for block in labelled if block.gram is not None)
            if not isinstance(known, int):
                small = lapack.dtfttr(columns, known)[0]
            for block in labelled:
                if block.gram is None:
                    small = blas.dsyrk(block.weight, block.matrix.T, beta=1.0, c=small, overwrite_c=True)
                moment[:columns] += block.weight * (block.target @ block.matrix)
                square += block.weight * float(block.target @ block.target)
                rows += len(block.target)
                weight += block.weight * len(block.target)
            gram[:columns, :columns] = small
        return cls(gram, moment, square, rows, weight)

    def mean_square(self, coefficients: Array) -> float:
        """<(X c - y)²> of coefficients (K,); NaN where there are no rows."""
        return float(self.mean_squares(coefficients[:, None])[0])

    def mean_squares(self, coefficients: Array) -> Array:
        """Weighted <(X c - y)²> of each column of ``coefficients`` (K, n), (n,); NaN where there are no rows."""
        if self.rows == 0:
            return np.full(coefficients.shape[1], np.nan)
        product = blas.dsymm(1.0, self.gram, coefficients)
        totals = np.einsum("ij,ij->j", coefficients, product) - 2.0 * self.moment @ coefficients + self.square
        return np.asarray(np.maximum(totals, 0.0) / self.weight)


@dataclass(frozen=True, eq=False)
class Terms:
    """The three quadratic forms of a set of structures."""

    energy: Quadratic
    force: Quadratic
    stress: Quadratic

    @staticmethod
    def n_bytes(size: int, n_sets: int) -> int:
        """Memory of the terms of so many sets of structures, and of solving with one of them."""
        return 8 * (3 * n_sets + MATRICES_OF_A_SOLUTION) * size**2

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
        """Gram matrix (upper triangle) and moment of the weighted loss."""
        factors = (weights.energy**2, 1.0, weights.stress**2)
        return self.weighted_sum(
            [f / term.weight if term.rows else 0.0 for f, term in zip(factors, self.kinds, strict=True)]
        )

    def weighted_sum(self, factors: Sequence[float]) -> tuple[Array, Array]:
        """Gram matrix (upper triangle) and moment of the energy, force and stress terms times ``factors``, summed."""
        gram, moment = np.zeros_like(self.force.gram), np.zeros_like(self.force.moment)
        for term, factor in zip(self.kinds, factors, strict=True):
            if factor != 0.0:  # in place: the matrices are larger than caches
                blas.daxpy(term.gram.ravel(order="K"), gram.ravel(order="K"), a=factor)
                moment += factor * term.moment
        return gram, moment


@dataclass(frozen=True, eq=False)
class Rows:
    """Unweighted rows of n structures with their targets, by kind and structure.

    The columns are the basis functions, then one per element that counts its atoms (the free-atom energies that no
    isolated atom fixes).
    """

    energy: tuple[RowBlock, ...]
    force: tuple[RowBlock, ...]
    stress: tuple[RowBlock, ...]

    @property
    def size(self) -> int:
        """Number of columns."""
        return int(self.energy[0].matrix.shape[1])

    def terms(self, structures: Indices) -> Terms:
        """Quadratic forms of the chosen structures."""
        kinds = (self.energy, self.force, self.stress)
        return Terms(*(Quadratic.of([blocks[i] for i in structures], self.size) for blocks in kinds))

    def weighted(self, structures: Indices, weights: Weights) -> list[tuple[RowBlock, float]]:
        """Blocks, and the factor by which the loss multiplies their rows."""
        blocks_of_all_kinds = []
        for kind, weight in ((self.energy, weights.energy), (self.force, 1.0), (self.stress, weights.stress)):
            blocks = [kind[i] for i in structures if kind[i].is_used]
            total = sum(block.weight * len(block.target) for block in blocks)
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
    energy, force, stress = [], [], []
    weights = dataset.label_weights.tolist()
    all_counts = element_counts(dataset.structures, elements)
    alone = free.rows(all_counts)
    for i, (rows, counts, of_free) in enumerate(zip(design, all_counts, alone, strict=True)):
        n_atoms = int(dataset.n_atoms[i])
        energy.append(
            RowBlock(
                (np.concatenate([rows.energy - of_free, counts[~free.fixed]]) / n_atoms)[None, :],
                np.array([(dataset.energies[i] - counts @ free.energies) / n_atoms]),
                weights[i][0],
            )
        )
        given = slice(3 * n_atoms if dataset.has_forces[i] else 0)
        force.append(
            RowBlock(
                rows.forces.reshape(3 * n_atoms, -1)[given],
                dataset.forces[i].ravel()[given],
                weights[i][1],
                None if grams is None else grams[i],
            )
        )
        labelled = np.isfinite(dataset.stresses[i]) & np.isfinite(dataset.volumes[i])
        stress.append(
            RowBlock(
                rows.strain_gradient[labelled] / n_atoms,
                dataset.stresses[i][labelled] * (dataset.volumes[i] / n_atoms),
                weights[i][2],
            )
        )
    return Rows(tuple(energy), tuple(force), tuple(stress))


def solve(gram: Array, moment: Array, ridge: float, n_free: int) -> Array:
    """Minimise c' gram c - 2 c' moment + ridge |D c|², D² the diagonal of ``gram``: ridge on scaled columns.

    The last ``n_free`` columns (free-atom energies) get no more ridge than keeps them determined. Columns that are
    zero everywhere (an element that no structure has) get the coefficient 0.

    Raises
    ------
    LinAlgError : not positive definite to rounding.
    """
    solution = solve_ridges(gram, moment, (ridge,), n_free)[:, 0]
    if np.isnan(solution[0]):
        raise LinAlgError("Cholesky factorisation stopped: the matrix is not positive definite")
    return solution


def solve_ridges(gram: Array, moment: Array, ridges: Sequence[float], n_free: int) -> Array:
    """``solve`` for several ridges, (K, n_ridges); a column of NaN where the matrix is not positive definite.

    Columns are not scaled in fact: the factorisation does not depend on it (van der Sluis, Numer. Math. 14, 14, 1969).
    """
    diagonal = np.diag(gram).copy()
    is_used = _inverse_norms(diagonal) > 0.0
    if not is_used.all():
        gram, moment = gram * np.outer(is_used, is_used), moment * is_used
    solutions = np.full((len(moment), len(ridges)), np.nan, order="F")
    for i, ridge in enumerate(ridges):
        matrix = gram.copy(order="F")
        ridged = diagonal * (1.0 + _ridges(ridge, len(diagonal), n_free))
        np.fill_diagonal(matrix, np.where(is_used, ridged, 1.0))
        with suppress(LinAlgError):
            solutions[:, i] = solve_definite(matrix, moment)
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
        coefficients, change = _solve_and_refine(rows, terms, structures, weights, ridge, n_free)
        if change <= PREDICTION_TOLERANCE:
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
) -> tuple[Array, float]:
    """Coefficients after one step of refinement, and how much the step changed the predictions, relatively.

    The step's right-hand side is the gradient of the loss from the rows' residuals, which does not suffer from the
    squared condition number (Björck, Numerical Methods for Least Squares Problems, 1996, section 6.6.5).
    """
    gram, moment = terms.combine(weights)
    coefficients = solve(gram, moment, ridge, n_free)
    blocks = rows.weighted(structures, weights)
    gradient, norm = np.zeros(rows.size), 0.0
    for block, factor in blocks:
        predicted = block.times(coefficients)
        gradient[: block.matrix.shape[1]] += factor**2 * ((block.target - predicted) @ block.matrix)
        norm += factor**2 * float(predicted @ predicted)
    diagonal = np.diag(gram)
    gradient -= _ridges(ridge, len(diagonal), n_free) * diagonal * coefficients
    step = solve(gram, gradient, ridge, n_free)
    change = sum(factor**2 * float(np.sum(block.times(step) ** 2)) for block, factor in blocks)
    return coefficients + step, float(np.sqrt(change / norm)) if norm > 0 else 0.0


def _ridges(ridge: float, n_columns: int, n_free: int) -> Array:
    ridges = np.full(n_columns, ridge)
    ridges[n_columns - n_free :] = FREE_RIDGE
    return ridges


def _inverse_norms(squares: Array) -> Array:
    """Inverse norms of columns from their squares, 0 for a column that is zero everywhere."""
    norms = np.sqrt(squares)
    used = norms > 1e-14 * norms.max()
    return np.where(used, 1.0 / np.where(used, norms, 1.0), 0.0)
