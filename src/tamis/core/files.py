"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import BinaryIO

from tamis.core.errors import TamisError


def write_atomically(path: Path, *parts: bytes | memoryview) -> None:
    """Write the ``parts``, one after the other, to ``path`` so that any reader sees all of them or nothing.

    Raises
    ------
    TamisError : the folder cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        try:
            with _opened(scratch) as file:
                for part in parts:
                    file.write(part)
            scratch.replace(path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TamisError(
            f"cannot write {path} ({error.strerror}); make room or rights there, or choose another folder"
        ) from error


def _opened(path: Path) -> BinaryIO:
    """A new file; its folder is made if it is missing."""
    try:
        return path.open("wb")
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("wb")
