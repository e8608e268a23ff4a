"""The length by which cutoffs scale, where the data say it."""

from dataclasses import replace
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bcc100, bulk, diamond100, fcc111, molecule
from hydra import initialize_config_dir
from omegaconf import OmegaConf
from tests.composing import composed
from tests.labelled_copper import copper

from tamis.core.conf_folder import config_folder
from tamis.core.config_check import check_config
from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.data.dataset import Dataset
from tamis.data.sources.file import File
from tamis.data.sources.mlearn import Mlearn
from tamis.data.sources.spacing import STEP, spacing_of, spacing_of_structure
from tamis.parts import resolved, trial_part
from tamis.sweeps.composing import Composer, composed_whole

MLEARN = Path(__file__).parents[3] / "shared" / "mlearn"


def dataset(structures: list[Atoms], energies: list[float] | None = None) -> Dataset:
    n = len(structures)
    return Dataset(
        structures=tuple(structures),
        energies=np.zeros(n) if energies is None else np.array(energies),
        forces=tuple(np.zeros((len(atoms), 3)) for atoms in structures),
        stresses=np.full((n, 6), np.nan),
        groups=("all",) * n,
        blocks=tuple(map(str, range(n))),
        ids=tuple(map(str, range(n))),
        is_test=np.zeros(n, dtype=bool),
    )


@pytest.mark.parametrize(
    "crystal", [bulk("Cs"), bulk("Cu"), bulk("Si"), bulk("Mg"), bulk("NaCl", "rocksalt", a=5.64)]
)
def test_a_crystal_gives_the_cube_root_of_its_volume_per_atom(crystal):
    expected = (crystal.cell.volume / len(crystal)) ** (1 / 3)
    assert spacing_of_structure(crystal) == (0, pytest.approx(expected, rel=1e-6))
    big = crystal * (3, 2, 2)
    big.rattle(0.05, seed=1)
    assert spacing_of_structure(big) == (0, pytest.approx(expected, rel=1e-6))


@pytest.mark.parametrize(
    ("slab", "spacing"),
    [
        (fcc111("Cu", (2, 2, 4)), 2.274),
        (bcc100("Mo", (2, 2, 6)), 2.500),
        (diamond100("Si", (2, 2, 8)), 2.715),
    ],
)
@pytest.mark.parametrize("vacuum", [5.0, 12.0, None])
def test_vacuum_does_not_count(slab, spacing, vacuum):
    atoms = slab.copy()
    if vacuum is not None:
        atoms.center(vacuum=vacuum, axis=2)
        atoms.pbc = True
    found = spacing_of_structure(atoms)
    assert found == (1, pytest.approx(spacing, rel=0.06))
    if vacuum is not None:
        atoms.positions[:, 2] += 0.5 * atoms.cell[2, 2]  # across the border of the cell
        atoms.wrap()
        assert spacing_of_structure(atoms) == (1, pytest.approx(found[1], rel=1e-9))


@pytest.mark.parametrize("name", ["C6H6", "CH3CH2OH", "C60", "H2O"])
def test_a_molecule_has_one_spacing_wherever_and_however_it_lies(name):
    atoms = molecule(name)
    n_open, spacing = spacing_of_structure(atoms)
    assert n_open == 3 and 1.0 < spacing < 3.0
    atoms.rotate(31, (1, 2, 3))
    assert spacing_of_structure(atoms)[1] == pytest.approx(spacing, rel=0.02)
    atoms.center(vacuum=7.0)
    atoms.pbc = True
    atoms.positions += atoms.cell.array[2] / 2
    atoms.wrap()
    assert spacing_of_structure(atoms)[1] == pytest.approx(spacing, rel=0.05)


def test_crystals_decide_where_there_are_any_and_low_energies_among_them():
    crystals = [bulk("Cu", a=3.6 * scale, cubic=True) for scale in (0.9, 1.0, 1.0, 1.0, 1.1, 1.2, 1.25, 1.3)]
    energies = [8.0, 0.0, 0.01, 0.02, 3.0, 6.0, 7.0, 9.0]
    others = [fcc111("Cu", (1, 1, 3), vacuum=9), Atoms("Cu"), Atoms("Cu2", [[0, 0, 0], [0, 0, 2.2]])]
    data = dataset([*crystals, *others], [*energies, 0.1, 3.0, 5.0])
    assert spacing_of(data) == pytest.approx(3.6 / 4 ** (1 / 3), abs=STEP / 2)
    assert spacing_of(data.subset(range(8))) == spacing_of(data)


def test_a_few_structures_more_change_nothing():
    frames = [atoms.copy() for atoms in copper()]
    whole = spacing_of(dataset(frames, [a.info["energy"] for a in frames]))
    for i in range(len(frames)):
        rest = [a for k, a in enumerate(frames) if k != i]
        assert spacing_of(dataset(rest, [a.info["energy"] for a in rest])) == whole
    assert whole == pytest.approx(2.3)


def test_isolated_atoms_say_nothing():
    box = Atoms("Cu", cell=[20, 20, 20], pbc=True)
    flat = Atoms(
        "Cu2", [[0, 0, 0], [1, 1, 1]], cell=[[3, 0, 0], [6, 0, 0], [0, 0, 0]], pbc=[True, True, False]
    )
    with pytest.raises(TamisError, match="atom_spacing does not follow from these data .* give it"):
        spacing_of(dataset([Atoms("Cu"), box, flat]))


