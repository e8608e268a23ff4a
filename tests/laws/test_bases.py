"""What every file in conf/descriptor promises about its numbers; files are found, not listed."""

import multiprocessing
import pickle
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from scipy.spatial.transform import Rotation

from tamis.bases.ace.basis import AceBasis
from tamis.bases.base import Basis, LinearBasis, StructureBasis
from tamis.core.errors import MissingEngineError, TamisError

CONF = Path(__file__).parents[2] / "conf" / "descriptor"
CHOICES = sorted(path.stem for path in CONF.glob("*.yaml"))
WITH_DESIGN = [
    c for c in CHOICES if hasattr(get_class(OmegaConf.load(CONF / f"{c}.yaml")._target_), "design")
]
BY_CLUSTER = {"chimes", "chimes_fingerprint"}
"""Choices whose columns belong to kinds of clusters, of which all atoms get a share, not to the central element."""
STRAIN = 1e-4
SHIFT = 1e-3


def build(choice: str, *elements: str) -> Basis:
    OmegaConf.register_new_resolver("tamis.times", lambda a, b: float(a) * float(b), replace=True)
    config = OmegaConf.create({"dataset": {"elements": sorted(elements), "atom_spacing": 2.73}})
    config.descriptor = OmegaConf.load(CONF / f"{choice}.yaml")
    return instantiate(config.descriptor)


def skip_without_engine(choice: str) -> str:
    try:
        build(choice, "Si").values(silicon())
    except MissingEngineError as error:
        pytest.skip(str(error))
    return choice


@pytest.fixture(scope="module", params=CHOICES)
def choice(request) -> str:
    return skip_without_engine(request.param)


@pytest.fixture(scope="module", params=WITH_DESIGN)
def gradient_choice(request) -> str:
    return skip_without_engine(request.param)


@pytest.fixture(scope="module")
def basis(choice) -> Basis:
    return build(choice, "Si")


@pytest.fixture(scope="module")
def alloy_basis(choice) -> Basis:
    return build(choice, "Si", "Ge")


@pytest.fixture(scope="module")
def gradient_basis(gradient_choice) -> LinearBasis:
    return build(gradient_choice, "Si")


@pytest.fixture(scope="module")
def gradient_alloy_basis(gradient_choice) -> LinearBasis:
    return build(gradient_choice, "Si", "Ge")


def silicon() -> Atoms:
    """Three atoms in a skewed cell far smaller than the cutoffs, so that images of one atom are neighbours."""
    atoms = Atoms(
        "Si3",
        [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.7, 2.3, 1.1]],
        cell=[[4.4, 0.1, 0.3], [0.6, 4.1, -0.2], [-0.3, 0.5, 4.7]],
        pbc=True,
    )
    atoms.rattle(0.05, seed=1)
    return atoms


def alloy() -> Atoms:
    atoms = silicon()
    atoms.symbols[1] = "Ge"
    return atoms


def cluster() -> Atoms:
    return Atoms("Si4", [[0.0, 0.0, 0.0], [2.3, 0.1, 0.0], [0.2, 2.4, 0.1], [0.3, 0.2, 2.5]])


def assert_same(actual: np.ndarray, expected: np.ndarray, tolerance: float = 1e-8) -> None:
    """Equal to ``tolerance`` of the largest expected value."""
    assert actual.shape == expected.shape
    scale = max(np.abs(expected).max(initial=0.0), 1e-3)
    assert np.abs(actual - expected).max(initial=0.0) <= tolerance * scale


def test_there_are_choices():
    assert {"acsf", "none", "quests", "soap"} <= set(CHOICES)


def test_shape_is_as_announced(basis):
    values = basis.values(silicon())
    assert values.shape == (1 if isinstance(basis, StructureBasis) else 3, basis.n_features)
    assert values.dtype == np.float64
    assert np.isfinite(values).all()


def test_input_is_left_alone(basis):
    atoms = silicon()
    basis.values(atoms)
    assert atoms == silicon()


def test_same_numbers_again_and_from_a_second_instance(choice, basis):
    values = basis.values(silicon())
    assert_same(basis.values(silicon()), values, 1e-12)
    assert_same(build(choice, "Si").values(silicon()), values, 1e-12)


def test_values_depend_on_the_structure(basis):
    if basis.n_features == 0:
        pytest.skip("no columns")
    moved = silicon()
    moved.positions[0] += [0.1, -0.2, 0.15]
    assert np.abs(basis.values(moved) - basis.values(silicon())).max() > 1e-3


