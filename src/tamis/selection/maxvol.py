"""D-optimal structures: the largest volume of the kept environments."""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, ClassVar

import numpy as np
from scipy.linalg import cholesky, solve_triangular

from tamis.core.fields import Above, Checked
from tamis.selection.base import Array, Features, Indices, Pruner, Shape
from tamis.selection.components import PrincipalAxes, numbers_for_components
from tamis.selection.greedy import lazy_largest
from tamis.selection.rows import pieces


@dataclass(frozen=True)
class MaxVol(Checked, Pruner):
    """Greedily the structure whose environments raise log det(r v I + sum of x x^T over kept environments x) most.

    This is the D-optimality of MaxVol active sets (Podryabinkin and Shapeev, Comput. Mater. Sci. 140, 171 (2017);
    Lysogorskiy et al., Phys. Rev. Mater. 7, 043801 (2023)), applied to whole structures: a structure comes with all its
    atoms, and an active set of single environments, such as pacemaker's, ignores the others in the cell. The gain of a
    structure shrinks as others are kept (the log determinant is submodular), so greedy gets at least 1 - 1/e of the
    best gain (Nemhauser et al., Math. Program. 14, 265 (1978)), and an old gain bounds the new one: few must be
    computed again at each step (Minoux, Lect. Notes Control Inf. Sci. 7, 234 (1978)). There are no exchanges, as in
    MaxVol proper, because they would break the nesting.

    ridge: r, prior information in atoms of mean variance v per direction. Directions in which the whole pool has less
        are ignored. Small values give weight to directions of small variance.
    """

    ridge: Annotated[float, Above(0, say=0.1)]
    nested: ClassVar[bool] = True
    needs_environments: ClassVar[bool] = True

    def working(self, vectors: Shape, environments: Shape) -> int:
        """The environments on their axes, and the axes, or later the kept information."""
        n, width = environments
        return numbers_for_components(n, width)

    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        rows = informative_rows(features.environments, self.ridge)
        if rows.shape[1] == 0:
            return np.arange(n_structures, dtype=np.intp)
        return greedy_log_det(features.by_structure(rows), n_structures)


def informative_rows(environments: Array, ridge: float) -> Array:
    """Environments on their principal axes, scaled so that the prior is the unit matrix, (n_environments, r)."""
    n, width = environments.shape
    found = PrincipalAxes.of(environments, np.zeros(width))
    prior = ridge * found.squares.sum() / width / n
    kept = int(np.sum(found.squares > max(prior, 1e-12 * found.squares.max(initial=0.0))))
    return found.components(kept) / np.sqrt(prior) if kept else environments[:, :0]


def greedy_log_det(blocks: list[Array], n: int) -> Indices:
    """``n`` of the blocks (n_rows, r), each the one that most raises log det(I + sum of block^T block)."""
    information = np.eye(blocks[0].shape[1])
    order: list[int] = []
    bounds = np.full(len(blocks), np.inf)
    while len(order) < n:
        whitener = _whitener(information)
        renew = partial(_gains, blocks, whitener)
        fresh = np.zeros(len(blocks), dtype=np.bool_)
        if not order:
            bounds, fresh = renew(np.arange(len(blocks))), ~fresh
        order.append(i := lazy_largest(bounds, fresh, renew, partial(max, float(bounds.max()))))
        bounds[i] = -np.inf
        information += blocks[i].T @ blocks[i]
    return np.array(order, dtype=np.intp)


def _whitener(information: Array) -> Array:
    """W with W W^T = information^-1; the prior keeps it well-conditioned, and products are faster than solutions."""
    factor = cholesky(information, lower=True, check_finite=False)
    return solve_triangular(factor, np.eye(len(factor)), lower=True, check_finite=False).T


def _gains(blocks: list[Array], whitener: Array, which: Indices) -> Array:
    """log det(A + block^T block) - log det A of some blocks, (n,), where W W^T = A^-1.

    The smaller of two equal determinants is taken; blocks of one size go together.
    """
    gains = np.empty(len(which))
    sizes = np.array([len(blocks[i]) for i in which])
    r = len(whitener)
    for size in np.unique(sizes):
        alike = np.flatnonzero(sizes == size)
        for part in pieces(len(alike), size * r + min(size, r) ** 2):
            places = alike[part]
            white = (np.concatenate([blocks[i] for i in which[places]]) @ whitener).reshape(-1, size, r)
            turned = white.transpose(0, 2, 1)
            small = white @ turned if size <= r else turned @ white
            diagonal = np.arange(min(size, r))
            small[:, diagonal, diagonal] += 1.0
            gains[places] = np.linalg.slogdet(small)[1]
    return gains
