"""What the campaigns found in bases, engines and files of potentials, each in its smallest form."""

import gzip
import io
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hydra.errors import InstantiationException
from tests.fuzz.data_files import made
from tests.fuzz.potentials import Files, gap, linear_basis, silicon, written
from tests.fuzz.structures import prepare_basis, settled_by_distance

from tamis.bases.base import Basis
from tamis.bases.chimes.functions import LARGEST_ORDERS
from tamis.bases.chimes.reader import read_params
from tamis.bases.dscribe_soap import DscribeSoapBasis
from tamis.bases.quests import QuestsBasis
from tamis.bases.snap import SnapBasis, read_snap
from tamis.bases.soap import CLOSEST, SoapBasis
from tamis.core.errors import TamisError
from tamis.core.geometry import neighbours_within
from tamis.data.readers.formats import read_frames, reader_of
from tamis.engines.lammps import Box, start_lammps
from tamis.models.trainers.gap_fit import read_gap
from tamis.models.trainers.pacemaker import POTENTIAL, load_ace, read_ace

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
    with pytest.raises(TamisError, match="are 0.0005 Å apart, on top of each other"):
        basis.values(atoms)
    atoms.positions[1, 0] += CLOSEST
    twice = basis.values(atoms.repeat((2, 1, 1)))
    np.testing.assert_allclose(twice[:8], basis.values(atoms), atol=1e-6)


@pytest.fixture(scope="module")
def gap_files(tmp_path_factory) -> Files:
    """Of a good GAP."""
    pytest.importorskip("quippy")
    return gap(tmp_path_factory.mktemp("gap")).files


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        (
            "gap.xml",
            "soap cutoff",
            "\tsoap cutoff",
        ),  # to QUIP a tab is a letter; the next file ended the process
        ("gap.xml", 'alpha="', 'alpha="x'),
        ("gap.xml", 'permutation i="1"', 'permutation i="100000"'),
        ("gap.xml.sparseX.GAP_tamis_1", "0.", "0x"),
        ("gap.xml.sparseX.GAP_tamis_1", "0.", "-inf 0."),
    ],
)
def test_a_damaged_gap_does_not_end_this_process(tmp_path, gap_files, name, old, new):
    text = gap_files[name].decode()
    assert old in text
    damaged = text.replace(old, new) if name != "gap.xml" else text.replace(old, new, 1)
    for file, data in {**gap_files, name: damaged.encode()}.items():
        (tmp_path / file).write_bytes(data)
    with pytest.raises(TamisError, match="cannot be read|is damaged"):
        read_gap(tmp_path)


@pytest.mark.parametrize("name", LARGEST_ORDERS)
def test_chimes_has_largest_orders(name):
    """Counting the functions took all memory, or no count could hold them."""
    largest = LARGEST_ORDERS[name]
    assert getattr(linear_basis("descriptor=chimes", f"descriptor.{name}={largest}"), name) == largest
    with pytest.raises(InstantiationException, match=f"{name} is {largest + 1}; .* from 0 to {largest}"):
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
    with pytest.raises(TamisError, match=r"params.txt: order_4b is 9223372036854775808; .* from 0 to 8"):
        read_params(path)


def test_lammps_is_given_no_unknown_element(tmp_path):
    atoms = bulk("Si")
    with pytest.raises(TamisError, match="element Si is unknown to this potential, which has C, Ge"):
        Box(atoms, 5.0).fill(start_lammps(), atoms, ("C", "Ge"))
    basis = SnapBasis(("Si",), 4.2, 2, 0.99363, 0.0, None, None)
    path = basis.write(tmp_path, np.ones(basis.n_features), np.ones(1))[0]
    path.write_text(path.read_text().replace("Si 0.5", "é 0.5"))
    with pytest.raises(TamisError, match="elements is .*é.*; name at least one chemical symbol"):
        read_snap(tmp_path)


# python-ace


@pytest.fixture(scope="module")
def ace_text(tmp_path_factory) -> str:
    """A B-basis with functions of three factors."""
    small = ("descriptor=ace", "descriptor.n_functions_per_element=12", "descriptor.spline_spacing=0.01")
    return written(tmp_path_factory.mktemp("ace"), linear_basis(*small))["ace.yaml"].decode()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DeltaSplineBins: 0.01", "DeltaSplineBins: 1e-30"),
        ("rcutij: 5.431", "rcutij: .nan"),
        ("ndensityi: 1", "ndensityi: 3000000000"),
        ("lmaxi: 1", "lmaxi: 2"),
        ("nr: [2, 2]", "nr: [2, 0]"),
        ("lint: [0]", "lint: [3]"),
        ("nbody:", "nbody: [["),
    ],
)
def test_a_damaged_b_basis_does_not_end_this_process(tmp_path, ace_text, old, new):
    assert old in ace_text
    (tmp_path / POTENTIAL).write_text(ace_text.replace(old, new, 1))
    with pytest.raises(TamisError, match="cannot be read"):
        read_ace(tmp_path)


@pytest.mark.parametrize("data", [None, b"", b"\xff\xfe\x00", b"- 1", b"a: 1: 2"])
def test_files_that_are_no_b_basis(tmp_path, data):
    if data is not None:
        (tmp_path / POTENTIAL).write_bytes(data)
    with pytest.raises(TamisError, match="is no B-basis that python-ace can read"):
        load_ace(tmp_path)


@pytest.mark.parametrize("text", ["[", "[1]", "null"])
def test_damaged_energies_of_free_atoms(tmp_path, ace_text, text):
    damaged = re.sub("E0_Si: .*", f"E0_Si: {text}", ace_text)
    assert damaged != ace_text
    (tmp_path / POTENTIAL).write_text(damaged)
    with pytest.raises(TamisError, match="no energies of the free atoms|is no B-basis"):
        load_ace(tmp_path)


def test_python_ace_is_given_no_structure_that_it_cannot_treat(tmp_path, ace_text):
    (tmp_path / POTENTIAL).write_text(ace_text)
    calculator = load_ace(tmp_path)
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
    assert len(list(read_frames(path, reader_of(path, file_format)))) == 2
    packed = gzip if name.endswith("gz") else io
    with packed.open(path, "rb") as file:
        good = file.read()
    headers = [(0, good.replace(b"8\n", n + b"\n", 1)) for n in (b"2147483647", b"9223372036854775808")]
    for frame, data in (*headers, (1, good[: good.rindex(b"Si")])):
        with packed.open(path, "wb") as file:
            file.write(data)
        with pytest.raises(TamisError, match=f"{name}, frame {frame} or later, cannot be read .it says"):
            list(read_frames(path, reader_of(path, file_format)))
