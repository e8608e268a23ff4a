"""What the campaigns found in bases, engines and files of potentials, each in its smallest form."""

import gzip
import io
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hydra.errors import InstantiationException
from tests.fuzz.data_files import made
from tests.fuzz.potentials import energy_of, gap, linear_basis, silicon, written
from tests.fuzz.structures import prepare_basis, settled_by_distance

from tamis.bases.ace.check import read_b_basis
from tamis.bases.base import Basis
from tamis.bases.chimes.basis import LARGEST_ORDERS
from tamis.bases.chimes.reader import read_params
from tamis.bases.dscribe_soap import DscribeSoapBasis
from tamis.bases.gap.check import check_gap
from tamis.bases.quests import QuestsBasis
from tamis.bases.snap import SnapBasis, read_snap
from tamis.bases.soap import CLOSEST, SoapBasis
from tamis.core.errors import TamisError
from tamis.core.geometry import neighbours_within
from tamis.data.sources.formats import read_frames
from tamis.engines.lammps import Box, start_lammps
from tamis.models.trainers.pacemaker import OFFSETS, POTENTIAL, read_ace

# cells whose vectors along directions that are not periodic are odd: they say nothing

SLAB = Atoms("Si3", [[0, 0, 0], [1.9, 1.2, 1.1], [0.3, 2.4, 2.2]], cell=[4, 4, 30], pbc=(True, True, False))
CLUSTER = Atoms("Si3", [[0, 0, 0], [1.9, 1.2, 1.1], [0, -17861, 0]], pbc=False)
ODD_CELLS = {
    "leans far over": (SLAB, [[4, 0, 0], [0, 4, 0], [0, 40_000, 2]]),
    "is flat": (CLUSTER, [[4, 0, 0], [0, 3, 3], [0, 3, 3]]),
    "is skewed around atoms that are far apart": (CLUSTER, 2.98 * (1 - np.eye(3))),
}


@pytest.fixture(scope="module")
def bases() -> tuple[Basis, ...]:
    small = (
        ("descriptor=ace", "descriptor.n_functions_per_element=8", "descriptor.spline_spacing=0.01"),
        ("descriptor=chimes", "descriptor.order_3b=2", "descriptor.order_4b=0"),
        ("descriptor=soap", "descriptor.n_max=2", "descriptor.l_max=1"),
        ("descriptor=quests",),
    )
    return tuple(prepare_basis(*overrides)(Path()) for overrides in small)


@pytest.mark.parametrize("name", ODD_CELLS)
def test_cell_vectors_of_directions_that_are_not_periodic_say_nothing(name, bases):
    atoms, cell = ODD_CELLS[name]
    odd = atoms.copy()
    odd.set_cell(cell)
    np.testing.assert_allclose(neighbours_within(odd, 4.0)[2], neighbours_within(atoms, 4.0)[2], rtol=1e-9)
    assert len(neighbours_within(odd, 4.0)[2]) > 0
    for basis in bases:
        np.testing.assert_allclose(basis.values(odd), basis.values(atoms), rtol=1e-6, atol=1e-8)


# QUESTS


@pytest.mark.parametrize(
    "basis",
    [QuestsBasis(("Si",), 5.0, 8), DscribeSoapBasis(("Si",), 5.0, 3, 2, 0.5, 1.0)],
    ids=lambda basis: type(basis).__name__,
)
def test_vacuum_that_would_fill_the_memory_is_refused(basis):
    """Every box takes memory, and what quests takes when it ends is never given back: later structures failed."""
    with pytest.raises(TamisError, match=r"is 2.02e\+06 cubes of r_cut = 5.0 Å; at most 1e\+06"):
        basis.values(Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[632, 632, 632], pbc=True))
    apart = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[200, 200, 200], pbc=True)
    near = Atoms("Si2", [[0, 0, 0], [2.3, 0, 0]], cell=[20, 20, 20], pbc=True)
    np.testing.assert_allclose(basis.values(apart), basis.values(near), rtol=1e-9)


def test_quests_where_the_last_neighbours_are_equally_far():
    """Which of the 12 second neighbours are among the 8 nearest is not settled, their distances are."""
    basis, atoms = QuestsBasis(("Si",), 5.0, 8), bulk("Si")
    settled = settled_by_distance(basis, atoms, basis.values(atoms))
    assert (settled[:, :8] > 0).all() and (settled[:, 8:] == 0).all()
    repeated = bulk("Si", cubic=True)
    again = settled_by_distance(basis, repeated, basis.values(repeated))
    np.testing.assert_allclose(again, settled[[0] * 8], rtol=1e-9)
    all_near = QuestsBasis(("Si",), 5.0, 16)
    np.testing.assert_array_equal(
        settled_by_distance(all_near, atoms, all_near.values(atoms)), all_near.values(atoms)
    )


