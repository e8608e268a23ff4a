"""A user's own files: anything that ASE reads, extended XYZ above all."""

from __future__ import annotations

import glob
import itertools
import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.fields import AtLeast, Between, Words
from tamis.data.checks import Tolerances, raise_problems
from tamis.data.dataset import Dataset, draw_test, has_blocks
from tamis.data.dealing import named
from tamis.data.file_units import FileUnits
from tamis.data.plausibility import Factors
from tamis.data.sources.ase_database import DATABASES, read_database, refuse_compressed
from tamis.data.sources.base import Source, refuse_unknown_ids
from tamis.data.sources.keys import AUTO, USUAL, Choice, choose_keys
from tamis.data.sources.labels import Frame, labelled
from tamis.data.sources.read_as import describe
from tamis.data.trajectories import doubts_of_test

LOG = logging.getLogger(__name__)

XYZ_FORMATS = ("xyz", "extxyz")
WITHOUT_UNITS = (*XYZ_FORMATS, *DATABASES, "traj")
"""ASE's names of formats whose numbers may be in any unit."""
CHUNK = 1 << 20
"""Bytes that are looked at together."""


@dataclass(frozen=True, kw_only=True)
class Extxyz(Source):
    """Structures from files.

    train : a file, a glob, or a list of them.
    test : likewise, for testing only; None: ``test_fraction`` of ``train`` instead.
    format : ASE's name of the file format; None: ASE looks at the files.
    energy_key, forces_key : names of the labels. "auto": energy, or free_energy where the two differ (forces belong to
        it), and forces. A name that is given is taken; "auto" refuses labels that contradict it (``keys``).
    stress_key : name of the stress, 6 (xx yy zz yz xz xy), 9 or 3 x 3 numbers. "auto": stress, where there is one;
        None: not read. A structure without it has no stress label.
    virial_key : name of the virial, minus the stress times the volume; used where there is no stress. "auto": virial,
        where there is one; None: not read.
    group_key : name of the kind of structure; a structure without it belongs to "all". "auto": config_type, where there
        is one; None: not read.
    block_key : name of the trajectory or strain mode; a structure without it is a block of its own. None: not read.
    units : of the numbers in the files, see ``tamis.data.file_units.FileUnits``; None: Å, eV, eV/Å, eV/Å³.
    test_fraction : part of every group set aside for testing where there is no ``test``; 0: no test set.
        Whole blocks, where a block has several structures; copies of a structure stay together.
    test_seed : of that choice, which belongs to the data and so is none of the trial's seeds.
    held_out : blocks or groups to test on instead of ``test_fraction``; None: that fraction.
    shortest_distance, net_force, energy_window, zero_forces : see ``tamis.data.checks.Tolerances``.
    """

    train: Annotated[tuple[str, ...], Words()]
    test: Annotated[tuple[str, ...] | None, Words()] = None
    format: str | None = None
    energy_key: str = AUTO
    forces_key: str = AUTO
    stress_key: str | None = AUTO
    virial_key: str | None = AUTO
    group_key: str | None = AUTO
    block_key: str | None = None
    units: Mapping[str, str | None] | None = field(default=None, hash=False)
    test_fraction: Annotated[float, Between(0, 0.5, say=0.1)] = 0.1
    test_seed: Annotated[int, AtLeast(0)] = 0
    held_out: Annotated[tuple[str, ...] | None, Words()] = None
    shortest_distance: float = Tolerances.shortest_distance
    net_force: float = Tolerances.net_force
    energy_window: float = Tolerances.energy_window
    zero_forces: bool = Tolerances.zero_forces

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train:
            raise TamisError("dataset.train is empty; name a file, a glob or a list of them")
        for name in ("energy_key", "forces_key"):
            if not getattr(self, name):
                raise TamisError(f"dataset.{name} is {getattr(self, name)!r}; give a name, or auto")
        if self.held_out is not None and self.test:
            raise TamisError("dataset.held_out and dataset.test are both set; leave one of them null")
        _ = self.file_units, self.tolerances  # both check their own values

    @property
    def file_units(self) -> FileUnits:
        """The units of the numbers in the files."""
        return FileUnits.of(self.units)

    @property
    def typed_factors(self) -> Factors:
        """Of ``units``; stresses are those of the stress, or of the virial where this has a unit and that has none."""
        units = self.file_units
        stress = units.factor("stress") if units.factor("stress") != 1.0 else units.factor("virial")
        return units.factor("energy"), units.factor("forces"), stress

    @property
    def tolerances(self) -> Tolerances:
        """Where the checks refuse."""
        return Tolerances(self.shortest_distance, self.net_force, self.energy_window, self.zero_forces)

    def _files(self) -> list[Path]:
        return [*matching(self.train), *matching(self.test or ())]

    def _read(self) -> Dataset:
        training = self._structures(matching(self.train))
        testing = self._structures(matching(self.test or ()))
        refuse_unknown_ids(self.drop, [name for name, _ in training + testing])
        units = self.file_units
        chosen = choose_keys(
            [(name, atoms) for name, atoms in training + testing if name not in self.drop],
            {key: getattr(self, f"{key}_key") for key in USUAL},
            units,
        )
        raise_problems(chosen.problems)
        frames = [labelled(atoms, name, chosen.keys, units) for name, atoms in training + testing]
        used = [frame for frame in frames if frame.name not in self.drop]  # what is left out may be bad
        raise_problems([f"{frame.name}: {problem}" for frame in used for problem in frame.problems])
        return Dataset(
            structures=tuple(frame.atoms for frame in frames),
            energies=np.array([frame.energy for frame in frames]),
            forces=tuple(frame.forces for frame in frames),
            stresses=np.array([frame.stress for frame in frames]).reshape(-1, 6),
            groups=tuple(frame.group for frame in frames),
            blocks=tuple(frame.block for frame in frames),
            ids=tuple(frame.name for frame in frames),
            is_test=np.arange(len(frames)) >= len(training),
            test_kind="file",
            blocks_whole=has_blocks(tuple(frame.block for frame in frames[: len(training)])),
            frames=tuple(frame.source for frame in frames),
            read_as=self._told(used, chosen, units),
        )

    def _with_test(self, dataset: Dataset) -> Dataset:
        """Where there is no test file, what ``held_out`` names, or ``test_fraction``, is for testing."""
        if self.test:
            return dataset
        if self.held_out is not None:
            is_test = named(self.held_out, dataset.groups, dataset.blocks)
            # what is trained on as well is no test: several trajectories may begin with the same structure
            is_test &= ~np.isin(dataset.copies, dataset.copies[~is_test])
            if not is_test.any():
                raise TamisError(
                    f"dataset.held_out={list(self.held_out)} has only copies of training structures"
                )
            return dataset.with_test(is_test, "blocks", has_blocks(dataset.blocks))
        drawn = draw_test(dataset, self.test_fraction, self.test_seed)
        doubts = doubts_of_test(drawn, self.test_fraction)
        for doubt in doubts:
            LOG.warning("%s", doubt)
        return drawn.with_notes(doubts)

    def _structures(self, paths: Sequence[Path]) -> list[tuple[str, Atoms]]:
        """Ids and structures as in the files, in order."""
        found = []
        for path in paths:
            if not self.file_units.are_ours:
                refuse_own_units(path, self.format)
            found += [(f"{path}#{i}", atoms) for i, atoms in enumerate(read_frames(path, self.format))]
        return found

    def _told(self, frames: Sequence[Frame], chosen: Choice, units: FileUnits) -> str:
        """One line that says what was taken for what; it is logged, too."""
        # a name may be any bytes, and the line goes to a file of UTF-8
        files = [os.fsencode(path).decode("utf-8", "backslashreplace") for path in self._files()]
        line = describe(frames, chosen, units)
        text = (
            f"{', '.join(files[:3])}{f' and {len(files) - 3} more files' if len(files) > 3 else ''}: {line}"
        )
        LOG.info("%s", text)
        return text


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


