"""One set in several formats is one set: the same fingerprint, selection and errors."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from tests.composing import composed
from tests.format_files import write_cp2k, write_system
from tests.vasp_files import full

from tamis.data.sources.file import File
from tamis.records.record import COMPLETE, TrialRecord
from tamis.trial import run_trial


@lru_cache(maxsize=1)
def frames() -> Sequence[Atoms]:
    """Rattled copper whose numbers every format below holds to the last bit.

    Extended XYZ has eight decimals. DeePMD-kit has minus the stress times the volume: the stress is what its division
    by the volume gives, again and again the same.
    """
    rng, made = np.random.default_rng(3), []
    for i in range(24):
        atoms = bulk("Cu", a=3.5 + 0.01 * i, cubic=True)
        atoms.positions = np.round(atoms.positions + rng.normal(scale=0.1, size=(4, 3)), 8)
        atoms.calc = EMT()
        energy, forces, stress = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
        volume = atoms.cell.volume
        for _ in range(3):
            stress = -volume * stress / -volume
        atoms.calc = None
        atoms.info = {"energy": energy, "stress": stress}
        atoms.arrays["forces"] = np.round(forces, 8)
        made.append(atoms)
    return tuple(made)


def with_calculators() -> list[Atoms]:
    made = []
    for one in frames():
        atoms = Atoms(one.numbers, one.positions, cell=one.cell, pbc=True)
        atoms.calc = SinglePointCalculator(atoms, forces=one.arrays["forces"], **one.info)
        made.append(atoms)
    return made


def by_ase(path: Path) -> None:
    ase.io.write(path, with_calculators(), format="extxyz" if ".xyz" in path.name else None)


def in_database(path: Path) -> None:
    with ase.db.connect(path) as database:
        for atoms in with_calculators():
            database.write(atoms)


def pickled(path: Path) -> None:
    rows = [
        {
            "ase_atoms": Atoms(a.numbers, a.positions, cell=a.cell, pbc=True),
            "forces": a.arrays["forces"],
            **a.info,
        }
        for a in frames()
    ]
    pd.DataFrame(rows).to_pickle(path, compression="gzip")


FORMATS: dict[str, Callable[[Path], None]] = {
    "set.xyz": by_ase,
    "set.xyz.xz": by_ase,
    "set.traj": by_ase,
    "set.db": in_database,
    "set.json": in_database,
    "set.pckl.gzip": pickled,
    "deepmd": lambda path: write_system(path, list(frames())),
}


def trial(folder: Path, name: str, store: Path) -> TrialRecord:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    FORMATS[name](folder / name)
    config = composed(
        "dataset=file",
        f"dataset.train='{folder / name}'",
        "dataset.group_key=null",
        "dataset.test_fraction=0.25",
        *("model.basis.twojmax=2", "descriptor.twojmax=2", "budget.fraction=0.4", f"store.root='{store}'"),
    )
    record = run_trial(config, {}, folder / f"{name}-trial")
    assert record.status == COMPLETE, record.reason
    return record


@pytest.fixture(scope="module")
def of_xyz(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xyz")
    return trial(folder, "set.xyz", folder / "store"), folder / "store"


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "set.xyz"])
def test_a_set_in_any_format_is_the_same_set(tmp_path, of_xyz, name):
    one, store = of_xyz
    other = trial(tmp_path, name, store)
    assert other.dataset.fingerprint == one.dataset.fingerprint

    def numbers(ids: Sequence[str]) -> list[int]:
        return [int(name.rpartition("#")[2]) for name in ids]

    assert numbers(other.selection.ids) == numbers(one.selection.ids) and len(one.selection.ids) > 4
    assert numbers(other.dataset.test) == numbers(one.dataset.test) and len(one.dataset.test) == 6
    errors = {metric for metric in one.metrics if metric.startswith(("test/", "validation/"))}
    assert len(errors) > 4 and errors <= other.metrics.keys()
    for metric in errors:
        assert other.metrics[metric] == pytest.approx(one.metrics[metric], rel=1e-9), metric


def test_a_format_that_rounds_gives_the_set_to_its_digits(tmp_path, monkeypatch):
    monkeypatch.setattr("tests.format_files.copper", lambda: frames())
    by_ase(tmp_path / "set.xyz")
    whole = File(train=str(tmp_path / "set.xyz")).load()
    rounded = File(train=str(write_cp2k(tmp_path, steps=24))).load()
    assert rounded.fingerprint != whole.fingerprint
    np.testing.assert_allclose(rounded.energies, whole.energies, rtol=1e-6)
    for i in range(24):
        np.testing.assert_allclose(rounded.structures[i].positions, whole.structures[i].positions, atol=1e-11)
        np.testing.assert_allclose(rounded.forces[i], whole.forces[i], rtol=1e-5, atol=1e-7)


def test_the_fingerprint_depends_on_what_the_set_is_and_not_on_where(tmp_path):
    by_ase(tmp_path / "set.xyz")
    set_ = File(train=str(tmp_path / "set.xyz"), group_key=None).load()
    n = len(set_)
    ids, pairs = tuple(f"else#{i}" for i in range(n)), tuple(f"run {i // 2}" for i in range(n))
    same = [replace(set_, ids=ids), replace(set_, blocks=ids)]
    assert {one.fingerprint for one in same} == {set_.fingerprint}
    paired = replace(set_, blocks=pairs)
    assert replace(set_, blocks=tuple(f"md/{name}" for name in pairs)).fingerprint == paired.fingerprint
    energies = set_.energies.copy()
    energies[3] += 1e-12
    others = [
        paired,
        replace(set_, blocks=pairs[1:] + pairs[:1]),
        replace(set_, groups=("hot",) * n),
        replace(set_, energies=energies),
        replace(set_, is_test=~set_.is_test),
        set_.subset([*range(1, n), 0]),
    ]
    assert len({set_.fingerprint, *(one.fingerprint for one in others)}) == len(others) + 1


def test_the_stress_survives_the_division_by_the_volume():
    for atoms in frames():
        virial = -atoms.cell.volume * full(atoms.info["stress"])
        np.testing.assert_array_equal(virial / -atoms.cell.volume, full(atoms.info["stress"]))
