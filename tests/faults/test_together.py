"""What killed programs leave to the next, and what cannot be written."""

import json
from pathlib import Path

import pytest

from tamis.commands.arguments import appears_whole
from tamis.core.errors import TamisError
from tamis.records.record import COMPLETE, FAILED, RECORD_FILE, TrialRecord, read_record
from tamis.sweeps.job import Job
from tamis.sweeps.running import RUNNING_FOLDER, put_in_place, run_job, set_aside
from tamis.trial import _to_its_end


def saved(folder: Path, status: str, reason: str) -> Path:
    folder.mkdir(parents=True)
    TrialRecord({}, status=status, reason=reason).save(folder)
    return folder


def test_the_record_of_a_failure_stays_beside_that_of_the_next_try(tmp_path):
    final = saved(tmp_path / "trial", FAILED, "first")
    set_aside(final)
    put_in_place(saved(tmp_path / RUNNING_FOLDER / "trial.1", FAILED, "second"), final)
    set_aside(final)
    put_in_place(saved(tmp_path / RUNNING_FOLDER / "trial.2", COMPLETE, ""), final)
    reasons = {path.name: json.loads(path.read_text())["reason"] for path in final.glob("*.json")}
    assert reasons == {"earlier_1.json": "first", "earlier_2.json": "second", RECORD_FILE: ""}


def test_what_is_complete_is_not_overwritten(tmp_path):
    final = saved(tmp_path / "trial", COMPLETE, "first")
    put_in_place(saved(tmp_path / RUNNING_FOLDER / "trial.1", COMPLETE, "second"), final)
    assert read_record(final).reason == "first" and not list((tmp_path / RUNNING_FOLDER).iterdir())
    assert run_job(Job("trial", (), {}), tmp_path) == COMPLETE, "the answer was lost, and is asked for again"


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


def test_a_traceback_that_cannot_be_written_fails_no_sweep(tmp_path):
    (tmp_path / "traceback.txt").mkdir()  # as good as a full disk
    record = _to_its_end(TrialRecord({}), tmp_path, lambda: 1 / 0)
    saved = json.loads((tmp_path / RECORD_FILE).read_text())
    assert record.status == saved["status"] == FAILED and "ZeroDivisionError" in saved["reason"]
