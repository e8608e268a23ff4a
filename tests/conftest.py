"""Small data sets that tests share, and where the data outside the repository is."""

import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

from tamis.core import threads

threads.decide()  # as a command does, before numerical libraries are loaded: two workers have two cores

import numpy as np
import pytest
from ase.build import bulk

from tamis.bases.snap import SnapBasis
from tamis.data.dataset import Dataset
from tamis.data.sources.sw_silicon import SwSilicon
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


@pytest.fixture(scope="session")
def sw_silicon(tmp_path_factory) -> SwSilicon:
    """The embedded data set, made."""
    source = SwSilicon(elements=("Si",), atom_spacing=2.7155, cache=str(tmp_path_factory.mktemp("sw")))
    source.load()
    return source


@pytest.fixture(scope="session")
def furnished(sw_silicon, empty_mlflow) -> Callable[..., Path]:
    """Puts the embedded data set and a database of MLflow where a command in a folder looks for them.

    The first command there would make both, which takes seconds.
    """

    def furnish(folder: Path, data: str = ".tamis/data") -> Path:
        for path, kept in ((sw_silicon.path, folder / data), (empty_mlflow, folder / "mlruns")):
            kept.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, kept)
        return folder

    return furnish


@pytest.fixture
def mlflow_uri(tmp_path, empty_mlflow) -> str:
    """Of a database of the test's own."""
    shutil.copy(empty_mlflow, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Programs that a test starts heed Ctrl-C also where pytest itself runs in the background of a shell.

    There the signal is ignored, and what is ignored stays so in children.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


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
