"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from tamis.core.errors import TamisError


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that any reader sees all of it or nothing.

    Raises
    ------
    TamisError : the folder cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(data)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise TamisError(
            f"cannot write {path} ({error.strerror}); make room or rights there, or choose another folder"
        ) from error
