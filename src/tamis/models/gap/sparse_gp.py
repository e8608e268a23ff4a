"""The algebra of a sparse Gaussian process from stored covariances.

The energy is k c with k the covariances (unit variance) with M sparse points. Its coefficients minimise

    sum over rows of ((y - k c) / sigma)² + c' (K / delta² + jitter / delta⁴) c,

K the covariances of the sparse points among themselves (Bartók and Csányi, Int. J. Quantum Chem. 115, 1051 (2015);
c = delta² alpha of gap_fit). The normal equations in c are hopelessly ill-conditioned, but with the prior's Cholesky
factor U, w = U c and rows k U^-1, the prior becomes |w|² and they are as good as a QR of the rows (Foster et al., J.
Mach. Learn. Res. 10, 857 (2009), method V). With the points in a nested order, the first columns of the whitened
rows are the problem of fewer points.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, blas, cholesky, lapack

from tamis.bases.base import DesignRows
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.models.base import Array
from tamis.models.normal_equations import Indices, Quadratic, RowBlock, Terms, solve_definite


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
    energy: the energy rows again, (n, M), and their targets.
    n_atoms: (n,).
    """

    terms: Terms
    energy: RowBlock
    n_atoms: Indices


def pivoted_order(kernel: Array, tolerance: float, most: int) -> Indices:
    """Sparse points by pivoted Cholesky: always the one of largest variance given the chosen ones, the first of equals.

    Deterministic and nested; ends after ``most`` points, or where no variance above ``tolerance`` is left. LAPACK's
    pstrf gives the same order, but always that of all points.
    """
    left = kernel.diagonal().copy()  # variance given the chosen points
    rows = np.empty((min(most, len(kernel)), len(kernel)))
    order: list[int] = []
    for row in rows:
        pivot = int(left.argmax())
        if left[pivot] <= tolerance:
            break
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
    design: Iterable[DesignRows], dataset: Dataset, columns: Indices, factor: Array, offsets: Array
) -> WhitenedRows:
    """Whitened rows of all structures of ``dataset``; stresses that are NaN are left out.

    Parameters
    ----------
    design : rows with all columns, each used before the next is asked for. columns : (M,) those of the sparse points.
    factor : U, (M, M). offsets : (n,) energy of the free atoms of each structure, eV.
    """
    roots = np.sqrt(dataset.n_atoms)
    labelled = np.isfinite(dataset.stresses) & np.isfinite(dataset.volumes)[:, None]
    energy = np.empty((len(dataset), len(columns)))
    force = np.empty((3 * int(dataset.n_atoms.sum()), len(columns)))
    starts = 3 * (np.cumsum(dataset.n_atoms) - dataset.n_atoms)
    strain = np.empty((int(labelled.sum()), len(columns)))
    used = 0
    for i, rows in enumerate(design):
        energy[i] = rows.energy[columns] / roots[i]
        flat = rows.forces.reshape(-1, rows.forces.shape[2])
        # "clip", since "raise" would go through a copy; the columns exist
        np.take(flat, columns, axis=1, out=force[starts[i] : starts[i] + len(flat)], mode="clip")
        n = int(labelled[i].sum())
        strain[used : used + n] = rows.strain_gradient[labelled[i]][:, columns] / roots[i]
        used += n
    strain_targets = (dataset.stresses * (dataset.volumes / roots)[:, None])[labelled]
    # products with the inverse are as accurate as solves (|U^-1| is at most delta / jitter^1/2), in 0.6 of the time
    inverse = lapack.dtrtri(factor, lower=0)[0]
    blocks = [
        RowBlock(_times(energy, inverse), (dataset.energies - offsets) / roots),
        RowBlock(_times(force, inverse), np.concatenate([f.ravel() for f in dataset.forces])),
        RowBlock(_times(strain, inverse), strain_targets),
    ]
    terms = Terms(*(Quadratic.of([block], len(columns)) for block in blocks))
    return WhitenedRows(terms, blocks[0], dataset.n_atoms)


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
    gram[np.diag_indices_from(gram)] += 1.0
    return solve_definite(gram, moment)


def leading(terms: Terms, size: int) -> Terms:
    """The same problem with only the first ``size`` points."""
    return Terms(
        *(
            Quadratic(np.asfortranarray(term.gram[:size, :size]), term.moment[:size], term.square, term.rows)
            for term in terms.kinds
        )
    )


def held_out_errors(held_out: WhitenedRows, force: Quadratic, w: Array) -> Array:
    """Sums of |energy errors| per atom (eV) and of squared force errors (eV²/Å²), (2,), with w of the first points."""
    errors = held_out.energy.matrix[:, : len(w)] @ w - held_out.energy.target
    return np.array([np.sum(np.abs(errors) / np.sqrt(held_out.n_atoms)), force.mean_square(w) * force.rows])