@pytest.mark.parametrize("structure", [silicon, cluster])
def test_rotation(basis, structure):
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    turned = structure()
    turned.set_cell(turned.cell.array @ turn.T)
    turned.positions = turned.positions @ turn.T
    assert_same(basis.values(turned), basis.values(structure()))


@pytest.mark.parametrize("structure", [silicon, cluster])
def test_translation(basis, structure):
    moved = structure()
    moved.translate([1.7, -9.3, 25.1])
    assert_same(basis.values(moved), basis.values(structure()))


def test_mirror_image_and_left_handed_cell(basis):
    atoms = silicon()
    left_handed = silicon()
    left_handed.set_cell(left_handed.cell.array[[1, 0, 2]])
    assert np.linalg.det(left_handed.cell.array) < 0
    assert_same(basis.values(left_handed), basis.values(atoms))
    mirrored = silicon()
    mirrored.set_cell(mirrored.cell.array * [1, 1, -1])
    mirrored.positions *= [1, 1, -1]
    assert_same(basis.values(mirrored), basis.values(atoms))


def test_another_cell_of_the_same_lattice(basis):
    skewed = silicon()
    cell = skewed.cell.array.copy()
    cell[2] += cell[0] - 2 * cell[1]
    skewed.set_cell(cell)
    assert_same(basis.values(skewed), basis.values(silicon()))


def test_permutation(alloy_basis):
    atoms = alloy()
    order = [2, 0, 1]
    of_rows = [0] if isinstance(alloy_basis, StructureBasis) else order
    assert_same(alloy_basis.values(atoms[order]), alloy_basis.values(atoms)[of_rows])


def test_supercell(alloy_basis):
    atoms = alloy()
    repeated = alloy_basis.values(atoms * (2, 1, 2))
    n_times = 1 if isinstance(alloy_basis, StructureBasis) else 4
    assert_same(repeated, np.tile(alloy_basis.values(atoms), (n_times, 1)))


def test_each_element_fills_its_own_block(choice, alloy_basis):
    if choice in BY_CLUSTER:
        pytest.skip("columns by kind of cluster")
    atoms = alloy()
    values = alloy_basis.values(atoms)
    assert alloy_basis.elements == ("Ge", "Si")
    blocks = values.reshape(len(atoms), 2, -1)
    for atom, symbol in enumerate(atoms.get_chemical_symbols()):
        own = alloy_basis.elements.index(symbol)
        assert not blocks[atom, 1 - own].any()
        assert blocks[atom, own].any() or alloy_basis.n_features == 0


def test_elements_are_told_apart(alloy_basis):
    if alloy_basis.n_features == 0:
        pytest.skip("no columns")
    atoms, swapped = alloy(), alloy()
    swapped.symbols = ["Ge", "Si", "Ge"]
    difference = alloy_basis.values(atoms).sum(axis=0) - alloy_basis.values(swapped).sum(axis=0)
    assert np.abs(difference).max() > 1e-2


ELEMENTS = ("Si", "Ge", "C", "O")
"""Descriptors may treat two, three and more elements in different ways."""


def centre(own: str, *others: str) -> Atoms:
    """An atom with neighbours at distances that differ, under angles that differ."""
    places = [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.3, 2.5, 0.4], [-1.9, -0.5, 1.9]]
    return Atoms([own, *others], places[: len(others) + 1])


@pytest.fixture(scope="module", params=[2, 3, 4])
def of_several(request, choice) -> Basis:
    several = build(choice, *ELEMENTS[: request.param])
    if isinstance(
        several, AceBasis
    ):  # the time to make its functions grows with the elements, what is asked does not
        several = replace(several, nradmax_by_orders=[4, 2], lmax_by_orders=[0, 2])
    if several.n_features == 0:
        pytest.skip("no columns")
    return several


def test_two_neighbours_that_change_places_change_the_values(of_several):
    """Of the atom between them, whatever its element is: without that A3B and B3A look alike."""
    if not of_several.tells_neighbours_apart:
        pytest.skip("says that it cannot")
    if isinstance(of_several, StructureBasis):
        pytest.skip("describes no atom")
    for own, first, second in product(of_several.elements, repeat=3):
        if first < second:
            one, other = (
                of_several.values(centre(own, *pair))[0] for pair in ((first, second), (second, first))
            )
            assert np.abs(one - other).max() > 1e-3 * np.abs(one).max(), (own, first, second)


