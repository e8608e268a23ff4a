"""The descriptor of QUESTS: sorted distances to and between the nearest neighbours."""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, ClassVar

import numba
import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.bases.blocks import in_element_blocks
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Elements, Whole
from tamis.core.geometry import in_vacuum, neighbours_within
from tamis.engines.imports import import_engine

CLOSEST = 1e-3
"""Å; at smaller distances two atoms are taken to be on top of each other."""


@dataclass(frozen=True)
class QuestsBasis(Basis):
    """Weighted inverse distances to the k nearest neighbours, and between them.

    Schwalbe-Koda et al., Nat. Commun. 16, 4014 (2025): k sorted values w(r_ij)/r_ij and k - 1 sorted means of
    sqrt(w(r_ij) w(r_il))/r_jl, with w(r) = (1 - (r/r_cut)^2)^2. With fewer than k neighbours within r_cut the rest is
    zero. Where the k-th and the next neighbour are equally far, as in perfect crystals, rounding decides which one
    counts: the k distances are the same, the k - 1 means may differ. QUESTS itself does not distinguish elements. Here
    each central element has its own block, and with several elements the descriptor of the neighbours of each element
    alone follows.

    elements: chemical symbols.
    r_cut: Å.
    k: neighbours.
    """

    revision: ClassVar[int] = 2
    engine: ClassVar[str | None] = "quests"

    elements: Elements
    r_cut: Annotated[float, Above(0, "Å")]
    k: Annotated[int, Whole(2, say=32)]

    @property
    def values_revision(self) -> int:
        """Revision 2 added the neighbours of each element; it did not change numbers for a single element."""
        return 1 if len(self.elements) == 1 else self.revision

    @property
    def n_features(self) -> int:
        """2 k - 1 for one element; for E elements E (E + 1) times as many. 1/Å."""
        n_elements = len(self.elements)
        return (n_elements * (n_elements + 1) if n_elements > 1 else 1) * (2 * self.k - 1)

    def values(self, atoms: Atoms) -> NDArray[np.float64]:
        """Descriptor of every atom, (n_atoms, n_features), 1/Å."""
        self.check(atoms)
        rows = self._compute(_right_handed(in_vacuum(atoms, self.r_cut)))
        if rows.max(initial=0.0) > 1.0 / CLOSEST:
            raise TamisError(
                f"two atoms of {atoms.get_chemical_formula()} are closer than {CLOSEST} Å; "
                "correct or remove the structure"
            )
        if len(self.elements) > 1:
            rows = np.hstack([rows, self._of_each_element(atoms)])
        return in_element_blocks(rows, atoms, self.elements)

    def _of_each_element(self, atoms: Atoms) -> NDArray[np.float64]:
        """The descriptor of each atom with its neighbours of one element, (n_atoms, n_elements * (2 k - 1))."""
        from quests.descriptor import descriptor_x1, descriptor_x2

        width = 2 * self.k - 1
        rows = np.zeros((len(atoms), len(self.elements), width))
        first, second, vectors, distances = neighbours_within(atoms, self.r_cut, "ijDd")
        order = np.lexsort((distances, first))
        first, second, vectors, distances = first[order], second[order], vectors[order], distances[order]
        symbols = np.array(atoms.get_chemical_symbols())[second]
        starts = np.searchsorted(first, np.arange(len(atoms) + 1))
        for atom, (begin, end) in enumerate(pairwise(starts)):
            for number, element in enumerate(self.elements):
                near = begin + np.flatnonzero(symbols[begin:end] == element)[: self.k]
                places = np.vstack([np.zeros(3), vectors[near]])
                apart = np.linalg.norm(places[:, None] - places, axis=2)
                sorter = np.arange(len(places))[None]
                x1 = descriptor_x1(apart, sorter, self.k, self.r_cut, max_rows=1)
                x2 = descriptor_x2(apart, sorter, self.k, self.r_cut, max_rows=1)
                rows[atom, number] = np.hstack([x1[0], x2[0]])
        return rows.reshape(len(atoms), -1)

    def _compute(self, atoms: Atoms) -> NDArray[np.float64]:
        """QUESTS' descriptor on one thread, without numba's warnings about QUESTS' casts."""
        quests = import_engine("quests.descriptor", "descriptor=quests", "descriptors")
        threads = numba.get_num_threads()
        if threads > 1:
            numba.set_num_threads(1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", numba.core.errors.NumbaWarning)
                rows: NDArray[np.float64] = quests.get_descriptors([atoms], k=self.k, cutoff=self.r_cut)
        finally:
            if threads > 1:
                numba.set_num_threads(threads)
        return rows


def _right_handed(atoms: Atoms) -> Atoms:
    """The same crystal, periodic in all directions, in a right-handed cell.

    quests finds no neighbours in left-handed cells and ignores the periodicity of slabs and wires. The vacuum of
    ``in_vacuum`` keeps images along the other directions out of reach.
    """
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = atoms.cell.array.tolist()
    left_handed = ax * (by * cz - bz * cy) + ay * (bz * cx - bx * cz) + az * (bx * cy - by * cx) < 0
    if not left_handed and all(atoms.pbc.tolist()):
        return atoms
    turned = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True)
    if left_handed:
        turned.set_cell(-atoms.cell.array)
    return turned
