"""Run code that may hang, crash or blow up in a process of its own, and keep what it had found."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TypeVar

from tamis.core.errors import TamisError
from tamis.core.threads import limited

A = TypeVar("A")
R = TypeVar("R")

PRELOADED = ("tamis.models.linear", "scipy.optimize", "scipy.spatial", "ase.optimize")
"""Modules that the server process imports once, so that a child starts fast."""
GRACE = 10
"""Seconds after its limit at which a child whose parent was killed ends itself."""
PATIENCE = 120
"""Seconds for the server process to import and for a child to start, which count towards no limit."""


class IsolatedError(TamisError):
    """The isolated code raised an exception, or its process died."""


class TimeUpError(IsolatedError):
    """The isolated code took too long."""


@dataclass(frozen=True, eq=False)
class Child:
    """A process that runs what it is sent, and this process's end of the pipe to it."""

    process: BaseProcess
    pipe: Connection

    @classmethod
    def start(cls) -> Child:
        """A new one, forked from the server process.

        Raises
        ------
        IsolatedError : it does not answer in ``PATIENCE``.
        """
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(list(PRELOADED))
        ours, theirs = context.Pipe()
        child = cls(context.Process(target=_work, args=(theirs,), daemon=True), ours)
        child.process.start()
        theirs.close()  # the child holds it; with ours open its death would not be seen
        if not ours.poll(PATIENCE):
            child.kill()
            raise IsolatedError(f"no process could be started in {PATIENCE} s; is the machine overloaded?")
        ours.recv()
        return child

    def kill(self) -> None:
        """End it, whatever it does."""
        self.process.kill()
        self.process.join()
        self.process.close()
        self.pipe.close()


@cache
def _idle() -> list[Child]:
    """Children that have done their work, for the next: what they have imported and compiled stays loaded."""
    return []


def _idle_child() -> Child | None:
    while _idle():
        child = _idle().pop()
        if not child.pipe.poll():  # it says nothing unless it was ended
            return child
        child.kill()
    return None


def run_isolated(function: Callable[[A], Iterable[R]], argument: A, limit_s: float) -> Iterator[R]:
    """Yield what ``function(argument)`` yields, as it comes, computed by another process.

    The process is used again by the next call, unless something went wrong in it.

    Parameters
    ----------
    function : of a module (it is handed over by its name), often a generator. argument : anything that pickles; it
    and the results go through a pipe, no file is involved. limit_s : wall time for each result, s.

    Raises
    ------
    IsolatedError, TimeUpError : after the last result that arrived, with the reason in a sentence.
    """
    child = _idle_child() or Child.start()
    is_sound = False
    try:
        child.pipe.send((function, argument, limit_s))
        while True:
            if not child.pipe.poll(limit_s):
                raise TimeUpError(f"not done after {limit_s:g} s")
            kind, content = child.pipe.recv()
            if kind == "end":
                is_sound = True
                return
            if kind == "error":
                raise IsolatedError(content)
            yield content
    except (EOFError, ConnectionError):
        child.process.join()
        raise IsolatedError(_how_it_died(child.process.exitcode)) from None
    finally:
        if is_sound:
            _idle().append(child)
        else:
            child.kill()


def _work(pipe: Connection) -> None:
    """Run in the child, until this process's end of the pipe is closed."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # engines that blow up print; what matters goes through the pipe
        os.dup2(silence, stream)
    with suppress(EOFError, ConnectionError), limited():  # the parent is gone
        pipe.send("ready")
        while True:
            _run(pipe, *pipe.recv())


def _run(pipe: Connection, function: Callable[[A], Iterable[R]], argument: A, limit_s: float) -> None:
    """Send the results of one function, and how it ended."""
    patience = math.ceil(limit_s) + GRACE
    signal.alarm(patience)  # the kernel ends an orphan, whatever it hangs in
    try:
        for result in function(argument):
            pipe.send(("result", result))
            signal.alarm(patience)
        end = ("end", "")
    except TamisError as error:
        end = ("error", str(error))
    except ConnectionError:
        raise
    except Exception as error:
        end = ("error", f"{type(error).__name__}: {error}")
    signal.alarm(0)
    pipe.send(end)


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was ended by {signal.Signals(-exitcode).name}"
    return f"its process ended with code {exitcode}"
