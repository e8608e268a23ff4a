"""What the campaigns found, each in its smallest form."""

import json
import re
import zlib
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hydra.utils import instantiate
from tests.composing import composed
from tests.fuzz.data_files import made
from tests.report_folders import write_trial

from tamis.analysis.trials import UNREADABLE, read_trials
from tamis.bases.acsf.table import SymmetryFunction
from tamis.bases.snap import SnapBasis, read_snap
from tamis.commands.pick import Wish
from tamis.core.errors import TamisError
from tamis.core.geometry import check_geometry
from tamis.core.messages import print_failure
from tamis.data.checks import overlaps, unknown_elements
from tamis.data.sources.file import File
from tamis.engines.lammps import LammpsCalculator, command_all, start_lammps
from tamis.parts import resolved
from tamis.records.record import read_record
from tamis.store import Store, read_block


def cell_of(*rows: object, n: int = 1, pbc: object = True) -> Atoms:
    return Atoms(
        f"Si{n}", positions=0.7 * np.arange(3 * n).reshape(n, 3), cell=np.array(rows, dtype=float), pbc=pbc
    )


SKEWED = cell_of([2.2, 0, 0], [1e4, 2.2, 0], [0, 0, 2.2])
BAD_CELLS = {
    "hung the search for neighbours": (SKEWED, "images of the cell lie within"),
    "took all memory": (cell_of([9e4, 0, 0], [0, 9e4, 0], [0, 0, 9e4]), "make the vacuum smaller"),
    "ended the process in QUIP": (bulk("Si", a=8e5), "at most 100000 can be treated"),
    "reached nowhere": (cell_of([2, 0, 0], [0, 1e-3, 0], [0, 0, 2]), "neighbours an atom"),
    "is flat and not periodic along one direction": (
        cell_of([5, 0, 0], [0, 1e-3, 0], [0, 0, 5], n=2, pbc=(True, True, False)),
        "neighbours an atom|images of the cell",
    ),
    "is far away": (Atoms("Si", positions=[[1e9, 0, 0]], cell=[5, 5, 5], pbc=False), "at most 100000"),
}


@pytest.mark.parametrize("name", BAD_CELLS)
def test_cells_that_no_search_survives_are_refused(name, snap_basis):
    atoms, says = BAD_CELLS[name]
    with pytest.raises(TamisError, match=says):
        check_geometry(atoms, 5.0)
    with pytest.raises(TamisError, match=says):
        snap_basis.check(atoms)
    assert len(overlaps(atoms, 0.5)) == 1


def test_usual_cells_are_taken():
    for atoms in (
        bulk("Si"),
        bulk("Mo"),
        bulk("Si", cubic=True).repeat(5),
        cell_of([100, 0, 0], [0, 100, 0], [0, 0, 100]),  # a free atom
        Atoms("Si2", positions=[[0, 0, 0], [0, 0, 300]]),
        cell_of([4, 0, 0], [1.5, 3.5, 0], [0, 0, 60], n=2, pbc=(True, True, False)),
    ):
        check_geometry(atoms, 6.0)


@pytest.mark.parametrize("reach", [np.inf, np.nan, 1e200, -1.0])
def test_a_reach_that_is_none(reach):
    with pytest.raises(TamisError, match="r_cut is"):
        check_geometry(bulk("Si"), reach)


@pytest.mark.parametrize("descriptor", ["soap_dscribe", "acsf_dscribe"])
def test_dscribe_sees_atoms_outside_of_the_cell(descriptor):
    """dscribe takes images of the cell: an atom two cells away missed its neighbours."""
    basis = instantiate(composed(f"descriptor={descriptor}").descriptor)
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=2)
    moved = atoms.copy()
    moved.positions[0] += [2, -1, 0] @ atoms.cell.array
    np.testing.assert_allclose(basis.values(moved), basis.values(atoms), atol=1e-8)


def test_dscribe_acsf_refuses_what_fills_the_memory_and_atoms_at_one_place():
    basis = instantiate(composed("descriptor=acsf_dscribe", "descriptor.r_cut=11.0").descriptor)
    with pytest.raises(TamisError, match="at most 6000 can be treated"):
        basis.values(bulk("Si", a=4.0, cubic=True).repeat((4, 4, 4)))
    atoms = bulk("Si", cubic=True)
    atoms.positions[1] = atoms.positions[0] + atoms.cell.array[0]
    with pytest.raises(TamisError, match="on top of each other"):
        basis.values(atoms)


