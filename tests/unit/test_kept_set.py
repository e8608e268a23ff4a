"""The smaller training set replaces the whole one in its owner's workflow: every key, column and digit."""

import warnings
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms, FixCartesian
from tests.format_files import molecules
from tests.labelled_copper import copper
from tests.text_files import input_data
from tests.vasp_files import full, write_vasprun

from tamis.data.dataset import Dataset
from tamis.data.extxyz_writer import quoted, write_extxyz
from tamis.data.kept_set import write_kept
from tamis.data.sources.file import File

ORDER = [5, 0, 3]


def decorated() -> list[Atoms]:
    """Frames with all that files of the field have beside labels."""
    frames = []
    for i, one in enumerate(copper()):
        atoms = one.copy()
        atoms.info = {
            "REF_energy": one.info["energy"],
            "REF_stress": full(one.info["stress"]),
            "config_type": ("bulk", "hot one", 'with "quotes" \\ and [b]', "7")[i % 4],
            "energy_weight": 2.0,
            "charge": -1,
            "converged": i % 2 == 0,
            "kpoints": np.array([3, 3, 4]),
            "q": np.array([0.1, 1e-17, -2.5e30]),
            "nested": {"code": "VASP", "list": [1, {"deep": 2.5}]},
            "note": "",
            "digits": "007",
            "id": f"mine {i}",
        }
        atoms.arrays["REF_forces"] = atoms.arrays.pop("forces")
        rng = np.random.default_rng(i)
        atoms.set_array("local", rng.normal(size=4) * 1e-9)
        atoms.set_array("site", np.array(["a", "b2", "Fe", "x"]))
        atoms.set_array("is_core", np.array([True, False, False, True]))
        atoms.set_tags([0, 1, 2, 3])
        atoms.set_initial_magnetic_moments(rng.normal(size=4))
        atoms.set_momenta(rng.normal(size=(4, 3)))
        atoms.set_constraint(FixAtoms([1]) if i % 2 else FixCartesian(2, [True, False, True]))
        atoms.calc = SinglePointCalculator(
            atoms, dipole=rng.normal(size=3), charges=rng.normal(size=4), magmom=1.5
        )
        frames.append(atoms)
    return frames


KEYS = {"energy_key": "REF_energy", "forces_key": "REF_forces", "stress_key": "REF_stress"}


def kept(source: File, folder: Path) -> tuple[Dataset, Path]:
    """Structures ORDER of the data set, and the file that they are written to."""
    part = source.load().subset(ORDER)
    write_extxyz(folder / "kept.extxyz", part)
    return part, folder / "kept.extxyz"


def assert_equal_frames(ours: Atoms, theirs: Atoms, added: set[str]) -> None:
    """Every key, column and result with the same type and the same digits."""
    assert set(ours.info) - added == set(theirs.info)
    for key, value in theirs.info.items():
        np.testing.assert_array_equal(
            ours.info[key], value, strict=isinstance(value, np.ndarray), err_msg=key
        )
    assert set(ours.arrays) == set(theirs.arrays)
    for key, column in theirs.arrays.items():
        np.testing.assert_array_equal(ours.arrays[key], column, err_msg=key)
    np.testing.assert_array_equal(ours.cell.array, theirs.cell.array)
    np.testing.assert_array_equal(ours.pbc, theirs.pbc)
    assert [str(c) for c in ours.constraints] == [str(c) for c in theirs.constraints]
    results = {} if theirs.calc is None else theirs.calc.results
    assert ({} if ours.calc is None else set(ours.calc.results)) == set(results) or not results
    for key, value in results.items():
        np.testing.assert_array_equal(ours.calc.results[key], value, err_msg=key)


