"""Finds the files with structures that a user names: files, globs, and folders with files of any format."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tamis.core.errors import TamisError
from tamis.data.readers.formats import READERS, matching, reader_of

LABELLED_BY_ASE = (
    "traj",
    "bundletrajectory",
    "vasp-xml",
    "vasp-out",
    "espresso-out",
    "castep-castep",
    "gpaw-out",
)
"""Formats left to ASE whose files hold energies; in a folder, files such as POSCAR are skipped."""


@dataclass(frozen=True)
class Found:
    """files : with structures, in the order of their patterns. skipped : other files of the folders among these."""

    files: tuple[Path, ...]
    skipped: tuple[Path, ...] = ()


def find(patterns: Sequence[str], format: str | None, elsewhere: Sequence[str] = ()) -> Found:
    """The files that ``patterns`` name, each once; of a folder that is no format itself, those that a reader knows.

    Parameters
    ----------
    format : as the user typed it; of a folder only its files are taken. None: any.
    elsewhere : patterns whose files belong to another set, such as the test set; folders do not give them.

    Raises
    ------
    TamisError : a pattern that names nothing, or a folder without such files.
    """
    others = set(find(elsewhere, format).files) if elsewhere else set()
    files: dict[Path, None] = {}
    skipped: dict[Path, None] = {}
    for path in matching(tuple(patterns)):
        if not path.is_dir() or _is_format(path, format):
            files[path] = None
            continue
        inside = {one: _is_known(one, format) for one in _walk(path, format)}
        twice = _same_runs([one for one, known in inside.items() if known])
        taken = [one for one, known in inside.items() if known and one not in twice and one not in others]
        if not taken:
            raise TamisError(
                f"the folder {path} has no file {f'of the format {format}' if format else 'that a reader knows'}; name "
                "its files, by a glob where they are many, and their format with dataset.format"
            )
        files |= dict.fromkeys(taken)
        skipped |= dict.fromkeys(one for one in inside if one not in taken and one not in others)
    return Found(tuple(files), tuple(skipped))


def on_disk(patterns: Sequence[str]) -> Iterator[Path]:
    """All files on which ``find`` and the reading of what it finds depend."""
    for path in matching(tuple(patterns)):
        yield path
        if path.is_dir():
            yield from sorted(path.rglob("*"))


def _walk(folder: Path, format: str | None) -> Iterator[Path]:
    """Files and folders of a format below ``folder``, sorted; without hidden ones."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not _is_format(path, format):
            yield from _walk(path, format)
        else:
            yield path


def _is_format(folder: Path, format: str | None) -> bool:
    """Whether a folder is what a reader reads as a whole."""
    from ase.io.bundletrajectory import BundleTrajectory

    if format == "bundletrajectory" or (format is None and BundleTrajectory.is_bundle(str(folder))):
        return True
    return any(
        reader.recognises is not None and format in (None, reader.name) and reader.recognises(folder, b"")
        for reader in READERS
    )


def _is_known(path: Path, format: str | None) -> bool:
    try:
        name = reader_of(path, None).name
    except TamisError:  # no format, or one that is only written
        return False
    return name == format if format else name in {*(reader.name for reader in READERS), *LABELLED_BY_ASE}


def _same_runs(paths: Sequence[Path]) -> set[Path]:
    """The OUTCAR of each folder that has the vasprun.xml of the same run, which holds more digits."""
    in_folder: dict[Path, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    for path in paths:
        for name in ("vasprun", "OUTCAR"):
            if path.name.startswith(name):
                in_folder[path.parent][name].append(path)
    pairs = [found for found in in_folder.values() if len(found["vasprun"]) == len(found["OUTCAR"]) == 1]
    return {found["OUTCAR"][0] for found in pairs}
