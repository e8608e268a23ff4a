"""Folders and files of several formats: which are read, what their groups are called, and what is left out."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from tests.copper import labelled, moved
from tests.labelled_copper import copper
from tests.text_files import input_data
from tests.vasp_files import write_outcar, write_vasprun

from tamis.core.errors import TamisError
from tamis.data.readers.formats import reader_of
from tamis.data.readers.n2p2 import read_input_data
from tamis.data.sources.base import without
from tamis.data.sources.drop import Drop
from tamis.data.sources.file import File
from tamis.data.sources.finding import find, on_disk
from tamis.data.sources.naming import name_of_file

HARTREE, BOHR = 27.211386245988, 0.529177210903


def frames(numbers: range, energy: str = "REF_energy", forces: str = "REF_forces") -> list[Atoms]:
    """Copper cells ``numbers`` with labels under other names."""
    found = []
    for one in [copper()[i] for i in numbers]:
        atoms = Atoms(one)
        atoms.info = {energy: one.info["energy"], "config_type": one.info["config_type"]}
        atoms.arrays[forces] = one.arrays["forces"]
        found.append(atoms)
    return found


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A folder as people have it: files of three formats, with what belongs to none."""
    monkeypatch.chdir(tmp_path)
    for name in ("data/liquid", "data/run 1", "data/.hidden"):
        Path(name).mkdir(parents=True)
    ase.io.write("data/liquid/mace.xyz", frames(range(0, 4)), format="extxyz")
    ase.io.write("data/liquid/gap.extxyz", frames(range(4, 6), "dft_energy", "dft_force"), format="extxyz")
    write_vasprun(Path("data/run 1/vasprun.xml"), copper()[6:9], [0.0] * 3)
    write_outcar(Path("data/run 1/OUTCAR"), copper()[6:9], [0.0] * 3)
    write_outcar(Path("data/OUTCAR.2"), copper()[9:12], [0.0] * 3)
    ase.io.write("data/run 1/POSCAR", copper()[6], format="vasp")
    Path("data/README.md").write_text("# What this is\n")
    Path("data/.hidden/a.xyz").write_text("no structure")
    return tmp_path


def test_a_folder_gives_every_file_that_a_reader_knows_and_tells_the_others(tree):
    found = find(["data"], None)
    assert [str(path) for path in found.files] == [
        "data/OUTCAR.2",
        "data/liquid/gap.extxyz",
        "data/liquid/mace.xyz",
        "data/run 1/vasprun.xml",
    ]
    assert {path.name for path in found.skipped} == {"README.md", "POSCAR", "OUTCAR"}
    data = File(train="data", test_fraction=0.0).load()
    order = [9, 10, 11, 4, 5, 0, 1, 2, 3, 6, 7, 8]
    np.testing.assert_allclose(data.energies, [copper()[i].info["energy"] for i in order], atol=1e-7)
    assert data.ids[3] == "data/liquid/gap.extxyz#0"
    assert "skipped in folders: data/README.md, data/run 1/OUTCAR, data/run 1/POSCAR" in data.read_as
    lines = data.read_as.splitlines()
    assert "energy from dft_energy (eV)" in lines[1] and "energy from REF_energy (eV)" in lines[2]
    assert "forces from dft_force (eV/Å)" in lines[1] and "read as extxyz" in lines[1]
    assert "read as vasp-xml" in lines[3] and "units of the format vasp-xml" in lines[3]


def test_a_typed_format_takes_its_files_alone(tree):
    assert [path.name for path in find(["data"], "vasp-out").files] == ["OUTCAR.2", "OUTCAR"]
    with pytest.raises(TamisError, match="the folder data has no file of the format traj; name its files"):
        find(["data"], "traj")
    Path("data/empty").mkdir()
    with pytest.raises(TamisError, match=r"the folder data/empty has no file that a reader knows"):
        File(train="data/empty").load()