def test_every_key_column_and_digit_of_an_extxyz_file_comes_back(tmp_path):
    path = tmp_path / "set.xyz"
    ase.io.write(path, decorated(), format="extxyz")
    text = path.read_text().replace("energy_weight=2.0", "energy_weight=2.00000000000000123", 1)
    path.write_text(text)
    _, file = kept(File(train=str(path), **KEYS), tmp_path)
    original, written = ase.io.read(path, ":"), ase.io.read(file, ":")
    for ours, i in zip(written, ORDER, strict=True):
        assert_equal_frames(ours, original[i], {"tamis_id", "tamis_group"})
        assert ours.info["tamis_id"] == f"{path}#{i}"


@pytest.mark.parametrize("nested", ["", ' nested="_JSON {\\"a\\": [1]}"'])  # read by tamis, and left to ASE
def test_keys_and_columns_leave_in_the_order_of_the_file(tmp_path, nested):
    columns = "forces:R:3:species:S:1:site:I:1:pos:R:3"
    lines = []
    for i, one in enumerate(copper()):
        cell = " ".join(map(repr, one.cell.array.ravel().tolist()))
        keys = f'energy={float(one.info["energy"])!r}{nested} step={i} pbc="T T T"'
        lines += ["4", f'author=me {keys} Lattice="{cell}" Properties={columns} config_type=b']
        for force, position in zip(one.arrays["forces"].tolist(), one.positions.tolist(), strict=True):
            lines.append(" ".join([*map(repr, force), "Cu", "7", *map(repr, position)]))
    path = tmp_path / "set.xyz"
    path.write_text("\n".join(lines) + "\n")
    part, file = kept(File(train=str(path)), tmp_path)
    written = file.read_text().splitlines()
    for k, i in enumerate(ORDER):
        added = f" tamis_id={part.ids[k]} tamis_group=b"
        assert written[6 * k : 6 * k + 6] == ["4", lines[6 * i + 1] + added, *lines[6 * i + 2 : 6 * i + 6]]