def read_frames(path: Path, file_format: str | None) -> Iterator[Atoms]:
    """The structures of one file, in order.

    Raises
    ------
    TamisError : the file or one of its frames cannot be read; names the frame.
    """
    from ase.io import iread

    known = known_format(path, file_format)
    refuse_missing_lines(path, known)
    database = known in DATABASES
    if database:
        refuse_compressed(path)
    frames = read_database(path, str(known)) if database else iread(path, index=":", format=file_format)
    count = 0
    while True:
        try:
            atoms = next(frames)
        except StopIteration:
            break
        except Exception as error:  # ASE's readers raise whatever a damaged line leads to
            raise TamisError(
                f"{path}, frame {count} or later, cannot be read ({type(error).__name__}: {error}); is the file "
                "truncated? correct it, or set dataset.format"
            ) from error
        yield atoms
        count += 1
    refuse_cut_line(path, known)
    if count == 0:
        raise TamisError(f"{path} holds no structure; remove it from dataset.train or dataset.test")


def known_format(path: Path, file_format: str | None) -> str | None:
    """ASE's name of a file's format, compressed or not; None where ASE does not know it and will say so."""
    from ase.io.formats import filetype

    try:
        return file_format or filetype(str(path))
    except Exception:  # ASE meets the same when it reads, and its error is told
        return None