# SOAP, ChIMES, SNAP


def test_a_bispectrum_of_one_component():
    """The wrapper of LAMMPS took addresses for its numbers."""
    basis = linear_basis("descriptor=snap", "descriptor.twojmax=0")
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    values = basis.values(atoms)
    assert values.shape == (8, 1) and np.ptp(values) > 0.0
    np.testing.assert_allclose(values, basis.evaluate(atoms)[0], rtol=1e-12)


def test_soap_refuses_atoms_on_top_of_each_other():
    """QUIP loses neighbours there: the values changed when the cell was repeated."""
    basis = SoapBasis(("Si",), 4.0, 2, 1, 0.5, 0.5)
    atoms = bulk("Si", cubic=True)
    atoms.positions[1] = atoms.positions[0] + atoms.cell.array[2] + [0.5 * CLOSEST, 0, 0]
    with pytest.raises(TamisError, match="two atoms of Si8 are closer than 0.001 Å"):
        basis.values(atoms)
    atoms.positions[1, 0] += CLOSEST
    twice = basis.values(atoms.repeat((2, 1, 1)))
    np.testing.assert_allclose(twice[:8], basis.values(atoms), atol=1e-6)


@pytest.mark.parametrize("white", ["\t", "\n"])
@pytest.mark.parametrize("before", ["soap", "n_species=", "}", "</descriptor>"])
def test_white_space_that_quip_takes_for_letters(tmp_path, before, white):
    """QUIP missed the setting behind it, and the next file that it read ended the process."""
    pytest.importorskip("quippy")
    text = gap(tmp_path).files["gap.xml"].decode()
    damaged = text.replace(before, white + before, 1)
    assert damaged != text
    (tmp_path / "good" / "gap.xml").write_text(damaged)
    with pytest.raises(TamisError, match="is no sound soap or distance_2b"):
        check_gap(tmp_path / "good" / "gap.xml")


@pytest.mark.parametrize("name", LARGEST_ORDERS)
def test_chimes_has_largest_orders(name):
    """Counting the functions took all memory, or no count could hold them."""
    largest = LARGEST_ORDERS[name]
    assert getattr(linear_basis("descriptor=chimes", f"descriptor.{name}={largest}"), name) == largest
    with pytest.raises(InstantiationException, match=f"{name} is {largest + 1}; at most {largest} can be"):
        linear_basis("descriptor=chimes", f"descriptor.{name}={largest + 1}")


def test_more_clusters_than_memory_should_hold_are_refused():
    dense = Atoms("Si20", cell=[3.0, 3.0, 3.0], pbc=True)
    dense.positions = np.random.default_rng(0).uniform(0, 3, (20, 3))
    basis = linear_basis("descriptor=chimes", "descriptor.r_cut_4b=5.0", "descriptor.order_4b=2")
    with pytest.raises(TamisError, match="a structure of 20 atoms has more than .* clusters of 4 atoms"):
        basis.values(dense)


def test_orders_of_a_chimes_file_that_no_number_holds(tmp_path):
    written(tmp_path, linear_basis("descriptor=chimes", "descriptor.order_3b=2", "descriptor.order_4b=0"))
    path = tmp_path / "good" / "params.txt"
    text = path.read_text()
    assert text.count("CHEBYSHEV  14 2 0") == 1
    path.write_text(text.replace("CHEBYSHEV  14 2 0", "CHEBYSHEV  14 2 9223372036854775808"))
    with pytest.raises(TamisError, match=r"params.txt: order_4b is 9223372036854775808; at most 8"):
        read_params(path)


def test_lammps_is_given_no_unknown_element(tmp_path):
    atoms = bulk("Si")
    with pytest.raises(TamisError, match="element Si is unknown to this potential, which has C, Ge"):
        Box(atoms, 5.0).fill(start_lammps(), atoms, ("C", "Ge"))
    basis = SnapBasis(("Si",), 4.2, 2, 0.99363, 0.0, None, None)
    path = basis.write(tmp_path, np.ones(basis.n_features), np.ones(1))[0]
    path.write_text(path.read_text().replace("Si 0.5", "é 0.5"))
    found, *solution = read_snap(tmp_path)
    with pytest.raises(TamisError, match="element Si is unknown to this potential, which has é"):
        energy_of(found.calculator(*solution))


