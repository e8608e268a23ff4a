"""Trials of a search that keep what another one has kept: they are told its numbers, and no other trial is."""

import json
from pathlib import Path

import pytest
from tests.composing import composed

from tamis.parts import resolved
from tamis.records.record import COMPLETE, RECORD_FILE, TrialRecord, read_record
from tamis.sweeps.job import Job
from tamis.sweeps.running import run_job, set_aside
from tamis.sweeps.same_sets import INDEX_FOLDER, SAME_AS

SEARCH = {"study": "s", "trial": "0"}
FEW = ("model=snap", "pruner=fps", "artifacts=false", "model.basis.twojmax=2", "descriptor.twojmax=2")


@pytest.fixture(scope="module")
def places(tmp_path_factory, furnished) -> tuple[str, ...]:
    place = furnished(tmp_path_factory.mktemp("data"), "data")
    return (f"dataset.cache={place}/data", f"store.root={place}/store", "store.n_jobs=1")


def run(folder: Path, name: str, *overrides: str, labels=SEARCH) -> TrialRecord:
    run_job(Job(name, overrides, resolved(composed(*FEW, *overrides)), labels), folder)
    record = read_record(folder / name)
    assert record.status == COMPLETE, record.reason
    return record


def test_equal_sets_are_fitted_once(tmp_path, places):
    """FPS draws nothing: another seed chooses the same."""
    first = run(tmp_path, "0", *places)
    same = run(tmp_path, "1", *places, "seed.select=5")
    assert same.labels == {**SEARCH, SAME_AS: "0"} and same.id != first.id
    assert same.metrics == first.metrics and same.curve == first.curve
    assert same.selection == first.selection and same.config["seed"]["select"] == 5
    other = run(tmp_path, "2", *places, "seed.fit=1")
    assert SAME_AS not in other.labels
    alone = run(tmp_path / "alone", "2", *places, "seed.select=5")
    assert SAME_AS not in alone.labels
    names = [name for name in alone.metrics if name.startswith(("validation/", "test/", "train/", "kept/"))]
    assert {name: same.metrics[name] for name in names} == {name: alone.metrics[name] for name in names}


def test_what_a_kill_may_leave_costs_a_fit(tmp_path, places):
    run(tmp_path, "0", *places)
    (noted,) = (tmp_path / INDEX_FOLDER).iterdir()
    noted.unlink()  # killed before it was noted
    assert SAME_AS not in run(tmp_path, "1", *places).labels
    set_aside(tmp_path / "1")  # its record is gone
    assert SAME_AS not in run(tmp_path, "2", *places).labels
    (tmp_path / "2" / RECORD_FILE).write_text(json.dumps({"status": "complete"}))  # damaged
    assert SAME_AS not in run(tmp_path, "3", *places).labels
    assert run(tmp_path, "4", *places).labels[SAME_AS] == "3"


@pytest.mark.slow
def test_other_settings_and_other_sets_are_fitted(tmp_path, places):
    run(tmp_path, "0", *places)
    for i, other in enumerate(("seed.fit=1", "budget.fraction=0.1", "seed.split=1", "model.ridges=[1e-3]")):
        assert SAME_AS not in run(tmp_path, f"other{i}", *places, other).labels


@pytest.mark.slow
def test_grids_and_searches_that_keep_potentials_fit_each(tmp_path, places):
    run(tmp_path, "0", *places)
    assert SAME_AS not in run(tmp_path, "1", *places, labels={}).labels
    kept = run(tmp_path, "2", *places, "artifacts=true")
    assert SAME_AS not in kept.labels and (tmp_path / "2" / "potential").exists()
