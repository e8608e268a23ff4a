"""How a job tells its study how it is doing, while it runs; without a study nothing happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[float, int], bool]

_LISTENER: ContextVar[Listener | None] = ContextVar("study_listener", default=None)


def report(value: float, step: int) -> bool:
    """Report the objective as it is after a stage of the job; returns whether the study wants the job to end.

    Parameters
    ----------
    value : of the objective, so far. step : number of the stage; the same stage of every job has the same number.
    """
    listener = _LISTENER.get()
    return listener is not None and listener(value, step)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """What is reported within the block goes to ``listener``."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)
