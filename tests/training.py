"""What the tests of outside trainers share: models, made-up programs and labels, and what a potential must be."""

import pickle
import stat
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.lj import LennardJones
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from tests.composing import composed

from tamis.data.dataset import Dataset
from tamis.models.trainers.base import FilePotential
from tamis.store import Store

PROGRAMS = {
    "upstream_n2p2": {"scaling_program": "nnp-scaling", "train_program": "nnp-train"},
    "upstream_chimes_lsq": {"matrix_program": "chimes_lsq", "solve_program": "chimes_lsq.py"},
}


def built(model: str, *overrides: str) -> Any:
    """The model of a configuration; its constructor's own error instead of Hydra's wrapping."""
    try:
        return instantiate(composed(f"model={model}", *overrides).model)
    except InstantiationException as error:
        raise error.__cause__ from None


def program(folder: Path, text: str, name: str = "fake") -> Path:
    """An executable Python script."""
    path = folder / name
    modules = "os, pathlib, signal, subprocess, sys, time"
    path.write_text(f"#!{sys.executable}\nimport {modules}\n{textwrap.dedent(text)}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def stand_ins(model: str, folder: Path) -> list[str]:
    """Overrides that give a model programs which do nothing, where pip cannot install the real ones."""
    named = PROGRAMS.get(model, {})
    return [f"model.{key}={program(folder, '', name)}" for key, name in named.items()]


def rattled_silicon() -> Dataset:
    """8 rattled, strained cells of 1, 2 and 8 silicon atoms with Lennard-Jones labels, one of them a free cluster."""
    calculator = LennardJones(sigma=2.1, epsilon=0.4, rc=5.0, smooth=True)
    structures = []
    for i in range(8):
        rng = np.random.default_rng(i)
        atoms = bulk("Si", "diamond", a=5.3 + 0.05 * i, cubic=i % 2 == 0)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.1, rng=rng)
        structures.append(atoms)
    structures[6] = Atoms("Si4", structures[6].positions[:4] + 3.0)
    return labelled(structures, calculator)


def with_germanium(kept: Dataset) -> Dataset:
    """The same with every second atom called germanium."""
    structures = [atoms.copy() for atoms in kept.structures]
    for atoms in structures:
        atoms.symbols[1::2] = "Ge"
    return replace(kept, structures=tuple(structures))


def labelled(structures, calculator) -> Dataset:
    """Structures with the labels of a calculator, 4 eV per atom below them; no stress where it makes no sense."""
    n = len(structures)
    return Dataset(
        structures=tuple(structures),
        energies=np.array([calculator.get_property("energy", a) - 4.0 * len(a) for a in structures]),
        forces=tuple(calculator.get_property("forces", a) for a in structures),
        stresses=np.array(
            [calculator.get_property("stress", a) if a.pbc.all() else np.full(6, np.nan) for a in structures]
        ),
        groups=tuple("AB"[i % 2] for i in range(n)),
        blocks=("one",) * n,
        ids=tuple(f"made#{i}" for i in range(n)),
        is_test=np.zeros(n, dtype=bool),
    )


def fit(model: Any, kept: Dataset, folder: Path) -> FilePotential:
    """The potential that a trainer makes of ``kept``."""
    return model.fit(kept, kept.subset([]), Store(folder / "store", 1), np.random.default_rng(0))


def force_residual(potential, kept: Dataset, tmp_path: Path) -> float:
    """Root mean square of the force errors over that of the forces."""
    predicted = potential.predict(kept, Store(tmp_path, 1)).forces
    difference = np.concatenate(predicted) - np.concatenate(kept.forces)
    return float(np.linalg.norm(difference) / np.linalg.norm(np.concatenate(kept.forces)))


def check_calculator(potential, atoms: Atoms) -> None:
    """Forces and stress are derivatives of the energy; the potential survives its scratch folder and a pickle."""
    calculator = pickle.loads(pickle.dumps(potential)).calculator()
    step = 1e-4
    moved = [atoms.copy(), atoms.copy()]
    for sign, structure in zip((1, -1), moved, strict=True):
        structure.positions[1, 2] += sign * step
    energies = [calculator.get_property("energy", structure) for structure in moved]
    force = calculator.get_property("forces", atoms)[1, 2]
    assert force == pytest.approx((energies[1] - energies[0]) / (2 * step), rel=1e-4, abs=1e-5)
    strained = [atoms.copy(), atoms.copy()]
    for sign, structure in zip((1, -1), strained, strict=True):
        strain = np.eye(3)
        strain[0, 1] = strain[1, 0] = sign * step / 2
        structure.set_cell(structure.cell.array @ strain, scale_atoms=True)
    energies = [calculator.get_property("energy", structure) for structure in strained]
    stress = calculator.get_property("stress", atoms)[5] * atoms.cell.volume
    assert stress == pytest.approx((energies[0] - energies[1]) / (2 * step), rel=1e-4, abs=1e-4)
