"""Files as VASP writes them, made from structures with known labels; what VASP prints is in kbar and its own sign."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

KBAR_PER_EV_PER_A3 = 1602.176634
"""Written out here, so that the tests do not rest on tamis' constants."""


def write_vasprun(path: Path, frames: Sequence[Atoms], smearing: Sequence[float]) -> None:
    """frames : ``energy`` (free energy, eV), ``forces`` and ``stress`` (ASE's) in info and arrays. smearing : eV, what
    the energy extrapolated to zero width lies above the free energy."""
    symbols = "".join(f"<rc><c>{s} </c><c> 1</c></rc>" for s in frames[0].get_chemical_symbols())
    parts = [
        '<?xml version="1.0" encoding="ISO-8859-1"?><modeling>',
        '<kpoints><varray name="kpointlist"><v>0 0 0</v></varray><varray name="weights"><v>1</v></varray></kpoints>',
        f'<atominfo><array name="atoms"><set>{symbols}</set></array></atominfo>',
        f'<structure name="initialpos">{_structure(frames[0])}</structure>',
    ]
    for atoms, above in zip(frames, smearing, strict=True):
        free = atoms.info["energy"]
        energies = f'<i name="e_fr_energy">{free:.8f}</i><i name="e_wo_entrp">{free + 2 * above:.8f}</i>'
        energies += f'<i name="e_0_energy">{free + above:.8f}</i>'
        parts.append(
            f"<calculation><scstep><energy>{energies}</energy></scstep><structure>{_structure(atoms)}</structure>"
            f'<varray name="forces">{_rows(atoms.arrays["forces"])}</varray>'
            f'<varray name="stress">{_rows(-KBAR_PER_EV_PER_A3 * full(atoms.info["stress"]))}</varray>'
            f"<energy>{energies}</energy></calculation>"
        )
    path.write_text("\n".join([*parts, "</modeling>"]))


def _structure(atoms: Atoms) -> str:
    return (
        f'<crystal><varray name="basis">{_rows(atoms.cell.array)}</varray></crystal>'
        f'<varray name="positions">{_rows(atoms.get_scaled_positions(wrap=False))}</varray>'
    )


def _rows(rows: np.ndarray) -> str:
    return "".join(f"<v>{' '.join(f'{x:.10f}' for x in row)}</v>" for row in rows)


def full(voigt: np.ndarray) -> np.ndarray:
    """(3, 3) from xx yy zz yz xz xy."""
    xx, yy, zz, yz, xz, xy = voigt
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def write_outcar(path: Path, frames: Sequence[Atoms], smearing: Sequence[float]) -> None:
    """The same as ``write_vasprun``, as OUTCAR; frames of one element."""
    symbol, n = frames[0].get_chemical_symbols()[0], len(frames[0])
    lines = [f" POTCAR:    PAW_PBE {symbol} 22Jun2005"] * 2
    lines += ["   ISPIN  =      1    spin polarized calculation?", f"   ions per type =              {n}"]
    lines += [
        "   k-points           NKPTS =      1   k-points in BZ     NKDIM =      1   number of bands    NBANDS=      1"
    ]
    lines += [
        " k-points in reciprocal lattice and weights: gamma",
        "   0.00000000  0.00000000  0.00000000       1.000",
    ]
    lines += ["--------- Iteration      1(   1)  ----------"]
    for atoms, above in zip(frames, smearing, strict=True):
        xx, yy, zz, yz, xz, xy = -KBAR_PER_EV_PER_A3 * atoms.info["stress"]
        lines.append(f"  in kB   {xx:11.5f} {yy:11.5f} {zz:11.5f} {xy:11.5f} {yz:11.5f} {xz:11.5f}")
        lines.append("      direct lattice vectors                 reciprocal lattice vectors")
        lines += ["  ".join(f"{x:13.9f}" for x in (*row, 0.0, 0.0, 0.0)) for row in atoms.cell.array]
        lines += [" POSITION                                       TOTAL-FORCE (eV/Angst)", " " + "-" * 80]
        rows = np.hstack([atoms.positions, atoms.arrays["forces"]])
        lines += ["  ".join(f"{x:13.9f}" for x in row) for row in rows]
        free = atoms.info["energy"]
        lines += [" " + "-" * 80, "  FREE ENERGIE OF THE ION-ELECTRON SYSTEM (eV)", "  " + "-" * 50]
        lines += [f"  free  energy   TOTEN  = {free:18.8f} eV", ""]
        lines += [
            f"  energy  without entropy= {free + 2 * above:18.8f}  energy(sigma->0) = {free + above:18.8f}"
        ]
    path.write_text("\n".join([*lines, ""]))
