"""Copper cells with exact labels of ASE's EMT, in the form in which writers of files want them."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT


@lru_cache(maxsize=1)
def copper(n: int = 12) -> Sequence[Atoms]:
    """Strained and rattled cells of 4 atoms: energy (eV) and stress (eV/Å³, sign of ASE) in info, forces a column."""
    rng = np.random.default_rng(5)
    frames = []
    for i in range(n):
        atoms = bulk("Cu", a=3.65, cubic=True)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.08, size=(4, 3))
        atoms.calc = EMT()
        results = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        atoms.calc = None
        atoms.info = {"energy": results[0], "stress": results[2], "config_type": ("bulk", "hot")[i % 2]}
        atoms.arrays["forces"] = results[1] - results[1].mean(axis=0)
        frames.append(atoms)
    return tuple(frames)
