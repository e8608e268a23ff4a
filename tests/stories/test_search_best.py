"""A search of tamis whose stopper ends trials early, and its best trial run again from its record alone."""

import argparse
import json
import shutil
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from tests.searches import load, tamis_here

from tamis.commands.best import add_arguments, different_metrics, run, table_of
from tamis.commands.endings import in_a_sentence
from tamis.core.errors import TamisError
from tamis.records.record import read_record
from tamis.sweeps.search.best import best_trials
from tamis.sweeps.search.studies import find_study, open_storage

NAME = "curves"
STARTS = "[{model.basis.twojmax:4},{model.basis.twojmax:4},{model.basis.twojmax:2}]"
SEARCH = (
    f"hydra.sweeper.study_name={NAME}",
    "hydra.sweeper.n_trials=3",
    "hydra/sweeper/stopper=median",
    "hydra.sweeper.stopper.n_startup_trials=2",
    f"hydra.sweeper.enqueue={STARTS}",
    "budget=curve",
    "budget.fractions=[0.3,0.6]",
    "model.basis.twojmax=choice(2,4)",
    "tracking=null",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory, furnished) -> Path:
    """Where a search was run: two equal trials, and one with a poorer model that the stopper ends."""
    folder = furnished(tmp_path_factory.mktemp("place"))
    status, said = tamis_here(folder, *SEARCH)
    assert status == 0, said
    return folder


@pytest.fixture
def search(place, monkeypatch) -> Path:
    """The folder of the search; the working directory is that of the command."""
    monkeypatch.chdir(place)
    return place / "multirun" / NAME


def best(*words: str) -> int:
    """Exit status of ``tamis best``."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    try:
        with in_a_sentence():
            return run(parser.parse_args(words))
    except SystemExit as end:
        return int(end.code or 0)


def test_a_stopped_trial_keeps_what_it_measured(search):
    study = load(f"sqlite:///{search}/study.db", NAME)
    first, second, poor = study.trials
    assert (first.state, second.state) == (TrialState.COMPLETE, TrialState.COMPLETE)
    assert first.values == second.values
    assert len(first.intermediate_values) == 2, "a report for each point of the curve"
    assert poor.state == TrialState.PRUNED
    assert "stopped by the search after stage 0" in poor.user_attrs["error"]

    records = [read_record(search / str(number)) for number in range(3)]
    assert [record.status for record in records] == ["complete", "complete", "stopped"]
    assert [len(record.curve) for record in records] == [2, 2, 1]
    stopped = records[2]
    assert stopped.reason == poor.user_attrs["error"]
    measured = stopped.metrics["validation/force_mae_eV_per_A"]
    assert measured == stopped.curve[0].metrics["validation/force_mae_eV_per_A"]
    assert list(poor.intermediate_values.values()) == [measured]
    assert measured > records[0].curve[0].metrics["validation/force_mae_eV_per_A"]
    assert "test/force_mae_eV_per_A" in stopped.metrics


def test_the_best_is_printed_and_run_again_to_the_same_metrics(search, capsys):
    assert best(str(search), "--rerun", "0", "--out", "again") == 0
    said = capsys.readouterr().out
    assert "2 of 2 trials complete, 3 ended" in said
    assert "every metric is the same to 1e-06" in said
    again, before = read_record(Path("again")), read_record(search / "0")
    assert different_metrics(before.metrics, again.metrics) == []
    assert before.metrics["test/energy_mae_meV_per_atom"] == again.metrics["test/energy_mae_meV_per_atom"]
    assert again.selection == before.selection
    assert list(Path("again", "potential").iterdir()), "the potential is not written"
    assert not (search / "0" / "potential").exists()
    assert best(str(search), "--rerun", "0", "--out", "again") == 1, "a folder was overwritten"


def test_another_result_is_told(search, tmp_path, capsys):
    """A record whose numbers are not those that its configuration gives."""
    copy = tmp_path / NAME
    shutil.copytree(search, copy)
    path = copy / "1" / "record.json"
    record = json.loads(path.read_text())
    record["metrics"]["validation/force_mae_eV_per_A"] *= 1 + 1e-5
    record["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(record))
    assert best(str(copy), "--rerun", "1", "--out", str(tmp_path / "out")) == 1
    said = capsys.readouterr().err
    assert "validation/force_mae_eV_per_A was" in said and "versions: numpy 1.0 before" in said
    assert "test/" not in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("multirun/curve",), "multirun/curve does not say which study it belongs to; give --study"),
        (("multirun/curve", "--study", NAME), "multirun/curve has no study of its own; give the --storage"),
        ((f"multirun/{NAME}", "--study", "curve"), "did you mean curves?"),
        ((f"multirun/{NAME}", "--storage", "other.journal"), "--storage other.journal is not there"),
        ((f"multirun/{NAME}", "--rerun", "7"), "there is no record in multirun/curves/7"),
        ((f"multirun/{NAME}", "--rerun", "2"), "trial 2 is stopped (stopped by the search"),
    ],
)
def test_refused(search, capsys, words, told):
    assert best(*words) == 1
    assert told in " ".join(capsys.readouterr().err.split())
    assert not list(Path().glob("best_*")), "a folder was made"


def study_of(folder: Path, directions: list[str], values: list[list[float]], broken: int | None = None):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{folder}/study.db", directions=directions)
    for i, one in enumerate(values):
        trial = study.ask()
        trial.suggest_int("budget.n", i, i)
        if i == broken:
            trial.set_constraint("x <= 0", 0.5)
        study.tell(trial, one)
    return find_study("s", open_storage(f"sqlite:///{folder}/study.db"), "study.db")


def numbers(study) -> list[int]:
    return [trial.number for trial in best_trials(study)]


def test_order_of_the_best(tmp_path):
    low = study_of(make(tmp_path / "low"), ["minimize"], [[3.0], [1.0], [2.0]])
    assert numbers(low) == [1, 2, 0]
    high = study_of(make(tmp_path / "high"), ["maximize"], [[3.0], [1.0], [2.0]], broken=0)
    assert numbers(high) == [2, 1, 0], "what breaks a constraint comes last"
    front = study_of(make(tmp_path / "front"), ["minimize"] * 2, [[3.0, 1.0], [1.0, 3.0], [3.0, 3.0]])
    assert numbers(front) == [1, 0]
    table = table_of(front, tmp_path / "front", 1)
    assert table.row_count == 1 and "1 of 2 trials on the Pareto front, 3 ended" in str(table.title)


def test_nothing_complete(tmp_path):
    with pytest.raises(TamisError, match="no trial of study s is complete; 0 have ended"):
        table_of(study_of(tmp_path, ["minimize"], []), tmp_path, 5)


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("before", "after", "n"),
    [
        ({"a": 1.0, "memory/x": 1.0}, {"a": 1.0 + 1e-9, "memory/x": 2.0}, 0),
        ({"a": 1.0}, {"a": 1.0 + 1e-5}, 1),
        ({"a": 1.0}, {}, 1),
        ({}, {"a": 1.0}, 1),
        ({"a": 0.0}, {"a": 0.0}, 0),
        ({"memory/x": 1.0}, {}, 0),
    ],
)
def test_metrics_are_compared(before, after, n):
    assert len(different_metrics(before, after)) == n