@pytest.mark.parametrize(("element", "spacing"), [("Si", 2.73), ("Ge", 2.88), ("Li", 2.72), ("Mo", 2.51)])
def test_the_rule_finds_the_crystals_of_mlearn(element, spacing):
    if not MLEARN.is_dir():
        pytest.skip("no mlearn data beside the checkout")
    source = Mlearn(element=element, root=str(MLEARN), base_url="", verify=False)
    assert spacing_of(source._read()) == pytest.approx(spacing, abs=0.6 * STEP)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "set.xyz"
    ase.io.write(
        path,
        [atoms.copy() for atoms in copper()],
        format="extxyz",
        columns=["symbols", "positions", "forces"],
    )
    return path


def test_elements_and_cutoffs_follow_from_the_file(file):
    config = resolved(
        composed("dataset=file", f"dataset.train='{file}'", "dataset.stress_key=null", "model=ace")
    )
    assert config["dataset"]["elements"] == ["Cu"] and config["dataset"]["atom_spacing"] == 2.3
    assert config["model"]["basis"]["r_cut"] == pytest.approx(4.6)
    given = composed(
        "dataset=file", f"dataset.train='{file}'", "dataset.atom_spacing=2.5", "dataset.elements=[Au,Cu]"
    )
    config = resolved(given)
    assert config["descriptor"]["r_cut"] == pytest.approx(4.75) and config["descriptor"]["elements"] == [
        "Au",
        "Cu",
    ]


def test_the_file_is_read_once_for_its_elements_and_for_the_trial(file, monkeypatch):
    read = []
    whole = File._read
    monkeypatch.setattr(File, "_read", lambda self: read.append(self) or whole(self))
    config = resolved(composed("dataset=file", f"dataset.train='{file}'"))
    given = {k: v for k, v in config["dataset"].items() if k != "_target_"}
    assert len(File(**given).load()) == len(copper())
    assert len(read) == 1


def test_nothing_is_read_where_both_are_given_or_nobody_asks():
    config = composed("dataset=file", "dataset.train=nowhere.xyz")
    assert "of_data" in OmegaConf.to_yaml(config.dataset)
    given = ("dataset=file", "dataset.train=no.xyz", "dataset.elements=[Si]", "dataset.atom_spacing=2.7")
    check_config(trial_part(composed(*given)))


def test_a_file_that_cannot_be_read_is_told_in_its_own_words(tmp_path):
    path = tmp_path / "set.xyz"
    frames = [atoms.copy() for atoms in copper()]
    for atoms in frames:
        del atoms.arrays["forces"], atoms.info["stress"]
    ase.io.write(path, frames, format="extxyz")
    with pytest.raises(Exception, match="no structure has forces") as caught:
        resolved(composed("dataset=file", f"dataset.train='{path}'"))
    said = explain(caught.value)
    assert said.startswith("the data set has 1 problem(s):\n") and said.endswith("in dataset.drop.")


def test_a_spacing_far_from_the_datas_is_warned_of(file, caplog):
    for given, told in ((2.3, False), (2.0, False), (2.8, False), (3.7, True), (1.4, True)):
        caplog.clear()
        assert len(File(train=str(file), atom_spacing=given).load()) == len(copper())
        assert (f"dataset.atom_spacing is {given:g} Å, and 2.3 Å in the data" in caplog.text) == told


def test_mlearns_own_spacing_is_not_warned_of(caplog):
    source = Mlearn(element="Li", root="", base_url="", atom_spacing=2.72, elements=("Li",))
    assert replace(source, atom_spacing=5.0) == source  # what is read does not depend on it


def test_a_study_composes_what_follows_from_the_data_and_reads_once(file, monkeypatch):
    read = []
    whole = File._read
    monkeypatch.setattr(File, "_read", lambda self: read.append(self) or whole(self))
    register_resolvers()
    fixed = ["dataset=file", f"dataset.train='{file}'"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composer = Composer(fixed)
        for overrides in ((("model", "ace"),), (("model", "ace"), ("dataset.atom_spacing", "3.0"))):
            typed = [f"{key}={value}" for key, value in overrides]
            assert composer._from_parts(overrides) == composed_whole([*fixed, *typed])
    assert len(read) == 1


def test_a_misspelt_setting_of_a_data_set_is_told_in_its_own_words(file):
    with pytest.raises(Exception, match="unit") as caught:
        resolved(composed("dataset=file", f"dataset.train='{file}'", "+dataset.unit.energy=hartree"))
    assert explain(caught.value).startswith("dataset.unit is no setting; did you mean units?")


@pytest.mark.parametrize("part", ["descriptor", "model.basis"])
def test_the_mapping_that_is_advised_in_place_of_a_list_can_be_typed(file, part):
    given = ("dataset=file", f"dataset.train='{file}'", "descriptor=snap", "model=snap")
    with pytest.raises(TamisError, match=f"'{part}.weights={{Cu: 1.0}}'") as caught:
        resolved(composed(*given, f"{part}.weights=[1.0]"))
    advised = str(caught.value).split("'")[1]
    assert resolved(composed(*given, advised))


def test_what_hydra_adds_to_a_data_set_is_no_misspelling(file):
    config = composed("dataset=file", f"dataset.train='{file}'", "+dataset._convert_=all")
    assert list(config.dataset.elements) == ["Cu"]
