"""Running other people's programs: found beforehand, in a scratch folder, up to a deadline, leaving nothing behind."""

from __future__ import annotations

import math
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.threads import environment

LONGEST_LOG = 1_000_000
"""Bytes of a log that are kept: its end."""
LOG_LINES_IN_REASON = 12
GRACE_S = 2.0
"""Between asking a program to end and ending it."""
JOB_VARIABLES = ("PMI_", "PMIX_", "OMPI_COMM_WORLD_", "SLURM_")
"""By these an MPI program takes itself for a part of the parallel job that tamis may run in."""


def where_is(program: str) -> str | None:
    """Path of an executable: as given, on the PATH, or beside the Python interpreter (an environment not activated)."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(program) or shutil.which(program, path=beside)


def find_program(program: str, model: str, argument: str, get: str) -> str:
    """Path of an executable, as ``where_is`` finds it, or of a Python script.

    Parameters
    ----------
    program : name or path. model : the choice that needs it. argument : its key in that YAML. get : how to get it.

    Raises
    ------
    MissingEngineError : not there, or not executable.
    """
    found = where_is(program)
    if found is None and program.endswith(".py") and Path(program).is_file():
        found = program  # runs by our interpreter, executable or not
    if found is None:
        raise MissingEngineError(
            f"model={model} runs the program {program!r}, and there is no such executable on the PATH; {get}, or say "
            f"where it is with model.{argument}=/path/to/{Path(program).name}"
        )
    return str(Path(found).absolute())


@dataclass
class Workshop:
    """A scratch folder where programs run one after the other.

    folder: where they run. deadline: on the clock of ``time.monotonic``; time_limit_s: seconds from start to deadline.
    n_threads: OpenMP and BLAS threads of each program.
    logs: file name -> the end of what the programs said. figures: wall and processor seconds, peak memory, as metrics.
    taken_s: program -> the seconds that it ran.
    """

    folder: Path
    deadline: float
    time_limit_s: float
    n_threads: int
    logs: dict[str, bytes] = field(default_factory=dict)
    figures: dict[str, float] = field(default_factory=lambda: {"trainer_cpu_s": 0.0, "trainer_peak_MiB": 0.0})
    taken_s: dict[str, float] = field(default_factory=dict)

    def run(self, program: str, *arguments: str, makes: Sequence[str], output: str | None = None) -> None:
        """Run a program to its end; nothing that it has started outlives the call.

        Parameters
        ----------
        program : path from ``find_program``. arguments : as on a command line.
        makes : names (or patterns) of files that a success leaves, none of them empty.
        output : file that gets the standard output; without it, it goes to the log with the error output.

        Raises
        ------
        TamisError : it failed, was killed, met the deadline, or left one of ``makes`` out, whatever its exit status.
            Says how, with the end of the log; of the deadline, who had used up the time.
        """
        name = Path(program).name
        if time.monotonic() >= self.deadline:
            raise TamisError(f"{name} was not started: {self._used_up()}")
        log = self.folder / f"{name}.log"
        command = [sys.executable, program] if program.endswith(".py") else [program]
        start = time.monotonic()
        with log.open("wb") as log_file, (self.folder / (output or log.name)).open("ab") as out_file:
            log_file.write(f"$ {' '.join([name, *arguments])}\n".encode())
            log_file.flush()
            try:
                process = subprocess.Popen(
                    [*command, *arguments],
                    cwd=self.folder,
                    stdin=subprocess.DEVNULL,
                    stdout=out_file,
                    stderr=log_file if output else subprocess.STDOUT,
                    env=_environment(self.n_threads),
                    start_new_session=True,  # its own process group, so that all of it can be ended
                )
            except OSError as error:
                raise TamisError(
                    f"{program} cannot be started ({error.strerror}); is it a program?"
                ) from error
            in_time, cpu, peak = _wait(process, self.deadline)
        seconds = time.monotonic() - start
        self.logs[log.name] = _end_of(log)
        self.taken_s[name] = self.taken_s.get(name, 0.0) + seconds
        self.figures[f"{name.replace('.', '_')}_wall_s"] = seconds
        self.figures["trainer_cpu_s"] += cpu
        self.figures["trainer_peak_MiB"] = max(self.figures["trainer_peak_MiB"], peak)
        if trouble := self._trouble(process.returncode, in_time, makes):
            said = self.logs[log.name].decode(errors="replace").splitlines()[1:]
            if not any(map(str.strip, said)) and output:
                said = _end_of(self.folder / output).decode(errors="replace").splitlines()
            end = "\n".join(said[-LOG_LINES_IN_REASON:]).strip() or "nothing"
            raise TamisError(
                f"{name} {trouble} ({seconds:.1f} s after its start). The end of what it said:\n{end}"
            )

    def _trouble(self, status: int, in_time: bool, makes: Sequence[str]) -> str:
        """What went wrong, as the end of a sentence; empty if nothing did."""
        if not in_time:
            return f"was ended: {self._used_up()}"
        if status < 0:
            hint = "; did the machine run out of memory?" if status == -signal.SIGKILL else ""
            return f"was killed by signal {-status} ({signal.Signals(-status).name}){hint}"
        missing = [name for name in makes if not any(p.stat().st_size for p in self.folder.glob(name))]
        if missing:
            return f"ended with exit status {status} without writing {', '.join(missing)}"
        return f"failed with exit status {status}" if status else ""

    def _used_up(self) -> str:
        """Where the time went, the longest first: a program that is ended need not be the one that took it."""
        spent = self.time_limit_s + time.monotonic() - self.deadline
        parts = {**self.taken_s, "tamis itself": max(spent - sum(self.taken_s.values()), 0.0)}
        told = ", ".join(f"{name} {parts[name]:.1f} s" for name in sorted(parts, key=parts.__getitem__)[::-1])
        return (
            f"the fit had not finished in model.time_limit_s = {self.time_limit_s:g} s, of which took {told}; raise "
            "the limit, ask less of what took longest, or keep fewer structures"
        )

    def read(self, *names: str) -> dict[str, bytes]:
        """Content of the files that match ``names`` (patterns allowed), by file name."""
        return {path.name: path.read_bytes() for name in names for path in sorted(self.folder.glob(name))}


@contextmanager
def workshop(scratch: Path | None, time_limit_s: float, n_threads: int) -> Iterator[Workshop]:
    """A new scratch folder for one fit, removed afterwards; after a failure it stays if ``scratch`` was named.

    scratch: folder in which it is made; None: where the system has its temporary files, and it never stays.
    """
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="tamis-trainer-", dir=scratch))
    keep = False
    try:
        yield Workshop(folder, time.monotonic() + time_limit_s, time_limit_s, n_threads)
    except TamisError as error:
        keep = scratch is not None
        if keep:
            raise TamisError(f"{error}\nIts files are in {folder}") from error
        raise
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


def check_limit(time_limit_s: float) -> None:
    """Raise TamisError unless this is a time that a program can be given."""
    if not 0.0 < time_limit_s < math.inf:
        raise TamisError(f"time_limit_s is {time_limit_s} s; it must be a positive number of seconds")


def _environment(n_threads: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(JOB_VARIABLES)}
    return kept | environment(n_threads)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[bool, float, float]:
    """Wait until ``process`` ends or has to; then end its whole group.

    Returns whether it ended by itself before the deadline, its processor seconds, its peak memory (MiB).
    """
    in_time, memory = True, _Memory()
    try:
        in_time = _ended(process.pid, deadline, memory)
    finally:  # also after an interrupt; the pid is ours until wait4 has read its status
        if not _ended(process.pid, time.monotonic(), memory):
            os.killpg(process.pid, signal.SIGTERM)
            _ended(process.pid, time.monotonic() + GRACE_S, memory)
        os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    # what Linux counts for a child begins with the memory of its parent; above that it is the child's own
    counted, ours = usage.ru_maxrss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_KiB = counted if counted > ours else memory.peak_KiB
    return in_time, usage.ru_utime + usage.ru_stime, peak_KiB / 1024


@dataclass
class _Memory:
    """The largest resident memory of a process seen so far."""

    peak_KiB: int = 0  # noqa: N815 - a unit

    def look(self, pid: int) -> None:
        """Read the kernel's own high-water mark; nothing is there any more once the process has ended."""
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        for line in status.splitlines():
            if line.startswith("VmHWM:"):
                self.peak_KiB = max(self.peak_KiB, int(line.split()[1]))


def _ended(pid: int, deadline: float, memory: _Memory) -> bool:
    """Wait for the end of a child without taking its status; False if that does not come before the deadline."""
    pause = 0.001
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
        pause = min(1.5 * pause, 0.05)
        memory.look(pid)
    return True


def _end_of(path: Path) -> bytes:
    """The last bytes of a log."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_LOG))
        return file.read()
