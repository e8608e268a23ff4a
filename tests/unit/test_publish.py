"""Records reach MLflow once each, whatever was there, half there, or there twice."""

import json
import shutil
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from tamis.commands import sync
from tamis.core.errors import TamisError
from tamis.records.record import (
    COMPLETE,
    FAILED,
    RECORD_FILE,
    RUNNING,
    SKIPPED,
    CurvePoint,
    DatasetFacts,
    SelectionFacts,
    TrialRecord,
    read_record,
)
from tamis.sweeps import publish
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.publish import Publisher, send_single
from tamis.sweeps.running import set_aside
from tamis.sweeps.summary import write_summary
from tamis.tracking import Tracker
from tamis.tracking.content import ID, run_name
from tamis.tracking.page import KIND, MACHINE_LEARNING, NOTE, VIEW_TAG, address_of, missing_tags


def record(number: int, status: str = COMPLETE, **more) -> TrialRecord:
    config = {"choices": {"model": "snap"}, "seed": {"split": number}}
    return TrialRecord(config=config, status=status, metrics={"error": float(number)}, **more)


def ended(folder: Path, *arguments, **more) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    record(*arguments, **more).save(folder)
    return folder


@pytest.fixture
def trackers(tmp_path, empty_mlflow) -> list[Tracker]:
    """A local database and another that stands for the group's."""
    for name in ("local.db", "group.db"):
        shutil.copy(empty_mlflow, tmp_path / name)
    return [
        Tracker(f"sqlite:///{tmp_path}/{name}", tmp_path / "artifacts", "tamis", artifacts=False)
        for name in ("local.db", "group.db")
    ]


@pytest.fixture
def sweep(tmp_path) -> SweepFolder:
    """Three trials that have ended, one that means nothing, one that was cut, and one that runs."""
    folder = SweepFolder(tmp_path / "sweep")
    folder.path.mkdir()
    folder.begin(Sweep("matrix sweep", ["model=snap"]), None)
    for number in range(3):
        ended(folder.path / str(number), number)
    ended(folder.path / "3", 3, SKIPPED)
    ended(folder.path / "4", 4, RUNNING)
    ended(folder.path / ".running" / "5.17", 5)
    return folder


def runs(tracker: Tracker) -> list[Run]:
    client = tracker._client
    return list(client.search_runs([client.get_experiment_by_name(tracker.experiment).experiment_id]))


def published(folder: SweepFolder, tracker: Tracker, *names: str) -> tuple[int, int, int]:
    """Numbers of runs that were new, were there before, and failed."""
    with Publisher(tracker, folder, folder.sweep()) as publisher:
        for name in names:
            publisher.publish(name)
    return publisher.n_new, publisher.n_there, len(publisher.failed)


def check(folder: SweepFolder, tracker: Tracker) -> list[Run]:
    """One whole run a record under one parent; returns the runs of trials."""
    found = runs(tracker)
    (parent,) = (run for run in found if run.data.tags["tamis.kind"] == "sweep")
    trials = [run for run in found if run.data.tags["tamis.kind"] == "trial"]
    assert parent.info.run_name == "matrix sweep" and parent.info.status == "FINISHED"
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == {parent.info.run_id}
    records = [folder.record(name) for name in folder.names()]
    wanted = [one.id for one in records if one.status not in (RUNNING, SKIPPED)]
    assert sorted(run.data.tags[ID] for run in trials) == sorted(wanted)
    assert all(run.info.status != "RUNNING" for run in found)
    return trials


def test_every_record_has_one_run_on_each_server(sweep, trackers):
    for tracker in trackers:
        assert published(sweep, tracker) == (3, 0, 0)
        assert published(sweep, tracker) == (0, 3, 0)
        trials = check(sweep, tracker)
        assert {run.data.metrics["error"] for run in trials} == {0.0, 1.0, 2.0}
        assert {run.data.params["model"] for run in trials} == {"snap"}