# python-ace


@pytest.fixture(scope="module")
def ace_text(tmp_path_factory) -> str:
    """A B-basis with functions of three factors."""
    small = ("descriptor=ace", "descriptor.n_functions_per_element=12", "descriptor.spline_spacing=0.01")
    return written(tmp_path_factory.mktemp("ace"), linear_basis(*small))["ace.yaml"].decode()


def test_a_sound_b_basis_is_read_as_python_ace_reads_it(tmp_path, ace_text):
    import pyace

    path = tmp_path / "ace.yaml"
    for text in (ace_text, ace_text.replace("parameters: [1, 1]", "parameters: [1, 5e-1]")):
        path.write_text(text)
        ours, theirs = read_b_basis(path), pyace.ACEBBasisSet(str(path))
        assert list(ours.all_coeffs) == list(theirs.all_coeffs) and ours.cutoffmax == theirs.cutoffmax
        energies = []
        for basis in (ours, theirs):
            atoms = silicon()
            atoms.calc = pyace.PyACECalculator(basis)
            energies.append(atoms.get_potential_energy())
        assert energies[0] == energies[1]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("DeltaSplineBins: 0.01", "DeltaSplineBins: 1e-30", "numbers"),
        ("DeltaSplineBins: 0.01", "DeltaSplineBins: 0", "DeltaSplineBins 0.0 Å"),
        ("DeltaSplineBins", "Delta", "global has no DeltaSplineBins"),
        ("species:", "spices:", "has no species"),
        ("speciesblock: Si", "speciesblock: Xx", "chemical symbols are needed"),
        ("speciesblock: Si", "speciesblock: Si Si", "names an element twice"),
        ("speciesblock: Si", "speciesblock: Ge", "'Si Si' is no type of a function of 'Ge'"),
        ("speciesblock: Si", "speciesblock: Si Ge", "ndensityi|needs one species for each"),
        ("ndensityi: 1", "ndensityi: 2", "parameters has 2 numbers; 4 are needed"),
        ("ndensityi: 1", "ndensityi: 3000000000", "a whole number from 1 to 10"),
        ("npoti: FinnisSinclair", "npoti: None", "npoti is 'None'"),
        ("rcutij: 5.431", "rcutij: 1e9", "rcutij is 1000000000.0 Å"),
        ("rcutij: 5.431", "rcutij: .nan", "rcutij is '.nan', no finite number"),
        ("r_in: 0", "r_in: 7", "r_in is 7.0 Å"),
        ("nradbaseij: 6", "nradbaseij: 7", "radcoefficients has 6 numbers; 7 are needed"),
        ("lmaxi: 1", "lmaxi: 2", "radcoefficients has a list that does not hold 3 lists"),
        ("nradmaxi: 3", "nradmaxi: 2", "radcoefficients is no list of 2 lists"),
        ("core-repulsion: [0, 0]", "core-repulsion: [0]", "core-repulsion has 1 numbers"),
        ("radbase: SBessel", "radbase: [SBessel]", "radbase is no text"),
        ("nbody:", "rest: 1\n    nbody:", "unknown entries ..rest"),
        ("type: Si Si,", "type: Si,", "'Si' is no type of a function"),
        ("nr: [6]", "nr: [7]", "a factor with nr 7 and nl 0; its species has up to 6 and 0"),
        ("nr: [6], nl: [0]", "nr: [6], nl: [1]", "a factor with nr 6 and nl 1"),
        ("nr: [2, 2]", "nr: [2, 4]", "its species has up to 3 and 1"),
        ("nr: [2, 2]", "nr: [2, 0]", "which no basis has"),
        ("nr: [2, 2]", "nr: [2]", "nr of a function is no list of 2 numbers"),
        ("lint: [0]", "lint: [0, 0]", "lint of a function is no list of 1 numbers"),
        ("lint: [0]", "lint: [3]", r"lint \[3\], more than 2 lmaxi"),
        ("nr: [6], nl: [0], c: [", "nr: [6], nl: [0], c: [1, ", "has 2 coefficients c"),
        ("nr: [6], nl: [0], c: [", "nr: [6], nl: [0], c: [[", "could not find|expected|no text"),
    ],
)
def test_damaged_b_bases(tmp_path, ace_text, old, new, says):
    """Most of these ended the process, or were read as something else."""
    assert old in ace_text
    path = tmp_path / "ace.yaml"
    path.write_text(ace_text.replace(old, new, 1))
    with pytest.raises(TamisError, match=says):
        read_b_basis(path)


