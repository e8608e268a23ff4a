"""A program in a forked process of a warm one, with a fault in it: a tenth of a second instead of five."""

from __future__ import annotations

import atexit
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hydra.errors import HydraException
from tests.faults.injector import Fault, Injector

from tamis.core.errors import TamisError

LONGEST_S = 120
"""A program that takes longer hangs."""
PR_SET_CHILD_SUBREAPER = 36
DONE, REFUSED, CRASHED = 0, 1, 70
"""Exit statuses: came to its end; ended with a sentence; ended with an exception that nobody expected."""


class Ended(NamedTuple):
    """how: done, refused, crashed, killed or hung; text: what it printed; steps: that it made; where: it was hit."""

    how: str
    text: str
    steps: int
    where: str


class Forks:
    """Runs programs in ``folder``, each in a process group of its own.

    Processes that outlive the program, as workers do whose study is killed, are waited for.
    """

    def __init__(self, folder: Path, output: Path) -> None:
        self.folder, self.output, self.injector = folder, output, Injector()
        if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise RuntimeError("orphaned processes cannot be waited for on this kernel")

    def run(self, program: Callable[[], None], fault: Fault | None = None) -> Ended:
        """Run ``program`` to its end, whatever that is."""
        child = os.fork()
        if child == 0:
            os._exit(self._in_child(program, fault))
        status = os.waitpid(child, 0)[1]
        hung = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM
        hung |= self._wait_for_orphans(child)
        self.injector.disarm()
        text = self.output.read_text(errors="replace")
        if hung:
            how = "hung"
        elif os.WIFSIGNALED(status):
            how = "killed" if os.WTERMSIG(status) == signal.SIGKILL else "crashed"
        else:
            how = {DONE: "done", REFUSED: "refused"}.get(os.WEXITSTATUS(status), "crashed")
        return Ended(how, text, self.injector.steps, self.injector.where)

    def _wait_for_orphans(self, group: int) -> bool:
        """Returns whether one of them had to be ended by its alarm."""
        hung = False
        while True:
            try:
                _, status = os.waitpid(-group, 0)
            except ChildProcessError:
                return hung
            hung |= os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGALRM

    def _in_child(self, program: Callable[[], None], fault: Fault | None) -> int:
        status = CRASHED
        try:
            os.setsid()
            atexit._clear()  # what was registered is the parent's to do
            signal.alarm(LONGEST_S)
            os.chdir(self.folder)
            file = os.open(self.output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_APPEND)
            os.dup2(file, 1)
            os.dup2(file, 2)
            self.injector.arm(self.folder, fault)
            program()
            atexit._run_exitfuncs()
            status = DONE
        except SystemExit as leaving:
            if isinstance(leaving.code, str):
                os.write(2, leaving.code.encode())
            status = DONE if leaving.code in (None, 0) else REFUSED
        except (TamisError, HydraException) as error:
            os.write(2, str(error).encode())
            status = REFUSED
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        sys.stdout.flush()
        return status
