"""A search in MLflow is made from the records, whatever was lost."""

from dataclasses import replace

import optuna
import pytest
from optuna.trial import TrialState
from tamis.tracking.parents import UNREACHABLE, read_parent

from tamis.records.record import COMPLETE, FAILED, STOPPED, Point, TrialRecord
from tamis.search_runs import SearchRuns, merged, objective_names, record_of
from tamis.tracking import Tracker

SIZES = {
    "kept/structures": 10.0,
    "kept/atoms": 80.0,
    "kept/fraction_of_structures": 0.5,
    "kept/fraction_of_atoms": 0.5,
}
"""What every point of a complete trial has."""


def record(split: int, value: float, **more) -> TrialRecord:
    config = {"choices": {"model": "snap"}, "seed": {"split": split, "fit": 0}}
    metrics = {"error": value, f"only/{split}": 1.0}
    curve = [Point(10 + split, 80, {"error": value, **SIZES})]
    return TrialRecord(
        **{
            "config": config,
            "metrics": metrics,
            "curve": curve,
            "status": COMPLETE,
            "started": 5.0 + split,
            **more,
        }
    )


def test_trials_of_several_seeds_are_one():
    one = merged([record(0, 1.0), record(2, 2.0)])
    assert one.metrics == {"error": 1.5}
    assert one.curve == [Point(11, 80, {"error": 1.5, **SIZES})]
    assert one.config["seed"] == {"split": "0,2", "fit": 0}
    assert (one.status, one.started) == (COMPLETE, 5.0)


@pytest.mark.parametrize("status", [FAILED, STOPPED])
def test_what_ended_otherwise_decides(status):
    one = merged([record(0, 1.0), record(1, 2.0, status=status, reason="why", curve=[])])
    assert (one.status, one.reason, one.curve) == (status, "why", [])


def test_a_trial_without_files_is_told_as_optuna_knows_it(tmp_path):
    study = optuna.create_study()
    trial = study.ask()
    trial.suggest_categorical("model", ["snap"])
    trial.suggest_float("model.r_cut", 1, 2)
    trial.set_user_attr("error", "no such file")
    study.tell(trial, state=TrialState.FAIL)
    one = record_of(study.trials[0], tmp_path)
    assert (one.status, one.reason) == (FAILED, "no such file")
    assert one.config["choices"] == {"model": "snap"} and "model.r_cut" in one.config


@pytest.fixture
def runs(tmp_path, mlflow_uri) -> SearchRuns:
    return SearchRuns(Tracker(mlflow_uri, tmp_path / "artifacts", "tests", artifacts=False), plots=False)


def told(study, folder, value: float):
    """A complete trial with its record."""
    trial = study.ask()
    record(0, value).save(make(folder / str(trial.number)))
    study.tell(trial, value)
    return study.trials[trial.number]


def make(folder):
    folder.mkdir(parents=True)
    return folder


def test_what_is_lost_is_made_up_and_nothing_is_there_twice(tmp_path, runs):
    study, tracker = optuna.create_study(study_name="s"), runs.tracker
    runs.study_started(study, tmp_path, 0)
    parent = study.user_attrs["mlflow_parent"]
    trials = [told(study, tmp_path, value) for value in (3.0, 1.0, 2.0)]
    runs.trial_ended(study, trials[0], tmp_path)
    runs.trial_ended(study, trials[1], tmp_path)
    runs.trial_ended(study, trials[1], tmp_path)  # twice, as two processes might
    half = tracker.write(
        record(0, 2.0, status="running"), tmp_path / "2", parent, {"search.trial": "2"}
    ).run_id
    tracker._client.update_run(half, status="RUNNING")  # its writer was killed
    void = study.ask()
    study._storage.set_trial_user_attr(void._trial_id, "void", "its process died")
    study.tell(void, state=TrialState.FAIL)
    tracker.write(record(0, 9.0), tmp_path / "3", parent, {"search.trial": "3"})

    runs.study_started(study, tmp_path, 1)  # the others are at work: what is young is theirs
    assert half in {child.run_id for child in tracker.children(parent)}
    for _ in range(2):
        runs.study_started(study, tmp_path, 0)
        children = tracker.children(parent)
        assert sorted(child.folder for child in children) == [str(tmp_path / str(i)) for i in range(3)]
        assert all(child.is_whole for child in children)
        assert study.user_attrs["mlflow_parent"] == parent

    runs.study_ended(study, tmp_path, 0, True)
    best = {child.folder: child.tags.get("search.best") for child in tracker.children(parent)}
    assert [name for name, tag in best.items() if tag == "true"] == [str(tmp_path / "1")]
    told(study, tmp_path / "elsewhere", 0.5)
    runs.study_ended(study, tmp_path, 0, True)
    best = [child.folder for child in tracker.children(parent) if child.tags.get("search.best") == "true"]
    assert best == [str(tmp_path / "4")], "the old best one is still tagged"