@pytest.mark.parametrize("last", ["    drho_core_cut: 250\n", "    nbody:\n", "global:\n", "species:\n"])
def test_b_bases_that_are_cut_off(tmp_path, ace_text, last):
    path = tmp_path / "ace.yaml"
    path.write_text(ace_text[: ace_text.index(last) + len(last)])
    with pytest.raises(TamisError, match=r"ace.yaml is no sound B-basis of python-ace \(.*(no|missing)"):
        read_b_basis(path)


@pytest.mark.parametrize("data", [b"", b"\xff\xfe\x00", b"[" * 5_000, b"- 1", b"a: &a [*a, *a]", b"a: 1: 2"])
def test_files_that_are_no_b_basis(tmp_path, data):
    (tmp_path / POTENTIAL).write_bytes(data)
    (tmp_path / OFFSETS).write_text('{"Si": 1.0}')
    with pytest.raises(TamisError, match="is no sound B-basis of python-ace"):
        read_ace(tmp_path)
    (tmp_path / POTENTIAL).unlink()
    with pytest.raises(TamisError, match="is no sound B-basis of python-ace"):
        read_ace(tmp_path)


@pytest.mark.parametrize("text", ["[", "[1]", '{"Si": null}', '{"Si": ' + "1" * 400 + "}", "[" * 100_000])
def test_damaged_energies_of_free_atoms(tmp_path, ace_text, text):
    (tmp_path / POTENTIAL).write_text(ace_text)
    (tmp_path / OFFSETS).write_text(text)
    with pytest.raises(TamisError, match="cannot be read"):
        read_ace(tmp_path)


def test_python_ace_is_given_no_structure_that_it_cannot_treat(tmp_path, ace_text):
    (tmp_path / POTENTIAL).write_text(ace_text)
    (tmp_path / OFFSETS).write_text(json.dumps({"Si": 1.0, "Ge": 1.0}))
    calculator = read_ace(tmp_path)
    with pytest.raises(TamisError, match="element Ge is unknown to this potential, which has Si"):
        calculator.get_property("energy", bulk("Ge"))
    with pytest.raises(TamisError, match="images of the cell lie within"):
        calculator.get_property(
            "energy", Atoms("Si", cell=[[2.2, 0, 0], [1e4, 2.2, 0], [0, 0, 2.2]], pbc=True)
        )
    assert np.isfinite(calculator.get_property("energy", bulk("Si")))


def test_an_ace_basis_may_have_single_factors_alone():
    """python-ace has no arrays of products then."""
    small = ("descriptor=ace", "descriptor.spline_spacing=0.01", "descriptor.n_functions_per_element=4")
    basis, atoms = linear_basis(*small, "dataset.elements=[Mo,Si]"), silicon()
    solution = np.linspace(-1.0, 1.0, 8), np.zeros(2)
    assert basis.n_features == 8
    energy = basis.calculator(*solution).get_property("energy", atoms)
    np.testing.assert_allclose(basis.design(atoms).energy @ solution[0], energy, rtol=1e-9)


# extended XYZ


@pytest.mark.parametrize(("name", "file_format"), [("a.xyz", None), ("a.xyz.gz", None), ("a.txt", "extxyz")])
def test_an_xyz_file_that_speaks_of_a_billion_atoms(tmp_path, name, file_format):
    """ASE looked for each of them behind the end of the file."""
    path = tmp_path / name
    ase.io.write(path, made(2), format="extxyz")
    assert len(list(read_frames(path, file_format))) == 2
    packed = gzip if name.endswith("gz") else io
    with packed.open(path, "rb") as file:
        good = file.read()
    headers = [(0, good.replace(b"8\n", n + b"\n", 1)) for n in (b"2147483647", b"9223372036854775808")]
    for frame, data in (*headers, (1, good[: good.rindex(b"Si")])):
        with packed.open(path, "wb") as file:
            file.write(data)
        with pytest.raises(TamisError, match=f"{name}, frame {frame} or later, cannot be read .it says"):
            list(read_frames(path, file_format))
