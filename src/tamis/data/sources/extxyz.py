"""A user's own files in any format that ASE reads, such as extended XYZ."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.fields import AtLeast, Between, Texts
from tamis.data.checks import Tolerances, raise_problems
from tamis.data.dataset import Dataset, draw_test, has_blocks
from tamis.data.dealing import named
from tamis.data.file_units import FileUnits
from tamis.data.plausibility import Factors
from tamis.data.readers.formats import matching, read_frames, reader_of
from tamis.data.sources.base import Source, refuse_unknown_ids
from tamis.data.sources.keys import AUTO, USUAL, choose_keys
from tamis.data.sources.labels import labelled
from tamis.data.sources.read_as import describe
from tamis.data.trajectories import doubts_of_test

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Extxyz(Source):
    """Structures from files.

    train : a file, a glob, or a list of them.
    test : likewise, for testing only; None: ``test_fraction`` of ``train`` instead.
    format : ASE's name of the file format; None: ASE looks at the files.
    energy_key, forces_key : names of the labels. "auto": energy, or free_energy where the two differ (forces belong to
        it), and forces. A name that is given is taken; "auto" refuses labels that contradict it (``keys``).
    stress_key : name of the stress, 6 (xx yy zz yz xz xy), 9 or 3 x 3 numbers. "auto": stress, if there is one;
        None: not read. A structure without it has no stress label.
    virial_key : name of the virial, minus the stress times the volume; used if there is no stress. "auto": virial,
        if there is one; None: not read.
    group_key : name of the kind of structure; a structure without it belongs to "all". "auto": config_type, where there
        is one; None: not read.
    block_key : name of the trajectory or strain mode; a structure without it is its own block. None: not read.
    units : of the numbers in the files, see ``tamis.data.file_units.FileUnits``; None: Å, eV, eV/Å, eV/Å³.
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
    forces_key: str = AUTO
    stress_key: str | None = AUTO
    virial_key: str | None = AUTO
    group_key: str | None = AUTO
    block_key: str | None = None
    units: Mapping[str, str | None] | None = field(default=None, hash=False)
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
        """Factors of ``units``; that of the virial for stresses if only the virial has a unit of its own."""
        units = self.file_units
        stress = units.factor("stress") if units.factor("stress") != 1.0 else units.factor("virial")
        return units.factor("energy"), units.factor("forces"), stress

    @property
    def tolerances(self) -> Tolerances:
        """Limits of the checks."""
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
        used = [frame for frame in frames if frame.name not in self.drop]  # dropped structures may be bad
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
            read_as=describe(self._files(), used, chosen, units),
        )

    def _with_test(self, dataset: Dataset) -> Dataset:
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
        doubts = doubts_of_test(drawn, self.test_fraction)
        for doubt in doubts:
            LOG.warning("%s", doubt)
        return drawn.with_notes(doubts)

    def _structures(self, paths: Sequence[Path]) -> list[tuple[str, Atoms]]:
        """Ids and structures as in the files, in order."""
        found = []
        for path in paths:
            reader = reader_of(path, self.format)
            if reader.converts and not self.file_units.are_ours:
                raise TamisError(
                    f"{path} is of the format {reader.name}, whose units are known and converted to eV and Å; leave "
                    "dataset.units out"
                )
            found += [(f"{path}#{i}", atoms) for i, atoms in enumerate(read_frames(path, reader))]
        return found