def test_trials_are_published_as_they_end_and_those_of_an_earlier_start_too(sweep, trackers):
    published(sweep, trackers[0])
    ended(sweep.path / "6", 6)
    with Publisher(trackers[0], sweep, sweep.sweep()) as publisher:
        publisher.publish("6")
        ended(sweep.path / "7", 7)
        publisher.publish("7")
    assert publisher.n_new == 2
    check(sweep, trackers[0])


def test_a_folder_that_was_moved_or_copied_is_the_same_sweep(sweep, trackers, tmp_path):
    published(sweep, trackers[0])
    shutil.copytree(sweep.path, tmp_path / "copy")
    assert published(SweepFolder(tmp_path / "copy"), trackers[0]) == (0, 3, 0)
    check(sweep, trackers[0])


def test_half_written_runs_are_written_again(sweep, trackers):
    published(sweep, trackers[0])
    half = next(run for run in runs(trackers[0]) if run.data.tags["tamis.kind"] == "trial")
    trackers[0]._client.update_run(half.info.run_id, status="RUNNING")  # its writer was killed
    assert published(sweep, trackers[0]) == (1, 2, 0)
    check(sweep, trackers[0])


def test_second_runs_are_deleted(sweep, trackers):
    published(sweep, trackers[0])
    twin = next(run for run in runs(trackers[0]) if run.data.tags["tamis.kind"] == "trial")
    tags = {name: twin.data.tags[name] for name in ("tamis.kind", ID, "mlflow.parentRunId")}
    again = trackers[0]._client.create_run(twin.info.experiment_id, tags=tags)
    trackers[0]._client.set_terminated(again.info.run_id)
    assert published(sweep, trackers[0]) == (0, 3, 0)
    check(sweep, trackers[0])


def test_a_parent_that_was_left_open_is_ended(sweep, trackers):
    published(sweep, trackers[0])
    about = sweep.sweep()
    trackers[0].open_parent(about.id, about.name, {})  # its command was killed
    assert published(sweep, trackers[0]) == (0, 3, 0)
    check(sweep, trackers[0])


def test_a_sweep_that_is_stopped_is_called_killed(sweep, trackers):
    with pytest.raises(KeyboardInterrupt), Publisher(trackers[0], sweep, sweep.sweep()):
        raise KeyboardInterrupt
    (parent,) = (run for run in runs(trackers[0]) if run.data.tags["tamis.kind"] == "sweep")
    assert parent.info.status == "KILLED"
    published(sweep, trackers[0])
    check(sweep, trackers[0])


def test_a_trial_that_was_run_again_replaces_its_failure(sweep, trackers):
    trial = ended(sweep.path / "6", 6, FAILED)
    published(sweep, trackers[0])
    trial.joinpath(RECORD_FILE).rename(trial / "earlier_1.json")
    ended(trial, 6)
    assert published(sweep, trackers[0]) == (1, 3, 0)
    (run,) = (run for run in check(sweep, trackers[0]) if run.data.metrics["error"] == 6.0)
    assert run.data.tags["tamis.status"] == COMPLETE


def test_without_tracking_nothing_is_written(sweep, caplog):
    assert published(sweep, None, "0", "1") == (0, 0, 0)
    assert not caplog.records


