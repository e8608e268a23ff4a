"""Crystals of any symmetry and composition, whose properties are measured: from a file, or from the data set itself."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.formula import Formula
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.data.checks import energy_residuals
from tamis.data.crystal import Crystal
from tamis.data.dataset import Dataset

Array = NDArray[np.float64]
Vectors = tuple[tuple[float, float, float], ...]
Matrix = tuple[tuple[int, int, int], ...]

SYMPREC = 0.01
"""Å; atoms that are as near to symmetric places are in them. Files have few digits."""
LOOSER = (SYMPREC, 0.03, 0.1, 0.3)
"""Å; the same for structures of a data set, which may be warm: the first that is enough is taken."""
MOST_ATOMS = 32
"""In the primitive cell of a crystal that is found in a data set; more are a frame of MD."""
SYSTEMS = {
    "triclinic": 2,
    "monoclinic": 15,
    "orthorhombic": 74,
    "tetragonal": 142,
    "trigonal": 167,
    "hexagonal": 194,
    "cubic": 230,
}
"""The last space group of each crystal system."""
SIMPLE = {(225, 1): "fcc", (229, 1): "bcc", (227, 2): "diamond"}
"""Space group and number of atoms of one element -> structure of a ``Crystal``."""


@dataclass(frozen=True)
class UnitCell:
    """A crystal by its primitive cell, in the standard setting and orientation of spglib.

    symbols : of n atoms. vectors : of the cell, as rows, Å. places : fractional coordinates (n, 3).
    rotations : of the space group, in fractional coordinates, each once. permutations : for each of them, the atom
    that each atom is taken to (n,). conventional_cell : vectors of the
    conventional cell in units of the primitive ones, as rows. equivalent : (n,) equal numbers for symmetric atoms.
    space_group : its symbol. number : of the space group.

    A. Togo, K. Shinohara, I. Tanaka, Sci. Technol. Adv. Mater. Meth. 4, 2384822 (2024).
    """

    symbols: tuple[str, ...]
    vectors: Vectors
    places: Vectors
    rotations: tuple[Matrix, ...]
    permutations: tuple[tuple[int, ...], ...]
    conventional_cell: Matrix
    equivalent: tuple[int, ...]
    space_group: str
    number: int

    @property
    def system(self) -> str:
        """The crystal system, such as cubic."""
        return next(name for name, last in SYSTEMS.items() if self.number <= last)

    @property
    def a(self) -> float:
        """Length of the first conventional vector, Å."""
        return float(np.linalg.norm((np.array(self.conventional_cell) @ np.array(self.vectors))[0]))

    @property
    def structure(self) -> str:
        """Formula and space group, such as AuCu3 (Pm-3m)."""
        return f"{formula_of(self.symbols)} ({self.space_group})"

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols, sorted."""
        return tuple(sorted(set(self.symbols)))

    def nearest_distance(self, a: float) -> float:
        """Of two atoms, Å, when scaled to ``a``, Å."""
        from matscipy.neighbours import neighbour_list

        cell = self.primitive(a)
        reach = 2.0 * float(np.cbrt(cell.cell.volume / len(cell)))
        return float(neighbour_list("d", cell, reach).min())

    @cached_property
    def turns(self) -> Array:
        """The rotations in Cartesian coordinates, (k, 3, 3); those of one symmetry are orthogonal to rounding."""
        columns = np.array(self.vectors).T
        return np.array([columns @ np.array(one) @ np.linalg.inv(columns) for one in self.rotations])

    def scaled(self, factor: float) -> UnitCell:
        """With vectors ``factor`` times as long."""
        return self.with_cell(np.array(self.vectors) * factor, np.array(self.places))

    def with_cell(self, vectors: Array, places: Array) -> UnitCell:
        """With other vectors (3, 3), Å, and fractional coordinates (n, 3), of the same symmetry."""
        return replace(self, vectors=_rows(vectors), places=_rows(places))

    def primitive(self, a: float | None = None) -> Atoms:
        """The smallest cell, symmetric atoms with equal tags.

        a : first conventional lattice constant to which all is scaled, Å; None: as it is.
        """
        scale = 1.0 if a is None else a / self.a
        vectors = np.array(self.vectors) * scale
        return Atoms(self.symbols, scaled_positions=self.places, cell=vectors, pbc=True, tags=self.equivalent)

    def conventional(self, a: float | None = None) -> Atoms:
        """The conventional cell, likewise."""
        from ase.build import make_supercell

        return make_supercell(self.primitive(a), np.array(self.conventional_cell))

    def supercell(self, n_atoms: int, at_least: bool = False) -> Atoms:
        """Repeats of the conventional cell that are about as long in all directions, with about ``n_atoms`` atoms.

        at_least : no fewer, and no more than needed.
        """
        cell = self.conventional()
        lengths = cell.cell.lengths()
        edges = np.arange(2.0, 2.0 + 4.0 * float(np.cbrt(cell.cell.volume * n_atoms)), 0.1)
        shapes = {tuple(np.maximum(np.rint(edge / lengths), 1).astype(int).tolist()) for edge in edges}
        sizes = {shape: len(cell) * int(np.prod(shape)) for shape in sorted(shapes)}
        allowed = [shape for shape in sizes if sizes[shape] >= n_atoms or not at_least]
        return cell.repeat(min(allowed, key=lambda shape: abs(np.log(sizes[shape] / n_atoms))))

    def volume_per_atom(self, a: float) -> float:
        """Å³, when scaled to ``a``, Å."""
        return float(abs(np.linalg.det(np.array(self.vectors))) / len(self.symbols) * (a / self.a) ** 3)


