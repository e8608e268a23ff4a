"""A search that is killed at random moments and started again loses nothing and does nothing twice."""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from tests.searches import check_whole, load, tamis

from tamis.records.record import read_record
from tamis.sweeps.search.studies import counted

NAME = "killed"
SEARCH = (
    f"hydra.sweeper.study_name={NAME}",
    "hydra.sweeper.direction=[minimize,minimize]",
    "objective=[validation/force_mae_eV_per_A,kept/fraction_of_atoms]",
    "pruner=choice(random,fps)",
    "+hydra.sweeper.conditional=[{when:{pruner:fps},params:{descriptor:'choice(snap,soap)'}}]",
    "budget.fraction=interval(0.05,0.5)",
    "hydra.sweeper.repeat={seed.split:[0,1]}",
)


def killed_until_whole(begin, n_kills: int, longest_s: float, rng: np.random.Generator) -> int:
    """Start again and again; kill the whole process group at random moments; the last start is left alone."""
    kills = 0
    while kills < n_kills:
        process = begin()
        try:
            process.wait(rng.uniform(0.0, longest_s))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            continue
        assert process.returncode == 0
        break
    assert begin().wait() == 0
    return kills


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


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["dask", "basic"])
@pytest.mark.parametrize(("n_trials", "n_kills"), [(60, 20)])
def test_sixty_trials_and_twenty_kills(tmp_path, n_trials, n_kills, launcher):
    """The group is killed: the command, and with it the workers of this machine."""
    rng = np.random.default_rng(int(time.time()))
    typed = (*SEARCH, f"hydra/launcher={launcher}")
    with (tmp_path / "output.txt").open("w") as output:
        for _ in range(2):  # the first makes the data set: kills are to hit the search
            begun = time.monotonic()
            first = tamis(tmp_path, *typed, "hydra.sweeper.n_trials=1", output=output)
            assert first.wait() == 0, (tmp_path / "output.txt").read_text()[-2000:]
        longest_s = 1.5 * (time.monotonic() - begun)  # a start, and a few trials, on whatever machine

        def begin():
            return tamis(tmp_path, *typed, f"hydra.sweeper.n_trials={n_trials}", output=output)

        kills = killed_until_whole(begin, n_kills, longest_s, rng)
    assert kills >= n_kills, "the search was over before all kills: more trials are needed"
    place = tmp_path / "multirun" / NAME
    study = load(f"sqlite:///{place}/study.db", NAME)
    check_whole(study, n_trials)
    check_folders(place, study)
    check_mlflow(tmp_path, place)


@pytest.mark.slow
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
