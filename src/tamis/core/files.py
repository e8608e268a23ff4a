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
    folder, name = os.path.split(path)
    scratch = os.path.join(folder, f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        try:
            with _opened(scratch) as file:
                for part in parts:
                    file.write(part)
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise TamisError(
            f"cannot write {path} ({error.strerror}); make room or rights there, or choose another folder"
        ) from error


def _opened(path: str) -> BinaryIO:
    """A new file; its folder is made if it is missing."""
    try:
        return open(path, "wb")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return open(path, "wb")
