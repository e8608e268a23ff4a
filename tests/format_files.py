"""Files and folders as other programs write them, made from copper with known labels."""

from pathlib import Path

import ase.db
import numpy as np
import pandas as pd
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from tests.labelled_copper import copper
from tests.vasp_files import full

HARTREE, BOHR, KCAL = 27.211386, 0.52917721, 0.0433641
"""eV, Å and eV, from elsewhere than tamis."""


def write_system(folder: Path, frames: list[Atoms], per_set: int = 5) -> None:
    """As DeePMD-kit documents it: one row a frame, virial minus the stress (ASE's sign) times the volume."""
    folder.mkdir(parents=True)
    symbols = sorted(set(frames[0].get_chemical_symbols()))
    (folder / "type_map.raw").write_text("\n".join(symbols))
    (folder / "type.raw").write_text(
        "\n".join(str(symbols.index(s)) for s in frames[0].get_chemical_symbols())
    )
    for k, first in enumerate(range(0, len(frames), per_set)):
        part, place = frames[first : first + per_set], folder / f"set.{k:03d}"
        place.mkdir()
        np.save(place / "coord.npy", [a.positions.ravel() for a in part])
        np.save(place / "box.npy", [a.cell.array.ravel() for a in part])
        np.save(place / "energy.npy", [a.info["energy"] for a in part])
        np.save(place / "force.npy", [a.arrays["forces"].ravel() for a in part])
        np.save(place / "virial.npy", [-a.cell.volume * full(a.info["stress"]).ravel() for a in part])


def molecules() -> dict[str, np.ndarray]:
    """As MD17 has them, in kcal/mol."""
    return {
        "R": np.array([a.positions for a in copper()]),
        "z": np.full(4, 29),
        "E": np.array([[a.info["energy"] / KCAL] for a in copper()]),
        "F": np.array([a.arrays["forces"] / KCAL for a in copper()]),
    }


def write_schnetpack(path: Path, energy: float, length: float, metadata: dict) -> None:
    with ase.db.connect(path) as database:
        for one in copper():
            atoms = Atoms(one.numbers, one.positions / length, cell=one.cell.array / length, pbc=True)
            forces = one.arrays["forces"] / (energy / length)
            data = {"energy": np.array([one.info["energy"] / energy]), "forces": forces, "dipole": np.ones(3)}
            database.write(atoms, data=data)
        database.metadata = metadata


def write_cp2k(folder: Path, steps: int = 12) -> Path:
    """As CP2K prints a trajectory: positions in Å, energies in hartree, forces in hartree/bohr, cells in Å."""
    positions, forces, cells = [], [], ["#   Step   Time [fs]       Ax [Angstrom] ... Volume [Angstrom^3]"]
    for i, a in enumerate(copper()[:steps]):
        comment = f" i = {i * 5:8d}, time = {i * 2.5:12.3f}, E = {a.info['energy'] / HARTREE:20.12f}"
        for lines, rows in ((positions, a.positions), (forces, a.arrays["forces"] / (HARTREE / BOHR))):
            lines += [f"{len(a):8d}", comment]
            lines += [f" Cu {x:19.12f} {y:19.12f} {z:19.12f}" for x, y, z in rows]
        cell = " ".join(f"{x:16.12f}" for x in a.cell.array.ravel())
        cells.append(f"{i * 5:8d} {i * 2.5:12.3f} {cell} {a.cell.volume:20.10f}")
    for name, lines in (("pos-1.xyz", positions), ("frc-1.xyz", forces), ("1.cell", cells)):
        (folder / f"melt-{name}").write_text("\n".join([*lines, ""]))
    return folder / "melt-pos-1.xyz"


def table() -> pd.DataFrame:
    """As pacemaker's users make it, with a calculator, a constraint, and what else may stand in a row."""
    rows = []
    for i, one in enumerate(copper()):
        atoms = Atoms(one.numbers, one.positions, cell=one.cell, pbc=True, info={"config": f"no. {i}"})
        if i == 1:
            atoms.calc = SinglePointCalculator(atoms, energy=99.0, magmom=2.5)
        if i == 2:
            atoms.set_constraint(FixAtoms([0]))
        rows.append(
            {
                "ase_atoms": atoms,
                "energy": one.info["energy"],
                "forces": one.arrays["forces"].tolist() if i == 3 else one.arrays["forces"],
                "stress": one.info["stress"],
                "name": f"run {i % 2}" if i != 4 else None,
                "w_energy": 0.5 + i,
                "w_forces": np.full(4, 2.0),
                "step": i,
                "converged": i % 2 == 0,
            }
        )
    return pd.DataFrame(rows)


def write_colabfit(path: Path) -> None:
    """As the ColabFit Exchange has its columns, those that are read and some of the others."""
    rows = [
        {
            "property_id": f"PO_{i}",
            "software": "VASP",
            "energy": one.info["energy"],
            "atomic_forces": one.arrays["forces"].tolist(),
            "cauchy_stress": full(one.info["stress"]).tolist(),
            "cauchy_stress_volume_normalized": True,
            "formation_energy": None,
            "cell": one.cell.array.tolist(),
            "positions": one.positions.tolist(),
            "pbc": [True, True, True],
            "atomic_numbers": one.numbers.tolist(),
            "names": [f"copper {i}"],
            "labels": ["hot", "bulk"],
        }
        for i, one in enumerate(copper())
    ]
    pd.DataFrame(rows).to_parquet(path)