def test_lammps_errors_are_ours_and_the_next_structure_works(snap_basis):
    basis = SnapBasis(("Si",), 4.2, 4, 0.99363, 0.0, None, None)
    good = bulk("Si")
    before = basis.values(good)
    with pytest.raises(TamisError, match=r"LAMMPS stops at 'no such command': Unknown command"):
        command_all(start_lammps(), ["no such command"])
    with pytest.raises(TamisError, match="LAMMPS stops at"):
        LammpsCalculator(["pair_style none_such"], ("Si",), 5.0).get_property("energy", good)
    np.testing.assert_array_equal(basis.values(good), before)


def test_snap_has_a_largest_momentum():
    with pytest.raises(TamisError, match="whole number from 0 to 20"):
        SnapBasis(("Si",), 4.2, 2147483647, 0.99363, 0.0, None, None)  # counted for hours
    with pytest.raises(TamisError, match="Si has no number"):
        SnapBasis(("Si",), 4.2, 4, 0.99363, 0.0, {}, None)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b"twojmax 4", b"twojmax 1e-3", "numbers are needed"),
        (b"rfac0 0", b"rfac0 ..", "numbers are needed"),
        (b"rcutfac", b"rcutfac \xff", "cannot be read"),
        (b"Si 0.5 1", b"Si", "not a complete SNAP coefficient file"),
        (b"Si 0.5 1", b"Si \xff 1", "cannot be read"),
        (b"1 15", b"2147483647 15", "not a complete SNAP coefficient file"),
    ],
)
def test_damaged_snap_files(tmp_path, snap_basis, old, new, says):
    paths = snap_basis.write(tmp_path, np.ones(14), np.ones(1))
    changed = 0
    for path in paths:
        data = path.read_bytes()
        changed += old in data
        path.write_bytes(data.replace(old, new, 1))
    assert changed == 1
    with pytest.raises(TamisError, match=says):
        read_snap(tmp_path)


def test_symmetry_functions_of_no_element():
    with pytest.raises(TamisError, match="'Angstrom,' in a symmetry function is no chemical symbol"):
        SymmetryFunction("Si", 2, ("Angstrom,",), 1.0, 0.0, 5.0)


def test_labels_that_are_no_numbers_name_their_frame(tmp_path):
    path = tmp_path / "a.xyz"
    ase.io.write(path, made(3), format="extxyz")
    path.write_text(re.sub(r"energy=\S+", "energy=-36.7.7", path.read_text(), count=1))
    with pytest.raises(TamisError, match=r"a.xyz#0: energy is '-36.7.7'; numbers are needed"):
        File(elements=("Si",), atom_spacing=2.7, train=str(path)).load()


@pytest.mark.parametrize("number", [119, -1, 5000])
def test_atomic_numbers_of_no_element_are_told(number):
    atoms = bulk("Si")
    atoms.numbers[:] = [14, number]
    (problem,) = unknown_elements(atoms, ("Si",))
    assert f"of the atomic number {number}, which is no element" in problem


HEADERS = (
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (38, 5), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (3",
    b"{'descr': '|V0', 'fortran_order': False, 'shape': (38, 5), }",
    b"{'descr': {}, 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 5), }",
)


@pytest.mark.parametrize("header", HEADERS)
def test_blocks_with_a_right_checksum_and_a_wrong_header_count_as_missing(tmp_path, header):
    data = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 101
    (tmp_path / "b.npy").write_bytes(data + zlib.crc32(data).to_bytes(4, "little"))
    assert read_block(tmp_path / "b.npy") is None


# records


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"metrics": {"a": "b"}}, "metrics.a: Input should be a valid number"),
        ({"metrics": {"a": True}}, "metrics.a: Input should be a valid number"),
        ({"seconds": {"fit": None}}, "seconds.fit: Input should be a valid number"),
        ({"curve": [{"metrics": {}, "n_atoms": 3}]}, "curve.0.n_structures: Field required"),
        ({"curve": [{"metrics": {}, "n_atoms": 3, "n_structures": 1.5}]}, "curve.0.n_structures: Input"),
        ({"config": "x"}, "config: Input should be an object"),
        ({"status": "odd"}, "status: Input should be 'running'"),
        ({"versions": {"a": 1}}, "versions.a: Input should be a valid string"),
        ({"selection": {"nested": True, "ids": [1]}}, "selection.ids.0: Input should be a valid string"),
        ({"started": None}, "started: Input should be a valid number"),
        ({"overrides": "abc"}, "overrides: Input should be a valid array"),
        ({"id": ["a"]}, "id: Input should be a valid string"),
        ({"own": 1}, "own: Input should be a valid boolean"),
        ({"dataset": {"n_pool": 3}}, "dataset.n_pool: Unexpected keyword"),
        ({"more": 1}, "more: Unexpected keyword"),
    ],
)
def test_a_record_of_wrong_types_is_named(tmp_path, change, says):
    place = write_trial(tmp_path / "a", fractions=(0.5, 1.0))
    record = json.loads((place / "record.json").read_text())
    assert read_record(place).status == "complete"
    (place / "record.json").write_text(json.dumps(record | change))
    with pytest.raises(TamisError, match=says):
        read_record(place)
    assert [trial.status for trial in read_trials([place])] == [UNREADABLE]


