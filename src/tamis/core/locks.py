"""Locks of files and folders: the kernel gives them back when their holder ends, however that ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_FILE = ".lock"
"""The file that is locked in a folder: network file systems only lock files that are open for writing."""


def hold(path: Path) -> int | None:
    """Lock a file or folder against others that ask for the same; returns what ``os.close`` gives back.

    A folder gets an empty ``LOCK_FILE``. A file system that knows no such locks, or a path that is not there, keeps
    nobody out: what is written twice then is found by the next ``tamis sync``.
    """
    handle = _opened(path, os.O_CREAT if path.is_dir() else 0)
    if handle is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _opened(path: Path, more: int = 0) -> int | None:
    """A handle that can be locked; for reading where nothing may be written, which a local file system locks, too."""
    place = path / LOCK_FILE if path.is_dir() else path
    for flags in (os.O_RDWR | more, os.O_RDONLY):
        with suppress(OSError):
            return os.open(place, flags, 0o666)
    return None


@contextmanager
def alone_in(path: Path) -> Iterator[None]:
    """Keep others that ask for the same out of the block, as ``hold`` does."""
    handle = hold(path)
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def is_in_use(path: Path) -> bool:
    """Whether another process holds a lock on this file or folder."""
    handle = _opened(path)
    if handle is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(handle)
    return False
