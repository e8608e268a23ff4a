"""A search of tamis whose stopper ends trials early, and its best trial run again from its record alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from optuna.trial import TrialState
from tests.studies import environment, load

from tamis.commands.best import best_trials, different_metrics, main, open_study, table_of
from tamis.core.errors import TamisError
from tamis.records.record import read_record

NAME = "curves"
STARTS = "[{model.basis.twojmax:4},{model.basis.twojmax:4},{model.basis.twojmax:2}]"
SEARCH = (
    "search=study_of_tamis",
    f"hydra.sweeper.study_name={NAME}",
    "hydra.sweeper.n_trials=3",
    "hydra.sweeper.repeat=null",
    "hydra.sweeper.observer.plots=false",
    "hydra/sweeper/stopper=median",
    "hydra.sweeper.stopper.n_startup_trials=2",
    f"hydra.sweeper.enqueue={STARTS}",
    "model=snap",
    "pruner=random",
    "budget=curve",
    "budget.fractions=[0.3,0.6]",
    "model.basis.twojmax=choice(2,4)",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """Where a search was run: two equal trials, and one with a poorer model that the stopper has no use for."""
    folder = tmp_path_factory.mktemp("place")
    command = [sys.executable, "-m", "tamis.commands.run", "-m", *SEARCH]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture
def search(place, monkeypatch) -> Path:
    """The folder of the search; the working directory is that of the command."""
    monkeypatch.chdir(place)
    return place / "multirun" / NAME


def best(monkeypatch, *arguments: str) -> int:
    """Exit status of ``tamis-best``."""
    monkeypatch.setattr(sys, "argv", ["tamis-best", *arguments])
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_stopped_trial_keeps_what_it_measured(search, place):
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

    client = MlflowClient(f"sqlite:///{place}/mlruns/mlflow.db")
    ids = [one.experiment_id for one in client.search_experiments()]
    (run,) = client.search_runs(ids, "tags.`search.trial` = '2'")
    assert (run.info.status, run.data.tags["tamis.status"]) == ("KILLED", "stopped")
    assert run.data.tags["search.state"] == "pruned"
    assert run.data.metrics["validation/force_mae_eV_per_A"] == pytest.approx(measured)


def test_the_best_is_printed_and_run_again_to_the_same_metrics(search, monkeypatch, capsys):
    assert best(monkeypatch, f"study={NAME}", "rerun=best", "out=again") == 0
    said = capsys.readouterr().out
    assert "2 of 2 trials complete, 3 ended" in said
    assert "every metric is the same to 1e-06" in said
    again, before = read_record(Path("again")), read_record(search / "0")
    assert different_metrics(before.metrics, again.metrics) == []
    assert before.metrics["test/energy_mae_meV_per_atom"] == again.metrics["test/energy_mae_meV_per_atom"]
    assert again.selection == before.selection
    assert list(Path("again", "potential").iterdir()), "the potential is not written"
    assert not (search / "0" / "potential").exists()


def test_another_result_is_told(search, place, tmp_path, monkeypatch, capsys):
    """A record whose numbers are not those that its configuration gives."""
    copy = tmp_path / NAME
    shutil.copytree(search, copy)
    path = copy / "1" / "record.json"
    record = json.loads(path.read_text())
    record["metrics"]["validation/force_mae_eV_per_A"] *= 1 + 1e-5
    record["versions"]["numpy"] = "1.0"
    path.write_text(json.dumps(record))
    arguments = (f"study={NAME}", f"folder={copy}", "rerun=1", f"out={tmp_path / 'out'}")
    assert best(monkeypatch, *arguments) == 1
    said = capsys.readouterr().err
    assert "validation/force_mae_eV_per_A was" in said and "versions: numpy 1.0 before" in said
    assert "test/" not in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "no study is named"),
        (("studi=curves",), "did you mean study?"),
        ((f"study={NAME}", "n=0"), "n=0; a whole number from 1 on"),
        (("study=curve",), "there is no study.db and no study.journal in multirun/curve"),
        (("study=curve", f"folder=multirun/{NAME}"), "did you mean curves?"),
        ((f"study={NAME}", "storage=other.journal"), "storage=other.journal is not there"),
        ((f"study={NAME}", "rerun=7"), "rerun=7 is no trial of the study; it is best, or a number up to 2"),
        ((f"study={NAME}", "rerun=worst"), "rerun=worst is no trial"),
        ((f"study={NAME}", "rerun=2"), "trial 2 is stopped (stopped by the search"),
        (
            (f"study={NAME}", f"storage=sqlite:///multirun/{NAME}/study.db", "folder=x", "rerun=0"),
            "there is no record in x/0",
        ),
    ],
)
def test_refused(search, monkeypatch, capsys, arguments, words):
    assert best(monkeypatch, *arguments) == 1
    assert words in " ".join(capsys.readouterr().err.split())
    assert not list(Path().glob("best_*")), "a folder was made"


def study_of(folder: Path, directions: list[str], values: list[list[float]], broken: int | None = None):
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(study_name="s", storage=f"sqlite:///{folder}/study.db", directions=directions)
    for i, one in enumerate(values):
        trial = study.ask()
        trial.suggest_int("budget.n", i, i)
        if i == broken:
            trial.set_user_attr("constraints", [0.5])
        study.tell(trial, one)
    return open_study("s", f"sqlite:///{folder}/study.db")


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


def test_a_front_has_no_single_best(tmp_path, monkeypatch, capsys):
    study_of(make(tmp_path / "s"), ["minimize"] * 2, [[3.0, 1.0], [1.0, 3.0]])
    assert best(monkeypatch, "study=s", f"folder={tmp_path / 's'}", "rerun=best") == 1
    assert "choose one of 0, 1" in " ".join(capsys.readouterr().err.split())


def test_nothing_complete(tmp_path):
    with pytest.raises(TamisError, match="no trial of study s is complete; 0 have ended"):
        table_of(study_of(tmp_path, ["minimize"], []), tmp_path, 5)


def make(folder: Path) -> Path:
    folder.mkdir()
    return folder


@pytest.mark.parametrize(
    ("before", "after", "n"),
    [
        ({"a": 1.0, "seconds/fit": 1.0}, {"a": 1.0 + 1e-9, "seconds/fit": 2.0}, 0),
        ({"a": 1.0}, {"a": 1.0 + 1e-5}, 1),
        ({"a": 1.0}, {}, 1),
        ({}, {"a": 1.0}, 1),
        ({"a": 0.0}, {"a": 0.0}, 0),
        ({"memory/x": 1.0}, {}, 0),
    ],
)
def test_metrics_are_compared(before, after, n):
    assert len(different_metrics(before, after)) == n
