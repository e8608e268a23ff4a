"""A grid and a plan whose command and workers are killed again and again: nothing is lost, nothing done twice."""

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
PLAN = (
    "experiment=study_quick",
    "model=snap",
    "model.basis.twojmax=4",
    "pruner=random,stratified",
    "hydra.sweeper.blocks=[primary]",
    "budget.fractions=[0.3,1.0]",
)
PLACES = (
    "store.root=store",
    "dataset.cache=data",
    "hydra.sweep.dir=sweep",
    "hydra.launcher.cluster.n_workers=2",
)
LONGEST_S = 0.4
"""Between the beginning of some work and a kill; a trial takes about as long."""


def command(kind: str, n_trials: int) -> list[str]:
    """Half of the trials have the random pruner."""
    if kind == "plan":
        typed = (*PLAN, f"plan.blocks.primary.seeds={n_trials // 2}")
    else:
        typed = (*GRID, f"seed.select={','.join(map(str, range(n_trials // 2)))}")
    return [sys.executable, "-m", "tamis.cli", "-m", *typed, *PLACES]


def start(place: Path, kind: str, n_trials: int) -> subprocess.Popen[str]:
    with (place / "told.txt").open("a") as told:
        return subprocess.Popen(
            command(kind, n_trials),
            cwd=place,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )


@pytest.mark.parametrize(
    ("kind", "n_parents", "n_workers", "n_trials"),
    [
        ("grid", 1, 2, 20),
        pytest.param("grid", 20, 40, 60, marks=pytest.mark.slow),
        pytest.param("plan", 20, 40, 60, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(
    tmp_path, kind, n_parents, n_workers, n_trials, furnished
):
    folder, rng = furnished(tmp_path, "data") / "sweep", random.Random(n_trials)
    made = killed_until_whole(
        lambda: start(tmp_path, kind, n_trials), folder, n_parents, n_workers, rng, LONGEST_S
    )
    assert made["parent"] and made["worker"], made
    assert n_trials < 60 or made.total() >= 0.8 * (n_parents + n_workers), made
    found = {path.parent.name: read_record(path.parent) for path in folder.glob("*/record.json")}
    assert len(found) == n_trials
    assert {(one.status, one.reason) for one in found.values()} == {(COMPLETE, "")}
    assert not list(folder.glob(f"{RUNNING_FOLDER}/*")) and not list(folder.glob("*/earlier_*"))
    runs = logged(tmp_path)
    assert sorted(runs) == sorted(["sweep", *found])  # one parent


def logged(place: Path) -> list[str]:
    """Names of the trials that have a run in MLflow, once for each run; of the parent that of the sweep."""
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("tamis")
    runs = client.search_runs([experiment.experiment_id], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    return [Path(run.data.tags.get("tamis.folder", "")).name for run in runs]


def test_the_workers_of_a_killed_command_end_at_once(tmp_path, furnished):
    parent = start(furnished(tmp_path, "data"), "grid", 12)
    assert wait_for_work(parent, tmp_path / "sweep", True)
    left = workers(parent)
    parent.kill()
    parent.wait()
    gone, alive = psutil.wait_procs(left, timeout=2)
    assert gone and not alive
