"""D-optimal structures: the largest volume of the kept environments."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular

from tamis.exceptions import TamisError
from tamis.pruners.base import Array, Features, Indices, Pruner
from tamis.pruners.greedy import environments_by_structure, first_largest


@dataclass(frozen=True)
class MaxVol(Pruner):
    """Greedily the structure whose environments raise log det(r v I + sum of x x^T over kept environments x) most.

    It is the D-optimality of MaxVol active sets (Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017);
    Lysogorskiy et al., Phys. Rev. Mater. 7, 043801 (2023)), asked of whole structures: a structure comes with all its
    atoms, so an active set of single environments, as pacemaker's, would not know what its neighbours in the cell
    bring for free. The gain of a structure shrinks as others are kept (the log determinant is submodular), so greedy
    gets at least 1 - 1/e of the best gain (Nemhauser et al., Math. Program. 14, 265 (1978)), and an old gain bounds
    the new one: few must be computed again at each step (Minoux, Lect. Notes Control Inf. Sci. 7, 234 (1978)).
    Exchanges, as in MaxVol proper, would break the nesting; they are left out.

    ridge: r, what is known before: so many atoms of mean variance v per direction. Directions in which even the whole
        pool brings less are left out. Small values give weight to the faint directions.
    """

    ridge: float
    nested: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.ridge > 0.0:
            raise TamisError(f"pruner.ridge is {self.ridge}; it must be above 0, say 0.1")

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        rows = informative_rows(features.environments, self.ridge)
        if rows.shape[1] == 0:
            return np.arange(n_structures, dtype=np.intp)
        return greedy_log_det(environments_by_structure(features, rows), n_structures)


def informative_rows(environments: Array, ridge: float) -> Array:
    """Environments on their principal axes, in units in which the prior is the unit matrix, (n_environments, r)."""
    information, axes = eigh(environments.T @ environments)
    prior = ridge * information.mean() / len(environments)
    kept = information > max(prior, 1e-12 * information[-1])
    if not kept.any():
        return environments[:, :0]
    return environments @ (axes[:, kept] / np.sqrt(prior))


def greedy_log_det(blocks: list[Array], n: int) -> Indices:
    """``n`` of the blocks (n_rows, r), each the one that most raises log det(I + sum of block^T block)."""
    information = np.eye(blocks[0].shape[1])
    order: list[int] = []
    bounds = np.full(len(blocks), np.inf)
    while len(order) < n:
        whitener = _whitener(information)
        fresh = np.zeros(len(blocks), dtype=bool)
        # All first gains at once; later an old gain, which is never too small, is renewed only where it leads.
        for i in range(len(blocks)) if not order else ():
            bounds[i], fresh[i] = _gain(blocks[i], whitener), True
        scale = float(bounds.max())
        while not fresh[i := first_largest(bounds, scale)]:
            bounds[i], fresh[i] = _gain(blocks[i], whitener), True
        order.append(i)
        bounds[i] = -np.inf
        information += blocks[i].T @ blocks[i]
    return np.array(order, dtype=np.intp)


def _whitener(information: Array) -> Array:
    """W with W W^T = information^-1; the prior keeps it well-conditioned, and products are faster than solutions."""
    factor = cholesky(information, lower=True, check_finite=False)
    return solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False).T


def _gain(block: Array, whitener: Array) -> float:
    """log det(A + block^T block) - log det A, where W W^T = A^-1 and the smaller of two equal determinants is taken."""
    white = block @ whitener
    small = white @ white.T if white.shape[0] <= white.shape[1] else white.T @ white
    small[np.diag_indices_from(small)] += 1.0
    return float(np.linalg.slogdet(small)[1])
