"""One command at a time in a sweep's folder; what has a record is not run again."""

import json
import subprocess
import sys

import pytest
import yaml
from hydra import initialize_config_dir

from tamis.analysis.protocol import PROTOCOL_FILE
from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, SKIPPED, TrialRecord
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.grid import composed
from tamis.sweeps.job import Job

CONFIG = {"model": {"r_cut": 4.0}, "store": {"root": "here"}, "seed": {"split": 0}}


def ended(folder: SweepFolder, name: str, status: str = COMPLETE) -> None:
    (folder.path / name).mkdir(parents=True)
    TrialRecord(config=CONFIG, status=status).save(folder.path / name)


def job(name: str, **more) -> Job:
    return Job(name, (), CONFIG | more)


@pytest.fixture
def folder(tmp_path) -> SweepFolder:
    return SweepFolder(tmp_path / "sweep")


def test_what_has_ended_is_not_run_again(folder):
    for status in (COMPLETE, FAILED, SKIPPED, INTERRUPTED, RUNNING):
        ended(folder, status, status)
    jobs = [job(name) for name in (COMPLETE, FAILED, SKIPPED, INTERRUPTED, RUNNING, "new")]
    assert set(folder.done(jobs)) == {COMPLETE, FAILED, SKIPPED}
    assert set(folder.done(jobs, retry_failed=True)) == {COMPLETE, SKIPPED}


def test_a_trial_with_other_settings_is_refused_with_the_difference(folder):
    ended(folder, "one")
    assert folder.done([job("one", store={"root": "there"})])
    with pytest.raises(TamisError, match=r"model\.r_cut: 4\.0 -> 5\.0"):
        folder.done([job("one", model={"r_cut": 5.0})])


def test_a_trial_is_found_by_any_of_the_overrides_that_mean_it(folder):
    register_resolvers()
    one, other = ("pruner=random", "descriptor=snap"), ("pruner=random", "descriptor=soap")
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        (before,) = composed([("", other)])
        (grown,) = composed([("", one), ("", other)])
    assert folder.known(grown).name == grown.name != before.name
    ended(folder, before.name)
    assert folder.known(grown).name == before.name


def test_a_second_command_is_refused(folder):
    code = (
        "import sys; from pathlib import Path; from tamis.sweeps.folder import SweepFolder\n"
        "with SweepFolder(Path(sys.argv[1])).alone(): pass"
    )
    with folder.alone():
        done = subprocess.run([sys.executable, "-c", code, folder.path], capture_output=True, text=True)
    assert "another command runs the sweep" in done.stderr
    assert subprocess.run([sys.executable, "-c", code, folder.path]).returncode == 0


def test_what_a_killed_command_left_half_done_is_removed(folder):
    (folder.path / ".running" / "one.17").mkdir(parents=True)
    with folder.alone():
        pass
    assert not (folder.path / ".running").exists()


def test_a_sweep_keeps_its_name_and_its_protocol(folder):
    folder.path.mkdir()
    assert folder.sweep() is None
    protocol = {"data": [{"dataset": "mlearn"}], "models": ["snap"], "pruner": "fps", "descriptors": ["ace"]}
    first = folder.begin(Sweep("first"), protocol)
    assert folder.begin(Sweep("second"), protocol) == first == folder.sweep()
    assert yaml.safe_load((folder.path / PROTOCOL_FILE).read_text()) == protocol
    with pytest.raises(TamisError, match="fixed before the first trial"):
        folder.begin(Sweep("first"), {**protocol, "level": 0.9})
    with pytest.raises(TamisError, match=r"protocol\.confidence"):
        folder.begin(Sweep("first"), {**protocol, "confidence": 0.9})


def test_a_damaged_file_is_named(folder):
    folder.path.mkdir()
    (folder.path / "sweep.json").write_text(json.dumps({"title": "none"}))
    with pytest.raises(TamisError, match="sweep.json is damaged"):
        folder.sweep()


def test_names_come_in_order_and_repeats_too(folder):
    for name in ("10", "2", "7/1", "7/0", ".running/3.17"):
        ended(folder, name)
    assert folder.names() == ["2", "7/0", "7/1", "10"]
