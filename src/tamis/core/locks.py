"""Locks of files; the kernel releases them when their holder ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_FILE = ".lock"
"""The file that is locked for a folder."""


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Keep other processes that ask for the same file out of the block.

    Nobody is kept out of a file that does not exist, or on a file system without locks.
    """
    handle = _opened(path)
    try:
        if handle is not None:
            with suppress(OSError):
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        if handle is not None:
            os.close(handle)


@contextmanager
def exclusive(path: Path, wait: bool = True) -> Iterator[None]:
    """Hold the lock of a file, which is made where there is none, while the block runs.

    Raises
    ------
    BlockingIOError : without ``wait``, another process holds it. OSError : the file cannot be made or locked.
    """
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _opened(path: Path) -> int | None:
    """A handle for writing, which network file systems need for a lock; else for reading."""
    for flags in (os.O_RDWR, os.O_RDONLY):
        with suppress(OSError):
            return os.open(path, flags)
    return None


def is_held(path: Path) -> bool:
    """Whether another process, or another part of this one, holds the lock of this file."""
    if (handle := _opened(path)) is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(handle)
    return False
