"""Running other people's programs: found beforehand, in a scratch folder, up to a deadline, leaving nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.fields import Rule
from tamis.core.threads import environment

LONGEST_LOG = 1_000_000
"""Bytes of a log that are kept: its end."""
LOG_LINES_IN_REASON = 12
GRACE_S = 2.0
"""Between asking a program to end and ending it."""
JOB_VARIABLES = ("PMI_", "PMIX_", "OMPI_COMM_WORLD_", "SLURM_")
"""Environment variables by which an MPI program would take itself for a part of tamis' own parallel job."""


def where_is(program: str) -> str | None:
    """Path of an executable: as given, on the PATH, or beside the Python interpreter (an environment not activated).

    A .py file need not be executable: tamis runs it with its own interpreter.
    """
    beside = str(Path(sys.executable).parent)
    found = shutil.which(program) or shutil.which(program, path=beside)
    return program if found is None and program.endswith(".py") and Path(program).is_file() else found


@dataclass(frozen=True)
class Program(Rule):
    """Name or path of a program that is there; its path is kept.

    model: the choice that needs it. get: how to get it.
    """

    model: str
    get: str

    def allows(self, value: str) -> bool:
        """Whether it is there, and executable."""
        return where_is(value) is not None

    @property
    def words(self) -> str:
        """How to get it."""
        return self.get

    def apply(self, name: str, value: str) -> str:
        """The absolute path.

        Raises
        ------
        MissingEngineError : not there, or not executable.
        """
        if (found := where_is(value)) is None:
            raise MissingEngineError(
                f"model={self.model} runs the program {value!r}, and there is no such executable on the PATH; "
                f"{self.get}, or say where it is with model.{name.rpartition('.')[2]}=/path/to/{Path(value).name}"
            )
        return str(Path(found).absolute())


@dataclass
class Workshop:
    """A scratch folder where programs run one after the other.

    folder: where they run. deadline: on the clock of ``time.monotonic``; time_limit_s: seconds from start to deadline.
    n_threads: OpenMP and BLAS threads of each program.
    logs: file name -> the end of a program's output. figures: wall and processor seconds, peak memory, as metrics.
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
        program : path. arguments : as on a command line.
        makes : names (or patterns) of files that a success leaves, none of them empty.
        output : file that gets the standard output; without it, it goes to the log with the error output.

        Raises
        ------
        TamisError : it failed, was killed, met the deadline, or left one of ``makes`` out, whatever its exit status.
            Says how, with the end of the log; at a deadline, which program took the time.
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
        """Why the run failed, as the end of a sentence; empty if it did not."""
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
        """Where the time went, the longest first: the program that is ended need not be the one that took most."""
        spent = self.time_limit_s + time.monotonic() - self.deadline
        parts = {**self.taken_s, "tamis": max(spent - sum(self.taken_s.values()), 0.0)}
        spent_by = ", ".join(
            f"{name} {parts[name]:.1f} s" for name in sorted(parts, key=parts.__getitem__)[::-1]
        )
        return (
            f"the fit had not finished in model.time_limit_s = {self.time_limit_s:g} s; time spent: {spent_by}. Raise "
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


def _environment(n_threads: int) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(JOB_VARIABLES)}
    return kept | environment(n_threads)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[bool, float, float]:
    """Wait until ``process`` ends or has to; then end its whole group.

    Returns whether it ended by itself before the deadline, its processor seconds, its peak memory (MiB).
    """
    in_time, peak = False, 0.0
    try:
        in_time, peak = _wait_for(process.pid, deadline)
    finally:  # also after an interrupt; the pid is ours until wait4 has read its status
        if not in_time:
            os.killpg(process.pid, signal.SIGTERM)
            _wait_for(process.pid, time.monotonic() + GRACE_S)
        os.killpg(process.pid, signal.SIGKILL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return in_time, usage.ru_utime + usage.ru_stime, peak


def _wait_for(pid: int, deadline: float) -> tuple[bool, float]:
    """Wait for the end of a child without taking its status: whether it ended in time, and its peak memory, MiB."""
    pause, peak = 0.001, 0.0
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if time.monotonic() >= deadline:
            return False, peak
        time.sleep(pause)
        pause = min(1.5 * pause, 0.05)
        peak = max(peak, _peak_MiB(pid))
    return True, peak


def _peak_MiB(pid: int) -> float:  # noqa: N802 # a unit
    """The kernel's high-water mark of resident memory; 0 once the process has ended.

    wait4 counts from the memory of the parent on, so its figure is no use for small programs.
    """
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _end_of(path: Path) -> bytes:
    """The last bytes of a log."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LONGEST_LOG))
        return file.read()
