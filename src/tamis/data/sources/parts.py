"""Reads files, and puts together those that are read alike: by one reader, in one unit, with the same labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.messages import listed
from tamis.core.names import printable
from tamis.data.file_units import FileUnits
from tamis.data.readers.formats import read_frames, reader_of
from tamis.data.readers.reader import Reader
from tamis.data.sources.contradictions import Named
from tamis.data.sources.labels import names_of_labels


@dataclass(frozen=True, eq=False)
class OneFile:
    """The structures of one file with their ids. how : its units were found, in a few words."""

    path: Path
    reader: Reader
    frames: Sequence[tuple[str, Atoms]]
    units: FileUnits
    how: str


@dataclass(frozen=True, eq=False)
class Part:
    """Files that are read alike."""

    files: Sequence[OneFile]

    @property
    def reader(self) -> Reader:
        """Of all its files."""
        return self.files[0].reader

    @property
    def units(self) -> FileUnits:
        """Of all its files."""
        return self.files[0].units

    @property
    def name(self) -> str:
        """The first files, for messages."""
        return listed([printable(str(file.path)) for file in self.files], 3, "more files")


def read_files(
    paths: Sequence[Path], format: str | None, typed: Mapping[str, str], species: Sequence[str] | None = None
) -> list[OneFile]:
    """The structures of each file, in order.

    Parameters
    ----------
    format : of the files, as the user typed it; None: it is recognised.
    typed : units that the user typed, as ``tamis.data.file_units.typed_units`` gives them.
    species : elements of files that have the numbers of their kinds only.

    Raises
    ------
    TamisError : files that cannot be read, or typed units of which no file can make use.
    """
    readers = [reader_of(path, format) for path in paths]
    if typed and readers and all(reader.converts for reader in readers):
        raise TamisError(
            f"{paths[0]} is of the format {readers[0].name}, whose units are known and converted to eV and Å; leave "
            "dataset.units out"
        )
    return [_read(path, reader, typed, species) for path, reader in zip(paths, readers, strict=True)]


def _read(path: Path, reader: Reader, typed: Mapping[str, str], species: Sequence[str] | None) -> OneFile:
    frames = [(f"{path}#{i}", atoms) for i, atoms in enumerate(read_frames(path, reader, species))]
    known, how = reader.units, f"of the format {reader.name}"
    if reader.converts:
        return OneFile(path, reader, frames, FileUnits(), how)
    if reader.guess is not None and not {"length", "energy"} <= set(typed):
        known, how = reader.guess([atoms for _, atoms in frames])
    elif not known:
        how = "assumed, since the file names none"
    if typed:
        how = "as typed" if {"length", "energy"} <= set(typed) else f"as typed, the others {how}"
    return OneFile(path, reader, frames, FileUnits.of({**known, **typed}), how)


def parts_of(files: Sequence[OneFile], kept: Mapping[str, bool]) -> Iterator[tuple[Part, Named]]:
    """Parts, and the structures of each that are kept, in the order in which they begin.

    Parameters
    ----------
    kept : by id; the labels of other structures do not count.
    """
    alike: dict[tuple[object, ...], list[OneFile]] = {}
    for file in files:
        names = frozenset(name for key, atoms in file.frames if kept[key] for name in names_of_labels(atoms))
        key = (file.reader.name, file.units, file.how, names)
        alike.setdefault(key, []).append(file)
    for members in alike.values():
        yield Part(members), [frame for file in members for frame in file.frames if kept[frame[0]]]
