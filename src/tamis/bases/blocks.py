"""One block of columns per element of the central atom."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.elements import species_of
from tamis.core.errors import TamisError

Array = NDArray[np.float64]


def in_element_blocks(rows: Array, atoms: Atoms, elements: Sequence[str]) -> Array:
    """Move the values of each atom into the block of its own element; the other blocks are zero.

    Parameters
    ----------
    rows : (n_atoms, m) values of each atom, in the order of ``atoms``.
    atoms : the structure.
    elements : chemical symbols, one block each.

    Returns
    -------
    (n_atoms, len(elements) * m); of a single element ``rows`` themselves, no copy.

    Raises
    ------
    TamisError : values are not finite, for example where two atoms are on top of each other.
    """
    refuse_non_finite(rows, atoms)
    if len(elements) == 1:
        return rows
    n_atoms, width = rows.shape
    blocks = np.zeros((n_atoms, len(elements), width))
    blocks[np.arange(n_atoms), species_of(atoms, elements)] = rows
    return blocks.reshape(n_atoms, -1)


def refuse_non_finite(rows: Array, atoms: Atoms) -> None:
    """Raise TamisError where an engine returned NaN or infinity, naming the first such atom."""
    finite = np.isfinite(rows)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise TamisError(
            f"the basis functions of atom {bad[0]} ({atoms.symbols[bad[0]]}) in {atoms.get_chemical_formula()} are "
            "not finite: two atoms overlap or positions are absurd; correct or remove the structure"
        )
