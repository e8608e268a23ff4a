"""Worker processes that die, folders that killed ones leave, estimates, and one writer to MLflow."""

import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from omegaconf import OmegaConf
from tests.composing import composed

from tamis.core.errors import TamisError
from tamis.parts import resolved
from tamis.records.record import COMPLETE, FAILED, SKIPPED, TrialRecord, read_record
from tamis.records.versions import versions
from tamis.study.cli import what_is_done
from tamis.study.crew import bury, clear_away, run_all, start
from tamis.study.publish import JOURNAL, WRITTEN, Publisher
from tamis.study.trials import Trial
from tamis.study.worker import RUNNING_FOLDER, SharedParts, put_in_place
from tamis.sweeps.estimate import Estimate, Measured, estimate, measurements
from tamis.tracking import Tracker, tracker_of
from tamis.tracking.parents import PARENT_FILE, read_parent


def record(
    status: str = COMPLETE, reason: str = "", model: str = "snap", seconds: float = 1.0
) -> TrialRecord:
    config = {"choices": {"model": model, "descriptor": "snap", "pruner": "fps"}, "seed": {"split": 0}}
    return TrialRecord(config=config, status=status, reason=reason, seconds={"fit": seconds, "setup": 9.0})


def dying(name: str, target: str) -> Trial:
    """A trial whose model is a function that ends the process, or one that is no class at all."""
    config = {"choices": {"model": name}, **resolved(composed())}
    return Trial(name, "a", config | {"model": {"_target_": target}}, (f"model={name}",))


def test_a_worker_that_dies_fails_its_trial_and_no_other(tmp_path):
    trials = [dying("first", "no.such.thing"), dying("killer", "os.abort"), dying("last", "no.such.thing")]
    assert [trial.name for trial in run_all(trials, tmp_path, 1)] == ["first", "killer", "last"]
    found = {trial.name: read_record(tmp_path / trial.name) for trial in trials}
    assert {one.status for one in found.values()} == {FAILED}
    assert found["killer"].reason == "its process ended with signal 6"
    assert found["killer"].config["choices"] == {"model": "killer"}
    assert all("no.such.thing" in found[name].reason for name in ("first", "last"))
    assert not list((tmp_path / RUNNING_FOLDER).iterdir())


def ended(folder, one: TrialRecord):
    folder.mkdir(parents=True)
    one.save(folder)
    return folder


def test_a_success_is_not_overwritten(tmp_path):
    first = ended(tmp_path / "trial", record(reason="first"))
    put_in_place(ended(tmp_path / "running" / "trial.1", record(reason="second")), first)
    assert read_record(first).reason == "first" and not (tmp_path / "running" / "trial.1").exists()


def test_records_of_earlier_failures_stay(tmp_path):
    final = ended(tmp_path / "trial", record(FAILED, "first"))
    for number, again in enumerate((record(FAILED, "second"), record(reason="third"))):
        put_in_place(ended(tmp_path / "running" / f"trial.{number}", again), final)
    reasons = [
        json.loads((final / f).read_text())["reason"]
        for f in ("earlier_1.json", "earlier_2.json", "record.json")
    ]
    assert reasons == ["first", "second", "third"]
    assert not list((tmp_path / "running").iterdir())


def test_only_the_dead_are_cleared_away(tmp_path):
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        for process in (living.pid, "old"):
            ended(tmp_path / RUNNING_FOLDER / f"trial.{process}", record())
        clear_away(tmp_path)
        assert [path.name for path in (tmp_path / RUNNING_FOLDER).iterdir()] == [f"trial.{living.pid}"]
    clear_away(tmp_path)
    assert not list((tmp_path / RUNNING_FOLDER).iterdir())


