"""``tamis smallest`` typed in a folder: on the embedded data set, killed, and on sets of a user's own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator

pytestmark = pytest.mark.slow
SMALL = (
    *("dataset=sw_silicon", "model=snap", "model.basis.twojmax=2", "pruners=stratified,random", "splits=2"),
    *("resolution=30", "within=20", "tracking=null", "hydra.launcher.cluster.n_workers=2"),
)
QUICK = (
    *(
        "model=snap",
        "model.basis.twojmax=4",
        "splits=2",
        "tracking=null",
        "hydra.launcher.cluster.n_workers=2",
    ),
    "hydra.sweep.dir=found",
)


def begin(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tamis.cli", "smallest", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def typed(folder: Path, *words: str) -> str:
    """What the command said; it has to end well."""
    command = begin(folder, *words)
    told, _ = command.communicate(timeout=900)
    assert command.returncode == 0, told
    return told


def answer_of(folder: Path) -> dict:
    return json.loads((folder / "smallest.json").read_text())


def test_it_leaves_a_set_its_potential_and_a_page_and_a_killed_search_finds_the_same(tmp_path, furnished):
    furnished(tmp_path)
    told = typed(tmp_path, *SMALL, "hydra.sweep.dir=whole")
    assert len(told.split("smallest: ")[1].strip().splitlines()) == 5
    (out,) = (tmp_path / "whole").glob("within-*")
    assert {path.name for path in out.iterdir()} == {
        "kept.extxyz",
        "potential",
        "smallest.html",
        "smallest.json",
    }
    assert len(ase.io.read(out / "kept.extxyz", ":")) == answer_of(out)["structures"]

    killed = begin(tmp_path, *SMALL, "hydra.sweep.dir=killed")
    ends = time.monotonic() + 300
    while len(list((tmp_path / "killed").glob("*/record.json"))) < 4 and time.monotonic() < ends:
        time.sleep(0.05)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("*/record.json")}
    assert before and not list((tmp_path / "killed").glob("within-*"))
    typed(tmp_path, *SMALL, "hydra.sweep.dir=killed")
    assert answer_of(tmp_path / "killed" / "within-20") == answer_of(out)
    assert {path: path.stat().st_mtime_ns for path in before} == before

    again = typed(tmp_path, *SMALL, "hydra.sweep.dir=whole")
    assert again.split("smallest: ")[1] == told.split("smallest: ")[1]
    assert len(list((tmp_path / "whole").glob("within-*"))) == 1
    typed(tmp_path, *SMALL, "hydra.sweep.dir=whole", "within=40")  # from the same trials, beside it
    larger = answer_of(tmp_path / "whole" / "within-40")
    assert larger["fraction_of_atoms"] <= answer_of(out)["fraction_of_atoms"] and out.is_dir()


def copper_gold(n: int, seed: int = 0) -> list[Atoms]:
    """Rattled and strained cells of a made-up alloy, labelled by EMT, with a column of the user's own."""
    rng, frames = np.random.default_rng(seed), []
    for i in range(n):
        atoms = bulk("Cu", "fcc", a=3.8, cubic=True) * ((2, 1, 1) if i % 3 else (2, 2, 1))
        atoms.symbols[rng.random(len(atoms)) < 0.4] = "Au"
        atoms.symbols[:2] = ["Cu", "Au"]
        atoms.set_cell(atoms.cell * (1 + rng.normal(scale=0.02)), scale_atoms=True)
        atoms.rattle(0.03 + 0.12 * rng.random(), rng=rng)
        atoms.calc = EMT()
        energy, forces = atoms.get_potential_energy(), atoms.get_forces()
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        atoms.info["mine"] = i
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("n", [40, 90])
def test_an_alloy_without_groups_and_without_a_test_set(tmp_path, n):
    ase.io.write(tmp_path / "my.xyz", copper_gold(n), format="extxyz")
    told = typed(tmp_path, "data=my.xyz", "within=25", *QUICK)
    (out,) = (tmp_path / "found").glob("within-25")
    kept = ase.io.read(out / "kept.extxyz", ":")
    assert len(kept) == answer_of(out)["structures"]
    assert len({atoms.info["mine"] for atoms in kept}) == len(kept)
    assert "others: " in told and "random" in told


def test_energies_alone_and_no_test_set_at_all(tmp_path):
    frames = copper_gold(60)
    for atoms in frames:
        atoms.calc = SinglePointCalculator(atoms, energy=atoms.get_potential_energy())
    ase.io.write(tmp_path / "my.xyz", frames, format="extxyz")
    told = typed(
        tmp_path, "data=my.xyz", "dataset.forces_key=null", "dataset.test_fraction=0", "within=50", *QUICK
    )
    assert "force MAE" not in told and "there is no test set" in told
    assert answer_of(tmp_path / "found" / "within-50")["judged"] == ["energy_mae_meV_per_atom"]


def test_a_descriptor_that_is_typed_is_tried_with_each_pruner_that_looks_at_one(tmp_path, furnished):
    furnished(tmp_path)
    given = [word for word in SMALL if not word.startswith("pruners=")]
    typed(tmp_path, *given, "pruners=fps,random", "descriptor=snap,acsf", "hydra.sweep.dir=found")
    answer = answer_of(tmp_path / "found" / "within-20")
    assert set(answer["brackets"]) == {"fps in snap", "fps in acsf", "random"}
