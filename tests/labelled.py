"""Small labelled sets of many kinds, made by potentials that need a moment, and the same labels in other units."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import ase.units
import numpy as np
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT

from tamis.data.dataset import Dataset


def labelled(structures: Sequence[Atoms], calculator: Callable[[], Calculator]) -> Dataset:
    """Energies, forces and, of periodic cells, stresses."""
    energies, forces, stresses = [], [], []
    for atoms in structures:
        atoms.calc = calculator()
        energies.append(atoms.get_potential_energy())
        forces.append(atoms.get_forces())
        stresses.append(atoms.get_stress() if atoms.pbc.all() else np.full(6, np.nan))
    n = len(structures)
    bare = [Atoms(a.numbers, a.positions, cell=a.cell, pbc=a.pbc) for a in structures]
    return Dataset(
        structures=tuple(bare),
        energies=np.array(energies),
        forces=tuple(forces),
        stresses=np.array(stresses),
        groups=("all",) * n,
        blocks=tuple(str(i) for i in range(n)),
        ids=tuple(f"set.xyz#{i}" for i in range(n)),
        is_test=np.arange(n) % 10 == 9,
    )


def strained(atoms: Atoms, rng: np.random.Generator, size: float) -> Atoms:
    """A copy whose cell is strained at random, with its atoms, which then move by a tenth of an Å."""
    copy = atoms.copy()
    strain = np.eye(3) * (1.0 + size * rng.normal()) + 0.5 * size * rng.normal(size=(3, 3))
    copy.set_cell(copy.cell.array @ strain, scale_atoms=True)
    copy.rattle(0.1, rng=rng)
    return copy


def copper(n: int = 30) -> Dataset:
    """Cells of four atoms."""
    rng = np.random.default_rng(0)
    return labelled([strained(bulk("Cu", cubic=True), rng, 0.03) for _ in range(n)], EMT)


def copper_of_sizes(n: int = 24) -> Dataset:
    """Cells of 4, 8 and 16 atoms."""
    rng = np.random.default_rng(0)
    cells = [bulk("Cu", cubic=True) * (1, 1 + (i % 3 > 0), 1 + (i % 3 > 1)) for i in range(n)]
    return labelled([strained(cell, rng, 0.03) for cell in cells], EMT)


def two_atoms(n: int = 20) -> Dataset:
    """Cells of two atoms."""
    rng = np.random.default_rng(0)
    return labelled([strained(bulk("Cu") * (2, 1, 1), rng, 0.03) for _ in range(n)], EMT)


def one_atom(n: int = 20) -> Dataset:
    """Strained primitive cells, whose forces are zero by symmetry."""
    rng = np.random.default_rng(0)
    return labelled([strained(bulk("Cu"), rng, 0.03) for _ in range(n)], EMT)


def alloy(n: int = 20) -> Dataset:
    """Cu and Au at random on fcc sites, no composition often."""
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(n):
        atoms = bulk("Cu", cubic=True, a=3.8) * (2, 2, 1)
        atoms.symbols[:] = rng.choice(["Cu", "Au"], len(atoms))
        structures.append(strained(atoms, rng, 0.03))
    return labelled(structures, EMT)


def slabs(n: int = 16, pbc: tuple[bool, bool, bool] = (True, True, True)) -> Dataset:
    """Aluminium between vacuum."""
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(n):
        atoms = fcc111("Al", (2, 2, 3), vacuum=6.0)
        atoms.pbc = pbc
        atoms.rattle(0.1, rng=rng)
        structures.append(atoms)
    return labelled(structures, EMT)


def molecules(n: int = 40) -> Dataset:
    """Small ones of four elements, in vacuum."""
    rng = np.random.default_rng(0)
    names = ("H2O", "CH4", "C2H6", "NH3", "CO2", "C2H4", "CH3OH", "N2")
    structures = [molecule(names[i % len(names)]) for i in range(n)]
    for atoms in structures:
        atoms.rattle(0.05, rng=rng)
    return labelled(structures, EMT)


class Springs(Calculator):
    """Water as springs between O and H, and between its two H; energies near those of all electrons."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=None, system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        places = self.atoms.positions
        forces, energy = np.zeros_like(places), -76.4 * ase.units.Hartree * len(places) / 3
        for first in range(0, len(places), 3):
            for i, j, length, stiffness in ((0, 1, 0.96, 45.0), (0, 2, 0.96, 45.0), (1, 2, 1.52, 8.0)):
                bond = places[first + j] - places[first + i]
                distance = np.linalg.norm(bond)
                energy += 0.5 * stiffness * (distance - length) ** 2
                pull = stiffness * (distance - length) * bond / distance
                forces[first + i] += pull
                forces[first + j] -= pull
        self.results = {"energy": energy, "forces": forces}


def water(n: int = 30, n_molecules: int = 1) -> Dataset:
    """Molecules of water beside each other."""
    rng = np.random.default_rng(0)
    structures = []
    for _ in range(n):
        atoms = Atoms()
        for k in range(n_molecules):
            one = molecule("H2O")
            one.rattle(0.04, rng=rng)
            one.translate([3.5 * k, 0.0, 0.0])
            atoms += one
        structures.append(atoms)
    return labelled(structures, Springs)


def in_units(
    dataset: Dataset, energy: float = 1.0, forces: float = 1.0, stress: float = 1.0, length: float = 1.0
) -> Dataset:
    """The same set with every number multiplied, as a file in other units holds them."""
    structures = [
        Atoms(a.numbers, a.positions * length, cell=a.cell.array * length, pbc=a.pbc)
        for a in dataset.structures
    ]
    return replace(
        dataset,
        structures=tuple(structures),
        energies=dataset.energies * energy,
        forces=tuple(force * forces for force in dataset.forces),
        stresses=dataset.stresses * stress,
    )