def test_a_neighbour_of_another_element_changes_the_values(of_several):
    if not of_several.tells_neighbours_apart:
        pytest.skip("says that it cannot")
    for own, first, second in product(of_several.elements, repeat=3):
        if first < second:
            one, other = (of_several.values(centre(own, own, own, last))[0] for last in (first, second))
            assert np.abs(one - other).max() > 1e-3 * np.abs(one).max(), (own, first, second)


def test_two_elements_that_change_names_change_the_sum_of_the_values(of_several):
    """All A become B and all B become A."""
    for first, second in combinations(of_several.elements, 2):
        names = {first: second, second: first}
        atoms = centre(first, second, first, second)
        renamed = Atoms([names[symbol] for symbol in atoms.symbols], atoms.positions)
        one, other = (of_several.values(structure).sum(axis=0) for structure in (atoms, renamed))
        assert np.abs(one - other).max() > 1e-3 * np.abs(one).max(), (first, second)


def test_a_set_of_elements_may_hold_more_than_a_structure(choice, basis, alloy_basis):
    """Pure silicon has no value outside the block of silicon."""
    if choice in BY_CLUSTER:
        pytest.skip("columns by kind of cluster")
    blocks = alloy_basis.values(silicon()).reshape(3, 2, -1)
    assert not blocks[:, 0].any()
    assert blocks[:, 1].any() or basis.n_features == 0


def test_fades_out_at_the_cutoff(basis):
    """A neighbour that leaves changes the values less and less, to nothing at r_cut."""

    def change(distance: float) -> float:
        pair = Atoms("Si2", [[0, 0, 0], [distance, 0, 0]], cell=[40, 41, 42], pbc=True)
        alone = Atoms("Si", cell=[40, 41, 42], pbc=True)
        return float(np.abs(basis.values(pair)[0] - basis.values(alone)[0]).max(initial=0.0))

    if basis.n_features == 0:
        pytest.skip("no columns")
    if isinstance(basis, StructureBasis):
        pytest.skip("counts clusters")
    inside = change(0.5 * basis.r_cut)
    assert inside > 1e-3
    assert change(basis.r_cut - 1e-3) < 1e-2 * inside
    assert change(basis.r_cut - 1e-6) < 1e-5 * inside
    assert change(basis.r_cut + 1e-6) <= 1e-12 * inside
    assert change(basis.r_cut + 3.0) <= 1e-12 * inside


def test_cluster_equals_cluster_in_a_large_box(basis):
    boxed = cluster()
    boxed.set_cell([40, 41, 42])
    boxed.center()
    boxed.pbc = True
    assert_same(basis.values(cluster()), basis.values(boxed))


def test_cell_of_a_cluster_does_not_matter(basis):
    small = cluster()
    small.set_cell([3.0, 3.0, 3.0])
    assert_same(basis.values(small), basis.values(cluster()))


def test_slab_equals_slab_under_vacuum(basis):
    slab = silicon()
    slab.pbc = [True, True, False]
    boxed = silicon()
    boxed.set_cell([*boxed.cell.array[:2], np.cross(*boxed.cell.array[:2]) * 2.5])
    assert_same(basis.values(slab), basis.values(boxed))


def test_single_atom(basis):
    assert basis.values(Atoms("Si")).shape == (1, basis.n_features)
    assert np.isfinite(basis.values(bulk("Si")[:1])).all()


def _values_of_pickled(basis: Basis, atoms: Atoms) -> np.ndarray:
    return basis.values(atoms)


def test_works_after_pickling(basis):
    values = basis.values(silicon())
    copy = pickle.loads(pickle.dumps(basis))
    assert copy == basis
    assert_same(copy.values(silicon()), values, 1e-12)


def test_works_in_other_processes():
    """One pool for all choices, because a process that starts afresh imports for a second."""
    ready = [build(name, "Si") for name in CHOICES]
    expected = {}
    for basis in ready:
        try:
            expected[basis] = basis.values(silicon())
        except MissingEngineError:
            continue
    assert expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.starmap(_values_of_pickled, [(basis, silicon()) for basis in expected])
    for values, other in zip(expected.values(), found, strict=True):
        assert_same(other, values, 1e-12)


def with_nan(atoms: Atoms) -> Atoms:
    atoms.positions[1, 2] = np.nan
    return atoms


def with_infinite_cell(atoms: Atoms) -> Atoms:
    atoms.cell[0, 0] = np.inf
    return atoms


