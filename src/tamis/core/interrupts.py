"""Ctrl-C ends the program, even where a library swallows it or turns it into an error of its own."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

OF_QUIP = "Interrupt occured"
"""Message of the RuntimeError that QUIP's wrapper (f90wrap) raises for Ctrl-C within its Fortran code."""


class Interrupts:
    """A handler of SIGINT that does what Python's own does, and remembers that it was called."""

    def __init__(self) -> None:
        self.came = False

    def __call__(self, signum: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt."""
        self.came = True
        raise KeyboardInterrupt


def remember_interrupts() -> None:
    """Replace Python's own handler; a program that ignores Ctrl-C, or handles it itself, keeps its way."""
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, Interrupts())


@contextmanager
def heeding_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at the start or end of the block if Ctrl-C came and was swallowed."""
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
    """Turn QUIP's error for Ctrl-C into KeyboardInterrupt; its wrapper handles the signal while Fortran runs."""
    try:
        yield
    except RuntimeError as error:
        if OF_QUIP in str(error):
            raise KeyboardInterrupt from error
        raise
