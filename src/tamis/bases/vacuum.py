"""Cells for structures that are not periodic in every direction."""

from ase import Atoms


def in_vacuum(atoms: Atoms, width: float) -> Atoms:
    """A copy in a regular cell with vacuum where ``atoms`` is not periodic; the copy keeps its ``pbc`` flags.

    Engines want a cell that can be inverted and holds all atoms, even for a free cluster. Only relative positions
    enter a basis, so the atoms may be shifted.

    Parameters
    ----------
    atoms : any structure that passed ``Basis.check``.
    width : Å of vacuum on each side; with at least half the cutoff, images do not meet even if ``pbc`` is ignored.
    """
    if atoms.pbc.all():
        return atoms
    free = [axis for axis in range(3) if not atoms.pbc[axis]]
    boxed = Atoms(atoms.symbols, positions=atoms.positions, pbc=atoms.pbc)
    cell = atoms.cell.array.copy()
    cell[free] = 0.0
    boxed.cell = cell
    boxed.cell = boxed.cell.complete()
    boxed.center(vacuum=width, axis=free)
    return boxed


def wrapped(atoms: Atoms, width: float) -> Atoms:
    """``in_vacuum``, with every atom inside the cell along its periodic directions.

    dscribe takes images of cells, not of atoms: what is outside of the cell would miss neighbours.
    """
    inside = in_vacuum(atoms, width).copy()
    inside.wrap(eps=0.0)
    return inside
