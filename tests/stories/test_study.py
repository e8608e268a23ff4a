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

from tamis.record import COMPLETE, FAILED, read_record

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


def logged(place: Path) -> list[str]:
    """Names of the trials that have a run, once for each run, and one "" for each parent."""
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("tamis").experiment_id])
    return sorted(Path(run.data.tags.get("tamis.folder", "")).name for run in runs)


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
    assert f"{N + 2} trials, 2 to run" in told and "trials like 2 of the 2" in told


def test_a_changed_config_makes_new_trials_and_failures_wait_to_be_asked_for(place):
    """A validation set larger than the pool fails every trial."""
    wrong = ("--folder", "multirun/wrong", "validation_fraction=1.5", "study.blocks.primary.seeds=1")
    done = study(place, *wrong)
    assert done.returncode == 1 and "2 failed" in done.stdout
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
    plain = [sys.executable, "-m", "tamis.app", "experiment=study_quick"]
    done = subprocess.run(plain, cwd=place, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1 and "run it with tamis-study" in done.stdout + done.stderr


def test_a_second_study_in_the_same_folder_is_refused(place):
    with (place / "multirun" / "study" / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = study(place)
    assert done.returncode == 1 and "another tamis-study" in done.stdout + done.stderr


@pytest.mark.parametrize("kills", [1, 20])
def test_killed_at_any_moment_nothing_is_lost_and_nothing_twice(place, kills, tmp_path):
    """SIGKILL reaches the study and its workers, at moments from its start to after its end."""
    rng = random.Random(kills)
    name = f"killed{kills}"
    seeds = 2 + kills
    more = (
        "--folder",
        f"multirun/{name}",
        f"study.blocks.primary.seeds={seeds}",
        "latent.pooling=mean_std",
        "--workers",
        "2",
    )
    for _ in range(kills):
        with subprocess.Popen(
            command(place, *more),
            cwd=place,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as running:
            patience = time.monotonic() + 60
            before = len(folders(place, name))
            while (
                len(folders(place, name)) < before + 2
                and running.poll() is None
                and time.monotonic() < patience
            ):
                time.sleep(0.05)
            time.sleep(rng.uniform(0.0, 1.0))
            os.killpg(running.pid, signal.SIGKILL)
    done = study(place, *more)
    assert done.returncode == 0, done.stdout + done.stderr
    found = folders(place, name)
    assert len(found) == 2 * seeds and {read_record(path).status for path in found.values()} == {COMPLETE}
    of_these = [one for one in logged(place) if one in found]
    assert of_these == sorted(found)
    assert not list((place / "multirun" / name / ".running").iterdir())
