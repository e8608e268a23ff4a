"""Names of groups and blocks: from a key of each structure, its file, or the folder of its file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ase import Atoms
from ase.io.formats import get_compression

from tamis.data.sources.labels import label

KEY, FILE, FOLDER = "key", "file", "folder"
UNGROUPED = "all"


def name_of_file(path: Path) -> str:
    """Its name without suffix: ``liquid`` of ``data/liquid.xyz.gz``."""
    plain, _ = get_compression(path.name)
    return Path(plain).stem


def names_of(
    where: str, key: str | None, path: Path, frames: Sequence[tuple[str, Atoms]]
) -> list[str | None]:
    """The name of each structure of a file; None: it has none.

    Parameters
    ----------
    where : KEY, FILE or FOLDER. key : of the names, with KEY; None: there is none.
    """
    if where == KEY:
        values = [label(atoms, key) if key else None for _, atoms in frames]
        return [None if value is None else str(value) for value in values]
    return [name_of_file(path) if where == FILE else path.absolute().parent.name] * len(frames)
