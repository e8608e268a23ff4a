"""SNAP: bispectrum components of the neighbour density, computed by LAMMPS (``compute snap``).

Thompson, Swiler, Trott, Foiles, Tucker, J. Comput. Phys. 285, 316 (2015), eqs. 5-10 and 16-21.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tamis.bases.base import Array, DesignRows, LinearBasis
from tamis.bases.blocks import in_element_blocks
from tamis.exceptions import TamisError
from tamis.geometry import MOST_NEIGHBOURS
from tamis.lammps import Box, LammpsCalculator, command_all, start_lammps

if TYPE_CHECKING:
    from lammps import lammps

COEFFICIENT_FILE = "SNAPotential.snapcoeff"
PARAMETER_FILE = "SNAPotential.snapparam"
LARGEST_TWOJMAX = 20
"""506 components; in use are 6 and 8. The work grows with its seventh power."""


@dataclass(frozen=True)
class SnapBasis(LinearBasis):
    """Bispectrum components B of each atom, without the constant.

    elements: chemical symbols of the data set.
    r_cut: cutoff, Å, of a pair of atoms of radius 0.5.
    twojmax: twice the highest angular momentum; sets the number of components (6: 30, 8: 55).
    rfac0, rmin0: map of distances to angles on the 3-sphere (dimensionless, Å).
    radii: one a element, dimensionless; cutoff of a pair = r_cut (R_i + R_j); None: 0.5 each.
    weights: one a element, of its atoms in a neighbour's density, dimensionless; None: 1 each.
    """

    engine = "lammps"

    elements: tuple[str, ...]
    r_cut: float
    twojmax: int
    rfac0: float
    rmin0: float
    radii: tuple[float, ...] | None
    weights: tuple[float, ...] | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "elements", tuple(sorted(self.elements)))
        if not self.elements:
            raise TamisError("elements is empty; name at least one, such as [Si]")
        if self.r_cut <= 0:
            raise TamisError(f"r_cut is {self.r_cut} Å; it must be positive, say 4.9")
        if not 0 <= self.twojmax <= LARGEST_TWOJMAX or int(self.twojmax) != self.twojmax:
            raise TamisError(
                f"twojmax is {self.twojmax}; it must be a whole number from 0 to {LARGEST_TWOJMAX}, say 6"
            )
        if not 0 < self.rfac0 <= 1 or not 0 <= self.rmin0 < self.r_cut:
            raise TamisError(f"rfac0={self.rfac0} must be in (0, 1], rmin0={self.rmin0} in [0, r_cut)")
        for name, default in (("radii", 0.5), ("weights", 1.0)):
            given = getattr(self, name)
            numbers = (default,) * len(self.elements) if given is None else tuple(float(x) for x in given)
            if name == "radii" and max(numbers, default=0.0) > 0.5:  # r_cut is the largest cutoff of any pair
                raise TamisError(f"radii is {numbers}; at most 0.5 each, larger ones are a larger r_cut")
            if len(numbers) != len(self.elements):
                raise TamisError(f"{name} has {len(numbers)} entries for the elements {self.elements}")
            object.__setattr__(self, name, numbers)

    def __getstate__(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # LAMMPS cannot be pickled

    @property
    def n_components(self) -> int:
        """Number of components with 0 <= 2 j2 <= 2 j1 <= 2 j <= twojmax (the triangle rule kept)."""
        return sum(
            1
            for j1 in range(self.twojmax + 1)
            for j2 in range(j1 + 1)
            for j in range(j1 - j2, min(self.twojmax, j1 + j2) + 1, 2)
            if j >= j1
        )

    @property
    def n_features(self) -> int:
        """Number of columns: components times elements."""
        return self.n_components * len(self.elements)

    @cached_property
    def _lammps(self) -> lammps:
        return start_lammps()

    def _compute(self, atoms: Atoms, box: Box, style: str, shown: Sequence[str]) -> lammps:
        """Make LAMMPS compute ``b`` of this style; the last of the lines ``shown`` makes "run 0" need it."""
        assert self.radii is not None and self.weights is not None  # set in __post_init__
        widest = 2.0 * max(self.radii) * self.r_cut
        numbers = " ".join(f"{x:.17g}" for x in (*self.radii, *self.weights))
        lmp = self._lammps
        box.fill(lmp, atoms, self.elements)
        commands = (
            f"pair_style zero {widest * 1.0001:.17g}",
            "pair_coeff * *",
            f"neigh_modify one {10 * MOST_NEIGHBOURS} page {200 * MOST_NEIGHBOURS}",
            f"compute b all {style} {self.r_cut:.17g} {self.rfac0:.17g} {self.twojmax} {numbers} "
            f"rmin0 {self.rmin0:.17g} bzeroflag 0{' bikflag 1' if style == 'snap' else ''}",
            *shown,
            "run 0 post no",
        )
        try:
            command_all(lmp, commands)
        except TamisError:
            del self.__dict__["_lammps"]  # after an error inside a run it is in no known state
            raise
        return lmp

    def values(self, atoms: Atoms) -> Array:
        """Bispectrum components of every atom, (n_atoms, n_features); without derivatives, so faster."""
        from lammps import LMP_STYLE_ATOM, LMP_TYPE_ARRAY

        self.check(atoms)
        shown = ("compute sum all reduce sum c_b[1]", "thermo_style custom step c_sum")
        lmp = self._compute(atoms, Box(atoms, self.r_cut), "sna/atom", shown)
        # lmp.numpy takes the pointers for the numbers where there is one column
        rows = lmp.extract_compute("b", LMP_STYLE_ATOM, LMP_TYPE_ARRAY)
        table = np.ctypeslib.as_array(rows[0], (len(atoms), self.n_components))
        return in_element_blocks(table, atoms, self.elements)

    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """Values (n_atoms, K) and design rows: LAMMPS gives n rows of B, 3 n of forces, 6 of the virial."""
        from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY

        self.check(atoms)
        box, n = Box(atoms, self.r_cut), len(atoms)
        lmp = self._compute(atoms, box, "snap", ("thermo_style custom step c_b[1][1]",))
        table = lmp.numpy.extract_compute("b", LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY)[:, :-1]
        values = np.array(table[:n])
        forces = box.vectors_back(table[n : 4 * n].reshape(n, 3, -1))
        strain_gradient = -box.tensor_back(np.array(table[4 * n :]))
        return values, DesignRows(values.sum(axis=0), forces, strain_gradient)

    def calculator(self, coefficients: Array, offsets: Array) -> Calculator:
        """pair_style snap in LAMMPS, fed through files in a folder that lives as long as the calculator."""
        folder = TemporaryDirectory(prefix="tamis-snap-")
        self.write(Path(folder.name), coefficients, offsets)
        calculator = LammpsCalculator(self.lammps(Path(folder.name)), self.elements, 2 * self.r_cut)
        weakref.finalize(calculator, folder.cleanup)
        return calculator

    def write(self, folder: Path, coefficients: Array, offsets: Array) -> list[Path]:
        """Write the .snapcoeff and .snapparam files of LAMMPS' ``pair_style snap``."""
        assert self.radii is not None and self.weights is not None
        blocks = np.column_stack([offsets, coefficients.reshape(len(self.elements), -1)])
        lines = [f"{len(self.elements)} {blocks.shape[1]}"]
        for symbol, radius, weight, block in zip(
            self.elements, self.radii, self.weights, blocks, strict=True
        ):
            lines += [f"{symbol} {radius:.17g} {weight:.17g}", *(f"{x:.17g}" for x in block)]
        parameters = {
            "rcutfac": f"{self.r_cut:.17g}",
            "twojmax": str(self.twojmax),
            "rfac0": f"{self.rfac0:.17g}",
            "rmin0": f"{self.rmin0:.17g}",
            "bzeroflag": "0",
            "quadraticflag": "0",
        }
        paths = [folder / COEFFICIENT_FILE, folder / PARAMETER_FILE]
        paths[0].write_text("\n".join(lines) + "\n")
        paths[1].write_text("".join(f"{key} {value}\n" for key, value in parameters.items()))
        return paths

    def lammps(self, folder: Path) -> tuple[str, ...]:
        """pair_style and pair_coeff lines."""
        files = f'"{folder / COEFFICIENT_FILE}" "{folder / PARAMETER_FILE}"'
        return ("pair_style snap", f"pair_coeff * * {files} {' '.join(self.elements)}")


