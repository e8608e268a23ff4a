"""The algebra of a sparse Gaussian process from stored covariances.

The energy is k c with k the covariances (unit variance) with M sparse points. Its coefficients minimise

    sum over rows of ((y - k c) / sigma)² + c' (K / delta² + jitter / delta⁴) c,

K the covariances of the sparse points among themselves (Bartók and Csányi, Int. J. Quantum Chem. 115, 1051 (2015);
c = delta² alpha of gap_fit). The weight of a structure divides sigma² of its rows, as sigmas of its own do in gap_fit.
The normal equations in c are hopelessly ill-conditioned, but with the prior's Cholesky factor U, w = U c and rows
k U^-1, the prior becomes |w|² and they are as good as a QR of the rows (Foster et al., J. Mach. Learn. Res. 10, 857
(2009), method V). With the points in a nested order, the first columns of the whitened rows are the problem of fewer
points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import repeat

import numpy as np
from scipy.linalg import LinAlgError, blas, cholesky, lapack

from tamis.bases.base import DesignRows
from tamis.core.errors import TamisError
from tamis.core.packed import Factor, diagonal_places, packed, unpacked
from tamis.data.dataset import Dataset
from tamis.models.base import Array
from tamis.models.normal_equations import Indices, Quadratic, RowBlock, Terms
from tamis.selection.greedy import first_largest

ROUNDING = 1e-13
"""Of the largest variance: what a variance may be off after many points."""


@dataclass(frozen=True)
class Sigmas:
    """Standard deviations of the noise, as gap_fit takes them.

    energy: eV per square root of an atom; force: eV/Å; virial: eV per square root of an atom.
    """

    energy: float
    force: float
    virial: float


@dataclass(frozen=True, eq=False)
class WhitenedRows:
    """Quadratic forms of some structures in the whitened coefficients w, and the energy rows that judge settings.

    terms: energy and strain rows divided by the square root of the number of atoms.
    energy: the energy rows again, (n, M), and their targets, both times the square root of the structure's weight.
    scales: (n,) by which their residuals become weighted energy errors per atom.
    """

    terms: Terms
    energy: RowBlock
    scales: Array


def pivoted_order(kernel: Array, tolerance: float, most: int) -> Indices:
    """Sparse points by pivoted Cholesky: always the one of largest variance given the chosen ones.

    Of equal variances, which all environments have at first, the one with the largest sum of covariances, the first of
    those that are equal in this, too: images of each other. QUIP's last digits differ from process to process, and
    decide nothing. Nested; ends after ``most`` points, or where no variance above ``tolerance`` is left.
    """
    left = kernel.diagonal().copy()  # variance given the chosen points
    rounding, sums = ROUNDING * float(left.max(initial=0.0)), kernel.sum(axis=1)
    rows = np.empty((min(most, len(kernel)), len(kernel)))
    order: list[int] = []
    for row in rows:
        largest = float(left.max())
        if largest <= tolerance:
            break
        equal = np.flatnonzero(left >= largest - rounding)
        pivot = int(equal[first_largest(sums[equal], float(sums.max()))])
        before = rows[: len(order)]
        row[:] = (kernel[pivot] - before[:, pivot] @ before) / np.sqrt(left[pivot])
        left -= row**2
        left[pivot] = -np.inf
        order.append(pivot)
    return np.array(order, dtype=np.intp)


def prior_factor(prior: Array) -> Array:
    """Upper Cholesky factor U of the prior's matrix, U' U = prior.

    Raises
    ------
    TamisError : not positive definite to rounding.
    """
    try:
        return np.asarray(cholesky(np.asfortranarray(prior), check_finite=False))
    except LinAlgError as error:
        raise TamisError(
            f"the covariance of the {len(prior)} sparse points is singular ({error}); raise model.jitter, say to 1e-8"
        ) from error


def whiten(
    design: Iterable[DesignRows],
    dataset: Dataset,
    columns: Indices,
    factor: Array,
    offsets: Array,
    alone: Iterable[Array | float] | None = None,
) -> WhitenedRows:
    """Whitened rows of all structures of ``dataset``; missing labels and those of weight 0 are left out.

    Parameters
    ----------
    design : rows with all columns, each used before the next is asked for. columns : (M,) those of the sparse points.
    factor : U, (M, M). offsets : (n,) energy of the free atoms of each structure, eV. alone : energy row, with all
        columns, of the free atoms of each structure, which is subtracted; None: nothing is.
    """
    rows = _chosen_rows(design, dataset, columns, alone)
    weights, roots = dataset.label_weights, np.sqrt(dataset.n_atoms)
    used = weights > 0.0
    labelled = np.isfinite(dataset.stresses) & used[:, 2:]
    forces = [forces.ravel() for forces, counts in zip(dataset.forces, used[:, 1], strict=True) if counts]
    targets = (
        ((dataset.energies - offsets) / roots)[used[:, 0]],
        np.concatenate([np.empty(0), *forces]),
        (dataset.stresses * (dataset.volumes / roots)[:, None])[labelled],
    )
    n_rows = (used[:, 0], 3 * dataset.n_atoms * used[:, 1], labelled.sum(axis=1))
    # products with the inverse are as accurate as solves (|U^-1| is at most delta / jitter^1/2), in 0.6 of the time
    inverse = lapack.dtrtri(factor, lower=0)[0]
    blocks, terms = [], []
    for kind, (matrix, target) in enumerate(zip(rows, targets, strict=True)):
        block = RowBlock(_times(matrix, inverse), target)
        weight = float(weights[:, kind] @ n_rows[kind])
        if dataset.weights is not None:
            roots_of_rows = np.sqrt(np.repeat(weights[:, kind], n_rows[kind]))
            block.matrix[:] *= roots_of_rows[:, None]
            block = RowBlock(block.matrix, target * roots_of_rows)
        blocks.append(block)
        terms.append(replace(Quadratic.of([block], len(columns)), weight=weight))
    return WhitenedRows(Terms(*terms), blocks[0], (np.sqrt(weights[:, 0]) / roots)[used[:, 0]])


def _chosen_rows(
    design: Iterable[DesignRows], dataset: Dataset, columns: Indices, alone: Iterable[Array | float] | None
) -> tuple[Array, Array, Array]:
    """Rows of energies, forces and strains that count, of the sparse points alone; for the arguments see ``whiten``."""
    used, roots = dataset.label_weights > 0.0, np.sqrt(dataset.n_atoms)
    labelled = np.isfinite(dataset.stresses) & used[:, 2:]
    energy = np.empty((int(used[:, 0].sum()), len(columns)))
    force = np.empty((3 * int(dataset.n_atoms[used[:, 1]].sum()), len(columns)))
    strain = np.empty((int(labelled.sum()), len(columns)))
    energies = forces = strains = 0
    alone = repeat(0.0, len(dataset)) if alone is None else alone
    for i, (rows, of_free) in enumerate(zip(design, alone, strict=True)):
        if used[i, 0]:
            energy[energies] = (rows.energy - of_free)[columns] / roots[i]
            energies += 1
        if used[i, 1]:
            flat = rows.forces.reshape(-1, rows.forces.shape[2])
            # "clip", since "raise" would go through a copy; the columns exist
            np.take(flat, columns, axis=1, out=force[forces : forces + len(flat)], mode="clip")
            forces += len(flat)
        n = int(labelled[i].sum())
        strain[strains : strains + n] = rows.strain_gradient[labelled[i]][:, columns] / roots[i]
        strains += n
    return energy, force, strain


def _times(rows: Array, upper: Array) -> Array:
    """Rows times an upper triangular matrix, in place where BLAS can."""
    if len(rows) == 0:
        return rows
    return np.asarray(blas.dtrmm(1.0, upper, rows.T, lower=0, trans_a=1, overwrite_b=1).T)


def posterior(terms: Terms, sigmas: Sigmas) -> Array:
    """Whitened coefficients w of the best fit, (M,).

    Raises
    ------
    LinAlgError : not positive definite to rounding.
    """
    gram, moment = terms.weighted_sum(
        [1.0 / sigma**2 for sigma in (sigmas.energy, sigmas.force, sigmas.virial)]
    )
    gram[diagonal_places(len(moment))] += 1.0
    return Factor.of(gram, len(moment)).solve(moment)


def leading(terms: Terms, size: int) -> Terms:
    """The same problem with only the first ``size`` points."""
    return Terms(
        *(
            replace(
                term,
                gram=packed(np.asfortranarray(unpacked(term.gram, term.size)[:size, :size])),
                moment=term.moment[:size],
            )
            for term in terms.kinds
        )
    )


def held_out_errors(held_out: WhitenedRows, force: Quadratic, w: Array) -> Array:
    """Weighted sums of |energy errors| per atom (eV) and of squared force errors (eV²/Å²), (2,).

    w : of the first points.
    """
    errors = held_out.energy.matrix[:, : len(w)] @ w - held_out.energy.target
    forces = force.mean_square(w) * force.weight if force.rows else 0.0
    return np.array([np.sum(np.abs(errors) * held_out.scales), forces])
