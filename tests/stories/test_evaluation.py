"""Properties in a trial: what the record, the folder and MLflow say of them."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from tests.composing import composed

from tamis.records.record import read_record
from tamis.tracking import Tracker
from tamis.trial import run_trial

SMALL = (
    "model=snap",
    "model.basis.twojmax=4",
    "pruner=random",
    "evaluation=quick",
    "evaluation.dynamics=null",
    "evaluation.properties.vacancy=null",
    "evaluation.properties.wall=null",
    "store.n_jobs=1",
)
STORIES = {
    "curve": ("budget=curve", "budget.fractions=[0.2,0.6]"),
    "hopeless": ('evaluation.stop_if=["validation/force_mae_eV_per_A > 1.0e-6"]',),
    "nowhere": ("dataset.crystal.a=3.0", 'evaluation.stop_if=["validation/forces > 1"]'),
}


def record(folder: Path) -> dict:
    return json.loads((folder / "record.json").read_text())


@pytest.fixture(scope="module")
def place(tmp_path_factory, furnished) -> Path:
    """A learning curve, a hopeless potential, and a crystal that is none, with a rule that names no metric."""
    place = furnished(tmp_path_factory.mktemp("place"), "data")
    kept = (f"store.root={place}/store", f"dataset.cache={place}/data")
    for name, overrides in STORIES.items():
        (place / name).mkdir()
        run_trial(composed(*SMALL, *kept, *overrides), {"evaluation": "quick"}, place / name)
    return place


def test_properties_are_measured_at_the_last_point_of_a_curve(place):
    curve = record(place / "curve")
    assert (curve["status"], curve["problems"]) == ("complete", {})
    first, last = (point["metrics"] for point in curve["curve"])
    assert "test/force_mae_eV_per_A" in first and "properties/lattice_constant_A" not in first
    assert last["properties/lattice_constant_A"] == curve["metrics"]["properties/lattice_constant_A"]
    assert last["properties/lattice_constant_A"] == pytest.approx(5.43, rel=0.01)
    assert abs(last["properties/lattice_constant_error_percent"]) < 1.0
    assert curve["seconds"]["properties"] > 0.0


def test_pictures_and_numbers_are_artifacts(place):
    files = {path.name for path in (place / "curve" / "properties").iterdir()}
    assert files == {"properties.json", "lattice.png", "equation_of_state.png", "elastic.png"}
    told = json.loads((place / "curve" / "properties" / "properties.json").read_text())
    assert told["elastic"]["values"]["elastic_C11_GPa"]["reference"] == pytest.approx(151.4, rel=0.005)


def test_a_hopeless_potential_is_not_measured_further_and_says_why(place):
    hopeless = record(place / "hopeless")
    assert hopeless["status"] == "complete"
    assert hopeless["problems"]["properties"].startswith("skipped: validation/force_mae_eV_per_A is ")
    assert not [name for name in hopeless["metrics"] if name.startswith("properties/")]
    assert "test/force_mae_eV_per_A" in hopeless["metrics"]


def test_problems_are_told_and_are_tags_in_mlflow(place, tmp_path, mlflow_uri):
    nowhere = record(place / "nowhere")
    assert nowhere["status"] == "complete" and "minimum" in nowhere["problems"]["properties/lattice"]
    assert nowhere["problems"]["stop_if"] == "stop_if names validation/forces, which was not measured"
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tamis")
    run_id = tracker.write(read_record(place / "nowhere"), place / "nowhere")
    run = MlflowClient(mlflow_uri).get_run(run_id)
    for stage, reason in nowhere["problems"].items():
        assert run.data.tags[f"tamis.problem.{stage}"] == reason
    assert run.data.metrics["properties/failed"] == 3.0
