"""Ctrl-C is an interruption, whoever takes it for something else on the way."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ase.build import bulk
from tests.composing import composed

from tamis import trial as story
from tamis.core.interrupts import heeding_interrupts, interruptible_quip, remember_interrupts
from tamis.engines.lammps import ExternalForces
from tamis.records.record import INTERRUPTED, read_record
from tamis.tracking.content import ENDED
from tamis.trial import run_trial


@pytest.fixture
def ctrl_c(interruptible):
    """Sends the signal to this process, whose handler is as in a terminal."""
    remember_interrupts()
    return lambda: os.kill(os.getpid(), signal.SIGINT)


def test_what_swallows_it_does_not_keep_it(ctrl_c):
    with pytest.raises(KeyboardInterrupt), heeding_interrupts():
        try:
            ctrl_c()
            time.sleep(1)
        except BaseException:
            pass
    with pytest.raises(KeyboardInterrupt), heeding_interrupts():
        pytest.fail("what comes next does not begin")


def test_what_makes_an_error_of_it(ctrl_c):
    with pytest.raises(KeyboardInterrupt), heeding_interrupts():
        try:
            ctrl_c()
            time.sleep(1)
        except KeyboardInterrupt as error:
            raise ValueError("the file is damaged") from error


def test_where_it_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    remember_interrupts()
    assert signal.signal(signal.SIGINT, before) is signal.SIG_IGN


def test_other_errors_of_quip_are_errors():
    with pytest.raises(RuntimeError, match="other"), interruptible_quip():
        raise RuntimeError("other")


def test_in_a_callback_of_lammps(ctrl_c):
    """ctypes prints what a callback raises, and goes on."""

    class Interrupted:
        def calculate(self, *_):
            ctrl_c()
            time.sleep(1)

    forces = ExternalForces(Interrupted(), ["Si"])
    forces._lammps = type("Lmp", (), {"extract_box": lambda self: ([0] * 3, [5] * 3, 0, 0, 0, 0, 0)})()
    f = bulk("Si").positions[:1] * 0
    forces._fill(None, 0, 1, [1], bulk("Si").positions[:1], f)
    assert isinstance(forces.error, KeyboardInterrupt)


def test_the_record_says_interrupted(tmp_path, monkeypatch, ctrl_c):
    monkeypatch.setattr(story, "_run", lambda *_: ctrl_c() or time.sleep(1))
    with pytest.raises(KeyboardInterrupt):
        run_trial(composed(), {}, tmp_path)
    assert (record := read_record(tmp_path)).status == INTERRUPTED
    assert ENDED[record.status] == "KILLED"


@pytest.mark.slow
@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize(
    "more",
    [["model=gap"], ["descriptor=soap"], ["-m", "descriptor=soap", "seed.split=0,1"]],
    ids=["gap", "soap", "a sweep"],
)
def test_ctrl_c_in_fortran(more, tmp_path):
    """The whole command: exit status 130, a sentence, and a record that says so."""
    typed = [*more, "tracking=null", "store.n_jobs=1", f"store.root={tmp_path}/store"]
    if "-m" not in more:
        typed.append("hydra.run.dir=out")
    process = subprocess.Popen(
        [sys.executable, "-m", "tamis.cli", *typed], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    wait_for_rows(tmp_path / "store", process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "interrupted" in said and "Traceback" not in said
    (path,) = tmp_path.rglob("record.json")
    assert json.loads(path.read_text())["status"] == INTERRUPTED


def wait_for_rows(store: Path, process: subprocess.Popen[str]) -> None:
    """Until some structures are featurised: then nearly all of the time is spent in Fortran."""
    for _ in range(1200):
        if len(list(store.rglob("*.npy"))) > 10:
            return
        assert process.poll() is None, "ended before it was interrupted"
        time.sleep(0.05)
    process.kill()
    raise TimeoutError("no rows")