def test_files_that_were_being_written_are_cleared_away(tmp_path):
    kept = [".composed.json", ".lock", "mlflow_runs.txt", f".composed.json.{os.getpid()}.0123abcd"]
    for name in (*kept, ".composed.json.999999999.0123abcd"):
        (tmp_path / name).write_text("")
    clear_away(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_equal_parts_are_built_once():
    shared, config = SharedParts(), resolved(composed())
    one, two = shared(config), shared(json.loads(json.dumps(config)))
    other = shared(resolved(composed("latent.scaling=none")))
    assert one.store is two.store and one.model is two.model and one.model is other.model
    assert one.latent is not other.latent


def test_a_worker_killed_after_its_trial_does_not_undo_it(tmp_path):
    """Killed between putting the folder in place and telling the study; and before its first trial."""
    trial = Trial("trial", "a", record().config, ())
    for there in (True, False):
        worker = start(tmp_path)
        worker.process.kill()
        worker.batches.append([trial])
        if there:
            before = ended(tmp_path / "trial", record(reason="mine"))
            assert bury(worker, tmp_path) is trial and read_record(before).reason == "mine"
            shutil.rmtree(before)
        else:
            with pytest.raises(TamisError, match="-9 before it began a trial"):
                bury(worker, tmp_path)


def held(name: str, gate: Path) -> Trial:
    """A trial that waits until something is written to ``gate``, and fails then."""
    if not gate.exists():
        os.mkfifo(gate)
    one = dying(name, "io.open")
    return replace(one, config=one.config | {"model": {"_target_": "io.open", "_args_": [str(gate)]}})


def with_own_data(trials: list[Trial]) -> list[Trial]:
    """The same, in a batch each."""
    return [
        replace(one, config=one.config | {"validation_fraction": 0.1 + 0.01 * n})
        for n, one in enumerate(trials)
    ]


def who_runs(name: str, folder: Path) -> int:
    """The process that is at a trial."""
    ends = time.monotonic() + 60
    while not (places := list((folder / RUNNING_FOLDER).glob(f"{name}.*"))):
        assert time.monotonic() < ends
        time.sleep(0.02)
    return int(places[0].suffix[1:])


def test_an_idle_worker_that_dies_costs_nothing(tmp_path):
    """Near the end one has nothing left to do, and is killed while the other is at its last."""
    gate = tmp_path / "gate"
    ending = run_all(with_own_data([dying("quick", "no.such.thing"), held("slow", gate)]), tmp_path, 2)
    assert next(ending).name == "quick"
    busy = who_runs("slow", tmp_path)
    (idle,) = [process for process in multiprocessing.active_children() if process.pid != busy]
    idle.kill()
    idle.join()
    gate.write_text("")
    assert [trial.name for trial in ending] == ["slow"]
    assert "signal" not in read_record(tmp_path / "slow").reason


def test_a_worker_that_dies_before_it_gets_more_costs_one_trial(tmp_path):
    trials = [dying("first", "no.such.thing"), held("killed", tmp_path / "gate"), dying("last", "no.such")]
    ending = run_all(with_own_data(trials), tmp_path, 1)
    assert next(ending).name == "first"
    killed = who_runs("killed", tmp_path)
    (worker,) = [process for process in multiprocessing.active_children() if process.pid == killed]
    worker.kill()
    worker.join()
    assert [trial.name for trial in ending] == ["killed", "last"]
    assert read_record(tmp_path / "killed").reason.startswith("its process ended with signal 9")
    assert "no.such" in read_record(tmp_path / "last").reason


def like(**what) -> Mapping[str, Any]:
    """A configuration as far as its time depends on it."""
    about = {
        "model": "snap",
        "descriptor": "snap",
        "pruner": "fps",
        "element": "Si",
        "fractions": [0.1, 1.0],
    } | what
    choices = {name: about[name] for name in ("model", "descriptor", "pruner")} | {"evaluation": "errors"}
    return {
        "choices": choices,
        "seed": {"split": 0},
        "dataset": {"elements": [about["element"]], "split": about.get("split", "published")},
        "budget": {"fractions": about["fractions"]},
        "evaluation": {"properties": what.get("properties")},
    }


STAGES = dict.fromkeys(("setup", "dataset", "rows", "features", "selection", "fit", "errors"), 1.0)


def measured(fit: float = 1.0, **what) -> Measured:
    return Measured(like(**what), STAGES | {"fit": fit} | what.get("stages", {}), 1000)


def estimated(ran: list[Measured], *left: Mapping[str, Any]) -> Estimate:
    return estimate([Trial("x", "a", config, ()) for config in left], ran)


def test_estimates_take_the_mean_of_the_trials_most_alike():
    ran = [measured(1.0), measured(4.0), measured(99.0, model="ace"), measured(9.0, element="Mo")]
    assert estimated(ran, like()).seconds == pytest.approx(6.0 + 2.5)
    assert estimated(ran, like(pruner="cur")).unknown == {"selection of cur": 1}
    assert estimated(ran, like(element="Mo"), like(element="Li")).seconds == pytest.approx(
        6.0 + 9.0 + 6.0 + (1.0 + 4.0 + 9.0) / 3
    )


def test_what_one_trial_does_for_many_does_not_count():
    """The first of a process reads the data and makes the rows; the median is that of the others."""
    ran = [measured(stages={"rows": 500.0}), measured(), measured()]
    assert estimated(ran, like(), like()).seconds == pytest.approx(2 * 7.0)


def test_a_shorter_curve_takes_its_points():
    one = estimated([measured(8.0)], like(fractions=[0.3]))
    assert one.seconds == pytest.approx(5.0 + 8.0 / 2 + 1.0 / 2) and one.n_like == 1


def test_parts_that_were_never_run_are_named_and_the_others_counted():
    ran = [measured(), measured(3.0, model="nnp_quick")]
    found = estimated(ran, like(), like(model="gap"), like(properties={"elastic": {}}))
    assert (found.n, found.n_like) == (3, 1)
    assert found.unknown == {"fit of gap": 1, "errors of gap": 1, "properties of snap": 1}
    # of gap: no time of its rows, its fit and its errors
    assert found.seconds == pytest.approx(7.0 + 4.0 + 7.0) and found.size == pytest.approx(3000)


def test_only_complete_trials_are_measured(tmp_path):
    ended(tmp_path / "one", record(seconds=2.0))
    ended(tmp_path / "failed", record(FAILED, seconds=1000.0))
    (one,) = measurements([tmp_path])
    assert one.seconds == {"fit": 2.0, "setup": 9.0}
    assert one.size == (tmp_path / "one" / "record.json").stat().st_size


def test_nothing_measured_gives_no_estimate():
    found = estimated([], like())
    assert (found.n_like, found.seconds, found.size) == (0, 0.0, 0.0) and "fit of snap" in found.unknown


def test_records_of_other_versions_are_told(tmp_path):
    trials = [Trial(name, "a", record().config, ()) for name in ("one", "two", "none")]
    for name, numpy in (("one", "0.1"), ("two", versions()["numpy"])):
        ended(tmp_path / name, replace(record(), versions=versions() | {"numpy": numpy}))
    status, words = what_is_done(tmp_path, trials)
    assert status == {"one": COMPLETE, "two": COMPLETE, "none": ""}
    assert words == f"numpy 0.1 (now {versions()['numpy']})"
    assert what_is_done(tmp_path, trials[1:])[1] == ""


@pytest.fixture
def publisher(tmp_path, mlflow_uri):
    for name, status in (("one", COMPLETE), ("two", FAILED), ("three", SKIPPED)):
        ended(tmp_path / "study" / name, record(status))
    tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tamis", False, False)
    return Publisher(tracker, tmp_path / "study")


def runs(publisher: Publisher) -> list:
    client = MlflowClient(publisher.tracker.uri)
    return client.search_runs([client.get_experiment_by_name(publisher.tracker.experiment).experiment_id])


def test_a_resumed_study_goes_on_with_its_parent(publisher):
    publisher.open()
    for name in ("one", "two", "three"):
        publisher.publish(name)
    publisher.close("KILLED")
    again = Publisher(publisher.tracker, publisher.folder)
    again.open()
    assert again.parent == publisher.parent and again.written == {"one", "two"}
    again.close("FINISHED")
    found = {run.data.tags.get("tamis.folder", "").rpartition("/")[2]: run for run in runs(publisher)}
    assert set(found) == {"", "one", "two"}  # a skipped combination is no run
    assert found[""].info.status == "FINISHED"
    assert found["one"].data.tags["mlflow.parentRunId"] == publisher.parent


def test_without_tracking_nothing_is_written_and_what_was_is_not_forgotten(publisher, caplog):
    publisher.open()
    publisher.publish("one")
    journal, parent = publisher.folder / JOURNAL, read_parent(publisher.folder)
    before = journal.read_text()
    without = Publisher(tracker_of(OmegaConf.create({"tracking": None})), publisher.folder)
    without.open()
    without.publish("two")
    without.close("FINISHED")
    assert len(runs(publisher)) == 2 and not caplog.records
    assert journal.read_text() == before and read_parent(publisher.folder) == parent


def test_a_half_written_run_is_written_again(publisher):
    publisher.open()
    publisher.publish("one")
    (run,) = (run for run in runs(publisher) if run.data.tags["tamis.kind"] == "trial")
    publisher.tracker._client.update_run(run.info.run_id, status="RUNNING")  # killed in between
    journal = publisher.folder / JOURNAL
    journal.write_text("wri")
    again = Publisher(publisher.tracker, publisher.folder)
    again.open()
    assert not again.written
    again.publish("one")
    assert len(runs(publisher)) == 2 and run.info.run_id not in {run.info.run_id for run in runs(publisher)}
    assert journal.read_text().splitlines() == ["wri", f"{WRITTEN} one"]


def test_a_run_that_was_written_and_not_noted_is_not_written_twice(publisher):
    publisher.open()
    publisher.publish("one")
    (publisher.folder / JOURNAL).unlink()
    again = Publisher(publisher.tracker, publisher.folder)
    again.open()
    again.publish("one")
    assert len(runs(publisher)) == 2 and again.written == {"one"}


def test_a_parent_that_was_made_and_not_noted_is_found(publisher):
    publisher.open()
    path = publisher.folder / PARENT_FILE
    replace(read_parent(publisher.folder), run_id="", uri="", experiment="").write(publisher.folder)
    again = Publisher(publisher.tracker, publisher.folder)
    again.open()
    assert again.parent == publisher.parent and len(runs(publisher)) == 1 and again.parent in path.read_text()


def test_a_trial_that_is_done_again_replaces_its_run(publisher):
    publisher.open()
    publisher.publish("two")
    publisher.forget(["two", "one"])
    again = Publisher(publisher.tracker, publisher.folder)  # killed before the new run was written
    again.open()
    assert not again.written
    ended(publisher.folder / "new", record(COMPLETE))
    put_in_place(publisher.folder / "new", publisher.folder / "two")
    again.publish("two")
    (run,) = (run for run in runs(publisher) if run.data.tags["tamis.kind"] == "trial")
    assert run.data.tags["tamis.status"] == COMPLETE


def test_another_experiment_gets_everything(publisher):
    publisher.open()
    publisher.publish("one")
    other = Publisher(
        replace(publisher.tracker, experiment=f"{publisher.tracker.experiment} 2"), publisher.folder
    )
    other.open()
    assert other.parent not in ("", publisher.parent) and not other.written


def test_a_lost_database_gets_everything(publisher):
    publisher.open()
    publisher.publish("one")
    publisher.tracker._client.delete_run(publisher.parent)
    other = Publisher(publisher.tracker, publisher.folder)
    other.open()
    assert other.parent not in ("", publisher.parent) and not other.written


def test_without_mlflow_the_study_goes_on(publisher, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    lost = Publisher(Tracker(f"sqlite:///{tmp_path}/file/m.db", tmp_path, "tamis"), publisher.folder)
    lost.open()
    lost.publish("one")
    lost.close("FINISHED")
    assert caplog.text.count("MLflow is away") == 1
    assert not (publisher.folder / JOURNAL).exists()


def test_what_mlflow_missed_is_written_when_it_is_back(publisher, tmp_path):
    folder = tmp_path / "away"
    folder.write_text("")  # no folder for the database
    lost = Publisher(replace(publisher.tracker, uri=f"sqlite:///{folder}/m.db"), publisher.folder)
    lost.open()
    lost.publish("one")
    folder.unlink()
    lost.publish("two")  # not tried again so soon
    assert list(lost.waiting) == ["one", "two"] and not lost.written
    lost.pause_until = 0.0
    lost.publish("three")
    assert lost.written == {"one", "two"} and not lost.waiting
    lost.close("FINISHED")
    assert {run.info.status for run in runs(lost)} == {"FINISHED", "FAILED"} and len(runs(lost)) == 3


def test_one_record_that_mlflow_refuses_holds_up_no_other(publisher, caplog, monkeypatch):
    publisher.open()
    fill = Tracker._fill

    def refused(self, run_id, record, folder):
        if folder.name == "one":
            raise MlflowException("the store says no")
        fill(self, run_id, record, folder)

    monkeypatch.setattr(Tracker, "_fill", refused)
    publisher.publish("one")
    publisher.publish("two")
    assert publisher.written == {"two"} and "one is not logged" in caplog.text
    assert len(runs(publisher)) == 2, "half a run of it is left"
