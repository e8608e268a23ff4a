"""Outputs as pw.x of Quantum ESPRESSO writes them, made from structures with known labels: Ry, bohr, kbar."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from tests.vasp_files import full

EV_PER_RY, A_PER_BOHR, KBAR_PER_EV_PER_A3 = 13.605693122994, 0.529177210903, 1602.176634
"""Written out here, so that the tests do not rest on tamis' constants."""


def write_pw(path: Path, frames: Sequence[Atoms]) -> None:
    """One run after another. frames : ``energy`` (eV), ``forces`` and ``stress`` (ASE's) in info and arrays."""
    lines: list[str] = []
    for atoms in frames:
        alat = atoms.cell.lengths()[0] / A_PER_BOHR
        unit = alat * A_PER_BOHR
        lines += ["     Program PWSCF v.7.2 starts on 30Nov2026 at 12: 0: 0", ""]
        lines += [
            "     bravais-lattice index     =            0",
            f"     lattice parameter (alat)  =  {alat:.6f}  a.u.",
        ]
        lines += [
            f"     number of atoms/cell      =  {len(atoms):11d}",
            "     number of atomic types    =            1",
        ]
        lines += [f"     celldm(1)= {alat:14.10f}  celldm(2)=   0.000000  celldm(3)=   0.000000", ""]
        lines += ["     crystal axes: (cart. coord. in units of alat)"]
        for i, row in enumerate(atoms.cell.array / unit):
            lines.append(f"               a({i + 1}) = ( {' '.join(f'{x:14.10f}' for x in row)} )")
        lines += ["", "     site n.     atom                  positions (alat units)"]
        for i, row in enumerate(atoms.positions / unit):
            numbers = " ".join(f"{x:14.10f}" for x in row)
            lines.append(f"      {i + 1:4d}           Cu  tau({i + 1:4d}) = ( {numbers}  )")
        lines += ["", f"!    total energy              = {atoms.info['energy'] / EV_PER_RY:18.10f} Ry", ""]
        lines += ["     Forces acting on atoms (cartesian axes, Ry/au):", ""]
        for i, row in enumerate(atoms.arrays["forces"] / (EV_PER_RY / A_PER_BOHR)):
            lines.append(f"     atom {i + 1:4d} type  1   force = {' '.join(f'{x:14.10f}' for x in row)}")
        ours = -full(atoms.info["stress"])  # positive under pressure
        lines += [
            "",
            f"     total   stress  (Ry/bohr**3)    (kbar)     P= {np.trace(ours) / 3 * KBAR_PER_EV_PER_A3:.2f}",
        ]
        for row in ours:
            both = [*(row / (EV_PER_RY / A_PER_BOHR**3)), *(row * KBAR_PER_EV_PER_A3)]
            lines.append("  " + " ".join(f"{x:14.10f}" for x in both))
        lines += ["", "     JOB DONE.", ""]
    path.write_text("\n".join(lines))
