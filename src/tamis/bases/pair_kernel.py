"""The two-body term of GAP: a Gaussian kernel of interatomic distances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import Annotated

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.elements import species_of
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked, Whole

Array = NDArray[np.float64]

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


@dataclass(frozen=True)
class PairKernel(Checked):
    """Kernel of two distances, exp(-(r - r')² / (2 theta²)) f(r) f(r'), with QUIP's cosine cutoff f.

    QUIP's ``distance_2b`` with ``ard_se``: Bartók and Csányi, Int. J. Quantum Chem. 115, 1051 (2015), section 3. Every
    pair counts twice, once from either end. The sparse points are evenly spaced, the same for every data set and each
    pair of elements. They are few, and the prior holds points without data at zero.

    r_cut: Å. cutoff_transition_width: Å, over which f falls from 1 to 0 below r_cut.
    r_min: Å, the first sparse point. n_points: sparse points from r_min up to below r_cut.
    theta: Å, width of the Gaussian.
    """

    r_cut: Annotated[float, Above(0, "Å")]
    cutoff_transition_width: Annotated[float, Above(0, "Å")]
    r_min: Annotated[float, Above(0, "Å")]
    n_points: Annotated[int, Whole(1)]
    theta: Annotated[float, Above(0, "Å", say=0.5)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cutoff_transition_width > self.r_cut or self.r_min >= self.r_cut:
            raise TamisError(
                f"pair.cutoff_transition_width is {self.cutoff_transition_width} Å and pair.r_min {self.r_min} Å; the "
                f"first must be at most, the second below pair.r_cut = {self.r_cut} Å"
            )

    @cached_property
    def points(self) -> Array:
        """Sparse points, (n_points,), Å."""
        return np.linspace(self.r_min, self.r_cut, self.n_points, endpoint=False)

    def cutoff(self, r: Array) -> tuple[Array, Array]:
        """The cosine f(r), 1 up to the transition and 0 from r_cut on, and its derivative, 1/Å."""
        x = np.clip((r - self.r_cut) / self.cutoff_transition_width + 1.0, 0.0, 1.0) * np.pi
        return 0.5 * (1.0 + np.cos(x)), -0.5 * np.pi / self.cutoff_transition_width * np.sin(x)

    def between_points(self) -> Array:
        """Kernel of the sparse points with each other, (n_points, n_points)."""
        return self._kernel(self.points)[0]

    def n_columns(self, elements: Sequence[str]) -> int:
        """Columns of ``rows``."""
        return self.n_points * len(element_pairs(elements))

    def rows(self, atoms: Atoms, elements: Sequence[str]) -> tuple[Array, Array, Array]:
        """Values (n_atoms, K), forces (n_atoms, 3, K) in 1/Å and strain gradient (6, K) of each kernel column.

        K = n_points for every pair of elements, in the order of ``element_pairs``.

        Parameters
        ----------
        atoms : with a cell that can be inverted (see ``in_vacuum``). elements : sorted chemical symbols.
        """
        from matscipy.neighbours import neighbour_list
        from scipy.sparse import csr_array

        centres, others, r, vectors = neighbour_list("ijdD", atoms, self.r_cut)
        n_atoms, numbers = len(atoms), species_of(atoms, elements)
        first, second = np.sort([numbers[centres], numbers[others]], axis=0)
        values, forces, strain = [], [], []
        for a, b in combinations_with_replacement(range(len(elements)), 2):
            of_kind = np.flatnonzero((first == a) & (second == b))
            kernel, slope = self._kernel(r[of_kind])
            gather = csr_array(
                (np.ones(len(of_kind)), (centres[of_kind], np.arange(len(of_kind)))),
                shape=(n_atoms, len(of_kind)),
            )
            towards = vectors[of_kind] / r[of_kind, None]
            values.append(gather @ kernel)
            # the same pair seen from its other end contributes as much again
            forces.append(np.stack([2.0 * (gather @ (towards[:, [c]] * slope)) for c in range(3)], axis=1))
            strain.append(np.stack([(towards[:, c] * vectors[of_kind, d]) @ slope for c, d in VOIGT], axis=0))
        return np.concatenate(values, -1), np.concatenate(forces, -1), np.concatenate(strain, -1)

    def _kernel(self, r: Array) -> tuple[Array, Array]:
        """Kernel of distances ``r`` (n,) with the sparse points, (n, n_points), and its derivative by r, 1/Å."""
        away = r[:, None] - self.points
        (f, slope), f_points = self.cutoff(r), self.cutoff(self.points)[0]
        bell = np.exp(-0.5 * (away / self.theta) ** 2) * f_points
        return bell * f[:, None], bell * (slope[:, None] - f[:, None] * away / self.theta**2)

    def settings(self, first: int, second: int) -> str:
        """QUIP's descriptor string for the atomic numbers of a pair, as in gap.xml."""
        return (
            f"distance_2b Z1={first} Z2={second} cutoff={self.r_cut!r} "
            f"cutoff_transition_width={self.cutoff_transition_width!r}"
        )


def element_pairs(elements: Sequence[str]) -> list[tuple[str, str]]:
    """Unordered pairs of elements, including each with itself."""
    return list(combinations_with_replacement(elements, 2))
