"""Structures from files in any format that ASE reads.

A reader of another format is a function from a path to ASE structures, in a file of its own, and a line in ``READERS``.
It leaves labels under the names of the file (``sources.keys`` chooses among them) and, unless the format is listed in
``WITHOUT_UNITS``, converts them to eV and Å.
"""

from __future__ import annotations

import glob
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from ase import Atoms

from tamis.core.errors import TamisError
from tamis.data.sources.ase_database import read_database


def read_frames(path: Path, file_format: str | None) -> Iterator[Atoms]:
    """The structures of one file, in order.

    Parameters
    ----------
    file_format : ASE's name of the format; None: ASE recognises it.

    Raises
    ------
    TamisError : the file or one of its frames cannot be read; names the frame.
    """
    known = known_format(path, file_format)
    count = 0
    try:
        for atoms in READERS.get(str(known), read_by_ase)(path, known):
            yield atoms
            count += 1
    except TamisError:
        raise
    except Exception as error:  # ASE's readers raise whatever a damaged line leads to
        raise TamisError(
            f"{path}, frame {count} or later, cannot be read ({type(error).__name__}: {error}); is the file "
            "truncated? correct it, or set dataset.format"
        ) from error
    if count == 0:
        raise TamisError(f"{path} holds no structure; remove it from dataset.train or dataset.test")


def read_by_ase(path: Path, file_format: str | None) -> Iterator[Atoms]:
    """The structures as ASE reads them."""
    from ase.io import iread

    return iter(iread(path, index=":", format=file_format))


def read_xyz(path: Path, file_format: str | None) -> Iterator[Atoms]:
    """The structures of an XYZ file, unless it is truncated.

    ASE would look for each of a billion atoms that a header announces, and take the digits that are left of a cut
    number for a whole one.
    """
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
    return read_by_ase(path, file_format)


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


READERS: Mapping[str, Callable[[Path, str | None], Iterator[Atoms]]] = {
    "xyz": read_xyz,
    "extxyz": read_xyz,
    "db": read_database,
    "json": read_database,
}
"""ASE's name of a format -> its reader; ``read_by_ase`` reads all others."""
WITHOUT_UNITS = ("xyz", "extxyz", "db", "json", "traj")
"""ASE's names of formats whose numbers may be in any unit; ASE converts the units of all others."""


def known_format(path: Path, file_format: str | None) -> str | None:
    """ASE's name of a file's format, compressed or not; None if ASE does not know it, and will say so."""
    from ase.io.formats import filetype

    try:
        return file_format or filetype(str(path))
    except Exception:  # ASE meets the same when it reads, and its error is shown
        return None


def refuse_own_units(path: Path, file_format: str | None) -> None:
    """Raise TamisError for formats with units of their own: ASE has converted them, and nobody may do it again."""
    known = known_format(path, file_format)
    if known not in WITHOUT_UNITS:
        raise TamisError(
            f"{path} is of the format {known}, whose units are known and converted to eV and Å; leave "
            f"dataset.units out (it is for {', '.join(WITHOUT_UNITS)})"
        )


def matching(patterns: tuple[str, ...]) -> list[Path]:
    """The files that ``patterns`` name, each once, sorted within a pattern."""
    paths: dict[Path, None] = {}
    for pattern in patterns:
        found = [pattern] if Path(pattern).is_file() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob refuses absolute patterns)
        files = [Path(name) for name in found if Path(name).is_file()]
        if not files:
            raise TamisError(
                f"no file matches {pattern} (in {Path.cwd()}); correct dataset.train or dataset.test"
            )
        paths.update(dict.fromkeys(files))
    return list(paths)
