"""A grid whose command and workers are killed again and again: every trial once, none lost, one parent in MLflow."""

import random
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from tests.kills import killed_until_whole, wait_for_work, workers

from tamis.records.record import COMPLETE, read_record
from tamis.sweeps.running import RUNNING_FOLDER

GRID = ("dataset=sw_silicon", "model=snap", "model.basis.twojmax=4", "pruner=random,stratified")
PLACES = (
    "store.root=store",
    "dataset.cache=data",
    "hydra.sweep.dir=grid",
    "hydra.launcher.cluster.n_workers=2",
)


def command(n_trials: int) -> list[str]:
    seeds = ",".join(str(i) for i in range(n_trials // 2))
    return [sys.executable, "-m", "tamis.cli", "-m", *GRID, f"seed.select={seeds}", *PLACES]


def start(place: Path, n_trials: int) -> subprocess.Popen[str]:
    with (place / "told.txt").open("a") as told:
        return subprocess.Popen(
            command(n_trials),
            cwd=place,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )


@pytest.mark.parametrize(
    ("n_parents", "n_workers", "n_trials"), [(3, 5, 12), pytest.param(20, 40, 60, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(tmp_path, n_parents, n_workers, n_trials):
    grid, rng = tmp_path / "grid", random.Random(n_trials)
    made = killed_until_whole(
        lambda: start(tmp_path, n_trials), grid, n_parents, n_workers, rng, 0.03 * n_trials
    )
    assert made.total() >= 0.8 * (n_parents + n_workers), made
    found = {path.parent.name: read_record(path.parent) for path in grid.glob("*/record.json")}
    assert len(found) == n_trials
    assert {(one.status, one.reason) for one in found.values()} == {(COMPLETE, "")}
    assert not list(grid.glob(f"{RUNNING_FOLDER}/*")) and not list(grid.glob("*/earlier_*"))
    runs = logged(tmp_path)
    assert sorted(runs) == ["grid", *sorted(found)]  # one parent


def logged(place: Path) -> list[str]:
    """Names of the trials that have a run in MLflow, once for each run; of the parent that of the grid."""
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("tamis")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    return [Path(run.data.tags.get("tamis.folder", "")).name for run in runs]


def test_the_workers_of_a_killed_command_end_at_once(tmp_path):
    parent = start(tmp_path, 12)
    assert wait_for_work(parent, tmp_path / "grid", True)
    left = workers(parent)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(left, timeout=2)
    assert gone and not alive
