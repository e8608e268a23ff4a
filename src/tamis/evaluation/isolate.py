"""Run code that may hang, crash or blow up in a process of its own, and keep what it had found."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import TypeVar

from tamis.core.errors import TamisError
from tamis.core.threads import limited

A = TypeVar("A")
R = TypeVar("R")

PRELOADED = ("tamis.models.linear", "scipy.optimize", "ase.mep", "ase.optimize")
"""Modules that the server process imports once, so that a child starts fast."""
GRACE = 10
"""Seconds after its limit at which a child whose parent was killed ends itself."""
PATIENCE = 120
"""Seconds for the server process to import and for a child to start, which count towards no limit."""


class IsolatedError(TamisError):
    """The isolated code raised an exception, or its process died."""


class TimeUpError(IsolatedError):
    """The isolated code took too long."""


def run_isolated(function: Callable[[A], Iterable[R]], argument: A, limit_s: float) -> Iterator[R]:
    """Yield what ``function(argument)`` yields, as it comes, computed by another process.

    Parameters
    ----------
    function : of a module (it is handed over by its name), often a generator. argument : anything that pickles; it
    and the results go through a pipe, no file is involved. limit_s : wall time for each result, s.

    Raises
    ------
    IsolatedError, TimeUpError : after the last result that arrived, with the reason in a sentence.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, argument, limit_s))
    try:
        process.start()
        sender.close()  # the child holds the other end; with ours open its death would not be seen
        if not receiver.poll(PATIENCE):
            raise IsolatedError(f"no process could be started in {PATIENCE} s; is the machine overloaded?")
        while True:
            if not receiver.poll(limit_s):
                raise TimeUpError(f"not done after {limit_s:g} s")
            try:
                kind, content = receiver.recv()
            except EOFError:
                process.join()
                raise IsolatedError(_how_it_died(process.exitcode)) from None
            if kind == "end":
                return
            if kind == "error":
                raise IsolatedError(content)
            if kind == "result":
                yield content
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
            process.close()
        receiver.close()


def _work(sender: Connection, function: Callable[[A], Iterable[R]], argument: A, limit_s: float) -> None:
    """Run in the child."""
    patience = math.ceil(limit_s) + GRACE
    signal.alarm(patience)  # the kernel ends an orphan, whatever it hangs in
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # engines that blow up print; what matters goes through the pipe
        os.dup2(silence, stream)
    try:
        sender.send(("begin", None))
        with limited():
            for result in function(argument):
                sender.send(("result", result))
                signal.alarm(patience)
        sender.send(("end", None))
    except TamisError as error:
        sender.send(("error", str(error)))
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:
        sender.send(("error", f"{type(error).__name__}: {error}"))


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was ended by {signal.Signals(-exitcode).name}"
    return f"its process ended with code {exitcode}"
