"""A user's own files: what is read, and what is refused."""

import gzip
from collections import Counter
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from tests.vasp_files import full

from tamis.core.errors import TamisError
from tamis.data.sources.file import File
from tamis.data.sources.labels import voigt


def labelled(n: int = 4, seed: int = 0, **info: object) -> list[Atoms]:
    """Rattled cells with labels in a calculator, as ASE's reader makes them."""
    rng = np.random.default_rng(seed)
    frames = []
    for i in range(n):
        atoms = bulk("Si", cubic=True)
        atoms.rattle(0.05, seed=100 * seed + i)
        forces = rng.normal(size=(8, 3))
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=-43.0 + 0.1 * i,
            forces=forces - forces.mean(axis=0),
            stress=0.01 * rng.normal(size=6),
        )
        atoms.info.update(info)
        frames.append(atoms)
    return frames


def source(path: Path | str | list[str], **changes: object) -> File:
    train = path if isinstance(path, list) else str(path)
    return File(**({"train": train, "elements": ("Si",), "atom_spacing": 2.7} | changes))


def write(path: Path, frames: list[Atoms]) -> Path:
    ase.io.write(path, frames, format="extxyz")
    return path


def test_extxyz_keeps_what_the_file_says(tmp_path):
    frames = labelled(6, config_type="bulk", run="MD 1")
    frames[5].info.pop("config_type")
    frames[5].info.pop("run")
    path = write(tmp_path / "train.xyz", frames)
    data = source(path, block_key="run").load()
    np.testing.assert_allclose(data.energies, [f.calc.results["energy"] for f in frames])
    np.testing.assert_allclose(data.forces[2], frames[2].calc.results["forces"], atol=1e-7)
    np.testing.assert_allclose(data.stresses[2], frames[2].calc.results["stress"], atol=1e-7)
    np.testing.assert_allclose(data.structures[3].positions, frames[3].positions, atol=1e-7)
    assert data.ids[2] == f"{path}#2"
    assert data.groups == ("bulk",) * 5 + ("all",) and data.blocks == ("MD 1",) * 5 + (f"{path}#5",)
    assert data.structures[0].calc is None and not data.structures[0].info


def test_extxyz_labels_under_other_names(tmp_path):
    frames = labelled()
    for atoms in frames:
        results = atoms.calc.results
        atoms.info |= {"dft_energy": results["energy"], "dft_virial": np.arange(9.0).reshape(3, 3)}
        atoms.arrays["dft_forces"] = results["forces"]
        atoms.calc = None
    path = write(tmp_path / "train.xyz", frames)
    keys = {
        "energy_key": "dft_energy",
        "forces_key": "dft_forces",
        "stress_key": None,
        "virial_key": "dft_virial",
    }
    data = source(path, **keys).load()
    assert data.energies[3] == pytest.approx(-42.7) and np.abs(data.forces[0]).max() > 0.1
    symmetric = np.array([0.0, 4.0, 8.0, 6.0, 4.0, 2.0])
    np.testing.assert_allclose(data.stresses[1], -symmetric / frames[1].cell.volume, atol=1e-9)
    found = source(path).load()
    np.testing.assert_array_equal(found.energies, data.energies)
    np.testing.assert_array_equal(found.stresses, data.stresses)
    assert all(f"from dft_{what}" in found.read_as for what in ("energy", "forces", "virial"))
    with pytest.raises(TamisError, match="no structure has force .* correct dataset.forces_key"):
        source(path, energy_key="dft_energy", forces_key="force").load()


def test_stress_wins_over_virial_and_both_may_be_missing(tmp_path):
    frames = labelled(3, virial=np.ones(9))
    frames[0].info["virial"] = -frames[0].cell.volume * full(frames[0].calc.results["stress"])
    frames[2].calc.results.pop("stress")
    frames[1].calc.results.pop("stress")
    frames[1].info.pop("virial")
    data = source(write(tmp_path / "train.xyz", frames)).load()
    np.testing.assert_allclose(data.stresses[0], frames[0].calc.results["stress"], atol=1e-7)
    assert np.isnan(data.stresses[1]).all()
    np.testing.assert_allclose(data.stresses[2], -1.0 / frames[2].cell.volume)


def test_tensors_of_six_and_nine_numbers():
    full = np.array([[1.0, 6.0, 5.0], [6.0, 2.0, 4.0], [5.0, 4.0, 3.0]])
    for given in (full, full.ravel(), [1, 2, 3, 4, 5, 6]):
        np.testing.assert_array_equal(voigt(given), [1, 2, 3, 4, 5, 6])
    assert voigt([1, 2, 3]) is None and voigt("none") is None


@pytest.mark.parametrize("key", ["stress", "virial"])
def test_a_tensor_of_wrong_length_is_named(tmp_path, key):
    frames = labelled()
    for atoms in frames:
        atoms.calc.results.pop("stress")
        atoms.info[f"my_{key}"] = np.ones(5)
    path = write(tmp_path / "train.xyz", frames)
    with pytest.raises(TamisError, match=f"#0: my_{key} needs 6 or 9 numbers"):
        source(path, **{f"{key}_key": f"my_{key}"}).load()


