"""``tamis-study`` from outside: run, killed, started again, changed."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from tamis.records.record import COMPLETE, FAILED, read_record

pytestmark = pytest.mark.slow  # whole studies, each of dozens of trials

PART = ("experiment=study_quick", "model.basis.twojmax=4", "--block", "primary", "--only", "model=snap")
PART = (*PART, "--only", "pruner=random,stratified", "--workers", "1")
SMALL = ("dataset.seed=0", "budget.fractions=[0.2,1.0]", "study.blocks.primary.seeds=3")
N = 6


def command(place: Path, *more: str) -> list[str]:
    kept = (f"store.root={place}/store", f"dataset.cache={place}/data")
    return [sys.executable, "-m", "tamis.study.cli", *PART, *SMALL, *kept, *more]


def study(place: Path, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(place, *more), cwd=place, capture_output=True, text=True, timeout=600)


def folders(place: Path, name: str = "study") -> dict[str, Path]:
    return {path.parent.name: path.parent for path in (place / "multirun" / name).glob("*/record.json")}


def runs(place: Path, experiment: str = "tamis") -> list[Run]:
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id]))


def logged(place: Path, experiment: str = "tamis") -> list[str]:
    """Names of the trials that have a run, once for each run, and one "" for each parent."""
    return sorted(Path(run.data.tags.get("tamis.folder", "")).name for run in runs(place, experiment))


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    place = tmp_path_factory.mktemp("study")
    told = study(place, "--dry-run").stdout
    assert f"{N} trials" in told and "no time is known" in told and not folders(place)
    done = study(place)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def test_every_trial_is_run_and_logged_once(place):
    found = folders(place)
    assert len(found) == N and {read_record(path).status for path in found.values()} == {COMPLETE}
    assert logged(place) == ["", *sorted(found)]
    assert not list((place / "multirun" / "study" / ".running").iterdir())


def test_what_is_done_is_not_done_again(place):
    before = {name: (path / "record.json").stat().st_mtime_ns for name, path in folders(place).items()}
    done = study(place)
    assert f"{N} trials, {N} done before" in done.stdout
    assert before == {name: (p / "record.json").stat().st_mtime_ns for name, p in folders(place).items()}
    assert logged(place) == ["", *sorted(before)]


def test_a_dry_run_knows_what_was_measured(place):
    told = " ".join(study(place, "--dry-run", "study.blocks.primary.seeds=4").stdout.split())
    assert f"{N + 2} trials, 2 to run" in told and "all is known of 2 of the 2" in told


def test_a_changed_config_makes_new_trials_and_failures_wait_to_be_asked_for(place):
    """A validation set larger than the pool fails every trial."""
    wrong = ("--folder", "multirun/wrong", "validation_fraction=1.5", "study.blocks.primary.seeds=1")
    done = study(place, *wrong)
    assert done.returncode == 1 and "2 failed" in done.stdout
    assert " ".join(done.stdout.split()).count("failed: validation_fraction is 1.5") == 1, done.stdout
    found = folders(place, "wrong")
    assert not set(found) & set(folders(place))
    assert {read_record(path).status for path in found.values()} == {FAILED}
    assert "2 trials, 0 to run" in study(place, *wrong, "--dry-run").stdout
    again = study(place, *wrong, "--retry-failed")
    assert "0 done before" in again.stdout and all(
        (path / "earlier_1.json").exists() for path in found.values()
    )
    assert sum(name in found for name in logged(place)) == 2


def test_a_plan_is_not_run_as_one_trial(place):
    plain = [sys.executable, "-m", "tamis.commands.run", "experiment=study_quick"]
    done = subprocess.run(plain, cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "run it with tamis-study" in done.stdout + done.stderr


def test_a_second_study_in_the_same_folder_is_refused(place):
    with (place / "multirun" / "study" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = study(place)
    assert done.returncode == 1 and "another tamis-study" in done.stdout + done.stderr


def kill_at_some_moment(place: Path, name: str, more: tuple[str, ...], rng: random.Random) -> str:
    """Start the study and kill it, with its workers or without them; returns when it was killed.

    At times a moment after its start, which may be before it has begun anything, at times in the middle of its work.
    """
    before = len(folders(place, name))
    with subprocess.Popen(
        command(place, *more),
        cwd=place,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        early = rng.random() < 0.3
        ends, trials = time.monotonic() + (rng.uniform(0, 10) if early else 120), before + rng.choice([1, 2])
        while running.poll() is None and time.monotonic() < ends:
            if not early and len(folders(place, name)) >= trials:
                break
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 0.4))
        alone = rng.random() < 0.3  # its workers find out, and end by themselves
        if not (ended := running.poll() is not None):
            (os.kill if alone else os.killpg)(running.pid, signal.SIGKILL)
    done = len(folders(place, name)) - before
    return f"{'ended' if ended else 'early' if early else 'working'}{' alone' if alone else ''} +{done}"


@pytest.mark.parametrize("kills", [2, 24])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(place, kills):
    name, seeds = f"killed{kills}", 4 + 3 * kills
    more = ("--folder", f"multirun/{name}", f"study.blocks.primary.seeds={seeds}", "--workers", "2")
    more = (*more, "latent.pooling=mean_std", f"tracking.experiment={name}")
    rng = random.Random(kills)
    moments = [kill_at_some_moment(place, name, more, rng) for _ in range(kills)]
    print(moments)
    assert sum(not moment.startswith("ended") for moment in moments) > 0.8 * kills
    done = study(place, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    found = {key: read_record(path) for key, path in folders(place, name).items()}
    assert len(found) == 2 * seeds and {one.status for one in found.values()} == {COMPLETE}
    for path in folders(place, name).values():
        assert {file.name for file in path.iterdir()} == {"record.json", "test_errors.csv"}
    rest = {path.name for path in (place / "multirun" / name).iterdir()} - set(found)
    assert rest == {
        ".composed.json",
        ".lock",
        ".running",
        "mlflow_parent.json",
        "mlflow_runs.txt",
    }
    assert not list((place / "multirun" / name / ".running").iterdir())
    assert logged(place, name) == ["", *sorted(found)]
    for run in runs(place, name):
        if key := Path(run.data.tags.get("tamis.folder", "")).name:
            assert run.data.metrics.items() >= {
                ("test/force_mae_eV_per_A", found[key].metrics["test/force_mae_eV_per_A"])
            }
        assert run.info.status == "FINISHED"