def flat(atoms: Atoms) -> Atoms:
    atoms.set_cell([[4, 0, 0], [0, 4, 0], [4, 4, 0]])
    return atoms


def with_carbon(atoms: Atoms) -> Atoms:
    atoms.symbols[2] = "C"
    return atoms


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (with_carbon, "element C is unknown"),
        (with_nan, "NaN or infinity"),
        (with_infinite_cell, "NaN or infinity"),
        (flat, "volume"),
        (lambda atoms: atoms[:0], "without atoms"),
    ],
)
def test_refuses(basis, spoil, message):
    with pytest.raises(TamisError, match=message):
        basis.values(spoil(silicon()))


def test_atoms_on_top_of_each_other_give_an_error_or_finite_numbers(basis):
    """SNAP, SOAP of dscribe and the like are defined there; nobody may return NaN or something absurd."""
    atoms = silicon()
    atoms.positions[1] = atoms.positions[0]
    try:
        values = basis.values(atoms)
    except TamisError:
        return
    assert np.isfinite(values).all()
    assert np.abs(values).max(initial=0.0) < 1e6 * max(1.0, np.abs(basis.values(silicon())).max(initial=0.0))


def energies(basis: Basis, atoms: Atoms) -> np.ndarray:
    """Energy row, (K,)."""
    return basis.values(atoms).sum(axis=0)


def strained(atoms: Atoms, component: int, amount: float) -> Atoms:
    """A symmetric strain; component in the order xx yy zz yz xz xy, shear split over its two halves."""
    first, second = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][component]
    strain = np.zeros((3, 3))
    strain[first, second] += amount / 2
    strain[second, first] += amount / 2
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return changed


def test_design_shapes(gradient_basis):
    atoms = silicon()
    rows = gradient_basis.design(atoms)
    assert rows.energy.shape == (gradient_basis.n_features,)
    assert rows.forces.shape == (len(atoms), 3, gradient_basis.n_features)
    assert rows.strain_gradient.shape == (6, gradient_basis.n_features)


@pytest.mark.parametrize("structure", [silicon, cluster])
def test_energy_row_is_the_sum_of_the_values(gradient_basis, structure):
    assert_same(gradient_basis.design(structure()).energy, energies(gradient_basis, structure()), 1e-10)


def test_evaluate_gives_values_and_design_at_once(gradient_basis):
    values, rows = gradient_basis.evaluate(silicon())
    assert_same(values, gradient_basis.values(silicon()), 1e-12)
    assert_same(rows.forces, gradient_basis.design(silicon()).forces, 1e-12)


@pytest.mark.parametrize("structure", [silicon, alloy, cluster])
def test_forces_are_minus_the_gradient(gradient_alloy_basis, gradient_basis, structure):
    basis = gradient_alloy_basis if structure is alloy else gradient_basis
    forces = basis.design(structure()).forces
    for atom, axis in [(0, 0), (1, 2), (2, 1)]:
        plus, minus = structure(), structure()
        plus.positions[atom, axis] += SHIFT
        minus.positions[atom, axis] -= SHIFT
        slope = -(energies(basis, plus) - energies(basis, minus)) / (2 * SHIFT)
        assert_same(forces[atom, axis], slope, 2e-4)


def test_forces_sum_to_zero(gradient_basis):
    forces = gradient_basis.design(silicon()).forces
    assert np.abs(forces.sum(axis=0)).max() <= 1e-8 * np.abs(forces).max()


@pytest.mark.parametrize("structure", [silicon, alloy])
@pytest.mark.parametrize("component", range(6))
def test_strain_gradient_is_the_strain_derivative(gradient_alloy_basis, gradient_basis, structure, component):
    """ASE's sign: stress = strain_gradient / volume is positive where the energy rises on stretching."""
    basis = gradient_alloy_basis if structure is alloy else gradient_basis
    rows = basis.design(structure()).strain_gradient
    slope = energies(basis, strained(structure(), component, STRAIN))
    slope = (slope - energies(basis, strained(structure(), component, -STRAIN))) / (2 * STRAIN)
    assert np.abs(rows[component] - slope).max() <= 2e-4 * np.abs(rows).max()


def test_strain_gradient_of_a_supercell_is_extensive(gradient_basis):
    small = gradient_basis.design(silicon()).strain_gradient
    assert_same(gradient_basis.design(silicon() * (1, 2, 1)).strain_gradient, 2 * small)
