"""Weights of structures, from keys of the file and by group, and structures without forces."""

from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from tests.composing import composed
from tests.labelled_copper import copper
from tests.vasp_files import full

from tamis.core.errors import TamisError
from tamis.data.sources.file import File
from tamis.data.sources.weights import weight_keys
from tamis.records.record import COMPLETE
from tamis.trial import run_trial


def write(folder, change=lambda i, atoms: None) -> str:
    frames = []
    for i, one in enumerate(copper()):
        atoms = one.copy()
        atoms.info["stress"] = full(one.info["stress"])
        change(i, atoms)
        frames.append(atoms)
    ase.io.write(folder / "set.xyz", frames, format="extxyz")
    return str(folder / "set.xyz")


def in_maces_words(i, atoms):
    atoms.info |= {"config_weight": 0.5 + i, "config_forces_weight": 10.0}
    if i % 2:
        atoms.info["config_virials_weight"] = 3.0


def test_weights_of_structures_and_labels_are_multiplied(tmp_path):
    data = File(train=write(tmp_path, in_maces_words), test_fraction=0.0).load()
    i = np.arange(12)
    np.testing.assert_allclose(
        data.weights, np.column_stack([0.5 + i, 10 * (0.5 + i), np.where(i % 2, 3.0, 1.0) * (0.5 + i)])
    )
    assert (
        "weights from config_weight, config_forces_weight, config_virials_weight (0.5 to 115)" in data.read_as
    )
    part = data.subset([3, 1])
    np.testing.assert_array_equal(part.weights, data.weights[[3, 1]])


def test_weights_of_groups_multiply_those_of_the_file(tmp_path):
    weights = {"hot": 0.5, "bulk": {"energy": 2, "stress": 0}}
    data = File(train=write(tmp_path, in_maces_words), weights=weights, test_fraction=0.0).load()
    plain = File(train=write(tmp_path, in_maces_words), test_fraction=0.0).load()
    for i, group in enumerate(plain.groups):
        factors = [0.5, 0.5, 0.5] if group == "hot" else [2.0, 1.0, 0.0]
        np.testing.assert_allclose(data.weights[i], plain.weights[i] * factors)


def test_weights_are_not_read_where_the_user_wants_none_and_one_name_where_he_types_it(tmp_path):
    path = write(tmp_path, in_maces_words)
    assert File(train=path, weight_key=None).load().weights is None
    named = File(train=path, weight_key="config_forces_weight").load()
    assert (named.weights == 10.0).all() and "all weights 10" in named.read_as
    with pytest.raises(
        TamisError, match=r"no structure has wight \(dataset.weight_key\); .* or set it to null"
    ):
        File(train=path, weight_key="wight").load()


def test_a_set_without_weights_has_none(tmp_path):
    assert File(train=write(tmp_path)).load().weights is None
    ones = File(train=write(tmp_path, lambda i, atoms: atoms.info.update(weight=1.0))).load()
    assert ones.weights is None


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf"), "heavy", np.array([1.0, 2.0])])
def test_what_is_no_weight_is_refused(tmp_path, value):
    def spoil(i, atoms):
        atoms.info["weight"] = value if i == 3 else 1.0

    path = write(tmp_path, spoil)
    with pytest.raises(
        TamisError, match=r"#3: weight is .*; give a number from 0 on, or set dataset.weight_key=null"
    ):
        File(train=path).load()
    assert len(File(train=path, weight_key=None).load()) == 12


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"hot": -1.0}, r"dataset.weights.hot is -1.0; a number from 0 on"),
        ({"hot": {"forces": "x"}}, r"dataset.weights.hot.forces is 'x'"),
        ({"hot": True}, "dataset.weights.hot is True"),
        ({"hot": {"force": 1.0}}, r"dataset.weights.hot.force is no setting; did you mean forces\?"),
    ],
)
def test_weights_of_groups_that_are_none_are_refused(weights, message):
    with pytest.raises(TamisError, match=message):
        File(train="a.xyz", weights=weights)


def test_a_weight_of_a_group_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(
        TamisError, match=r"dataset.weights has hit; did you mean hot\? the groups are bulk, hot"
    ):
        File(train=write(tmp_path), weights={"hit": 1.0}).load()


