"""Laws of descriptors. Each takes a function that makes the descriptor for given elements.

The function gets chemical symbols in any order, as in ``make("Si", "Ge")``, and returns a ``Basis``, or raises
MissingEngineError.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations, product

import numpy as np
from ase import Atoms
from ase.build import bulk

from tamis.bases.base import Basis, StructureBasis
from tamis.core.errors import TamisError
from tamis.testing.checks import alloy, cluster, require, require_error, require_same, silicon

Make = Callable[..., Basis]
ELEMENTS = ("Si", "Ge", "C", "O")
"""Descriptors may treat two, three and more elements in different ways."""


def shape_is_as_announced(make: Make) -> None:
    """Values are finite float64, a row an atom, ``n_features`` columns."""
    basis, values = make("Si"), make("Si").values(silicon())
    shape = (1 if isinstance(basis, StructureBasis) else 3, basis.n_features)
    require(values.shape == shape, f"values have shape {values.shape}, not {shape}")
    require(values.dtype == np.float64, f"values are {values.dtype}, not float64")
    require(np.isfinite(values).all(), "values are not finite")


def input_is_left_alone(make: Make) -> None:
    """The structure is not changed."""
    atoms = silicon()
    make("Si").values(atoms)
    require(atoms == silicon(), "the structure is changed")


def same_numbers_again(make: Make) -> None:
    """The same instance, another one, and a pickled one give the same numbers."""
    basis = make("Si")
    values = basis.values(silicon())
    copy = pickle.loads(pickle.dumps(basis))
    require(copy == basis, "a pickled descriptor differs from its original")
    for other in (basis, replace(basis), copy):  # type: ignore[type-var]
        require_same(other.values(silicon()), values, 1e-12)


def values_depend_on_the_structure(make: Make) -> None:
    """An atom that moves changes them."""
    basis, moved = make("Si"), silicon()
    moved.positions[0] += [0.1, -0.2, 0.15]
    if basis.n_features:
        change = np.abs(basis.values(moved) - basis.values(silicon())).max()
        require(change > 1e-3, f"values change by {change:.3g} where an atom moves by 0.27 Å")


def rotation_changes_nothing(make: Make) -> None:
    """Crystals and clusters may be turned."""
    vector = np.array([0.4, -1.1, 0.7])
    for structure in (silicon, cluster):
        turned = structure()
        turned.rotate(np.degrees(np.linalg.norm(vector)), vector, rotate_cell=True)
        require_same(make("Si").values(turned), make("Si").values(structure()))


def translation_changes_nothing(make: Make) -> None:
    """Crystals and clusters may be moved, out of their cell, too."""
    for structure in (silicon, cluster):
        moved = structure()
        moved.translate([1.7, -9.3, 25.1])
        require_same(make("Si").values(moved), make("Si").values(structure()))


def mirror_images_are_the_same(make: Make) -> None:
    """Also in a left-handed cell."""
    basis, left_handed, mirrored = make("Si"), silicon(), silicon()
    left_handed.set_cell(left_handed.cell.array[[1, 0, 2]])
    require_same(basis.values(left_handed), basis.values(silicon()))
    mirrored.set_cell(mirrored.cell.array * [1, 1, -1])
    mirrored.positions *= [1, 1, -1]
    require_same(basis.values(mirrored), basis.values(silicon()))


def another_cell_of_the_same_lattice_changes_nothing(make: Make) -> None:
    """The lattice counts, not the vectors that describe it."""
    skewed = silicon()
    cell = skewed.cell.array.copy()
    cell[2] += cell[0] - 2 * cell[1]
    skewed.set_cell(cell)
    require_same(make("Si").values(skewed), make("Si").values(silicon()))


def rows_follow_the_atoms(make: Make) -> None:
    """Atoms in another order have their rows in that order."""
    basis, atoms, order = make("Si", "Ge"), alloy(), [2, 0, 1]
    of_rows = [0] if isinstance(basis, StructureBasis) else order
    require_same(basis.values(atoms[order]), basis.values(atoms)[of_rows])


def supercells_repeat_the_rows(make: Make) -> None:
    """The atoms of a supercell look like those of the cell."""
    basis, atoms = make("Si", "Ge"), alloy()
    n_times = 1 if isinstance(basis, StructureBasis) else 4
    require_same(basis.values(atoms * (2, 1, 2)), np.tile(basis.values(atoms), (n_times, 1)))


def elements_are_told_apart(make: Make) -> None:
    """The sum of the values changes where silicon becomes germanium and the other way round."""
    basis, swapped = make("Si", "Ge"), alloy()
    swapped.symbols = ["Ge", "Si", "Ge"]
    if basis.n_features:
        difference = np.abs(basis.values(alloy()).sum(axis=0) - basis.values(swapped).sum(axis=0)).max()
        require(difference > 1e-2, f"the sum changes by {difference:.3g} only")


def fades_out_at_the_cutoff(make: Make) -> None:
    """A neighbour that leaves changes the values less and less, to nothing at ``r_cut``."""
    basis = make("Si")
    if basis.n_features == 0 or isinstance(basis, StructureBasis):
        return

    def change(distance: float) -> float:
        pair = Atoms("Si2", [[0, 0, 0], [distance, 0, 0]], cell=[40, 41, 42], pbc=True)
        alone = Atoms("Si", cell=[40, 41, 42], pbc=True)
        return float(np.abs(basis.values(pair)[0] - basis.values(alone)[0]).max(initial=0.0))

    inside = change(0.5 * basis.r_cut)
    require(inside > 1e-3, f"a neighbour at half of r_cut changes the values by {inside:.3g} only")
    for beyond, most in ((-1e-3, 1e-2), (-1e-6, 1e-5), (1e-6, 1e-12), (3.0, 1e-12)):
        found = change(basis.r_cut + beyond)
        require(
            found <= most * inside, f"a neighbour at r_cut {beyond:+} Å changes the values by {found:.3g}"
        )


def clusters_need_no_cell(make: Make) -> None:
    """A cluster equals itself in a large box, and with a cell that is not periodic."""
    basis, boxed, small = make("Si"), cluster(), cluster()
    boxed.set_cell([40, 41, 42])
    boxed.center()
    boxed.pbc = True
    small.set_cell([3.0, 3.0, 3.0])
    for other in (boxed, small):
        require_same(basis.values(other), basis.values(cluster()))


def slabs_equal_slabs_under_vacuum(make: Make) -> None:
    """A direction that is not periodic has no images."""
    slab, boxed = silicon(), silicon()
    slab.pbc = [True, True, False]
    boxed.set_cell([*boxed.cell.array[:2], np.cross(*boxed.cell.array[:2]) * 2.5])
    require_same(make("Si").values(slab), make("Si").values(boxed))


def single_atoms_have_values(make: Make) -> None:
    """Alone, and in a crystal of one atom a cell."""
    basis = make("Si")
    shape = basis.values(Atoms("Si")).shape
    require(shape == (1, basis.n_features), f"values of one atom have shape {shape}")
    require(np.isfinite(basis.values(bulk("Si")[:1])).all(), "values of one atom a cell are not finite")


def wrong_structures_are_refused(make: Make) -> None:
    """Unknown elements, NaN, infinite and flat cells, and no atoms: ``Basis.check`` does that."""
    basis = make("Si")
    carbon, nan, infinite, flat = (silicon() for _ in range(4))
    carbon.symbols[2] = "C"
    nan.positions[1, 2] = np.nan
    infinite.cell[0, 0] = np.inf
    flat.set_cell([[4, 0, 0], [0, 4, 0], [4, 4, 0]])
    for atoms, pattern in (
        (carbon, "element C is unknown"),
        (nan, "NaN or infinity"),
        (infinite, "NaN or infinity"),
        (flat, "volume"),
        (silicon()[:0], "without atoms"),
    ):
        require_error(TamisError, pattern, lambda atoms=atoms: basis.values(atoms))  # type: ignore[misc]


def atoms_on_top_of_each_other_are_refused_or_finite(make: Make) -> None:
    """SNAP, SOAP of dscribe and the like are defined there; nobody may return NaN or something absurd."""
    basis, atoms = make("Si"), silicon()
    atoms.positions[1] = atoms.positions[0]
    try:
        values = basis.values(atoms)
    except TamisError:
        return
    require(np.isfinite(values).all(), "values are not finite")
    most = 1e6 * max(1.0, np.abs(basis.values(silicon())).max(initial=0.0))
    require(np.abs(values).max(initial=0.0) < most, f"values exceed {most:.3g}")


def each_element_fills_its_own_block(make: Make) -> None:
    """Columns come in blocks by the element of the central atom; those of other elements are zero."""
    basis = make("Si", "Ge")
    require(basis.elements == ("Ge", "Si"), f"elements are {basis.elements}, which are not sorted")
    for atoms in (alloy(), silicon()):
        blocks = basis.values(atoms).reshape(len(atoms), 2, -1)
        for atom, symbol in enumerate(atoms.get_chemical_symbols()):
            own = basis.elements.index(symbol)
            require(not blocks[atom, 1 - own].any(), f"atom {atom} ({symbol}) has values in another's block")
            require(blocks[atom, own].any() or basis.n_features == 0, f"atom {atom} ({symbol}) has no values")


def centre(own: str, *others: str) -> Atoms:
    """An atom with neighbours at distances that differ, under angles that differ."""
    places = [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.3, 2.5, 0.4], [-1.9, -0.5, 1.9]]
    return Atoms([own, *others], places[: len(others) + 1])


def _of_several(make: Make) -> list[Basis]:
    found = [make(*ELEMENTS[:n]) for n in (2, 3, 4)]
    return [basis for basis in found if basis.n_features and basis.tells_neighbours_apart]


def neighbours_that_change_places_change_the_values(make: Make) -> None:
    """Of the atom between them, whatever its element is: without that A3B and B3A look alike."""
    for basis in _of_several(make):
        if isinstance(basis, StructureBasis):
            return  # it describes no atom
        for own, first, second in product(basis.elements, repeat=3):
            if first < second:
                one, other = (basis.values(centre(own, *p))[0] for p in ((first, second), (second, first)))
                _require_change(one, other, (own, first, second))


def a_neighbour_of_another_element_changes_the_values(make: Make) -> None:
    """One of three neighbours."""
    for basis in _of_several(make):
        for own, first, second in product(basis.elements, repeat=3):
            if first < second:
                one, other = (basis.values(centre(own, own, own, last))[0] for last in (first, second))
                _require_change(one, other, (own, first, second))


def elements_that_change_names_change_the_sum(make: Make) -> None:
    """All A become B and all B become A."""
    for n in (2, 3, 4):
        basis = make(*ELEMENTS[:n])
        for first, second in combinations(basis.elements if basis.n_features else (), 2):
            atoms = centre(first, second, first, second)
            names = {first: second, second: first}
            renamed = Atoms([names[symbol] for symbol in atoms.symbols], atoms.positions)
            one, other = (basis.values(structure).sum(axis=0) for structure in (atoms, renamed))
            _require_change(one, other, (first, second))


def _require_change(one: np.ndarray, other: np.ndarray, elements: tuple[str, ...]) -> None:
    change, least = np.abs(one - other).max(), 1e-3 * np.abs(one).max()
    require(change > least, f"values of {elements} change by {change:.3g}; more than {least:.3g} is needed")


BLOCK_LAWS = (each_element_fills_its_own_block,)
"""Of descriptors of atoms; those of ChIMES have columns for kinds of clusters."""
NEIGHBOUR_LAWS = (
    neighbours_that_change_places_change_the_values,
    a_neighbour_of_another_element_changes_the_values,
    elements_that_change_names_change_the_sum,
)
"""Of descriptors of several elements."""
GENERAL_LAWS = (
    shape_is_as_announced,
    input_is_left_alone,
    same_numbers_again,
    values_depend_on_the_structure,
    rotation_changes_nothing,
    translation_changes_nothing,
    mirror_images_are_the_same,
    another_cell_of_the_same_lattice_changes_nothing,
    rows_follow_the_atoms,
    supercells_repeat_the_rows,
    elements_are_told_apart,
    fades_out_at_the_cutoff,
    clusters_need_no_cell,
    slabs_equal_slabs_under_vacuum,
    single_atoms_have_values,
    wrong_structures_are_refused,
    atoms_on_top_of_each_other_are_refused_or_finite,
)
"""Of every descriptor."""
DESCRIPTOR_LAWS = (*GENERAL_LAWS, *BLOCK_LAWS, *NEIGHBOUR_LAWS)
"""All laws of a descriptor of atoms."""
