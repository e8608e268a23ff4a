"""Searches as they are typed: what a user sees, and what is refused before the first trial."""

import json

import optuna
import pytest
from mlflow import MlflowClient
from tests.searches import check_whole, load, points, tamis_here

from tamis.records.record import read_record

SPACE = ("hydra.sweeper.study_name=small", "seed.select=range(0,9)", "model.basis.r_cut=interval(4.0,5.0)")
FEW = (*SPACE, "hydra.sweeper.n_trials=3")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, furnished):
    """Where a search of three trials was run."""
    place = furnished(tmp_path_factory.mktemp("search"))
    status, said = tamis_here(place, *FEW, "hydra.sweeper.plots=true")
    assert status == 0, said
    assert "3 of 3 trials have ended (3 complete) best: trial" in said
    assert "next: tamis best" in said
    return place


def study_of(folder) -> optuna.Study:
    return load(f"sqlite:///{folder}/multirun/small/study.db", "small")


def test_a_search_leaves_records_plots_and_a_table(folder):
    place, study = folder / "multirun" / "small", study_of(folder)
    check_whole(study, 3)
    for trial in study.trials:
        record = read_record(place / str(trial.number))
        assert record.metrics["validation/force_mae_eV_per_A"] == trial.value
        assert record.config["model"]["basis"]["r_cut"] == trial.params["model.basis.r_cut"]
        assert record.config["seed"]["select"] == trial.params["seed.select"]
        assert record.labels == {"trial": str(trial.number), "study": "small"}
        assert not (place / str(trial.number) / "potential").exists()
    assert (place / "best.csv").read_text().startswith("trial,validation/force_mae_eV_per_A,seed.select,")
    assert "Plotly.newPlot(" in (place / "search.html").read_text()
    assert json.loads((place / "sweep.json").read_text())["study"] == "small"


def test_the_same_command_goes_on(folder, tmp_path, furnished):
    before = points(study_of(folder))
    assert tamis_here(furnished(tmp_path), *FEW, "tracking=null")[0] == 0
    assert points(study_of(tmp_path)) == before, "the same seed, other trials"
    for total in (3, 4):
        status, said = tamis_here(folder, *SPACE, f"hydra.sweeper.n_trials={total}")
        assert status == 0, said
    check_whole(study_of(folder), 4)
    assert points(study_of(folder))[:3] == before
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("tamis").experiment_id])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(run.data.tags["tamis.trial"] for run in runs if run != parent) == ["0", "1", "2", "3"]
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert "search.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["model.basis.rcut=interval(4.0,5.0)"], "rcut"),
        (["pruner=random,fbs"], "did you mean fps?"),
        (["seed.select=1", "model.basis.r_cut=4.5"], "the search space is empty"),
        (["hydra.sweeper.direction=[minimize,minimize]"], "objective is validation/force_mae_eV_per_A, and"),
        (["objective=test/force_mae_eV_per_A"], "the test set decides nothing"),
        (["hydra.sweeper.enqueue=[{seed.select:20}]"], "hydra.sweeper.enqueue has seed.select=20"),
        (["hydra.sweeper.n_trials=0"], "n_trials is 0"),
        (["hydra.sweeper.constraints=['kept/atoms < 9']"], "a constraint is"),
        (["hydra/sweeper/sampler=cmaes", "pruner=random,fps"], "CmaEsSampler cannot search choices (pruner)"),
        (
            ["model.basis.r_cut=interval(4.0,6.0)"],
            "space.model.basis.r_cut: float 4.0 to 5.0 -> float 4.0 to 6.0",
        ),
        (["validation_fraction=0.2"], "config.validation_fraction: 0.1 -> 0.2"),
        (["dataset.drop=['MD 300 K #3']"], "config.data: "),
        (
            ["hydra.sweeper.study_name=other", "hydra.sweep.dir=multirun/small"],
            "there is no study other in its",
        ),
    ],
)
def test_refused_before_the_first_trial(folder, more, words):
    before = study_of(folder)
    status, said = tamis_here(folder, *SPACE, "hydra.sweeper.n_trials=9", *more)
    assert status == 1 and words in said
    assert "Traceback" not in said
    assert study_of(folder).user_attrs == before.user_attrs
    assert len(study_of(folder).trials) == len(before.trials)


def test_other_launchers_are_refused(folder):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    status, said = tamis_here(folder, *SPACE, "hydra/launcher=joblib", "hydra.sweeper.n_trials=9")
    assert status == 1 and "a search needs hydra/launcher=basic, dask" in said


def test_a_search_with_failed_trials_ends_with_status_1_and_says_why(tmp_path, furnished):
    furnished(tmp_path)
    values = (0.1, 0.1, 1.5, 2.5, 1.5)
    starts = ",".join(f"{{validation_fraction:{value}}}" for value in values)
    typed = ["validation_fraction=choice(0.1,1.5,2.5)", f"hydra.sweeper.enqueue=[{starts}]", "tracking=null"]
    for _ in range(2):  # the second finds that all is done
        status, said = tamis_here(tmp_path, *SPACE[:1], *typed, "hydra.sweeper.n_trials=5")
        assert status == 1 and "3 of 5 trials failed; the reasons are above" in said
        assert "5 of 5 trials have ended (2 complete, 3 fail); 2 failed: validation_fraction is 1.5" in said
        assert "1 failed: validation_fraction is 2.5" in said
    assert (tmp_path / "multirun" / "small" / "best.csv").exists()