def test_several_files_globs_and_a_test_file(tmp_path):
    write(tmp_path / "a1.xyz", labelled(3, seed=1))
    write(tmp_path / "a2.xyz", labelled(3, seed=2))
    held = write(tmp_path / "held.xyz", labelled(2, seed=3))
    data = source([str(tmp_path / "a*.xyz"), str(tmp_path / "a1.xyz")], test=str(held)).load()
    assert len(data) == 8 and list(np.flatnonzero(data.is_test)) == [6, 7]
    with pytest.raises(TamisError, match="no file matches .*b\\*.xyz"):
        source(tmp_path / "b*.xyz").load()
    with pytest.raises(TamisError, match="one structure for training and for testing"):
        source(tmp_path / "*.xyz", test=str(held)).load()


def test_a_test_set_is_drawn_from_every_group_by_its_own_seed(tmp_path):
    frames = labelled(20, seed=1, config_type="bulk") + labelled(20, seed=2, config_type="slab")
    path = write(tmp_path / "train.xyz", frames)
    drawn = source(path).load()
    assert Counter(np.array(drawn.groups)[drawn.is_test]) == {"bulk": 2, "slab": 2}
    assert (source(path).load().is_test == drawn.is_test).all()
    assert (source(path, test_seed=1).load().is_test != drawn.is_test).any()
    assert not source(path, test_fraction=0.0).load().is_test.any()
    with pytest.raises(TamisError, match="test_fraction is 0.9"):
        source(path, test_fraction=0.9)
    with pytest.raises(TamisError, match="test_seed is -1"):
        source(path, test_seed=-1)


def test_one_structure_stays_in_training(tmp_path):
    data = source(write(tmp_path / "one.xyz", labelled(1))).load()
    assert len(data) == 1 and not data.is_test.any()


@pytest.mark.parametrize("lines_lost", range(1, 10))
def test_a_truncated_file_names_file_and_frame(tmp_path, lines_lost):
    path = write(tmp_path / "train.xyz", labelled(3))
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-lines_lost]))
    with pytest.raises(TamisError, match=r"train\.xyz, frame \d or later, cannot be read .* truncated"):
        source(path).load()


def test_a_file_cut_inside_its_last_number_is_refused(tmp_path):
    path = write(tmp_path / "train.xyz", labelled())
    path.write_bytes(path.read_bytes().rstrip()[:-2])
    with pytest.raises(
        TamisError, match=r"frame 3 .* does not end with a whole line.* is the file truncated\?"
    ):
        source(path).load()


def test_a_file_cut_within_a_line(tmp_path):
    path = write(tmp_path / "train.xyz", labelled(3))
    path.write_text(path.read_text()[:-60])
    with pytest.raises(TamisError, match="train.xyz, frame 2 or later, cannot be read"):
        source(path).load()


@pytest.mark.parametrize("content", ["", "not a structure\n", "\n"])
def test_files_without_structures(tmp_path, content):
    path = tmp_path / "train.xyz"
    path.write_text(content)
    with pytest.raises(TamisError, match="train.xyz"):
        source(path).load()


def test_bad_numbers_are_named_by_file_and_index_until_the_user_drops_them(tmp_path, caplog):
    frames = labelled(6)
    frames[2].calc.results["energy"] = np.nan
    frames[4].positions[1] = frames[4].positions[0] + 0.1
    path = write(tmp_path / "train.xyz", frames)
    with pytest.raises(TamisError) as caught:
        source(path).load()
    assert f"{path}#2: energy is nan" in str(caught.value) and f"{path}#4: atoms 0 and 1" in str(caught.value)
    data = source(path, drop=[f"{path}#2", f"{path}#4"]).load()
    assert len(data) == 4 and f"{path}#2" not in data.ids
    assert "dropped 2 structure(s) on request" in caplog.text
    with pytest.raises(TamisError, match="dataset.drop names nowhere#1"):
        source(path, drop=["nowhere#1"]).load()
    with pytest.raises(TamisError, match="the data set is empty"):
        source(path, drop=[f"{path}#{i}" for i in range(6)]).load()


def test_an_element_that_was_not_declared(tmp_path):
    path = write(tmp_path / "train.xyz", labelled(3))
    with pytest.raises(TamisError, match="#0: has Si, but dataset.elements is Ge"):
        source(path, elements=("Ge",)).load()


def test_tolerances_reach_the_checks(tmp_path):
    frames = labelled(4)
    frames[1].calc.results["forces"] += 0.2
    path = write(tmp_path / "train.xyz", frames)
    with pytest.raises(TamisError, match="#1: forces sum to"):
        source(path).load()
    assert len(source(path, net_force=5.0).load()) == 4
    with pytest.raises(TamisError, match="net_force is -1"):
        source(path, net_force=-1.0)
    with pytest.raises(TamisError, match="train is empty"):
        source([])


def test_a_compressed_database_is_told_from_a_damaged_one(tmp_path):
    with ase.db.connect(tmp_path / "a.json") as database:
        database.write(labelled(1)[0])
    packed = tmp_path / "a.json.gz"
    packed.write_bytes(gzip.compress((tmp_path / "a.json").read_bytes()))
    with pytest.raises(
        TamisError, match=r"a.json.gz is a compressed database, .* unpack it and name .*a.json"
    ):
        source(str(packed)).load()