def test_without_mlflow_the_sweep_goes_on(sweep, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    lost = Tracker(f"sqlite:///{tmp_path}/file/m.db", tmp_path, "tamis")
    assert published(sweep, lost, "0", "1")[:2] == (0, 0)
    assert caplog.text.count("MLflow cannot be reached") == 1 and "tamis sync" in caplog.text


def test_what_mlflow_missed_is_written_when_it_is_back(sweep, trackers, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PAUSE_S", 0.05)
    folder = tmp_path / "away"
    folder.write_text("")  # no folder for the database
    away = replace(trackers[0], uri=f"sqlite:///{folder}/m.db")
    with Publisher(away, sweep, sweep.sweep()) as publisher:
        publisher.publish("0")
        folder.unlink()
    assert publisher.n_new >= 1
    assert published(sweep, away) == (3 - publisher.n_new, publisher.n_new, 0)
    check(sweep, away)


def test_what_an_earlier_start_missed_is_written_when_mlflow_is_back(sweep, trackers, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "PAUSE_S", 0.05)
    folder = tmp_path / "away"
    folder.write_text("")  # no folder for the database
    away = replace(trackers[0], uri=f"sqlite:///{folder}/m.db")
    with Publisher(away, sweep, sweep.sweep()) as publisher:
        while not publisher._warned:
            time.sleep(0.01)
        folder.unlink()
    assert publisher.n_new == 3
    check(sweep, away)


def test_one_record_that_mlflow_refuses_holds_up_no_other(sweep, trackers, caplog, monkeypatch):
    fill = Tracker._fill

    def refused(self, run_id, record, folder):
        if folder.name == "1":
            raise MlflowException("the store says no")
        fill(self, run_id, record, folder)

    monkeypatch.setattr(Tracker, "_fill", refused)
    assert published(sweep, trackers[0]) == (2, 0, 1)
    assert "the store says no" in caplog.text
    assert len(runs(trackers[0])) == 3, "half a run of it is left"


def synced(*words: str) -> int:
    parser = ArgumentParser()
    sync.add_arguments(parser)
    return sync.run(parser.parse_args([str(word) for word in words]))


def test_sync_sends_sweeps_and_single_trials_below_a_folder(sweep, trackers, tmp_path, capsys):
    for number in range(2):
        ended(tmp_path / "outputs" / "day" / str(number), 10 + number)
    to = ("--uri", trackers[1].uri, "--experiment", "tamis")
    assert synced(tmp_path, *to) == 0
    assert "3 new, 0 already there" in (said := capsys.readouterr().out) and "2 single trials new" in said
    assert synced(tmp_path, *to) == 0
    assert "0 new, 3 already there" in (said := capsys.readouterr().out) and "2 already there" in said
    assert len(runs(trackers[1])) == 1 + 3 + 2


def test_sync_tells_of_damage_and_sends_the_rest(sweep, trackers, capsys):
    (sweep.path / "1" / RECORD_FILE).write_text('{"config": ')
    assert synced(sweep.path, "--uri", trackers[1].uri, "--experiment", "tamis") == 1
    said = capsys.readouterr()
    assert "2 new" in said.out and "is damaged" in said.err


def test_sync_leaves_a_sweep_alone_that_runs_and_sends_the_rest(sweep, trackers, tmp_path, capsys):
    ended(tmp_path / "outputs" / "0", 10)
    with sweep.alone():
        assert synced(tmp_path, "--uri", trackers[1].uri, "--experiment", "tamis") == 1
    said = capsys.readouterr()
    assert "another command runs the sweep" in said.err and "1 single trials new" in said.out


def test_sync_of_one_trial_of_a_sweep_sends_the_sweep(sweep, trackers):
    to = ("--uri", trackers[1].uri, "--experiment", "tamis")
    assert synced(sweep.path / "1", *to) == synced(sweep.path, *to) == 0
    check(sweep, trackers[1])


def test_sync_tells_that_a_server_is_away(sweep):
    with pytest.raises(TamisError) as caught:
        synced(sweep.path, "--uri", "http://user:Secr3t-word@127.0.0.1:9")
    assert "does not answer" in str(caught.value) and "Secr3t-word" not in str(caught.value)


def test_links_are_not_followed_to_the_server(tmp_path, mlflow_uri, caplog):
    """A folder of somebody else's may have one to a file of mine."""
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tests")
    secret, trial = tmp_path / "pgpass", tmp_path / "trial"
    secret.write_text("secret")
    (trial / "potential").mkdir(parents=True)
    (trial / "kept.extxyz").symlink_to(secret)
    (trial / "home").symlink_to(tmp_path)
    (trial / "potential" / "a.txt").write_text("a")
    record = TrialRecord(config={"choices": {}}, status=COMPLETE)
    record.save(trial)
    run_id = tracker.write(record, trial)
    sent = {path.name for path in (tmp_path / "artifacts").rglob("*") if path.is_file()}
    assert sent == {"record.json", "a.txt"}
    assert {one.path for one in tracker._client.list_artifacts(run_id)} == {"record.json", "potential"}
    assert caplog.text.count("is a link") == 2


def test_ids_are_of_one_record_and_stay(tmp_path):
    ids = Counter(record(0).id for _ in range(100))
    assert max(ids.values()) == 1
    folder = ended(tmp_path / "one", 0)
    assert read_record(folder).id == read_record(folder).id


GROUPS = (
    *("surface(110)", "surface:28110:29", "T=300K", "50%", "a,b", "a//b", "x/", ".", "..", "", "a\nb", "硅"),
    *("x" * 300, "x" * 301, "Bulk", "bulk", "\udcfc"),
)


def test_each_group_has_its_metric_whatever_it_is_called(trackers, tmp_path):
    one = record(0)
    one.metrics |= {f"test/force_mae_eV_per_A/{group}": float(i) for i, group in enumerate(GROUPS)}
    one.config["per_group"] = {group: i for i, group in enumerate(GROUPS)}
    one.problems = {group: "none" for group in GROUPS if group}
    folder = tmp_path / "7"
    one.save(folder)
    assert send_single(trackers[0], folder)
    (run,) = runs(trackers[0])
    found = {name: value for name, value in run.data.metrics.items() if name.startswith("test/")}
    assert sorted(found.values()) == list(range(len(GROUPS)))
    assert run.data.metrics["error"] == 0.0
    assert sum(key.startswith("per_group.") for key in run.data.params) == len(GROUPS)
    assert run.data.metrics["test/force_mae_eV_per_A/surface:28110:29"] == 0.0
    assert not send_single(trackers[0], folder)


def test_more_parameters_than_one_call_takes(trackers, tmp_path):
    one = record(0)
    one.config["weights"] = {f"element {i}": i for i in range(230)}
    one.save(tmp_path / "7")
    trackers[0].write(one, tmp_path / "7")
    (run,) = runs(trackers[0])
    assert sum(key.startswith("weights.") for key in run.data.params) == 230


def test_long_names_of_runs_and_experiments(tmp_path, trackers):
    tracker = replace(trackers[0], experiment="é" * 600 + "\udcfc")
    run_id = tracker.open_parent("1", "search " + "x" * 700 + "\udcfc", {})
    run = tracker._client.get_run(run_id)
    assert len(run.info.run_name) <= 250
    assert len(tracker._client.get_experiment(run.info.experiment_id).name) <= 500


def test_an_experiment_without_a_name(trackers):
    with pytest.raises(TamisError, match=r"tracking\.experiment is empty"):
        replace(trackers[0], experiment=" ").open_parent("1", "sweep", {})


def bytes_of(path):
    """0 for a journal of SQLite that has just been removed."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_a_database_is_whole_or_not_there_whenever_its_maker_is_killed(tmp_path):
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    make = "import sys; from tamis.tracking import Tracker; Tracker(*sys.argv[1:]).open_parent('a', 'a', {})"
    maker = subprocess.Popen([sys.executable, "-c", make, uri, tmp_path, "tamis"])
    while not any(bytes_of(path) for path in tmp_path.glob("*mlflow.db*")):  # its first tables are there
        assert maker.poll() is None
        time.sleep(0.01)
    maker.kill()
    maker.wait()
    tracker = Tracker(uri, tmp_path, "tamis")
    assert not tracker.children(tracker.open_parent("a", "a", {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mlflow.db", "mlflow.db.lock"]


def test_runs_of_trials_that_are_run_again_elsewhere_are_deleted(sweep, trackers):
    """A search repeats a trial that was cut under another number; what tamis sync sent of it meanwhile goes."""
    published(sweep, trackers[0])
    set_aside(sweep.path / "1")
    assert published(sweep, trackers[0]) == (0, 2, 0)
    check(sweep, trackers[0])


def test_records_that_were_read_before_are_not_read_again(sweep, trackers, monkeypatch):
    published(sweep, trackers[0])
    known = {name: sweep.record(name).id for name in ("0", "1", "2")}
    read = []
    monkeypatch.setattr(SweepFolder, "record", lambda self, name: read.append(name))
    with Publisher(trackers[0], sweep, sweep.sweep(), known) as publisher:
        pass
    assert publisher.n_there == 3 and read == ["3", "4"]


def test_the_page_opens_on_runs_with_a_view_and_leaves_what_people_chose(trackers, tmp_path):
    tracker = trackers[0]
    client = tracker._client
    id = client.create_experiment(
        tracker.experiment, tags={NOTE: "ours", KIND: "custom_model_development_inferred"}
    )
    tracker.open_parent("a", "a", {})
    tags = client.get_experiment(id).tags
    assert tags[NOTE] == "ours" and tags[KIND] == MACHINE_LEARNING
    state = json.loads(json.loads(tags[VIEW_TAG])["state"])
    assert "metrics.`validation/force_mae_eV_per_A`" in state["selectedColumns"]
    assert tracker.page == f"http://127.0.0.1:5000/{address_of(id)}"
    assert not missing_tags(id, tags)


@pytest.mark.parametrize(
    ("model", "pruner", "descriptor", "budget", "labels", "name"),
    [
        ("ace", "fps", "soap", {"fraction": 0.1}, {}, "ace · fps in soap · 10 % · split 2"),
        ("snap", "random", "none", {"n_atoms": 90}, {}, "snap · random · 90 atoms · split 2"),
        ("gap", "fps", "ace", {}, {"trial": "7"}, "trial 7 · gap · fps in ace · curve · split 2"),
    ],
)
def test_names_of_runs(model, pruner, descriptor, budget, labels, name):
    choices = {"model": model, "pruner": pruner, "descriptor": descriptor, "budget": "curve"}
    config = {"choices": choices, "budget": budget, "seed": {"split": 2}}
    assert run_name(TrialRecord(config=config, labels=labels)) == name


def test_data_and_kept_set_are_inputs_of_a_run(trackers, tmp_path):
    """Equal sets have equal digests, whatever chose them and in whatever order."""
    digests = []
    for number, ids in ((0, ("a", "b")), (1, ("b", "a")), (2, ("b", "c"))):
        one = record(number, started=1000.0, seconds={"fit": 2.5})
        one.dataset = DatasetFacts(fingerprint="f" * 64, pool=("a", "b", "c"), n_pool_atoms=24)
        one.selection, one.curve = SelectionFacts(ids=ids), [CurvePoint(2, 16, {"error": 1.0})]
        one.save(tmp_path / str(number))
        assert send_single(trackers[0], tmp_path / str(number))
    for run in sorted(runs(trackers[0]), key=lambda run: run.data.metrics["error"]):
        given = {one.tags[0].value: one.dataset for one in run.inputs.dataset_inputs}
        assert given["data"].digest == "f" * 36 and json.loads(given["data"].profile)["pool"] == 3
        assert json.loads(given["training"].profile) == {"structures": 2, "atoms": 16}
        digests.append(given["training"].digest)
        assert run.info.end_time - run.info.start_time == 2500, "the time of sending"
        assert run.data.tags["mlflow.user"] == tmp_path.owner()
        assert run.data.tags["mlflow.source.name"].startswith("tamis")
    assert len(set(digests)) == 2


def test_the_parent_has_the_summary_and_the_verdict_and_the_best_value(sweep, trackers):
    published(sweep, trackers[0])
    write_summary(sweep, "**Question**\n", {"error": 0.5})
    (sweep.path / "report").mkdir()
    (sweep.path / "report" / "verdict.md").write_text("own are better")
    for best in (0.5, 0.5, 0.25):
        write_summary(sweep, "**Question**\n", {"error": best})
        for tracker in trackers:  # tamis sync gives another server the same
            published(sweep, tracker)
    for tracker in trackers:
        (parent,) = (run for run in runs(tracker) if run.data.tags["tamis.kind"] == "sweep")
        assert (
            parent.data.tags[NOTE].startswith("**Question**") and "own are better" in parent.data.tags[NOTE]
        )
        history = tracker._client.get_metric_history(parent.info.run_id, "error")
        assert [one.value for one in history] == [0.5, 0.25] and parent.data.metrics == {"error": 0.25}
        assert {one.path for one in tracker._client.list_artifacts(parent.info.run_id)} == {
            "summary.md",
            "verdict.md",
        }
