"""The program from outside: what a user types, what is in the folder afterwards, what MLflow shows."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest
from mlflow import MlflowClient
from tests.typed import tamis_here, typed

from tamis.bases.snap import read_snap
from tamis.commands import sync
from tamis.data.sources.sw_silicon import SwSilicon
from tamis.evaluation.errors import Residuals, error_metrics
from tamis.models.linear import LinearPotential
from tamis.records.record import TrialRecord, read_record
from tamis.store import Store

QUICK = ("model=snap", "model.basis.twojmax=4", "descriptor.twojmax=4")
CURVE = (
    "-m",
    "model=snap",
    "model.basis.twojmax=4",
    "descriptor=snap,none",
    "pruner=fps,random",
    "budget=curve",
    "budget.fractions=[0.1,0.4]",
    "hydra.sweep.dir=sweep",
    "hydra/launcher=basic",
)


def tamis(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tamis.cli", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def place(tmp_path_factory, furnished) -> Path:
    """A folder in which one sweep and one single run have been run."""
    folder = furnished(tmp_path_factory.mktemp("place"))
    sweep = tamis(folder, *CURVE)
    assert sweep.returncode == 0, sweep.stdout + sweep.stderr
    (folder / "sweep.txt").write_text(sweep.stdout)
    single = tamis_here(folder, *QUICK, "hydra.run.dir=single")
    assert single.returncode == 0, single.stdout + single.stderr
    (folder / "single.txt").write_text(single.stdout)
    return folder


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


@pytest.fixture(scope="module")
def runs(place) -> list:
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("tamis")
    return list(client.search_runs([experiment.experiment_id]))


def test_a_sweep_runs_what_means_something_and_says_why_it_skips_the_rest(place):
    records = {folder.name: record(folder) for folder in (place / "sweep").glob("snap-*")}
    outcome = {
        (r["config"]["choices"]["descriptor"], r["config"]["choices"]["pruner"]): (r["status"], r["reason"])
        for r in records.values()
    }
    assert len(records) == len(outcome) == 3  # random is the same trial with any descriptor
    assert outcome["snap", "fps"] == outcome["none", "random"] == ("complete", "")
    assert outcome["none", "fps"][0] == "skipped" and "needs a descriptor" in outcome["none", "fps"][1]


def test_the_last_thing_printed_is_the_result_and_where_it_is(place):
    sweep, single = (place / "sweep.txt").read_text(), (place / "single.txt").read_text()
    assert "mlflow ui --backend-store-uri sqlite:///mlruns/mlflow.db" in sweep
    assert "tamis report sweep" in sweep and "tamis pick sweep" in sweep.splitlines()[-2]
    assert sweep.splitlines()[-1].startswith("runs:   http://127.0.0.1:5000/#/experiments/")
    assert "force, eV/Å" in single and str(place / "single") in single.splitlines()[-1]
    assert "Traceback" not in sweep + single


def test_a_sweep_leaves_a_table_and_a_figure(place):
    lines = (place / "sweep" / "results.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2  # two trials of two points
    assert (place / "sweep" / "errors.png").read_bytes().startswith(b"\x89PNG")


def test_every_run_of_a_sweep_hangs_under_one_parent(place, runs):
    parents = [run for run in runs if run.data.tags.get("tamis.kind") == "sweep"]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(parents) == 1 and parents[0].info.status == "FINISHED"
    assert len(children) == 2  # the skipped are no runs
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}


def test_mlflow_says_what_the_record_says(place, runs):
    single = record(place / "single")
    [run] = [r for r in runs if r.data.tags.get("tamis.folder") == str(place / "single")]
    assert run.data.params["descriptor"] == "snap"
    assert run.data.params["model.basis.twojmax"] == "4"
    assert run.data.params["seed.split"] == "0"
    assert run.data.metrics == pytest.approx(read_record(place / "single").measured)
    assert run.data.tags["tamis.dataset_fingerprint"] == single["dataset"]["fingerprint"]
    assert run.data.tags["version.lammps"]


def test_artifacts_are_in_mlflow(place, runs):
    [run] = [r for r in runs if r.data.tags.get("tamis.folder") == str(place / "single")]
    files = {p.name for p in Path(run.info.artifact_uri.removeprefix("file://")).rglob("*")}
    assert {
        "record.json",
        "kept.extxyz",
        "parity.png",
        "test_errors.csv",
        "SNAPotential.snapcoeff",
    } <= files


def test_a_curve_has_its_number_of_structures_as_step(place, runs):
    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    for run in runs:
        if "mlflow.parentRunId" in run.data.tags:
            history = client.get_metric_history(run.info.run_id, "test/force_mae_eV_per_A")
            curve = record(Path(run.data.tags["tamis.folder"]))["curve"]
            assert [point.step for point in history] == [point["n_structures"] for point in curve]
            assert len(curve) == 2


def test_every_point_of_a_curve_leaves_its_test_errors(place):
    for folder in (place / "sweep").glob("snap-*"):
        said = record(folder)
        if said["status"] == "complete":
            with (folder / "test_errors.csv").open() as file:
                kept = [int(row["kept_structures"]) for row in csv.DictReader(file)]
            sizes = [point["n_structures"] for point in said["curve"]]
            assert {n: kept.count(n) for n in kept} == dict.fromkeys(sizes, len(said["dataset"]["test"]))


def test_a_folder_that_holds_results_is_not_written_again(place):
    before = (place / "single" / "record.json").read_bytes()
    single = tamis(place, *QUICK, "hydra.run.dir=single")
    assert single.returncode == 1 and "choose another hydra.run.dir" in single.stderr
    assert (place / "single" / "record.json").read_bytes() == before


def test_commands_that_start_together_in_an_empty_folder_all_reach_mlflow(tmp_path):
    """The database is made and migrated by the first, while the other waits."""
    command = [sys.executable, "-m", "tamis.cli", "sync", "trials"]
    (tmp_path / "trials" / "0").mkdir(parents=True)
    TrialRecord(config={"choices": {}}, status="complete").save(tmp_path / "trials" / "0")
    together = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
    assert [process.wait(timeout=120) for process in together] == [0, 0]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("tamis").experiment_id])
    assert [run for run in found if run.data.tags["tamis.kind"] == "trial"]


def test_runs_that_mlflow_lost_are_made_up_from_the_records(place, runs, tmp_path, monkeypatch, capsys):
    uri = f"sqlite:///{tmp_path}/new.db"
    monkeypatch.chdir(tmp_path)
    for said in ("2 new", "0 new, 2 already there"):  # the second time there is nothing left to do
        assert typed(sync, place / "sweep", "--uri", uri) == 0
        assert said in capsys.readouterr().out
    client = MlflowClient(uri)
    trials = client.search_runs(
        [client.get_experiment_by_name("tamis").experiment_id], "tags.`tamis.kind` = 'trial'"
    )
    lost = {
        run.data.tags["tamis.folder"]: run.data.metrics
        for run in runs
        if run.data.tags["tamis.kind"] == "trial"
    }
    assert len(trials) == 2
    for run in trials:
        assert run.data.metrics == lost[run.data.tags["tamis.folder"]]


def test_kept_structures_are_the_selected_ones_of_the_pool(place):
    single = record(place / "single")
    kept = ase.io.read(place / "single" / "kept.extxyz", ":")
    assert [atoms.info["id"] for atoms in kept] == single["selection"]["ids"]
    assert len(kept) == single["metrics"]["kept/structures"]
    dataset = SwSilicon(
        elements=("Si",), atom_spacing=2.7155, seed=0, cache=place / ".tamis/data", drop=()
    ).load()
    position = {name: i for i, name in enumerate(dataset.ids)}
    for atoms in kept:
        i = position[atoms.info["id"]]
        assert not dataset.is_test[i]
        assert atoms.get_potential_energy() == pytest.approx(dataset.energies[i], abs=1e-6)
        np.testing.assert_allclose(atoms.get_forces(), dataset.forces[i], atol=1e-6)


def test_the_written_potential_has_the_recorded_test_errors(place, tmp_path):
    """The figures in the record are those of the files that a user takes away, evaluated by LAMMPS."""
    single = record(place / "single")
    dataset = SwSilicon(
        elements=("Si",), atom_spacing=2.7155, seed=0, cache=place / ".tamis/data", drop=()
    ).load()
    test = dataset.subset(np.flatnonzero(dataset.is_test))
    potential = LinearPotential(*read_snap(place / "single" / "potential"))
    through_lammps = super(LinearPotential, potential).predict(test, Store(tmp_path, 1))
    for name, value in error_metrics(Residuals.of(through_lammps, test), test, "test", by_group=True).items():
        assert single["metrics"][name] == pytest.approx(value, rel=1e-6), name


def test_the_same_trial_again_has_the_same_selection_and_metrics(place):
    again = tamis_here(place, *QUICK, "hydra.run.dir=again", "store.root=other_store", "store.n_jobs=1")
    assert again.returncode == 0
    first, second = record(place / "single"), record(place / "again")
    assert first["selection"] == second["selection"]
    numbers = [k for k in first["metrics"] if not k.startswith("memory/")]
    for name in numbers:
        assert second["metrics"][name] == pytest.approx(first["metrics"][name], rel=1e-9), name


def test_a_second_trial_reads_what_the_first_has_computed(place):
    files = {p: p.stat().st_mtime_ns for p in (place / ".tamis" / "store").rglob("*.npy")}
    assert tamis_here(place, *QUICK, "hydra.run.dir=third", "seed.split=1").returncode == 0
    assert {p: p.stat().st_mtime_ns for p in (place / ".tamis" / "store").rglob("*.npy")} == files
