"""Copper cells with the labels of ASE's EMT: force-free ones, rattled ones, and what leaves energies equal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT

from tamis.data.dataset import Dataset


def force_free(n: int) -> list[Atoms]:
    """fcc cells of one atom, compressed and stretched: symmetry leaves no forces."""
    return [bulk("Cu", "fcc", a=a) for a in np.linspace(3.3, 4.0, n)]


def moved(n: int, seed: int = 0, size: int = 1, amplitude: float = 0.1) -> list[Atoms]:
    """Cubic cells of 4 atoms, or of size³ times as many, rattled."""
    rng = np.random.default_rng(seed)
    structures = []
    for _ in range(n):
        atoms = bulk("Cu", "fcc", a=3.6 + 0.1 * rng.random(), cubic=True).repeat(size)
        atoms.positions += amplitude * rng.normal(size=atoms.positions.shape)
        structures.append(atoms)
    return structures


def trajectory(n: int, seed: int = 0) -> list[Atoms]:
    """Frames that follow each other closely: each atom's displacement is remembered for about five of them."""
    rng = np.random.default_rng(seed)
    crystal = bulk("Cu", "fcc", a=3.65, cubic=True).repeat(2)
    displacements = np.zeros_like(crystal.positions)
    frames = []
    for _ in range(n):
        displacements = 0.8 * displacements + 0.06 * rng.normal(size=displacements.shape)
        frames.append(crystal.copy())
        frames[-1].positions += displacements
        frames[-1].wrap()
    return frames


def disguised(atoms: Atoms, rng: np.random.Generator, repeat: int = 1) -> Atoms:
    """The same crystal in another order, place and orientation, with other images, mirrored, in a larger cell."""
    other = atoms.repeat((repeat, 1, 1))
    other.positions += rng.normal(size=3)
    other.positions += rng.integers(-2, 3, size=(len(other), 3)) @ other.cell.array
    other = other[rng.permutation(len(other))]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    other.set_cell(other.cell.array @ turn)
    other.positions = other.positions @ turn
    other.positions = np.round(other.positions, 5)
    return other


def labelled(
    structures: Sequence[Atoms], groups: Sequence[str] | None = None, blocks: Sequence[str] | None = None
) -> Dataset:
    """With the labels of EMT, none of them for testing."""
    n, calculator = len(structures), EMT()
    return Dataset(
        structures=tuple(structures),
        energies=np.array([calculator.get_property("energy", a) for a in structures]),
        forces=tuple(calculator.get_property("forces", a) for a in structures),
        stresses=np.array([calculator.get_property("stress", a) for a in structures]),
        groups=tuple(groups or ("all",) * n),
        blocks=tuple(blocks or map(str, range(n))),
        ids=tuple(f"made#{i}" for i in range(n)),
        is_test=np.zeros(n, dtype=bool),
    )