def test_test_files_inside_a_folder_are_for_testing_alone(tree):
    data = File(train="data", test="data/liquid/*.xyz").load()
    assert [name for name, test in zip(data.ids, data.is_test, strict=True) if test] == [
        f"data/liquid/mace.xyz#{i}" for i in range(4)
    ]
    assert len(data) == 12


def test_a_folder_is_read_again_when_a_file_in_it_changes(tree):
    source = File(train="data", test_fraction=0.0)
    assert len(source.load()) == 12 and source.load() is source.load()
    assert Path("data/run 1/vasprun.xml") in set(on_disk(["data"]))
    ase.io.write("data/liquid/mace.xyz", frames(range(0, 3)), format="extxyz")
    assert len(source.load()) == 11


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("file", {"OUTCAR", "gap", "mace", "vasprun"}),
        ("folder", {"data", "liquid", "run 1"}),
        ("key", {"bulk", "hot", "all"}),
    ],
)
def test_groups_are_named_by_key_file_or_folder(tree, where, names):
    data = File(train="data", group_from=where, test_fraction=0.0).load()
    assert set(data.groups) == names
    assert (f"group from the name of the {where}" in data.read_as) == (where != "key")


def test_blocks_of_files_are_held_out_whole(tree):
    data = File(train="data", block_from="file", test_fraction=0.3).load()
    assert data.test_kind == "blocks" and data.blocks_whole
    assert not {b for b, t in zip(data.blocks, data.is_test, strict=True) if t} & {
        b for b, t in zip(data.blocks, data.is_test, strict=True) if not t
    }


@pytest.mark.parametrize("what", ["group", "block"])
def test_a_name_from_two_places_is_refused(what):
    with pytest.raises(TamisError, match=f"dataset.{what}_from=file and dataset.{what}_key=x are both set"):
        File(train="a.xyz", **{f"{what}_from": "file", f"{what}_key": "x"})
    with pytest.raises(TamisError, match=f"{what}_from is 'name'; choose one of key, file, folder"):
        File(train="a.xyz", **{f"{what}_from": "name"})


@pytest.mark.parametrize(
    ("name", "stem"), [("a/liquid.xyz.gz", "liquid"), ("Si 300.5K.xyz", "Si 300.5K"), ("OUTCAR", "OUTCAR")]
)
def test_the_name_of_a_file_has_no_suffix(name, stem):
    assert name_of_file(Path(name)) == stem


# leaving out


@pytest.mark.parametrize(
    ("drop", "left"),
    [
        (["group:hot"], 9),
        (["file:data/liquid/mace.xyz"], 8),
        (["file:OUTCAR.2", "data/liquid/mace.xyz#1"], 8),
        (["group:hot", "group:bulk"], 6),
        (["mace.xyz#1"], 11),  # the folder may be left out, too
    ],
)
def test_groups_and_files_are_left_out_by_name(tree, drop, left):
    data = File(train="data", drop=drop, test_fraction=0.0).load()
    assert len(data) == left


def test_a_file_that_is_left_out_need_not_be_readable(tree):
    Path("data/liquid/mace.xyz").write_text("4\nbroken\n")
    with pytest.raises(TamisError, match=r"mace.xyz, frame 0 or later, cannot be read"):
        File(train="data").load()
    assert len(File(train="data", drop=["file:mace.xyz"], test_fraction=0.0).load()) == 8


@pytest.mark.parametrize(
    ("drop", "message"),
    [
        (
            "group:hit",
            r"group:hit, which the data set does not have; did you mean hot\? the groups are all, bulk, hot",
        ),
        (
            "file:mac.xyz",
            r"file:mac.xyz, .* did you mean mace.xyz\? the files are data/OUTCAR.2, data/liquid/gap",
        ),
        ("data/OUTCAR.2#3", r"names data/OUTCAR.2#3, .* ids look like"),
    ],
)
def test_names_to_leave_out_that_do_not_exist_are_refused(tree, drop, message):
    with pytest.raises(TamisError, match=message):
        File(train="data", drop=[drop]).load()


