"""Workers that share cores: some at work, the others in line."""

import os
import subprocess
import sys
import threading
import time

import pytest

from hydra_plugins.tamis_study_sweeper._turns import Turns, usable_cores

WORKER = """
import sys, time
from pathlib import Path
from hydra_plugins.tamis_study_sweeper._turns import Turns
folder, n, rounds, seconds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
for _ in range(rounds):
    with Turns(folder, n).one():
        print("+", end="", file=open(folder / "log", "a"), flush=True)
        time.sleep(seconds)
        print("-", end="", file=open(folder / "log", "a"), flush=True)
"""


def start(folder, n, rounds=1, seconds=0.02) -> subprocess.Popen:
    words = map(str, (folder, n, rounds, seconds))
    return subprocess.Popen([sys.executable, "-c", WORKER, *words])


def at_work(log: str) -> list[int]:
    """How many were at work, after each coming and going."""
    return [log[: i + 1].count("+") - log[: i + 1].count("-") for i in range(len(log))]


@pytest.mark.parametrize("n", [1, 2])
def test_no_more_than_n_work_at_a_time_and_all_get_their_turns(tmp_path, n):
    workers = [start(tmp_path, n, rounds=4) for _ in range(4)]
    assert [worker.wait() for worker in workers] == [0] * 4
    numbers = at_work((tmp_path / "log").read_text())
    assert len(numbers) == 32
    assert max(numbers) == n


def test_a_turn_ends_with_its_process(tmp_path):
    holder = start(tmp_path, 1, seconds=600)
    try:
        while not (tmp_path / "log").exists():
            time.sleep(0.01)
        waiting = start(tmp_path, 1)
        assert not waiting_ended(waiting, 0.3)
    finally:
        holder.kill()
        holder.wait()
    assert waiting.wait() == 0


def waiting_ended(process: subprocess.Popen, seconds: float) -> bool:
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.skipif(len(usable_cores()) < 2, reason="needs two cores")
def test_processes_on_other_cores_do_not_wait(tmp_path):
    """Tasks of a cluster on one node, each bound to cores of its own."""
    mine, *_ = usable_cores()
    holder = start(tmp_path, 1, seconds=600)
    try:
        while not (tmp_path / "log").exists():
            time.sleep(0.01)
        bound = threading.Thread(target=enter, args=(tmp_path, mine), daemon=True)
        bound.start()
        bound.join(60)
        assert not bound.is_alive()
    finally:
        holder.kill()
        holder.wait()


def enter(folder, core: int) -> None:
    os.sched_setaffinity(0, {core})  # of this thread
    with Turns(folder, 1).one():
        pass