def read_snap(folder: Path) -> tuple[SnapBasis, Array, Array]:
    """Basis, coefficients and offsets from the two files of a linear SNAP potential.

    Raises
    ------
    TamisError : a file is missing or cut off, or asks for what SnapBasis does not have (quadratic terms, bzero).
    """
    parameter_file = _only(folder, "*.snapparam")
    parameters = _read_parameters(parameter_file)
    coefficient_file = _only(folder, "*.snapcoeff")
    words = [words for words in _words(coefficient_file) if words]
    try:
        n_elements, n_numbers = (int(word) for word in words[0])
        if n_elements < 1 or n_numbers < 1 or n_elements * (n_numbers + 1) > len(words):
            raise ValueError(f"{n_elements} times {n_numbers} numbers in {len(words)} lines")
        heads = [words[1 + i * (n_numbers + 1)] for i in range(n_elements)]
        radii, weights = ([float(head[k]) for head in heads] for k in (1, 2))
        blocks = np.array(
            [
                [float(w[0]) for w in words[2 + i * (n_numbers + 1) : 2 + i * (n_numbers + 1) + n_numbers]]
                for i in range(n_elements)
            ]
        ).reshape(n_elements, n_numbers)
    except (ValueError, IndexError) as error:
        raise TamisError(f"{coefficient_file}: not a complete SNAP coefficient file ({error})") from error
    order = np.argsort([head[0] for head in heads])
    try:
        basis = SnapBasis(
            elements=tuple(heads[i][0] for i in order),
            r_cut=float(parameters["rcutfac"]),
            twojmax=int(parameters["twojmax"]),
            rfac0=float(parameters.get("rfac0", "0.99363")),
            rmin0=float(parameters.get("rmin0", "0")),
            radii=tuple(radii[i] for i in order),
            weights=tuple(weights[i] for i in order),
        )
    except ValueError as error:
        raise TamisError(f"{parameter_file}: {error}; numbers are needed") from error
    if not np.isfinite([*blocks.ravel(), *radii, *weights]).all():
        raise TamisError(f"{coefficient_file} has numbers that are not finite; fit the potential again")
    if basis.n_components != n_numbers - 1:
        raise TamisError(
            f"{coefficient_file} has {n_numbers} coefficients an element; twojmax={basis.twojmax} has "
            f"{basis.n_components + 1}"
        )
    return basis, blocks[order, 1:].ravel(), blocks[order, 0]


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise TamisError(f"{folder} has {len(found)} files {pattern}; exactly one is needed")
    return found[0]


def _words(path: Path) -> list[list[str]]:
    """The words of each line, without comments."""
    try:
        return [line.split("#")[0].split() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise TamisError(f"{path} cannot be read ({error}); give a file of a SNAP potential") from error


def _read_parameters(path: Path) -> dict[str, str]:
    parameters = {words[0]: words[1] for words in _words(path) if len(words) >= 2}
    missing = sorted({"rcutfac", "twojmax"} - set(parameters))
    if missing:
        raise TamisError(f"{path} has no {', '.join(missing)}")
    wrong = {
        key: parameters[key]
        for key in ("quadraticflag", "bzeroflag", "chemflag")
        if parameters.get(key, "0") != "0"
    }
    # bzeroflag defaults to 1 in LAMMPS; files of other potentials must say 0
    if parameters.get("bzeroflag") is None:
        wrong["bzeroflag"] = "(absent, that is 1)"
    if wrong:
        raise TamisError(f"{path} asks for {wrong}; only 0 is supported for these keys")
    return parameters