def test_an_id_without_its_folder_may_not_mean_two_structures():
    drop = Drop.of(["set.xyz#0"])
    drop.refuse_unknown(["a/set.xyz#0", "a/set.xyz#1"], [])
    with pytest.raises(
        TamisError, match=r"set.xyz#0, which may be a/set.xyz#0, b/set.xyz#0; give the folder"
    ):
        drop.refuse_unknown(["a/set.xyz#0", "b/set.xyz#0"], [])


def test_every_source_drops_groups_and_files():
    drop = Drop.of(["group:a", "file:set.json", "x#2"])
    ids, groups = ["Si/set.json#0", "x#1", "x#2", "x#3"], ["b", "b", "b", "a"]
    data = labelled(moved(4), groups=["a", "b", "b", "c"])  # as of any source
    assert without(data, ("group:b", "made#3")).ids == ("made#0",)
    assert len(without(data, ())) == 4 and len(without(data, ("file:made",))) == 0
    with pytest.raises(TamisError, match="the groups are a, b, c"):
        without(data, ("group:d",))
    drop.refuse_unknown(ids, groups)
    assert drop.of_structures(ids, groups).tolist() == [True, False, True, True]


# units


def test_each_file_of_a_set_has_its_own_units(tree):
    converted = frames(range(0, 4))
    for atoms in converted:
        atoms.set_cell(atoms.cell.array / BOHR, scale_atoms=True)
        atoms.info["REF_energy"] /= HARTREE
        atoms.arrays["REF_forces"] = atoms.arrays["REF_forces"] / HARTREE * BOHR
    ase.io.write("bohr.xyz", converted, format="extxyz")
    source = File(train=["bohr.xyz", "data/OUTCAR.2"], units="atomic", test_fraction=0.0)
    data = source.load()
    order = [0, 1, 2, 3, 9, 10, 11]
    np.testing.assert_allclose(data.energies, [copper()[i].info["energy"] for i in order], atol=1e-6)
    for structure, forces, i in zip(data.structures, data.forces, order, strict=True):
        np.testing.assert_allclose(structure.positions, copper()[i].positions, atol=1e-6)
        np.testing.assert_allclose(forces, copper()[i].arrays["forces"], atol=1e-6)
    lines = data.read_as.splitlines()
    assert "energy from REF_energy (hartree)" in lines[0] and "units as typed" in lines[0]
    assert "energy from energy (eV)" in lines[1] and "units of the format vasp-out" in lines[1]
    with pytest.raises(TamisError, match=r"OUTCAR.2 is of the format vasp-out, whose units are known"):
        File(train="data/OUTCAR.2", units="atomic").load()


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ({}, "units {found}"),
        ({"energy": "hartree"}, "units as typed, the others {found}"),
        ({"energy": "hartree", "length": "bohr"}, "units as typed"),
        ("atomic", "units as typed"),
    ],
)
def test_units_that_a_reader_finds_give_way_to_typed_ones(tree, typed, told):
    Path("input.data").write_text(input_data(copper()))  # in hartree and bohr
    data = File(train="input.data", units=typed, test_fraction=0.0).load()
    np.testing.assert_allclose(data.energies, [one.info["energy"] for one in copper()], atol=1e-6)
    np.testing.assert_allclose(data.structures[2].positions, copper()[2].positions, atol=1e-6)
    _, found = reader_of(Path("input.data"), None).guess(list(read_input_data(Path("input.data"))))
    assert data.read_as.splitlines()[0].endswith(told.format(found=found))


def test_a_wrong_unit_that_is_typed_is_taken_and_doubted(tree, caplog):
    Path("input.data").write_text(input_data(copper()))
    data = File(train="input.data", units="metal", test_fraction=0.0).load()
    assert data.structures[0].cell[0, 0] > 5.0 and "dataset.units" in " ".join(data.notes)
