"""Small data sets that tests share, and where the data outside the repository is."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from tamis.bases.snap import SnapBasis
from tamis.data.dataset import Dataset
from tamis.store import Store
from tamis.tracking import Tracker

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(f"the reference data is not beside this clone ({folder})")
    return folder


@pytest.fixture(scope="session")
def snap_basis() -> SnapBasis:
    return SnapBasis(
        elements=("Si",), r_cut=4.2, twojmax=4, rfac0=0.99363, rmin0=0.0, radii=None, weights=None
    )


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(root=tmp_path / "store", n_jobs=1)


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory) -> Path:
    """A database without runs; making it takes MLflow seconds, so tests take copies."""
    folder = tmp_path_factory.mktemp("mlflow")
    tracker = Tracker(f"sqlite:///{folder}/mlflow.db", folder, "other", artifacts=False)
    tracker.end_parent(tracker.open_parent("none", "none", {}))
    return folder / "mlflow.db"


@pytest.fixture
def mlflow_uri(tmp_path, empty_mlflow) -> str:
    """Of a database of the test's own."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture(scope="session")
def rattled() -> Dataset:
    """24 rattled silicon cells with made-up smooth labels, in two groups."""
    rng = np.random.default_rng(7)
    structures, energies, forces, stresses = [], [], [], []
    for i in range(24):
        atoms = bulk("Si", "diamond", a=5.43, cubic=i % 2 == 0)
        atoms.rattle(0.02 + 0.01 * (i % 5), rng=np.random.default_rng(i))
        structures.append(atoms)
        energies.append(-4.6 * len(atoms) + rng.normal(scale=0.1))
        forces.append(rng.normal(scale=0.3, size=(len(atoms), 3)))
        stresses.append(rng.normal(scale=0.01, size=6))
    return Dataset(
        structures=tuple(structures),
        energies=np.array(energies),
        forces=tuple(f - f.mean(axis=0) for f in forces),
        stresses=np.array(stresses),
        groups=tuple("Elastic" if i % 3 else "AIMD-NVT" for i in range(24)),
        blocks=tuple(f"block {i % 4}" for i in range(24)),
        ids=tuple(f"made#{i}" for i in range(24)),
        is_test=np.arange(24) >= 20,
    )
