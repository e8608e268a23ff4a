"""A user's own files in any format that a reader here or ASE knows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import compress
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.fields import AtLeast, Between, OneOf, Texts
from tamis.core.messages import listed
from tamis.core.names import printable
from tamis.data.checks import Tolerances, raise_problems
from tamis.data.dataset import Dataset, draw_test, has_blocks
from tamis.data.dealing import named
from tamis.data.file_units import FileUnits, typed_units
from tamis.data.plausibility import Factors
from tamis.data.sources.base import Source
from tamis.data.sources.conversion import converted
from tamis.data.sources.drop import Drop
from tamis.data.sources.finding import Found, find, on_disk
from tamis.data.sources.keys import (
    AUTO,
    USUAL,
    Counts,
    choose_keys,
    count_labels,
    missing_keys,
    two_energies,
    usual_group,
)
from tamis.data.sources.labels import labelled
from tamis.data.sources.naming import FILE, FOLDER, KEY, UNGROUPED, names_of
from tamis.data.sources.parts import OneFile, parts_of, read_files
from tamis.data.sources.read_as import Alike, describe
from tamis.data.sources.weights import (
    OfGroups,
    check_group_weights,
    told,
    weight_keys,
    weights_in_file,
    weights_of_groups,
)
from tamis.data.trajectories import doubts_of_test

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class File(Source):
    """Structures from files.

    train : a file, a folder, a glob, or a list of them.
    test : likewise, for testing only; None: ``test_fraction`` of ``train`` instead.
    format : name of the file format; None: it is recognised.
    energy_key, forces_key : names of the labels. "auto": a usual spelling (``keys``); free_energy where it differs from
        energy, since forces belong to it. A name that is given is taken; "auto" refuses labels that contradict it.
        Forces may be missing; None: they are not read.
    stress_key : name of the stress, 6 (xx yy zz yz xz xy), 9 or 3 x 3 numbers. "auto": a usual spelling, if there is
        one; None: not read. A structure without it has no stress label.
    virial_key : name of the virial, minus the stress times the volume; used if there is no stress. "auto": likewise;
        None: not read.
    group_key : name of the kind of structure; a structure without it belongs to "all". "auto": config_type or another
        usual name, where there is one; None: not read.
    group_from : ``file`` or ``folder``: the kind is the name of the structure's file or folder; ``key``: group_key.
    block_key : name of the trajectory or strain mode; a structure without it is its own block. None: not read.
    block_from : as ``group_from``, for blocks.
    weight_key : name of a structure's weight in fits. "auto": usual names, of single labels, too; None: not read.
    weights : group -> number, or numbers for energy, forces and stress, by which its weights are multiplied.
    species : elements of the kinds of atoms 0, 1, 2 ... of files that have numbers only, in this order.
    units : of the numbers in the files, see ``tamis.data.file_units.FileUnits``, or the name of a preset; None, or None
        for one: the format's own.
    test_fraction : part of every group set aside for testing if there is no ``test``; 0: no test set.
        Whole blocks, where a block has several structures; copies of a structure stay together.
    test_seed : seed of that choice; it belongs to the data, and is none of the trial's seeds.
    held_out : blocks or groups to test on instead of ``test_fraction``; None: that fraction.
    shortest_distance, net_force, energy_window, zero_forces : see ``tamis.data.checks.Tolerances``.
    """

    train: Annotated[tuple[str, ...], Texts()]
    test: Annotated[tuple[str, ...] | None, Texts()] = None
    format: str | None = None
    energy_key: str = AUTO
    forces_key: str | None = AUTO
    stress_key: str | None = AUTO
    virial_key: str | None = AUTO
    group_key: str | None = AUTO
    group_from: Annotated[str, OneOf(KEY, FILE, FOLDER)] = KEY
    block_key: str | None = None
    block_from: Annotated[str, OneOf(KEY, FILE, FOLDER)] = KEY
    weight_key: str | None = AUTO
    weights: OfGroups | None = field(default=None, hash=False)
    species: Annotated[tuple[str, ...] | None, Texts()] = None
    units: str | Mapping[str, str | None] | None = field(default=None, hash=False)
    test_fraction: Annotated[float, Between(0, 0.5, say=0.1)] = 0.1
    test_seed: Annotated[int, AtLeast(0)] = 0
    held_out: Annotated[tuple[str, ...] | None, Texts()] = None
    shortest_distance: float = Tolerances.shortest_distance
    net_force: float = Tolerances.net_force
    energy_window: float = Tolerances.energy_window
    zero_forces: bool = Tolerances.zero_forces

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.train:
            raise TamisError("dataset.train is empty; name a file, a glob or a list of them")
        if not self.energy_key or self.forces_key == "":
            name = "forces_key" if self.energy_key else "energy_key"
            raise TamisError(f"dataset.{name} is {getattr(self, name)!r}; give a name, or auto")
        for what in ("group", "block"):
            where, key = getattr(self, f"{what}_from"), getattr(self, f"{what}_key")
            if where != KEY and key not in (AUTO, None):
                raise TamisError(
                    f"dataset.{what}_from={where} and dataset.{what}_key={key} are both set; leave one of them out"
                )
        check_group_weights(self.weights)
        if self.held_out is not None and self.test:
            raise TamisError("dataset.held_out and dataset.test are both set; leave one of them null")
        _ = self.file_units, self.tolerances  # both check their own values

    @property
    def file_units(self) -> FileUnits:
        """The typed units of the numbers in the files, and Å and eV."""
        return FileUnits.of(self.units)

    @property
    def typed_factors(self) -> Factors:
        """Factors of ``units``; that of the virial for stresses if only the virial has a unit of its own."""
        units = self.file_units
        stress = units.factor("stress") if units.factor("stress") != 1.0 else units.factor("virial")
        return units.factor("energy"), units.factor("forces"), stress

    @property
    def tolerances(self) -> Tolerances:
        """Limits of the checks."""
        return Tolerances(self.shortest_distance, self.net_force, self.energy_window, self.zero_forces)

    def _files(self) -> list[Path]:
        return [*on_disk(self.train), *on_disk(self.test or ())]

    def _read(self) -> Dataset:
        dataset, problems = self.read()
        raise_problems(problems)
        return dataset

    def read(self) -> tuple[Dataset, list[str]]:
        """The structures without those of ``drop``, and problems for which they would be refused.

        Raises
        ------
        TamisError : files that cannot be read, and names in the configuration that do not exist.
        """
        found = self._found()
        drop = Drop.of(self.drop)
        training, testing = self._opened(found, drop)
        files = [*training, *testing]
        frames = [frame for file in files for frame in file.frames]
        counts = count_labels(frames)
        names = self._names("group", self._group_key(counts), files)
        groups = [UNGROUPED if name is None else name for name in names]
        drop.refuse_unknown(
            [name for name, _ in frames], groups, [str(path) for part in found for path in part.files]
        )
        dropped = drop.of_structures([name for name, _ in frames], groups)
        _tell_dropped(drop, int(dropped.sum()))
        whole = _Reading(files, frames, groups, ~dropped, sum(len(file.frames) for file in training))
        return self._labelled(whole, found)

    def _found(self) -> tuple[Found, Found]:
        """The files for training and for testing."""
        return find(self.train, self.format, self.test or ()), find(self.test or (), self.format)

    def _opened(self, found: Sequence[Found], drop: Drop) -> tuple[Sequence[OneFile], Sequence[OneFile]]:
        """The structures of these files, for training and for testing."""
        paths = [[path for path in part.files if not drop.has_file(str(path))] for part in found]
        training, testing = (
            read_files(part, self.format, typed_units(self.units), self.species) for part in paths
        )
        return training, testing

    def _labelled(self, whole: _Reading, found: Sequence[Found]) -> tuple[Dataset, list[str]]:
        counts = count_labels(whole.kept)
        wanted = {key: getattr(self, f"{key}_key") for key in (*USUAL, "group", "block", "weight")}
        problems = list(missing_keys(counts, wanted, len(whole.kept)))
        parts, wrong = self._parts(whole, {what: wanted[what] for what in USUAL})
        problems += wrong
        by_id = {frame.name: frame for part in parts for frame in part.frames}
        labels = [by_id[name] for name, _ in whole.kept]
        if not problems:  # else one problem would be told for each structure
            problems = [f"{frame.name}: {text}" for frame in labels for text in frame.problems]
        groups = list(compress(whole.groups, whole.is_kept))
        names = compress(self._names("block", self.block_key, whole.files), whole.is_kept)
        blocks = [own if name is None else name for name, (own, _) in zip(names, whole.kept, strict=True)]
        keys = weight_keys(counts, self.weight_key, AUTO)
        weights, wrong = weights_in_file(whole.kept, keys)
        weights *= weights_of_groups(self.weights, groups)
        is_test = np.flatnonzero(whole.is_kept) >= whole.n_training
        lines = [*describe(parts), *self._about(counts, found, told(weights, keys, bool(self.weights)))]
        dataset = Dataset(
            structures=tuple(frame.atoms for frame in labels),
            energies=np.array([frame.energy for frame in labels]),
            forces=tuple(frame.forces for frame in labels),
            stresses=np.array([frame.stress for frame in labels]).reshape(-1, 6),
            groups=tuple(groups),
            blocks=tuple(blocks),
            ids=tuple(frame.name for frame in labels),
            is_test=is_test,
            test_kind="file",
            blocks_whole=has_blocks([block for block, test in zip(blocks, is_test, strict=True) if not test]),
            frames=tuple(frame.source for frame in labels),
            file_format=_only({file.reader.name for file in whole.files}),
            read_as="\n".join(lines),
            weights=None if (weights == 1.0).all() else weights,
        )
        return dataset, [*problems, *wrong]

    def _parts(self, whole: _Reading, wanted: Mapping[str, str | None]) -> tuple[list[Alike], list[str]]:
        """Labelled structures of the files that are read alike, and problems with their keys."""
        kept = dict(zip((name for name, _ in whole.frames), whole.is_kept.tolist(), strict=True))
        found, choices = [], []
        problems: list[str] = []
        written = FileUnits.of(typed_units(self.units))
        for part, frames in parts_of(whole.files, kept):
            if not frames:
                continue
            chosen = choose_keys(frames, wanted, part.units)
            labels = [labelled(atoms, name, chosen.keys, part.units) for name, atoms in frames]
            labels = [
                replace(one, source=converted(one.source, chosen.keys, part.units, written)) for one in labels
            ]
            names = [str(file.path) for file in part.files]
            found.append(Alike(names, part.reader.name, labels, chosen, part.units, part.files[0].how))
            choices.append((part.name, chosen))
            problems += chosen.problems
        return found, [*problems, *two_energies(choices)]

    def _group_key(self, counts: Counts) -> str | None:
        return usual_group(counts) if self.group_key == AUTO else self.group_key

    def _names(self, what: str, key: str | None, files: Sequence[OneFile]) -> list[str | None]:
        """The name of each structure's group or block."""
        where = getattr(self, f"{what}_from")
        return [name for file in files for name in names_of(where, key, file.path, file.frames)]

    def _about(self, counts: Counts, found: Sequence[Found], weights: Iterator[str]) -> Iterator[str]:
        """A line on what is the same for all files."""
        ways = {
            "group": (self.group_from, self._group_key(counts)),
            "block": (self.block_from, self.block_key),
        }
        told = [
            f"{what} from {f'the name of the {where}' if where != KEY else key}"
            for what, (where, key) in ways.items()
            if where != KEY or key
        ]
        skipped = [printable(str(path)) for part in found for path in part.skipped]
        told += [*weights, *([f"skipped in folders: {listed(skipped, 5)}"] if skipped else [])]
        if told:
            yield "; ".join(told)

    def with_test(self, dataset: Dataset) -> Dataset:
        """Without a test file, ``held_out`` or else ``test_fraction`` chooses the test structures."""
        if self.test:
            return dataset
        if self.held_out is not None:
            is_test = named(self.held_out, dataset.groups, dataset.blocks)
            # copies of training structures are no test: several trajectories may begin with one structure
            is_test &= ~np.isin(dataset.copies, dataset.copies[~is_test])
            if not is_test.any():
                raise TamisError(
                    f"dataset.held_out={list(self.held_out)} has only copies of training structures"
                )
            return dataset.with_test(is_test, "blocks", has_blocks(dataset.blocks))
        drawn = draw_test(dataset, self.test_fraction, self.test_seed)
        return drawn.with_notes(doubts_of_test(drawn, self.test_fraction))


@dataclass(frozen=True, eq=False)
class _Reading:
    """All structures of the files. groups, is_kept : of each; n_training : how many are of the training files."""

    files: Sequence[OneFile]
    frames: Sequence[tuple[str, Atoms]]
    groups: Sequence[str]
    is_kept: NDArray[np.bool_]
    n_training: int

    @cached_property
    def kept(self) -> list[tuple[str, Atoms]]:
        """Ids and structures that are not left out."""
        return list(compress(self.frames, self.is_kept))


def _only(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""


def _tell_dropped(drop: Drop, count: int) -> None:
    if drop != Drop():
        files = f", and the files {', '.join(sorted(drop.files))}" if drop.files else ""
        LOG.warning("dropped %d structure(s) on request%s", count, files)
