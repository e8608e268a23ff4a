"""``tracking=null``: nothing goes to MLflow, nobody is warned of it, and a sweep keeps what sending it later takes."""

import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from tests.fuzz.data_files import made

from tamis.records.record import COMPLETE, RECORD_FILE, read_record
from tamis.sweeps.folder import SweepFolder

DATA = ("dataset=file", "dataset.train=good.xyz", "dataset.elements=[Si]", "dataset.atom_spacing=2.7")
TRIAL = (*DATA, "model=snap", "model.basis.twojmax=2", "descriptor=none", "pruner=random", "store.n_jobs=1")


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """With a data set."""
    folder = tmp_path_factory.mktemp("place")
    ase.io.write(folder / "good.xyz", made(14), format="extxyz")
    return folder


def typed(place: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=place, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "more",
    [("hydra.run.dir=out",), ("-m", "seed.split=0,1", "hydra/launcher=basic", "hydra.sweep.dir=sweep")],
)
def test_nothing_is_logged_and_nothing_said(place, more):
    said = typed(place, "tamis.cli", *more, *TRIAL, "tracking=null")
    for word in ("MLflow", "mlflow", "NoneType", "WARNING", "Traceback"):
        assert word not in said, said
    folder = place / more[-1].partition("=")[2]
    records = [read_record(path.parent) for path in folder.rglob(RECORD_FILE)]
    assert [record.status for record in records] == [COMPLETE] * (2 if "-m" in more else 1)
    assert not (place / "mlruns").exists()
    if "-m" in more:
        assert SweepFolder(folder).sweep() is not None  # tamis sync can send it later
