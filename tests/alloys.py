"""Alloys of copper and gold, labelled by ASE's EMT; child processes import the calculators from here."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.spacegroup import crystal as of_space_group

CU3AU = Atoms(
    "AuCu3",
    cell=[3.75] * 3,
    scaled_positions=[[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    pbc=True,
)
"""L1_2."""
CUAU = Atoms("AuCu", cell=[2.8, 2.8, 3.6], scaled_positions=[[0, 0, 0], [0.5, 0.5, 0.5]], pbc=True)
"""L1_0."""
SIDEWAYS = of_space_group(
    ["Au", "Cu"],
    [(1 / 3, 2 / 3, 0.25), (0.82, 0.64, 0.25)],
    spacegroup=194,
    cellpar=[5.3, 5.3, 4.3, 90, 90, 120],
)
"""D0_19 Cu3Au: hexagonal, and the places of the copper atoms have a free parameter."""


def turned(atoms: Atoms) -> Atoms:
    """The same crystal: another cell of it, rotated and shifted, atoms in another order."""
    other = atoms.repeat((1, 2, 1))[::-1]
    other.rotate(37.0, (1, 2, 3), rotate_cell=True)
    other.positions += (0.3, -0.2, 0.7)
    return other


class Shifted(Calculator):
    """EMT with other energies of free atoms, eV."""

    implemented_properties = ["energy", "forces", "stress"]

    def __init__(self, shifts: dict[str, float]) -> None:
        super().__init__()
        self.shifts, self.inner = shifts, EMT()

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes) -> None:
        super().calculate(atoms, properties, system_changes)
        self.results = {
            name: self.inner.get_property(name, self.atoms) for name in ("energy", "forces", "stress")
        }
        self.results["energy"] += sum(self.shifts[symbol] for symbol in self.atoms.get_chemical_symbols())


def alloys(rng: np.random.Generator) -> list[Atoms]:
    """L1_2 as it is, strained and shaken, a supercell with a vacancy, and CuAu."""
    structures = [CU3AU.copy(), CUAU.copy()]
    for _ in range(12):
        one = CU3AU.repeat((2, 1, 1))
        one.set_cell(one.cell.array @ (np.eye(3) + rng.normal(0, 0.02, (3, 3))), scale_atoms=True)
        one.positions += rng.normal(0, 0.06, one.positions.shape)
        structures.append(one)
    hole = CU3AU.repeat(2)
    del hole[3]
    return [*structures, hole]