@pytest.fixture
def drawn(monkeypatch) -> list:
    """Names of the objectives, for each time that plots were drawn."""
    calls = []

    def draw(study, objectives, folder):
        calls.append(objectives)
        folder.mkdir(exist_ok=True)
        (folder / "search.html").write_text("plots")
        return {}

    monkeypatch.setattr("tamis.search_runs.draw_search", draw)
    return calls


def attached(runs, study) -> list[str]:
    client = runs.tracker._client
    return [one.path for one in client.list_artifacts(study.user_attrs["mlflow_parent"], "plots")]


def test_the_last_process_draws_and_attaches_once_a_trial_is_new(tmp_path, runs, drawn):
    runs = replace(runs, plots=True)
    study = optuna.create_study(study_name="s")
    runs.study_started(study, tmp_path, 0)
    told(study, tmp_path, 3.0)
    runs.study_ended(study, tmp_path, 1, False)
    assert drawn == [] and attached(runs, study) == []
    runs.study_ended(study, tmp_path, 0, True)
    assert drawn == [["objective"]]
    assert attached(runs, study) == ["plots/search.html"]
    runs.study_ended(study, tmp_path, 0, True)
    assert len(drawn) == 1, "nothing is new"
    told(study, tmp_path, 2.0)
    runs.study_ended(study, tmp_path, 0, True)
    assert len(drawn) == 2


def test_plots_are_drawn_when_mlflow_is_away(tmp_path, runs, drawn, monkeypatch):
    runs = replace(runs, plots=True)
    study = optuna.create_study(study_name="s")
    runs.study_started(study, tmp_path, 0)
    told(study, tmp_path, 3.0)

    def away(*_):
        raise ConnectionError("nobody there")

    monkeypatch.setattr(Tracker, "children", away)
    with pytest.raises(ConnectionError):
        runs.study_ended(study, tmp_path, 0, True)
    assert drawn == [["objective"]]


def test_without_tracking_plots_are_drawn_and_nothing_else(tmp_path, drawn, caplog):
    caplog.set_level("INFO")
    runs, study = SearchRuns(None), optuna.create_study(study_name="s")
    runs.study_started(study, tmp_path, 0)
    runs.trial_ended(study, told(study, tmp_path, 3.0), tmp_path)
    runs.study_ended(study, tmp_path, 0, True)
    assert drawn == [["objective"]]
    said = [one for one in caplog.records if not one.name.startswith("optuna.")]  # Optuna itself may talk
    assert said == []
    parent = read_parent(tmp_path)
    assert parent.study == "s" and parent.run_id == UNREACHABLE  # tamis-sync can send it later


def test_objectives_are_called_as_in_the_records(tmp_path):
    study = optuna.create_study(directions=["minimize", "minimize"])
    assert objective_names(study, tmp_path) == ["objective 0", "objective 1"]
    trial = study.ask()
    config = {"choices": {}, "objective": ["error", "kept"]}
    record(0, 1.0, config=config).save(make(tmp_path / "0" / "0"))
    study.tell(trial, [1.0, 2.0])
    assert objective_names(study, tmp_path) == ["error", "kept"]
    one = optuna.create_study()
    one.tell(one.ask(), 1.0)
    assert objective_names(one, tmp_path) == ["objective"], "two names for one value"