def test_a_record_of_an_earlier_version_says_to_run_again(tmp_path):
    place = write_trial(tmp_path / "a", fractions=(0.5, 1.0))
    record = json.loads((place / "record.json").read_text())
    del record["seconds"], record["budget"]
    (place / "record.json").write_text(json.dumps(record))
    with pytest.raises(TamisError, match=r"earlier version .*no budget, seconds.*run the trial again"):
        read_record(place)


@pytest.mark.parametrize("value", ["", [], None, 0])
def test_a_part_that_is_empty_and_no_mapping_is_named(tmp_path, value):
    place = write_trial(tmp_path / "a", fractions=(0.5, 1.0))
    record = json.loads((place / "record.json").read_text())
    record["config"]["dataset"] = value
    (place / "record.json").write_text(json.dumps(record))
    with pytest.raises(TamisError, match=r"config\.dataset: Input should be"):
        read_record(place)


def test_a_trial_without_its_pool_is_left_out_of_reports(tmp_path):
    place = write_trial(tmp_path / "a", fractions=(0.5, 1.0))
    record = json.loads((place / "record.json").read_text())
    (place / "record.json").write_text(json.dumps(record | {"dataset": {}}))
    (trial,) = read_trials([place])
    assert trial.status == UNREADABLE and "has the size 0" in trial.reason


@pytest.mark.parametrize(
    "data",
    [b"", b"{", b"[" * 100_000, b"\xff\xfe", b'{"config": {"a": "\\ud800"}}', b'{"config": {}, "x": 1}'],
)
def test_a_damaged_record_is_named(tmp_path, data):
    (tmp_path / "record.json").write_bytes(data)
    with pytest.raises(TamisError, match=r"record\.json"):
        read_record(tmp_path)


def test_a_point_without_validation_energies_is_no_candidate():
    wish = Wish(5.0, 1.0, 1.0, 5.0, 0.02)
    assert not wish.judges({"validation/force_mae_eV_per_A": 0.1})
    assert not wish.judges({"validation/force_mae_eV_per_A": 0.1, "validation/energy_mae_meV_per_atom": 0.0})
    assert wish.judges({"validation/force_mae_eV_per_A": 0.1, "validation/energy_mae_meV_per_atom": 1.0})


# what is typed


def test_names_that_no_terminal_takes_are_told_as_their_bytes(capfd):
    print_failure("a\udcffb")
    assert "a\\xffb" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("seed=abc", "seed.split is None; a whole number is needed"),
        ("~model", "model is None; one of its choices is needed"),
        ("objective=1.5", "objective is 1.5; the name of a metric is needed"),
        ("objective=[]", "objective is .*; the name of a metric"),
        ("descriptor.elements={a:1}", "descriptor.elements is .*; a list, each entry a text"),
        ("model.basis=4", "model.basis is 4; a mapping with the _target_ of a LinearBasis is needed"),
        ("model.ridges.x=4", "."),
        (
            "dataset.crystal=4",
            "dataset.crystal is 4; a mapping with the _target_ of a Crystal or a text or null",
        ),
    ],
)
def test_values_of_another_kind_are_named(override, says):
    with pytest.raises(Exception, match=says) as raised:
        resolved(composed(override))
    assert not isinstance(raised.value, AttributeError | KeyError)


def test_a_choice_that_is_a_number_ends_in_a_sentence(tmp_path):
    """Hydra raises a ValueError, which was shown as a traceback."""
    import subprocess
    import sys

    done = subprocess.run(
        [sys.executable, "-m", "tamis.cli", "model=1.5"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.startswith("failed: what was typed is not understood (Config group override")


def test_the_store_makes_a_damaged_block_again(tmp_path, snap_basis):
    store, atoms = Store(root=tmp_path, n_jobs=1), bulk("Si")
    before = store.values(snap_basis, [atoms])[0].copy()
    (path,) = Path(tmp_path).glob("*/values/*/*.npy")
    data = path.read_bytes()[:-4].replace(b"(2, 14)", b"(3, 14)")
    path.write_bytes(data + zlib.crc32(data).to_bytes(4, "little"))
    np.testing.assert_array_equal(store.values(snap_basis, [atoms])[0], before)
