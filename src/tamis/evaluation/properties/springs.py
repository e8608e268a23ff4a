"""Force constants of a cubic crystal, from the forces on a supercell with one displaced atom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from tamis.evaluation.properties.base import Array, Sample
from tamis.evaluation.properties.site_symmetry import forces_about

X_TO_Y = 1
"""The rotation by 120° about [111] rolls coordinates by one place: x becomes y, y becomes z, z becomes x."""


def force_constants(
    sample: Sample, supercell: Atoms, repeat: int, displacement: float, sides: Sequence[int] = (1, -1)
) -> Array:
    """Second derivatives of the energy by the positions of each two atoms, (n, n, 3, 3), eV/Å².

    One atom is displaced along x. The threefold axis through it gives what its other displacements do, and the
    inversion about the middle of a bond what atoms of diamond's other sublattice do.

    Parameters
    ----------
    supercell : of ``sample.crystal``, relaxed; its cells are repeated ``repeat`` times along each vector.
    displacement : Å. sides : of the displacement; with both the error is of its square, with one of itself.

    Raises
    ------
    PropertyError : a force is not finite.
    """
    forces = np.zeros((len(supercell), 3))
    for side in sides:
        moved = supercell.copy()
        moved.positions[0, 0] += side * displacement
        forces += side * forces_about(sample, moved, moved.positions[0])
    along_x = -forces / (len(sides) * displacement)
    # all atoms lie on this grid along the vectors of a primitive and of a cubic cell
    grid = 4 * repeat
    places = np.rint(supercell.get_scaled_positions(wrap=False) * grid).astype(int)
    places -= places[0]
    number = np.full((grid,) * 3, -1)
    number[tuple(places.T % grid)] = np.arange(len(supercell))
    of_first = np.empty((len(supercell), 3, 3))  # second index: displacement of atom 0
    for turns in range(3):
        turned = number[tuple(np.roll(places, turns * X_TO_Y, axis=1).T % grid)]
        of_first[turned, :, turns] = np.roll(along_x, turns * X_TO_Y, axis=1)
    on_first_sublattice = number[tuple(-places.T % grid)] >= 0
    between = places[None, :] - places[:, None]
    between[~on_first_sublattice] *= -1
    blocks = of_first[number[tuple(np.moveaxis(between, -1, 0) % grid)]]
    return np.asarray(blocks.swapaxes(2, 3))


def without_atom(constants: Array, removed: int) -> Array:
    """Force constants (3n - 3, 3n - 3) of the crystal without one atom, whose springs are cut, from (n, n, 3, 3)."""
    n = len(constants)
    cut = constants.copy()
    cut[range(n), range(n)] += constants[:, removed]  # uniform displacements of the others cost nothing
    kept = np.delete(np.arange(n), removed)
    matrix = cut[np.ix_(kept, kept)].swapaxes(1, 2).reshape(3 * n - 3, 3 * n - 3)
    return np.asarray(0.5 * (matrix + matrix.T))
