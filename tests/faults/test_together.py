"""Two programs on one folder, and what killed ones leave to the next."""

import json
import multiprocessing
import os
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tamis.study.cli import _alone
from tamis.study.crew import clear_away
from tamis.study.trials import Trial
from tamis.study.worker import OLD, RUNNING_FOLDER, work
from tamis.sweep import SweepRun

from tamis.commands.arguments import appears_whole
from tamis.core.errors import TamisError
from tamis.core.locks import LOCK_FILE
from tamis.records.record import FAILED, RECORD_FILE, TrialRecord, read_record
from tamis.trial import _ended

HOLDER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR if os.path.isfile(sys.argv[1]) else os.O_RDONLY)
fcntl.flock(handle, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def held():
    """Calls hold files or folders as another program does, until the end of the test."""
    holders = []

    def hold(path: Path) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        holders.append(subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], **pipes))
        assert holders[-1].stdout.readline() == b"held\n"

    yield hold
    for holder in holders:
        holder.communicate()


def test_a_second_study_in_one_folder_is_refused(tmp_path, held):
    with _alone(tmp_path):
        pass
    held(tmp_path / LOCK_FILE)
    with (
        pytest.raises(TamisError, match="another tamis-study runs in .*choose another --folder"),
        _alone(tmp_path),
    ):
        pass


def test_a_second_sweep_in_one_folder_is_refused(tmp_path, held):
    place = tmp_path / "sweep"
    place.mkdir()
    lock = place / LOCK_FILE
    lock.touch()
    held(lock)
    hydra = {"sweeper": {}, "launcher": {"_target_": "basic"}, "sweep": {"dir": str(place)}}
    with pytest.raises(SystemExit, match="another sweep works in .*choose another hydra.sweep.dir"):
        SweepRun().on_multirun_start(OmegaConf.create({"hydra": hydra}))
    assert list(place.iterdir()) == [lock]


def test_a_failure_whose_repetition_was_killed_while_it_took_its_place_is_back(tmp_path):
    """Between two renames neither was in place: the failure's record, and its run in MLflow, were forgotten."""
    place = tmp_path / RUNNING_FOLDER / f"trial.999999999{OLD}"
    place.mkdir(parents=True)
    TrialRecord({}, status=FAILED, reason="first").save(place)
    (tmp_path / RUNNING_FOLDER / "trial.999999999").mkdir()
    clear_away(tmp_path)
    assert read_record(tmp_path / "trial").reason == "first"
    assert not list((tmp_path / RUNNING_FOLDER).iterdir())


def test_a_failure_that_was_replaced_stays_replaced(tmp_path):
    for path, reason in ((tmp_path / "trial", "second"), (tmp_path / RUNNING_FOLDER / f"trial.9{OLD}9", "x")):
        path.mkdir(parents=True)
        TrialRecord({}, status=FAILED, reason=reason).save(path)
    (tmp_path / RUNNING_FOLDER / f"trial.9{OLD}9").rename(tmp_path / RUNNING_FOLDER / f"trial.999999999{OLD}")
    clear_away(tmp_path)
    assert read_record(tmp_path / "trial").reason == "second"
    assert not list((tmp_path / RUNNING_FOLDER).iterdir())


def test_what_a_living_worker_moves_is_left_alone(tmp_path):
    place = tmp_path / RUNNING_FOLDER / f"trial.{os.getpid()}{OLD}"
    place.mkdir(parents=True)
    clear_away(tmp_path)
    assert place.is_dir()


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    final = tmp_path / "deep" / "report"
    with pytest.raises(ZeroDivisionError), appears_whole(final) as scratch:
        (scratch / "half").write_text("")
        raise ZeroDivisionError
    assert not list(final.parent.iterdir())
    with (
        pytest.raises(TamisError, match=r"cannot write .*report \(No such file.*--out"),
        appears_whole(final) as scratch,
    ):
        (scratch / "not" / "there").write_text("")
    with appears_whole(final) as scratch:
        (scratch / "whole").write_text("")
        assert not final.exists()
    assert [path.name for path in final.iterdir()] == ["whole"]
    with pytest.raises(TamisError, match="Directory not empty"), appears_whole(final) as scratch:
        (scratch / "second").write_text("")  # by another program, at the same time
    assert [path.name for path in final.parent.iterdir()] == ["report"]


def test_a_worker_that_cannot_write_ends_with_a_sentence(tmp_path, capfd):
    """It has no record to tell it in."""
    (tmp_path / RUNNING_FOLDER).write_text("in the way")
    ours, theirs = multiprocessing.Pipe()
    ours.send([Trial("trial", "block", {}, ())])
    worker = multiprocessing.get_context("fork").Process(target=work, args=(theirs, tmp_path))
    worker.start()
    worker.join()
    said = capfd.readouterr().err
    assert worker.exitcode == 1 and "Traceback" not in said
    assert said.startswith("trial: ") and RUNNING_FOLDER in said


def test_a_traceback_that_cannot_be_written_fails_no_sweep(tmp_path):
    (tmp_path / "traceback.txt").mkdir()  # as good as a full disk
    record = _ended(TrialRecord({}), tmp_path, lambda: 1 / 0)
    saved = json.loads((tmp_path / RECORD_FILE).read_text())
    assert record.status == saved["status"] == FAILED and "ZeroDivisionError" in saved["reason"]