AnyCrystal = Crystal | UnitCell


def crystal_of(atoms: Atoms, symprec: float = SYMPREC) -> AnyCrystal:
    """The crystal whose periodic structure is ``atoms``; a ``Crystal`` where it is one.

    Which cell of it is given, and how it is turned and shifted, makes no difference.

    Parameters
    ----------
    symprec : Å, see SYMPREC.

    Raises
    ------
    TamisError : it is not periodic in all directions, or spglib finds no symmetry (atoms in the same place).
    """
    import spglib

    if not atoms.pbc.all() or atoms.cell.rank < 3:
        raise TamisError(
            "a crystal must be periodic in all directions; give a structure with a cell and pbc=TTT"
        )
    given = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    primitive: Any = spglib.standardize_cell(given, to_primitive=True, symprec=symprec)
    conventional: Any = spglib.standardize_cell(given, to_primitive=False, symprec=symprec)
    found: Any = spglib.get_symmetry_dataset(primitive, symprec=symprec) if primitive else None
    if found is None or conventional is None:
        raise TamisError("no symmetry is found in the structure; do two atoms lie in the same place?")
    vectors, places, numbers = primitive
    symbols = tuple(Atoms(numbers=numbers).get_chemical_symbols())
    simple = SIMPLE.get((found.number, len(symbols)))
    if simple and len(set(symbols)) == 1:
        return Crystal(structure=simple, element=symbols[0], a=float(np.linalg.norm(conventional[0][0])))
    return UnitCell(
        symbols,
        _rows(vectors),
        _rows(places),
        tuple(map(_integers, found.rotations)),
        _permutations(places, found.rotations, found.translations),
        _integers(np.rint(conventional[0] @ np.linalg.inv(vectors))),
        tuple(map(int, found.equivalent_atoms)),
        str(found.international),
        int(found.number),
    )


def read_crystal(path: Path) -> AnyCrystal:
    """The crystal in a file of any format that ASE reads; of several structures the last.

    Raises
    ------
    TamisError : it cannot be read, or holds no crystal.
    """
    from ase.io import read

    try:
        atoms: Any = read(path)
    except Exception as error:  # ASE's readers raise anything
        raise TamisError(
            f"dataset.crystal is {str(path)!r}, which cannot be read ({type(error).__name__}: {error}); give a file "
            "that ASE reads (such as NiAl.cif), own (the data set's most frequent cell), or structure, element and a"
        ) from error
    try:
        return crystal_of(atoms)
    except TamisError as error:
        raise TamisError(f"dataset.crystal={path}: {error}") from error


def own_crystal(dataset: Dataset) -> tuple[AnyCrystal, str]:
    """The crystal that the data set has most of, and the id of the structure that it was taken from.

    Of the structures that are periodic in all directions, those of the most frequent composition count; of these the
    one with the lowest energy per atom is taken, with the symmetry that it has within the smallest of ``LOOSER`` that
    leaves at most MOST_ATOMS atoms in the primitive cell; a tolerance that finds none but translations does not count
    if a larger one finds more.

    Raises
    ------
    TamisError : there is none with so few atoms.
    """
    bulk = [i for i, atoms in enumerate(dataset.structures) if atoms.pbc.all()]
    formulas = {i: formula_of(dataset.structures[i].get_chemical_symbols()) for i in bulk}
    if not bulk:
        raise TamisError("dataset.crystal=own: no structure is periodic in all directions; give a file")
    frequent = Counter(formulas.values()).most_common(1)[0][0]
    those = [i for i in bulk if formulas[i] == frequent]
    best = those[int(np.argmin(energy_residuals(dataset.subset(those))))]
    found = [crystal_of(dataset.structures[best], symprec) for symprec in LOOSER]
    small = [crystal for crystal in found if len(crystal.primitive()) <= MOST_ATOMS]
    if small:
        symmetric = [one for one in small if isinstance(one, Crystal) or len(one.rotations) > 1]
        return [*symmetric, *small][0], dataset.ids[best]
    raise TamisError(
        f"dataset.crystal=own: the structure of lowest energy of the most frequent composition, {frequent}, is "
        f"{dataset.ids[best]}, whose smallest cell has {len(found[-1].primitive())} atoms; a crystal of at most "
        f"{MOST_ATOMS} is needed: give its file, such as dataset.crystal={frequent}.cif"
    )


def formula_of(symbols: Any) -> str:
    """The composition in lowest terms, elements in alphabetical order, such as AuCu3."""
    return Formula.from_list(sorted(symbols)).reduce()[0].format("hill")


def _permutations(places: Array, rotations: Array, translations: Array) -> tuple[tuple[int, ...], ...]:
    """The atom that each atom is taken to, by each operation."""
    found = []
    for rotation, translation in zip(rotations, translations, strict=True):
        between = (places @ rotation.T + translation)[:, None] - places
        found.append(np.abs(between - np.rint(between)).max(axis=2).argmin(axis=1))
    return tuple(tuple(map(int, one)) for one in found)


def _rows(values: Array) -> Vectors:
    return tuple((float(x), float(y), float(z)) for x, y, z in values)


def _integers(values: Any) -> Matrix:
    return tuple((int(x), int(y), int(z)) for x, y, z in values)
