"""Ctrl-C ends what runs, also where a library takes it for an error of its own, or for nothing."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

OF_QUIP = "Interrupt occured"
"""What QUIP's wrapper (f90wrap) makes of Ctrl-C within its Fortran code, as a RuntimeError."""


class Interrupts:
    """A handler of SIGINT like Python's own, which remembers that it was called."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt."""
        self.came = True
        raise KeyboardInterrupt


def remember_interrupts() -> None:
    """Take the place of Python's own handler; where Ctrl-C is ignored, or somebody else's, it stays so."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, Interrupts())


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at both ends of the block if Ctrl-C came, whoever may have swallowed it."""
    _raise_if_it_came()
    try:
        yield
    finally:
        _raise_if_it_came()


def interrupted() -> bool:
    """Whether Ctrl-C came; any thread may ask, while KeyboardInterrupt reaches the main one only."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(handler, Interrupts) and handler.came


def _raise_if_it_came() -> None:
    if interrupted():
        raise KeyboardInterrupt


@contextmanager
def interruptible_quip() -> Iterator[None]:
    """A block that calls QUIP: while Fortran runs, its wrapper has a handler of its own in the place of Python's."""
    try:
        yield
    except RuntimeError as error:
        if OF_QUIP in str(error):
            raise KeyboardInterrupt from error
        raise