def refuse_own_units(path: Path, file_format: str | None) -> None:
    """ASE converts the numbers of formats that have units of their own: converting them again would be wrong."""
    known = known_format(path, file_format)
    if known not in WITHOUT_UNITS:
        raise TamisError(
            f"{path} is of the format {known}, whose units are known and converted to eV and Å; leave "
            f"dataset.units out (it is for {', '.join(WITHOUT_UNITS)})"
        )


def refuse_missing_lines(path: Path, file_format: str | None) -> None:
    """An XYZ file may say that it has a billion atoms: ASE would look for each of them behind the end of the file."""
    if file_format not in XYZ_FORMATS:
        return
    from ase.io.formats import open_with_compression

    try:
        with open_with_compression(str(path), "r") as file:
            cut = cut_frame(file)
    except Exception:  # ASE meets the same when it reads, and its error is told
        return
    if cut:
        raise TamisError(
            f"{path}, frame {cut[0]} or later, cannot be read (it says {cut[1]} atoms, and {cut[2]} lines follow); "
            "is the file truncated? correct it"
        )


def cut_frame(lines: Iterator[str]) -> tuple[int, int, int] | None:
    """Of the first frame that an XYZ file does not hold: its number, how many atoms it has, lines that are there."""
    count = 0
    for header in lines:
        if header.lstrip().startswith("VEC"):  # cell vectors behind a frame
            continue
        n_atoms = max(int(header), 0)
        found = sum(1 for _ in itertools.islice(lines, min(n_atoms + 1, sys.maxsize)))
        if found <= n_atoms:
            return count, n_atoms, found
        count += 1
    return None


def refuse_cut_line(path: Path, file_format: str | None) -> None:
    """An XYZ file that was cut inside its last number reads like a whole one, with another number."""
    if file_format not in XYZ_FORMATS:
        return
    from ase.io.formats import get_compression, open_with_compression

    with open_with_compression(str(path), "rb") as file:
        if get_compression(str(path))[1] is None:
            file.seek(max(file.seek(0, os.SEEK_END) - 1, 0))
        last = b""
        while chunk := file.read(CHUNK):
            last = chunk[-1:]
    if last not in (b"", b"\n"):
        raise TamisError(
            f"{path} does not end with a whole line: is it truncated? If it is complete, end it with a newline"
        )
