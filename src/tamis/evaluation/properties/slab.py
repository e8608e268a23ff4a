"""Slabs of cubic crystals with the smallest surface cell."""

from __future__ import annotations

from itertools import product

import numpy as np
from ase import Atoms

from tamis.data.crystal import Crystal
from tamis.evaluation.properties.base import Array

REACH = range(-3, 4)
"""Multiples of the primitive vectors among which the cell of a slab is searched; enough for low indices."""


def slab(crystal: Crystal, a: float, miller: tuple[int, int, int], thickness: float, vacuum: float) -> Atoms:
    """A slab with two equal surfaces, cut where the distance of atomic planes is largest.

    Parameters
    ----------
    a : cubic lattice constant, Å. miller : indices of the surface in the cubic axes. thickness : least distance of its
    outermost planes, Å. vacuum : between periodic images, Å.
    """
    vectors = crystal.lattice_vectors(a)
    normal = np.array(miller, dtype=float)
    normal /= np.linalg.norm(normal)
    u, v, up = surface_cell(vectors, normal)
    spacing = float(up @ normal)
    n_layers = int(np.ceil(thickness / spacing)) + 1
    basis = crystal.primitive(a).positions @ normal
    heights = (basis - basis.min()) % spacing
    order = np.argsort(heights)
    gaps = np.diff(np.append(heights[order], heights[order][0] + spacing))
    lowest = order[
        (int(np.argmax(gaps)) + 1) % len(order)
    ]  # the plane above the widest gap is the first of a slab
    shifts = -np.floor((basis - basis[lowest] + 1e-6) / spacing)
    positions = np.concatenate(
        [crystal.primitive(a).positions + np.outer(shifts + layer, up) for layer in range(n_layers)]
    )
    frame = np.array([u, v, np.cross(u, v)])
    atoms = Atoms([crystal.element] * len(positions), positions=positions, cell=frame, pbc=True)
    height = float(np.ptp(positions @ normal))
    atoms.set_cell(np.array([u, v, normal * (height + vacuum)]))
    atoms.positions -= normal * (positions @ normal).min()
    atoms.rotate(u, "x", rotate_cell=True)
    atoms.rotate(atoms.cell[2], "z", rotate_cell=True)
    atoms.wrap()
    atoms.center(axis=2)
    return atoms


def surface_cell(vectors: Array, normal: Array) -> tuple[Array, Array, Array]:
    """Two shortest lattice vectors in the plane, right-handed about ``normal``, and the shortest one to the next plane.

    All in the unit of ``vectors``, the primitive lattice vectors as rows.
    """
    points = np.array(list(product(REACH, repeat=3))) @ vectors
    lengths, heights = np.linalg.norm(points, axis=1), points @ normal
    tiny = 1e-6 * np.linalg.norm(vectors[0])
    flat = points[(np.abs(heights) < tiny) & (lengths > tiny)]
    flat = flat[np.argsort(np.linalg.norm(flat, axis=1), kind="stable")]
    u = flat[0]
    v = next(x for x in flat[1:] if np.linalg.norm(np.cross(u, x)) > tiny * np.linalg.norm(u))
    above = points[heights > tiny]
    lowest = (above @ normal).min()
    next_plane = above[above @ normal < lowest + tiny]
    up = next_plane[np.argmin(np.linalg.norm(next_plane, axis=1))]
    return u, (v if np.cross(u, v) @ normal > 0 else -v), up
