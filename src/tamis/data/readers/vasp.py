"""Results of VASP under any name, such as ``vasprun_12.xml`` or ``OUTCAR_3.gz``; ASE reads them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from ase import Atoms

from tamis.data.readers.packed import open_unpacked


def is_vasprun(path: Path, head: bytes) -> bool:
    """An XML file whose root is VASP's."""
    return b"<modeling>" in head


def is_outcar(path: Path, head: bytes) -> bool:
    """A file that begins with VASP's version or its list of pseudopotentials."""
    return head.lstrip().startswith(b"vasp.") or b" POTCAR: " in head


class _Text(io.TextIOWrapper):
    """Lines of an unpacked file; ASE asks for a name, which not every kind of file has."""

    name = ""


def read_by_content(path: Path, name: str) -> Iterator[Atoms]:
    """The structures of a file of ASE's format ``name``, whatever its own name is and however it is compressed."""
    from ase.io import iread

    with open_unpacked(path) as file:
        yield from iread(_Text(file, errors="replace"), index=":", format=name)