def test_neps_and_fitters_names_of_weights():
    assert weight_keys(["Weight", "Energy"], "auto", "auto") == {"": "Weight"}
    found = weight_keys(["weight", "config_weight", "force_weight"], "auto", "auto")
    assert found == {"": "config_weight", "forces": "force_weight"}


# structures without forces


def some_without(i, atoms):
    if i % 3 == 0:
        del atoms.arrays["forces"]


def read(path: str, **options):
    """Before the checks, which are tests/unit/test_checks.py's."""
    return File(train=path, **options).read()


def test_structures_may_lack_forces_where_others_have_them(tmp_path):
    data, problems = read(write(tmp_path, some_without))
    assert not problems and "forces from forces (eV/Å) in 8 of them" in data.read_as
    for i, (forces, one) in enumerate(zip(data.forces, copper(), strict=True)):
        assert forces.shape == (4, 3) and np.isnan(forces).all() == (i % 3 == 0)
        if i % 3:
            np.testing.assert_allclose(forces, one.arrays["forces"], atol=1e-7)


def test_a_set_of_energies_alone_has_to_be_asked_for(tmp_path):
    def none(i, atoms):
        del atoms.arrays["forces"]

    path = write(tmp_path, none)
    _, problems = read(path)
    assert len(problems) == 1
    assert "no structure has forces (dataset.forces_key)" in problems[0]
    assert "for a set of energies alone set it to null" in problems[0]
    data, problems = read(path, forces_key=None)
    assert not problems and np.isnan(np.concatenate(data.forces)).all()
    assert "forces of no structure" in data.read_as


def test_forces_under_a_second_name_in_one_file_are_not_lost(tmp_path):
    def renamed(i, atoms):
        if i == 5:
            atoms.arrays["dft_forces"] = atoms.arrays.pop("forces")

    _, problems = read(write(tmp_path, renamed))
    assert problems == [
        f"{tmp_path}/set.xyz#5: has no forces, and dft_forces instead; give both one name, or split the file"
    ]


def test_a_trial_of_files_as_people_have_them(tmp_path, monkeypatch):
    """Two spellings, a database beside text, weights, energies alone, a free atom, and one file left out."""
    monkeypatch.chdir(tmp_path)
    for folder in ("set/hot", "set/cold"):
        Path(folder).mkdir(parents=True)
    frames = ase.io.read(write(tmp_path, in_maces_words), ":")
    for i, atoms in enumerate(frames):
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = None
        atoms.info |= {"REF_energy": energy}
        if i % 4:
            atoms.arrays["REF_forces"] = forces
    free = Atoms("Cu", cell=[15.0] * 3, pbc=True, info={"dft_energy": 3.5})
    ase.io.write("set/hot/a.xyz", frames[:8], format="extxyz")
    ase.io.write("set/free.xyz", free, format="extxyz")
    ase.io.write("set/old.xyz", frames[:8], format="extxyz")
    with ase.db.connect("set/cold/b.db") as database:
        for one in copper()[8:]:
            atoms = Atoms(one)
            atoms.calc = SinglePointCalculator(atoms, energy=one.info["energy"], forces=one.arrays["forces"])
            database.write(atoms)
    config = composed(
        *("dataset=file", "dataset.train=set", "dataset.group_from=folder", "dataset.drop=['file:old.xyz']"),
        *(
            "dataset.weights={hot: 2}",
            "model.basis.twojmax=2",
            "descriptor.twojmax=2",
            "budget=all",
            "store.root=store",
        ),
    )
    record = run_trial(config, {}, tmp_path)
    assert record.status == COMPLETE, record.reason
    facts = record.dataset
    assert len(facts.pool) + len(facts.validation) + len(facts.test) == 12 and set(facts.pool_groups) == {
        "hot",
        "cold",
    }
    lines = facts.read_as.splitlines()
    assert [
        words in line for words, line in zip(("b.db", "free.xyz", "a.xyz", "group from"), lines, strict=True)
    ] == [True] * 4
    assert any("free atoms of Cu" in note for note in facts.notes)
    kept = ase.io.read("kept.extxyz", ":")
    assert kept[0].info["tamis_id"] == "set/free.xyz#0" and kept[0].info["dft_energy"] == 3.5
    assert {"config_weight", "REF_energy"} <= set(next(a for a in kept if "a.xyz" in a.info["tamis_id"]).info)
