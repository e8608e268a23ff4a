"""A search that is killed at random moments and started again loses nothing and does nothing twice."""

import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from tests.kills import killed_until_whole
from tests.searches import check_whole, load, tamis

from tamis.records.record import read_record
from tamis.sweeps.search.studies import counted

NAME = "killed"
LONGEST_S = 0.8
"""Between the beginning of some work and a kill; a trial takes about as long."""
SEARCH = (
    f"hydra.sweeper.study_name={NAME}",
    "hydra.sweeper.direction=[minimize,minimize]",
    "objective=[validation/force_mae_eV_per_A,kept/fraction_of_atoms]",
    "pruner=choice(random,fps)",
    "+hydra.sweeper.conditional=[{when:{pruner:fps},params:{descriptor:'choice(snap,soap)'}}]",
    "budget.fraction=interval(0.05,0.5)",
    "hydra.sweeper.repeat={seed.split:[0,1]}",
)


def check_mlflow(folder: Path, place: Path) -> None:
    """One run for each job that has ended, whole, under one parent."""
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()], max_results=5000)
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    trials = [run for run in runs if run is not parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    ids = [read_record(path.parent).id for path in place.glob("[0-9]*/*/record.json")]
    assert Counter(run.data.tags["tamis.id"] for run in trials) == Counter(ids)
    assert all(run.info.status != "RUNNING" for run in runs)


def check_folders(place: Path, study) -> None:
    """The records of each complete trial say what Optuna was told."""
    for trial in counted(study):
        records = [read_record(path.parent) for path in (place / str(trial.number)).glob("*/record.json")]
        assert len(records) == 2 and {record.status for record in records} == {"complete"}
        names = ("validation/force_mae_eV_per_A", "kept/fraction_of_atoms")
        for name, value in zip(names, trial.values, strict=True):
            assert np.mean([record.metrics[name] for record in records]) == pytest.approx(value, rel=1e-12)
        fraction = trial.params["budget.fraction"]
        assert all(record.config["budget"]["fraction"] == fraction for record in records)


@pytest.mark.parametrize(
    ("launcher", "n_trials", "n_parents", "n_workers"),
    [
        pytest.param("dask", 8, 2, 3, marks=pytest.mark.slow),
        pytest.param("dask", 60, 20, 40, marks=pytest.mark.slow),
        pytest.param("basic", 60, 20, 0, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(
    tmp_path, launcher, n_trials, n_parents, n_workers
):
    typed = [*SEARCH, f"hydra/launcher={launcher}", f"hydra.sweeper.n_trials={n_trials}"]
    typed.append("hydra.sweeper.retries=100")  # kills may hit the same values again and again
    if launcher == "dask":
        typed.append("hydra.launcher.cluster.n_workers=2")
    place = tmp_path / "multirun" / NAME
    with (tmp_path / "told.txt").open("a") as told:

        def begin():
            return tamis(tmp_path, *typed, output=told)

        rng = random.Random(n_trials)
        made = killed_until_whole(begin, place, n_parents, n_workers, rng, LONGEST_S)
    assert made.total() >= 0.8 * (n_parents + n_workers), made
    study = load(f"sqlite:///{place}/study.db", NAME)
    check_whole(study, n_trials)
    check_folders(place, study)
    check_mlflow(tmp_path, place)


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("launcher", ["dask", "basic"])
def test_ctrl_c_keeps_everything(tmp_path, launcher):
    typed = (*SEARCH, f"hydra/launcher={launcher}", "hydra.sweeper.n_trials=40")
    process = tamis(tmp_path, *typed)
    place = tmp_path / "multirun" / NAME
    while not (place / "1").is_dir():
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)
    begun = time.monotonic()
    said, _ = process.communicate()
    assert process.returncode == 130 and "interrupted" in said, said
    assert "Traceback" not in said
    assert time.monotonic() - begun < 30
    study = load(f"sqlite:///{place}/study.db", NAME)
    assert not any(trial.state.name == "RUNNING" for trial in study.trials)
    n = 1 + sum(trial.state.is_finished() for trial in counted(study))
    assert tamis(tmp_path, *typed[:-1], f"hydra.sweeper.n_trials={n}").wait() == 0
    study = load(f"sqlite:///{place}/study.db", NAME)
    check_folders_of_ended(place, study, n)


def check_folders_of_ended(place: Path, study, n: int) -> None:
    ended = [trial for trial in counted(study) if trial.state.is_finished()]
    assert len(ended) == n
    assert all((place / str(trial.number)).is_dir() for trial in ended)