def test_the_kept_set_read_with_the_same_keys_is_the_same_set(tmp_path):
    path = tmp_path / "set.xyz"
    ase.io.write(path, decorated(), format="extxyz")
    before, file = kept(File(train=str(path), **KEYS), tmp_path)
    after = File(train=str(file), test_fraction=0.0, **KEYS).load()
    for one, other in zip(before.structures, after.structures, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_array_equal(one.cell.array, other.cell.array)
    np.testing.assert_array_equal(before.energies, after.energies)
    np.testing.assert_array_equal(before.stresses, after.stresses)
    np.testing.assert_array_equal(np.concatenate(before.forces), np.concatenate(after.forces))
    assert before.groups == after.groups
    again = tmp_path / "again.extxyz"
    write_extxyz(again, after)
    names = [frame.info["tamis_id_2"] for frame in ase.io.read(again, ":")]
    assert names == list(after.ids) and ase.io.read(again, 0).info["tamis_id"] == before.ids[0]
    groups = [frame.info["tamis_group_2"] for frame in ase.io.read(again, ":")]
    assert list(map(str, groups)) == list(after.groups)


def test_units_are_those_of_the_file(tmp_path):
    path = tmp_path / "set.xyz"
    frames = [atoms.copy() for atoms in copper()]
    for atoms in frames:
        atoms.info["stress"] = full(atoms.info["stress"])
        atoms.info["energy"] /= 27.211386
        atoms.arrays["forces"] = atoms.arrays["forces"] / 27.211386
    ase.io.write(path, frames, format="extxyz")
    units = {"energy": "hartree", "stress": "ev/ang3"}
    before, file = kept(File(train=str(path), units=units), tmp_path)
    after = File(train=str(file), units=units, test_fraction=0.0).load()
    np.testing.assert_array_equal(before.energies, after.energies)
    assert ase.io.read(file, 0).get_potential_energy() == ase.io.read(path, ORDER[0]).get_potential_energy()


def test_other_formats_become_extxyz_that_reads_the_same(tmp_path):
    frames = decorated()
    for atoms, one in zip(frames, copper(), strict=True):
        atoms.calc = SinglePointCalculator(
            atoms, energy=one.info["energy"], forces=one.arrays["forces"], stress=one.info["stress"]
        )
        del atoms.info["REF_stress"], atoms.info["REF_energy"], atoms.arrays["REF_forces"]
    ase.io.write(tmp_path / "set.traj", frames)
    with ase.db.connect(tmp_path / "set.db") as database:
        for atoms in frames:
            database.write(
                atoms, key_value_pairs={"config_type": "b c", "step": 3}, data={"weights": [1.0, 2.0]}
            )
    write_vasprun(tmp_path / "vasprun.xml", copper(), [0.03] * 12)
    for name in ("set.traj", "set.db", "vasprun.xml"):
        before, file = kept(File(train=str(tmp_path / name)), tmp_path)
        after = File(train=str(file), test_fraction=0.0).load()
        np.testing.assert_array_equal(before.energies, after.energies)
        np.testing.assert_array_equal(before.stresses, after.stresses)
        np.testing.assert_array_equal(np.concatenate(before.forces), np.concatenate(after.forces))
        assert before.groups == after.groups
    assert ase.io.read(tmp_path / "kept.extxyz", 0).calc.results["free_energy"] == before.energies[0]


@pytest.mark.parametrize("units", [None, "atomic", {"energy": "mev"}])
@pytest.mark.parametrize("name", ["input.data", "molecules.npz", "vasprun.xml"])
def test_the_kept_set_is_read_right_by_the_same_command_whatever_units_came_in(tmp_path, name, units):
    if name == "input.data":
        (tmp_path / name).write_text(input_data(copper()))
    elif name == "molecules.npz":
        np.savez(tmp_path / name, **molecules())
    else:
        write_vasprun(tmp_path / name, copper(), [0.0] * 12)
        ase.io.write(tmp_path / "set.xyz", copper()[:6], format="extxyz")
    files = [str(tmp_path / name), *map(str, tmp_path.glob("set.xyz"))]
    before = File(train=files, units=units).read()[0]
    write_extxyz(tmp_path / "kept.extxyz", before)
    after = File(train=str(tmp_path / "kept.extxyz"), units=units).read()[0]
    for one, other in zip(before.structures, after.structures, strict=True):
        np.testing.assert_allclose(other.positions, one.positions, rtol=1e-12)
        np.testing.assert_allclose(other.cell.array, one.cell.array, rtol=1e-12)
    np.testing.assert_allclose(after.energies, before.energies, rtol=1e-12)
    np.testing.assert_allclose(after.stresses, before.stresses, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate(after.forces), np.concatenate(before.forces), rtol=1e-12)


@pytest.mark.parametrize("suffix", ["db", "json", "traj"])
def test_the_format_that_came_in_goes_out(tmp_path, suffix):
    frames = decorated()
    for atoms, one in zip(frames, copper(), strict=True):
        atoms.calc = SinglePointCalculator(
            atoms, energy=one.info["energy"], forces=one.arrays["forces"], stress=one.info["stress"]
        )
        atoms.info = {"config_type": "b c"}
        del atoms.arrays["REF_forces"]
    path = tmp_path / f"set.{suffix}"
    if suffix == "traj":
        ase.io.write(path, frames)
    else:
        with ase.db.connect(path) as database:
            for i, atoms in enumerate(frames):
                data = {"weights": np.array([1.0, 2.0]), "mulliken": np.arange(4.0) * i, "energy": 1.0}
                database.write(
                    atoms, key_value_pairs={"config_type": "b c", "step": i, "id_of_run": "a7"}, data=data
                )
    keys = {"energy_key": "energy"}
    part = File(train=str(path), **keys).load().subset(ORDER)
    write_kept(tmp_path, part)
    assert sorted(p.name for p in tmp_path.glob("*kept*")) == sorted(["kept.extxyz", f"kept.{suffix}"])
    kept_path = tmp_path / f"kept.{suffix}"
    again = File(train=str(kept_path), test_fraction=0.0, **keys).load()
    np.testing.assert_array_equal(part.energies, again.energies)
    np.testing.assert_array_equal(part.stresses, again.stresses)
    np.testing.assert_array_equal(np.concatenate(part.forces), np.concatenate(again.forces))
    assert part.groups == again.groups
    for ours, theirs in zip(again.frames, part.frames, strict=True):
        assert_equal_frames(ours, theirs, {"tamis_id", "tamis_group"})
    assert [frame.info["tamis_id"] for frame in again.frames] == list(part.ids)
    if suffix != "traj":
        with ase.db.connect(kept_path) as ours, ase.db.connect(path) as theirs:
            for row, i in zip(ours.select(), ORDER, strict=True):
                source = theirs.get(i + 1)
                own = {name: value for name, value in row.key_value_pairs.items() if "tamis" not in name}
                assert own == source.key_value_pairs and set(row.data) - {"tamis_id"} == set(source.data)


def test_a_set_of_several_formats_goes_out_as_extended_xyz_alone(tmp_path):
    ase.io.write(tmp_path / "a.traj", ase.io.read(written_plain(tmp_path), "0:6"))
    ase.io.write(tmp_path / "b.xyz", ase.io.read(tmp_path / "plain.xyz", "6:"), format="extxyz")
    part = File(train=[str(tmp_path / "a.traj"), str(tmp_path / "b.xyz")]).load().subset(ORDER)
    write_kept(tmp_path, part)
    assert [p.name for p in tmp_path.glob("*kept*")] == ["kept.extxyz"]


def test_what_extended_xyz_cannot_hold_is_told(tmp_path, caplog):
    with ase.db.connect(tmp_path / "set.db") as database:
        for one in copper():
            atoms = Atoms(one)
            results = {"energy": one.info["energy"], "forces": one.arrays["forces"]}
            atoms.info = {}
            atoms.calc = SinglePointCalculator(atoms, **results)
            database.write(atoms, data={"wave": np.array([1j, 2j]), "sites": ["a b", "c", "d", "e"]})
    _, file = kept(File(train=str(tmp_path / "set.db"), test_fraction=0.0), tmp_path)
    assert "extended XYZ cannot hold sites (of 3 structures), wave (of 3 structures)" in caplog.text
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(ase.io.read(file, ":")) == 3


@pytest.mark.parametrize(
    "text", ["a", "a b", 'q"q', "back\\slash", "", "x=y", "[a] {b}", "ünï", "'", "two\nlines"]
)
def test_quoted_texts_are_read_back(text):
    from ase.io.extxyz import key_val_str_to_dict

    found = key_val_str_to_dict(f"k={quoted(text)} next=1")
    assert found["next"] == 1 and (str(found["k"]) == text.replace("\n", " ") or text == "")


def test_sources_without_frames_have_the_form_of_before(tmp_path):
    from dataclasses import replace

    source = File(train=written_plain(tmp_path), test_fraction=0.0)
    data = replace(source.load(), frames=())
    write_extxyz(tmp_path / "own.extxyz", data)
    frames = ase.io.read(tmp_path / "own.extxyz", ":")
    assert [frame.info["id"] for frame in frames] == list(data.ids)
    assert set(frames[0].info) == {"group", "block", "id"}
    np.testing.assert_array_equal(frames[2].get_forces(apply_constraint=False), data.forces[2])
    np.testing.assert_allclose(frames[2].get_stress(), data.stresses[2], rtol=1e-15)
    assert [str(frame.info["group"]) for frame in frames] == list(data.groups)
    assert [str(frame.info["id"]) for frame in frames] == list(data.ids)


def written_plain(folder: Path) -> str:
    frames = [atoms.copy() for atoms in copper()]
    for atoms in frames:
        atoms.info["stress"] = full(atoms.info["stress"])
    ase.io.write(folder / "plain.xyz", frames, format="extxyz")
    return str(folder / "plain.xyz")
