"""Relaxation of a crystal's cell and atoms, as far as its symmetry leaves them free.

Steps are quasi-Newton ones among the strains and displacements that keep the symmetry: a tetragonal crystal of atoms in
fixed places has two of them, where cell and atoms would have 9 + 3n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.linalg import expm

from tamis.data.crystal import Crystal
from tamis.data.unit_cell import AnyCrystal, UnitCell
from tamis.evaluation.properties.base import Array, PropertyError, Sample
from tamis.evaluation.properties.quasi_newton import learned
from tamis.evaluation.properties.relaxation import FURTHEST, STIFFNESS, STRIDE, relaxed_lattice_constant

MODULUS = 0.6
"""eV/Å³ (100 GPa), of the cell that relaxations start from."""
MOST_STRESS = 1e-6
"""eV/Å³ (0.2 MPa), along a free strain, at which a cell is relaxed."""
MOST_FORCE = 1e-4
"""eV/Å, along a free displacement of length 1, likewise."""
MOST_STEPS = 200
"""After which a relaxation has failed."""
LONGEST_STRAIN, LONGEST_MOVE = 0.02, 0.1
"""In one step; the second in Å."""
FURTHEST_MOVE = 1.0
"""Å; atoms that have moved further are in another structure."""
SAME_ENERGY = 1e-6
"""eV; steps may raise the energy by this much, which is rounding."""


@lru_cache(maxsize=1)  # the properties of one sample are measured one after the other
def relaxed_crystal(sample: Sample) -> AnyCrystal:
    """The crystal of the sample in the energy's minimum nearest to where it starts, with the same symmetry.

    First its size is found, then what else is free.

    Raises
    ------
    PropertyError : there is no minimum near.
    """
    crystal = sample.crystal.scaled(relaxed_lattice_constant(sample) / sample.crystal.a)
    return crystal if isinstance(crystal, Crystal) else relaxed_cell(crystal, sample)


@dataclass(frozen=True, eq=False)
class Freedom:
    """What keeps the symmetry: orthonormal strains (k, 3, 3), and displacements of atoms (m, n, 3)."""

    strains: Array
    moves: Array

    @classmethod
    def of(cls, crystal: UnitCell, fixed_volume: bool) -> Freedom:
        """The invariants of the space group; strains without a trace if the volume is fixed."""
        turns, n = crystal.turns, len(crystal.symbols)
        strains = np.einsum("kia,abcd,kjb->kijcd", turns, np.eye(9).reshape(3, 3, 3, 3), turns).mean(axis=0)
        strains = 0.5 * (strains + strains.swapaxes(0, 1))
        if fixed_volume:
            strains = strains - np.multiply.outer(np.eye(3), np.trace(strains)) / 3.0
        moves = np.zeros((n, 3, n, 3))
        for turn, onto in zip(turns, crystal.permutations, strict=True):
            moves[list(onto), :, range(n), :] += turn / len(turns)
        return cls(
            _range(strains.reshape(9, 9)).reshape(-1, 3, 3),
            _range(moves.reshape(3 * n, -1)).reshape(-1, n, 3),
        )


def _range(projector: Array) -> Array:
    """Orthonormal rows that span what a projector (d, d) leaves."""
    left, values, _ = np.linalg.svd(projector)
    return np.asarray(left[:, values > 0.5].T)


@dataclass(frozen=True, eq=False)
class State:
    """A cell with its energy, eV, and slopes (k + m,) along what is free: eV for strains, eV/Å for displacements."""

    crystal: UnitCell
    energy: float
    slopes: Array

    @classmethod
    def of(cls, crystal: UnitCell, sample: Sample, free: Freedom) -> State:
        """Computed with the sample's calculator."""
        atoms = crystal.primitive()
        energy, forces = sample.energy(atoms), sample.forces(atoms)
        xx, yy, zz, yz, xz, xy = sample.stress(atoms)
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        along_strains = atoms.cell.volume * np.tensordot(free.strains, stress, 2)
        return cls(crystal, energy, np.concatenate([along_strains, -np.tensordot(free.moves, forces, 2)]))


def relaxed_cell(crystal: UnitCell, sample: Sample, fixed_volume: bool = False) -> UnitCell:
    """``crystal`` with relaxed cell, but for its volume if that is fixed, and relaxed atoms.

    A step that raises the energy is taken back, and the next one is a quarter as long.

    Raises
    ------
    PropertyError : not relaxed after many steps, far from the start, or a number is not finite.
    """
    free = Freedom.of(crystal, fixed_volume)
    k, volume = len(free.strains), crystal.volume_per_atom(crystal.a) * len(crystal.symbols)
    if not k and not len(free.moves):
        return crystal
    limits = np.r_[np.full(k, MOST_STRESS * volume), np.full(len(free.moves), MOST_FORCE)]
    longest = np.r_[np.full(k, LONGEST_STRAIN), np.full(len(free.moves), LONGEST_MOVE)]
    model = np.diag(np.r_[np.full(k, MODULUS * volume), np.full(len(free.moves), STIFFNESS)])
    here, part = State.of(crystal, sample, free), 1.0
    for _ in range(MOST_STEPS):
        if (np.abs(here.slopes) <= limits).all():
            return here.crystal
        values, modes = np.linalg.eigh(model)
        step = -modes @ (modes.T @ here.slopes / np.abs(values))
        step *= min(part, float((longest / np.maximum(np.abs(step), 1e-30)).min()))
        there = State.of(_moved(here.crystal, step, free), sample, free)
        _check_near(there.crystal, crystal)
        model = learned(model, step, there.slopes - here.slopes)
        if there.energy <= here.energy + SAME_ENERGY:
            here, part = there, 1.0
        else:
            part *= 0.25
    raise PropertyError(f"the cell of {crystal.structure} is not relaxed after {MOST_STEPS} steps")


def _moved(crystal: UnitCell, step: Array, free: Freedom) -> UnitCell:
    """Strained, and then with displaced atoms."""
    k = len(free.strains)
    vectors = np.array(crystal.vectors) @ expm(np.tensordot(step[:k], free.strains, 1))
    move = np.tensordot(step[k:], free.moves, 1)
    return crystal.with_cell(vectors, np.array(crystal.places) + move @ np.linalg.inv(vectors))


def _check_near(crystal: UnitCell, start: UnitCell) -> None:
    """Raise PropertyError where a relaxing crystal is no longer the one that was meant."""
    stretched = np.linalg.svd(np.linalg.solve(start.vectors, crystal.vectors), compute_uv=False)
    moves = (np.array(crystal.places) - np.array(start.places)) @ np.array(start.vectors)
    moved = float(np.linalg.norm(moves, axis=1).max())
    if np.abs(np.log(stretched)).max() > FURTHEST * STRIDE or moved > FURTHEST_MOVE:
        raise PropertyError(
            f"{start.structure} does not stay what it is: as it relaxes, the cell becomes {stretched.max():.2f} and "
            f"{stretched.min():.2f} times as long, and an atom moves {moved:.2f} Å"
        )
