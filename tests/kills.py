"""A command that is killed at random moments, with its workers or without them, and started again each time."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil

from tamis.sweeps.running import ALLOWED_DEATHS, RUNNING_FOLDER

PATIENCE_S = 600


def workers(parent: subprocess.Popen[str]) -> list[psutil.Process]:
    """Local worker processes of a command that live; none where it has ended."""
    found: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        for child in psutil.Process(parent.pid).children():
            with suppress(psutil.NoSuchProcess):  # a zombie: killed, and not buried yet
                if "spawn_main" in " ".join(child.cmdline()):
                    found.append(child)
    return found


def under_way(folder: Path) -> Counter[str]:
    """Name -> how often it was begun, of the jobs of a sweep that have not ended."""
    running = folder / RUNNING_FOLDER
    begun: Counter[str] = Counter()
    with suppress(FileNotFoundError):  # a job ends meanwhile
        for path in [*running.glob("*.????????"), *running.glob("*/*.????????")]:
            begun[path.relative_to(running).as_posix().rpartition(".")[0]] += 1
    return Counter({name: n for name, n in begun.items() if not (folder / name).exists()})


def may_die(folder: Path) -> bool:
    """Whether no job would have died too often if its worker died now."""
    return max(under_way(folder).values(), default=0) <= ALLOWED_DEATHS


def wait_for_work(parent: subprocess.Popen[str], folder: Path, needs_worker: bool) -> bool:
    """Wait until a job was begun, and none would fail if it were killed; False when the command has ended."""
    ends = time.monotonic() + PATIENCE_S
    while parent.poll() is None:
        assert time.monotonic() < ends
        if under_way(folder) and may_die(folder) and (workers(parent) or not needs_worker):
            return True
        time.sleep(0.02)
    return False


def killed_until_whole(
    begin: Callable[[], subprocess.Popen[str]],
    folder: Path,
    n_parents: int,
    n_workers: int,
    rng: random.Random,
    longest_s: float,
) -> Counter[str]:
    """Start a sweep in ``folder`` and kill it again and again; the last start is left alone.

    Parameters
    ----------
    longest_s : between the beginning of some work and a kill.

    Returns
    -------
    Counter : how many parents and workers were killed; fewer than asked for where the sweep was whole before.
    """
    kills = rng.sample(["parent", "worker"], k=n_parents + n_workers, counts=[n_parents, n_workers])
    made: Counter[str] = Counter()
    parent = begin()
    for kind in kills:
        if kind == "parent" and rng.random() < 0.3:  # whatever it does at its start
            time.sleep(rng.uniform(0, 5))
        else:
            while works := wait_for_work(parent, folder, kind == "worker"):
                time.sleep(rng.uniform(0, longest_s))
                if kind == "parent" or may_die(folder):
                    break
            if not works:
                break
        if kind == "worker" and (found := workers(parent)):
            with suppress(psutil.NoSuchProcess):
                rng.choice(found).send_signal(signal.SIGKILL)
                made[kind] += 1
        elif kind == "parent" and parent.poll() is None:
            alone = rng.random() < 0.5  # its workers end with it
            (os.kill if alone else os.killpg)(parent.pid, signal.SIGKILL)
            parent.wait()
            made[kind] += 1
            parent = begin()
    assert parent.wait(PATIENCE_S) == 0
    return made
