"""A search that is killed at random moments and started again loses nothing and does nothing twice."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.studies import check_whole, counted, environment, load, make_app, start

from tamis.records.record import read_record


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


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_any_project_survives_kills(tmp_path, n_jobs):
    folder = make_app(tmp_path)
    overrides = ["x=interval(-5, 5)", "kind=a,b", "sleep=0.15", "hydra.sweeper.n_trials=25"]
    overrides += [f"hydra.sweeper.n_jobs={n_jobs}", "hydra.sweeper.storage=study.journal"]
    kills = killed_until_whole(lambda: start(folder, *overrides), 3, 4.0, np.random.default_rng(n_jobs))
    study = load(str(folder / "study.journal"))
    check_whole(study, 25)
    folders = (folder / "jobs.txt").read_text().split()
    assert len(folders) == len(set(folders)), "a folder was used twice"
    assert {str(t.number) for t in counted(study)} <= {Path(name).name for name in folders}
    assert kills > 0


def tamis(folder: Path, n_trials: int, output) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tamis.commands.run", "-m", "search=data_efficiency", "model=snap"]
    command += ["model.basis.twojmax=2", f"hydra.sweeper.n_trials={n_trials}"]
    command += ["pruner=choice(random,fps)", "descriptor=snap", "hydra.sweeper.repeat={seed.split:[0,1]}"]
    return subprocess.Popen(
        command, cwd=folder, env=environment(), stdout=output, stderr=output, start_new_session=True
    )


def check_mlflow(folder: Path, study) -> None:
    """One run for each trial, whole, under one parent; the parent is the one that the study knows."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    experiments = [one.experiment_id for one in client.search_experiments()]
    runs = client.search_runs(experiments, max_results=5000)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    trials = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.run_id for run in parents] == [study.user_attrs["mlflow_parent"]]
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parents[0].info.run_id}
    numbers = Counter(int(run.data.tags["search.trial"]) for run in trials)
    assert numbers == Counter(trial.number for trial in counted(study))
    assert all(run.info.status != "RUNNING" for run in runs)
    best = {
        int(run.data.tags["search.trial"]) for run in trials if run.data.tags.get("search.best") == "true"
    }
    assert best == {trial.number for trial in study.best_trials}


def check_folders(folder: Path, study) -> None:
    """The records of each complete trial say what Optuna was told."""
    for trial in counted(study):
        records = [read_record(path.parent) for path in (folder / str(trial.number)).glob("*/record.json")]
        if trial.state.name != "COMPLETE":
            continue
        assert {record.status for record in records} == {"complete"}
        for name, value in zip(
            ("validation/force_mae_eV_per_A", "kept/fraction_of_atoms"), trial.values, strict=True
        ):
            assert np.mean([record.metrics[name] for record in records]) == pytest.approx(value, rel=1e-12)
        kept = {
            override for override in trial.user_attrs["overrides"] if override.startswith("budget.fraction")
        }
        assert all(kept <= set(record.overrides) for record in records)


@pytest.mark.slow
@pytest.mark.parametrize(("n_trials", "n_kills"), [(60, 20)])
def test_sixty_trials_and_twenty_kills(tmp_path, n_trials, n_kills):
    rng = np.random.default_rng(int(time.time()))
    with (tmp_path / "output.txt").open("w") as output:
        for _ in range(2):  # the first makes the data set: kills are to hit the search
            begun = time.monotonic()
            assert tamis(tmp_path, 1, output).wait() == 0, (tmp_path / "output.txt").read_text()[-2000:]
        longest_s = 1.3 * (time.monotonic() - begun)  # a start, and a few trials, on whatever machine
        kills = killed_until_whole(lambda: tamis(tmp_path, n_trials, output), n_kills, longest_s, rng)
    assert kills >= n_kills, "the search was over before all kills: more trials are needed"
    study = load(f"sqlite:///{tmp_path}/multirun/data_efficiency/study.db", "data_efficiency")
    check_whole(study, n_trials)
    check_folders(tmp_path / "multirun" / "data_efficiency", study)
    check_mlflow(tmp_path, study)
