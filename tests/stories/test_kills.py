"""A grid whose command and workers are killed again and again: every trial once, none lost, one parent in MLflow."""

import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient

from tamis.records.record import COMPLETE, read_record
from tamis.sweeps.running import ALLOWED_DEATHS, RUNNING_FOLDER

GRID = ("dataset=sw_silicon", "model=snap", "model.basis.twojmax=4", "pruner=random,stratified")
PLACES = (
    "store.root=store",
    "dataset.cache=data",
    "hydra.sweep.dir=grid",
    "hydra.launcher.cluster.n_workers=2",
)
PATIENCE_S = 600


def command(n_trials: int) -> list[str]:
    seeds = ",".join(str(i) for i in range(n_trials // 2))
    return [sys.executable, "-m", "tamis.cli", "-m", *GRID, f"seed.select={seeds}", *PLACES]


def start(place: Path, n_trials: int) -> psutil.Popen:
    with (place / "told.txt").open("a") as told:
        return psutil.Popen(
            command(n_trials), cwd=place, stdout=told, stderr=subprocess.STDOUT, start_new_session=True
        )


def workers(parent: psutil.Process) -> list[psutil.Process]:
    try:
        return [child for child in parent.children() if "spawn_main" in " ".join(child.cmdline())]
    except psutil.NoSuchProcess:
        return []


def under_way(grid: Path) -> Counter[str]:
    """Name -> how often it was begun, of the trials that have not ended."""
    begun = (path.name.rpartition(".")[0] for path in (grid / RUNNING_FOLDER).glob("*"))
    return Counter(name for name in begun if not (grid / name).exists())


def wait_for_work(parent: psutil.Popen, grid: Path) -> bool:
    """Wait until a trial runs, and none would fail if it were killed; False when the command has ended."""
    ends = time.monotonic() + PATIENCE_S
    while parent.poll() is None:
        assert time.monotonic() < ends
        begun = under_way(grid)
        if begun and max(begun.values()) <= ALLOWED_DEATHS and workers(parent):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize(
    ("n_parents", "n_workers", "n_trials"), [(3, 5, 12), pytest.param(20, 40, 60, marks=pytest.mark.slow)]
)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(tmp_path, n_parents, n_workers, n_trials):
    grid, rng = tmp_path / "grid", random.Random(n_trials)
    kills = rng.sample(["parent", "worker"], k=n_parents + n_workers, counts=[n_parents, n_workers])
    made: Counter[str] = Counter()
    parent = start(tmp_path, n_trials)
    for kind in kills:
        if kind == "parent" and rng.random() < 0.3:  # whatever it does at its start
            time.sleep(rng.uniform(0, 5))
        elif not wait_for_work(parent, grid):
            break
        else:
            time.sleep(rng.uniform(0, 0.03 * n_trials))
        if kind == "worker" and (found := workers(parent)):
            rng.choice(found).send_signal(signal.SIGKILL)
            made[kind] += 1
        elif kind == "parent" and parent.poll() is None:
            alone = rng.random() < 0.5  # its workers end with it
            (os.kill if alone else os.killpg)(parent.pid, signal.SIGKILL)
            parent.wait()
            made[kind] += 1
            parent = start(tmp_path, n_trials)
    assert parent.wait(PATIENCE_S) == 0, (tmp_path / "told.txt").read_text()
    print(made)
    assert made.total() >= 0.8 * len(kills)
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
    assert wait_for_work(parent, tmp_path / "grid")
    left = workers(parent)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(left, timeout=2)
    assert gone and not alive
