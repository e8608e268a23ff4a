"""``tamis -m`` from outside: a grid and a plan that are run, typed again, grown, changed, and refused."""

import fcntl
import subprocess
import sys
from pathlib import Path

import ase.io
import pytest
from mlflow import MlflowClient
from tests.fuzz.data_files import made
from tests.typed import tamis_here

from tamis.records.record import COMPLETE, FAILED, read_record

SMALL = ("model=snap", "model.basis.twojmax=2", "pruner=random", "budget.fraction=0.3")
HERE = ("store.root=store", "dataset.cache=data", "hydra/launcher=basic")


def sweep(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return tamis_here(place, "-m", *SMALL, *words, *HERE)


def records(folder: Path) -> dict[str, float]:
    """When each trial's record was written."""
    return {path.parent.name: path.stat().st_mtime for path in folder.glob("*/record.json")}


def runs(place: Path, kind: str) -> list[str]:
    """Names of the folders of all runs in MLflow of one kind."""
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("tamis").experiment_id])
    folders = [run.data.tags["tamis.folder"] for run in found if run.data.tags["tamis.kind"] == kind]
    assert all(run.info.status != "RUNNING" for run in found)
    return sorted(Path(folder).name for folder in folders)


@pytest.fixture(scope="module")
def place(tmp_path_factory, furnished) -> Path:
    place = furnished(tmp_path_factory.mktemp("sweeps"), "data")
    command = [sys.executable, "-m", "tamis.cli", "-m", *SMALL, "seed.select=0,1", *HERE]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


def folder_of(place: Path) -> Path:
    (folder,) = (place / "multirun").glob("sweep-*")
    return folder


def test_a_sweep_leaves_its_trials_a_table_and_one_run_for_each(place):
    folder = folder_of(place)
    found = records(folder)
    assert {read_record(folder / name).status for name in found} == {COMPLETE} and len(found) == 2
    assert {"results.csv", "errors.png", "sweep.json"} <= {path.name for path in folder.iterdir()}
    assert runs(place, "trial") == sorted(found) and runs(place, "sweep") == [folder.name]


def test_the_same_command_runs_nothing_twice_wherever_it_logs_and_runs(place):
    before = records(folder_of(place))
    done = sweep(place, "seed.select=0,1", "tracking.by_group=false")
    assert "2 trials, 2 of them done already" in done.stdout and done.returncode == 0
    assert records(folder_of(place)) == before and runs(place, "trial") == sorted(before)


def test_a_sweep_may_grow_in_its_folder_and_ends_with_the_next_command(place):
    folder = folder_of(place)
    before = records(folder)
    done = sweep(place, "seed.select=0,1,2", f"hydra.sweep.dir={folder}")
    assert "3 trials, 2 of them done already" in done.stdout
    assert f"tamis report {folder.relative_to(place)}" in done.stdout
    after = records(folder)
    assert before.items() < after.items() and runs(place, "trial") == sorted(after)


def test_an_edited_setting_is_refused_with_the_difference(place):
    folder = folder_of(place)
    name = min(records(folder))
    record = read_record(folder / name)
    before = (folder / name / "record.json").read_bytes()
    record.config["validation_fraction"] = 0.2  # as if a YAML had been edited since
    record.save(folder / name)
    done = sweep(place, "seed.select=0,1,2", f"hydra.sweep.dir={folder}")
    assert done.returncode == 1 and "validation_fraction: 0.2 -> 0.1" in done.stderr
    (folder / name / "record.json").write_bytes(before)


def test_changed_data_are_refused(place):
    frames = made(14)
    ase.io.write(place / "own.xyz", frames, format="extxyz")
    own = ("dataset=file", "dataset.train=own.xyz", "hydra.sweep.dir=own", HERE[0], HERE[-1])
    assert tamis_here(place, "-m", *SMALL, *own).returncode == 0
    ase.io.write(place / "own.xyz", frames[:-1], format="extxyz")
    done = tamis_here(place, "-m", *SMALL, *own)
    assert done.returncode == 1 and "have changed since (fingerprint" in done.stderr


def test_a_second_command_in_the_folder_is_refused(place):
    with (folder_of(place) / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = sweep(place, "seed.select=0,1")
    assert done.returncode == 1 and "another command runs the sweep" in done.stderr


def test_failed_trials_are_told_and_wait_to_be_asked_for(place):
    wrong = ("validation_fraction=1.5", "hydra.sweep.dir=wrong")
    done = sweep(place, *wrong)
    assert done.returncode == 1 and "1 of 1 trials failed" in done.stderr, done.stdout + done.stderr
    (name,) = records(place / "wrong")
    assert read_record(place / "wrong" / name).status == FAILED
    assert "1 trials, 1 of them done already" in sweep(place, *wrong).stdout
    sweep(place, *wrong, "--retry-failed")
    assert (place / "wrong" / name / "earlier_1.json").exists()


def test_a_random_pruner_is_one_baseline_whatever_descriptor_is_typed(place):
    done = sweep(
        place, "pruner=random,fps", "descriptor=snap", "descriptor.twojmax=2", "hydra.sweep.dir=both"
    )
    assert done.returncode == 0, done.stderr
    chosen = [read_record(path.parent).config["choices"] for path in (place / "both").glob("*/record.json")]
    assert sorted((one["pruner"], one["descriptor"]) for one in chosen) == [
        ("fps", "snap"),
        ("random", "none"),
    ]


PLAN = ("experiment=study_quick", "model=snap", "model.basis.twojmax=2", "pruner=random,stratified")
PLAN = (*PLAN, "hydra.sweeper.blocks=[primary]", "budget.fractions=[0.3,1.0]", "plan.blocks.primary.seeds=2")


def test_a_plan_knows_its_time_and_runs_what_is_left(place):
    done = tamis_here(place, "-m", *PLAN, *HERE, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "primary" in done.stdout and "4 trials" in done.stdout and "h of one core" in done.stdout
    assert (next((place / "multirun").glob("study_quick-*")) / "protocol.yaml").exists(), (
        "fixed before the first trial"
    )
    measured = len(records(next((place / "multirun").glob("study_quick-*"))))
    assert 0 < measured < 4 and f"{measured} trials are run to measure it" in done.stdout
    done = tamis_here(place, "-m", *PLAN, *HERE)
    folder = next((place / "multirun").glob("study_quick-*"))
    assert f"4 trials, {measured} of them done already" in done.stdout and len(records(folder)) == 4
    assert (folder / "protocol.yaml").exists()
    assert {read_record(folder / name).labels["block"] for name in records(folder)} == {"primary"}


def test_a_plan_is_not_run_as_one_trial(place):
    done = tamis_here(place, "experiment=study_quick")
    assert done.returncode == 1 and "add -m: tamis -m experiment=study_quick" in done.stderr


@pytest.mark.slow
def test_launchers_of_hydra_run_grids(place):
    joblib = ("hydra/launcher=joblib", "hydra.sweep.dir='jöb lib'")
    done = tamis_here(place, "-m", *SMALL, "seed.select=0,1", *HERE[:2], *joblib)
    assert done.returncode == 0, done.stdout + done.stderr
    folder = place / "jöb lib"
    assert {read_record(folder / name).status for name in records(folder)} == {COMPLETE}
    assert set(records(folder)) <= set(runs(place, "trial"))
