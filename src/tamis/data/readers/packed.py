"""The content of files, unpacked where they are compressed, whatever their names say."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path
from typing import IO

OPENERS = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
"""By the bytes with which a compressed file begins."""


def open_unpacked(path: Path) -> IO[bytes]:
    """The file ``path`` for reading its content; the caller closes it."""
    with path.open("rb") as file:
        beginning = file.read(6)
    for signature, opener in OPENERS.items():
        if beginning.startswith(signature):
            return opener(path, "rb")  # type: ignore[operator]
    return path.open("rb")


def first_bytes(path: Path, count: int) -> bytes:
    """At most ``count`` bytes at the beginning of the content; nothing of a folder, or where it cannot be read."""
    if path.is_dir():
        return b""
    try:
        with open_unpacked(path) as file:
            return file.read(count)
    except Exception:  # whoever reads the file meets the same, and tells
        return b""
