"""Writes copper cells as programs of the field do: n2p2, chimes_lsq, MLIP and FitSNAP, line by line."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

HARTREE, BOHR = 27.211386024367243, 0.5291772105638411
"""eV and Å (CODATA 2014)."""
KCAL, GPA = 4184.0 / 96485.33212331002, 1 / 160.21766208
"""eV in one kcal/mol, eV/Å³ in one GPa."""


def row(*numbers: float) -> str:
    return " ".join(f"{x:.15g}" for x in np.ravel(numbers))


def input_data(frames: Sequence[Atoms], energy: float = HARTREE, length: float = BOHR) -> str:
    """input.data in a unit of energy (eV in one) and of length (Å in one)."""
    lines = []
    for i, atoms in enumerate(frames):
        lines += ["begin", f"comment frame {i} of copper"]
        lines += [f"lattice {row(vector / length)}" for vector in atoms.cell.array] if atoms.pbc.any() else []
        for x, symbol, f in zip(atoms.positions, atoms.symbols, atoms.arrays["forces"], strict=True):
            lines.append(f"atom {row(x / length)} {symbol} 0.0 0.0 {row(f * length / energy)}")
        lines += [f"energy {row(atoms.info['energy'] / energy)}", "charge 0.0", "end"]
    return "\n".join(lines) + "\n"


def xyzf(frames: Sequence[Atoms], skewed: bool = True, stress: int = 6, energy: bool = True) -> str:
    """.xyzf with a cell of 9 or 3 numbers, ``stress`` components, and the energy or none."""
    lines = []
    for atoms in frames:
        xx, yy, zz, yz, xz, xy = -atoms.info["stress"] / GPA
        header = ["NON_ORTHO", row(atoms.cell.array)] if skewed else [row(np.diag(atoms.cell.array))]
        header += [row(xx, yy, zz, xy, xz, yz)] if stress == 6 else [row(xx, yy, zz)] * (stress == 3)
        header += [row(atoms.info["energy"] / KCAL)] * energy
        lines += [str(len(atoms)), " ".join(header)]
        for x, symbol, f in zip(atoms.positions, atoms.symbols, atoms.arrays["forces"], strict=True):
            lines.append(f"{symbol} {row(x)} {row(f * BOHR / HARTREE)}")
    return "\n".join(lines) + "\n"


def cfg(frames: Sequence[Atoms], direct: bool = False) -> str:
    """MLIP's .cfg, with Cartesian or direct coordinates."""
    lines = []
    for i, atoms in enumerate(frames):
        positions = atoms.get_scaled_positions(wrap=False) if direct else atoms.positions
        axes = " ".join(f"{'direct' if direct else 'cartes'}_{axis}" for axis in "xyz")
        lines += ["BEGIN_CFG", " Size", f"    {len(atoms)}", " Supercell"]
        lines += [f"    {row(vector)}" for vector in atoms.cell.array]
        lines += [f" AtomData:  id type {axes} fx fy fz"]
        for k, (x, f) in enumerate(zip(positions, atoms.arrays["forces"], strict=True)):
            lines.append(f"   {k + 1} 0 {row(x)} {row(f)}")
        lines += [" Energy", f"    {row(atoms.info['energy'])}"]
        lines += [" PlusStress:  xx          yy          zz          yz          xz          xy"]
        lines += [f"    {row(-atoms.info['stress'] * atoms.cell.volume)}"]
        lines += [
            " Feature   EFS_by\tVASP",
            f" Feature   config_type\t{('bulk', 'hot')[i % 2]}",
            "END_CFG",
            "",
        ]
    return "\n".join(lines) + "\n"


def dataset_of(atoms: Atoms) -> dict:
    """What FitSNAP's JSON has for one structure; the stress in bar."""
    full = atoms.info["stress"][[[0, 5, 4], [5, 1, 3], [4, 3, 2]]]
    data = {
        "Positions": atoms.positions.tolist(),
        "Forces": atoms.arrays["forces"].tolist(),
        "Stress": (-full / GPA * 1e4).tolist(),
        "Lattice": atoms.cell.array.tolist(),
        "Energy": atoms.info["energy"],
        "AtomTypes": atoms.get_chemical_symbols(),
        "NumAtoms": len(atoms),
    }
    styles = {"PositionsStyle": "angstrom", "LatticeStyle": "angstrom", "EnergyStyle": "electronvolt"}
    styles |= {
        "ForcesStyle": "electronvoltperangstrom",
        "StressStyle": "bar",
        "AtomTypeStyle": "chemicalsymbol",
    }
    return {"Dataset": {"Data": [data], **styles, "Label": "copper"}}


def write_fitsnap(folder: Path, frames: Sequence[Atoms]) -> list[Path]:
    """A file a structure, in folders that are groups; every second one begins with a comment."""
    paths = []
    for i, atoms in enumerate(frames):
        paths.append(folder / atoms.info["config_type"] / f"{i:03}.json")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        comment = "# file\n" if i % 2 else ""
        paths[-1].write_text(comment + json.dumps(dataset_of(atoms)))
    return paths
