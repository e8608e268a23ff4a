"""Plain and extended XYZ."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from ase import Atoms

from tamis.core.errors import TamisError


def read_xyz(path: Path, extended: bool = True) -> Iterator[Atoms]:
    """The structures of an XYZ file, unless it is truncated.

    ASE would look for each of a billion atoms that a header announces, and take the digits that are left of a cut
    number for a whole one.
    """
    from ase.io import iread
    from ase.io.formats import open_with_compression

    try:
        with open_with_compression(str(path), "r") as file:
            cut = truncated_frame(file)
    except Exception:  # ASE meets the same when it reads, and its error is shown
        cut = None
    if cut:
        number, reason = cut
        raise TamisError(
            f"{path}, frame {number} or later, cannot be read ({reason}); is the file truncated? correct it"
        )
    return iter(iread(path, index=":", format="extxyz" if extended else "xyz"))


def truncated_frame(lines: Iterator[str]) -> tuple[int, str] | None:
    """Number of the first frame that an XYZ file does not hold whole, and the reason; None: all are whole."""
    count = 0
    for header in lines:
        if header.lstrip().startswith("VEC"):  # cell vectors behind a frame
            continue
        n_atoms = max(int(header), 0)
        tail = deque(enumerate(islice(lines, min(n_atoms + 1, sys.maxsize)), start=1), maxlen=1)
        found, last = tail[0] if tail else (0, "")
        if found <= n_atoms:
            return count, f"it says {n_atoms} atoms, and {found} lines follow"
        if not last.endswith("\n"):
            return count, "it does not end with a whole line; if it is complete, end it with a newline"
        count += 1
    return None
