"""Running something that may hang, crash or blow up in a process of its own, and keeping what it had found."""

from __future__ import annotations

import math
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection
from typing import TypeVar

from tamis.core.errors import TamisError
from tamis.core.threads import limited
from tamis.evaluation.base import Findings

A = TypeVar("A")
R = TypeVar("R")

PRELOADED = ("tamis.trial", "tamis.sweep", "scipy.optimize", "ase.mep", "ase.optimize")
"""What the server process imports once, so that a child is there soon. Every child imports the main module of its
parent, too: with these that of the program costs nothing."""
GRACE = 10
"""Seconds after its limit at which a child whose parent was killed ends itself."""
PATIENCE = 120
"""Seconds for the server process to import and for a child to be there, which count towards no limit."""


class StoppedError(TamisError):
    """What ran apart did not come to its end: it took too long, its process died, or it raised an exception."""


def run_apart(
    function: Callable[[A], Iterable[R]], argument: A, limit_s: float, each: bool = False
) -> Iterator[R]:
    """Yield what ``function(argument)`` yields, as it comes, computed by another process.

    Parameters
    ----------
    function : of a module (it is handed over by its name), often a generator. argument : anything that pickles; it
    and the results go through a pipe, no file is involved. limit_s : wall time, s, for
    all of it, or with ``each`` for each result.

    Raises
    ------
    StoppedError : after the last result that arrived, with the reason in a sentence.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(sender, function, argument, limit_s, each))
    try:
        process.start()
        sender.close()  # the child holds the other end; with ours open its death would not be seen
        if not receiver.poll(PATIENCE):
            raise StoppedError(f"no process could be started in {PATIENCE} s; is the machine overloaded?")
        deadline = time.monotonic() + limit_s
        while True:
            if not receiver.poll(max(deadline - time.monotonic(), 0.0)):
                raise StoppedError(f"not done after {limit_s:g} s")
            try:
                kind, content = receiver.recv()
            except EOFError:
                process.join()
                raise StoppedError(_how_it_died(process.exitcode)) from None
            if kind == "begin":
                continue
            if kind == "end":
                return
            if kind == "error":
                raise StoppedError(content)
            yield content
            if each:
                deadline = time.monotonic() + limit_s
    finally:
        if process.pid is not None:
            process.kill()
            process.join()
            process.close()
        receiver.close()


def gather(stage: str, findings: Iterable[Findings]) -> Findings:
    """All ``findings`` in one; where they end early, the reason becomes the problem of ``stage``."""
    total = Findings()
    try:
        for found in findings:
            total = total.plus(found)
    except StoppedError as error:
        total = total.plus(Findings(problems={stage: str(error)}))
    return total


def _work(
    sender: Connection, function: Callable[[A], Iterable[R]], argument: A, limit_s: float, each: bool
) -> None:
    """What the child does."""
    patience = math.ceil(limit_s) + GRACE
    signal.alarm(patience)  # the kernel ends an orphan, whatever it hangs in
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # engines that blow up talk; what matters goes through the pipe
        os.dup2(silence, stream)
    try:
        sender.send(("begin", None))
        with limited():
            for result in function(argument):
                sender.send(("result", result))
                if each:
                    signal.alarm(patience)
        sender.send(("end", None))
    except TamisError as error:
        sender.send(("error", str(error)))
    except BrokenPipeError:
        pass  # nobody listens any more
    except Exception as error:
        sender.send(("error", f"{type(error).__name__}: {error}"))


def _how_it_died(exitcode: int | None) -> str:
    if exitcode is not None and exitcode < 0:
        return f"its process was ended by {signal.Signals(-exitcode).name}"
    return f"its process ended with code {exitcode}"
