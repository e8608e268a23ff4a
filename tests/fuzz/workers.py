"""Cases in processes of their own, with limits, so that hangs and deaths are counted."""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.kinds import CRASH, HANG, Kind, judge

LIMIT_S = 25.0
"""Processor seconds after which a case hangs: a busy machine changes nothing. The longest right ones take some."""
START_S = 240.0
"""The same for what all cases share, which may have to be compiled."""
WALL = 12.0
"""By how much a case may take longer by the clock, until it is taken to wait for something that does not come."""
LOOK_S = 2.0
MEMORY_MIB = 1024
"""What a case may take, in address space, above what the engines have when they are loaded."""


@dataclass(frozen=True)
class Result:
    """Of one case."""

    number: int
    outcome: str
    detail: str


def run_cases(kind: Kind, first: int, last: int) -> Iterator[Result]:
    """The results of the cases ``first`` to ``last - 1``; a new process goes on behind one that hung or died."""
    while first < last:
        for result in _one_process(kind, first, last):
            first = result.number + 1
            yield result


def _one_process(kind: Kind, first: int, last: int) -> Iterator[Result]:
    """Until the end, or until a case hangs or kills the process."""
    ours, theirs = os.pipe()
    folder = Path(tempfile.mkdtemp(prefix="tamis-fuzz-"))
    pid = os.fork()
    if pid == 0:
        os.close(ours)
        _work(kind, first, last, folder, theirs)
    os.close(theirs)
    try:
        waiting, limit = first, START_S
        with os.fdopen(ours, "rb", buffering=0) as pipe:
            lines = Lines(pipe.fileno(), pid)
            while True:
                line = lines.next(limit)
                if line is None:
                    os.killpg(pid, signal.SIGKILL)
                    yield Result(waiting, HANG, f"no end after {limit:g} s of processor time")
                    return
                if not line:
                    break
                limit = LIMIT_S
                found = json.loads(line)
                if found:
                    waiting = found["number"] + 1
                    yield Result(**found)
        if waiting < last:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            pid = 0
            yield Result(waiting, CRASH, f"the process ended with {status}")
    finally:
        if pid:
            os.waitpid(pid, 0)
        shutil.rmtree(folder, ignore_errors=True)


class Lines:
    """The lines that come through a pipe from the process ``pid``."""

    def __init__(self, pipe: int, pid: int) -> None:
        self._pipe, self._pid, self._rest = pipe, pid, b""

    def next(self, limit: float) -> bytes | None:
        """The next line; empty at the end, None where it is not there after ``limit`` processor seconds."""
        begin, used = time.monotonic(), _processor_seconds(self._pid)
        while b"\n" not in self._rest:
            if not select.select([self._pipe], [], [], LOOK_S)[0]:
                late = time.monotonic() - begin > WALL * limit
                if late or _processor_seconds(self._pid) - used > limit:
                    return None
                continue
            part = os.read(self._pipe, 65536)
            if not part:
                return b""
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\n")
        return line + b"\n"


def _processor_seconds(pid: int) -> float:
    """User and system time of a process so far, s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _work(kind: Kind, first: int, last: int, folder: Path, pipe: int) -> None:
    """What the child does; it never returns."""
    os.setpgid(0, 0)
    faulthandler.disable()  # a crash is counted, not told at length
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):  # engines talk about what they are given
        os.dup2(silence, stream)
    os.chdir(folder)
    try:
        with os.fdopen(pipe, "w") as out:
            shared = kind.prepare(folder)
            _limit_memory()
            print("{}", file=out, flush=True)
            for number in range(first, last):
                outcome, detail = judge(kind, shared, number, folder)
                text = json.dumps({"number": number, "outcome": outcome, "detail": detail[-3000:]})
                print(text, file=out, flush=True)
        os._exit(0)
    except BaseException:
        os._exit(77)


def _limit_memory() -> None:
    used = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmSize:")
    )
    limit = int(used.split()[1]) * 1024 + MEMORY_MIB * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**30, 2**30))
