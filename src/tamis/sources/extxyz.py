"""A user's own files: anything that ASE reads, extended XYZ above all."""

from __future__ import annotations

import glob
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.checks import Tolerances, raise_problems
from tamis.dataset import Dataset, draw_test, has_blocks
from tamis.dealing import named
from tamis.exceptions import TamisError
from tamis.sources.base import Source
from tamis.trajectories import warn_of_trajectories

Array = NDArray[np.float64]

UNGROUPED = "all"
XYZ_SUFFIXES = (".xyz", ".extxyz")


@dataclass(frozen=True, kw_only=True)
class Extxyz(Source):
    """Structures from files.

    train : a file, a glob, or a list of them.
    test : likewise, for testing only; None: ``test_fraction`` of ``train`` instead.
    format : ASE's name of the file format; None: ASE looks at the files.
    energy_key, forces_key : names of the labels, total energy in eV and forces in eV/Å.
    stress_key : name of the stress, eV/Å³ in ASE's sign (positive in tension), 6 (xx yy zz yz xz xy), 9 or 3 x 3
        numbers; None: not read. A structure without it has no stress label.
    virial_key : name of the virial, eV, minus the stress times the volume; used where there is no stress. None: not
        read.
    group_key : name of the kind of structure; a structure without it belongs to "all". None: not read.
    block_key : name of the trajectory or strain mode; a structure without it is a block of its own. None: not read.
    test_fraction : part of every group set aside for testing where there is no ``test``; 0: no test set.
        Whole blocks, where a block has several structures; copies of a structure stay together.
    test_seed : of that choice, which belongs to the data and so is none of the trial's seeds.
    held_out : blocks or groups to test on instead of ``test_fraction``; None: that fraction.
    shortest_distance, net_force, energy_window : see ``tamis.checks.Tolerances``.
    """

    train: tuple[str, ...]
    test: tuple[str, ...] | None = None
    format: str | None = None
    energy_key: str = "energy"
    forces_key: str = "forces"
    stress_key: str | None = "stress"
    virial_key: str | None = "virial"
    group_key: str | None = "config_type"
    block_key: str | None = None
    test_fraction: float = 0.1
    test_seed: int = 0
    held_out: tuple[str, ...] | None = None
    shortest_distance: float = Tolerances.shortest_distance
    net_force: float = Tolerances.net_force
    energy_window: float = Tolerances.energy_window

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "train", as_patterns(self.train))
        object.__setattr__(self, "test", as_patterns(self.test) or None)
        if not self.train:
            raise TamisError("dataset.train is empty; name a file, a glob or a list of them")
        if not 0.0 <= self.test_fraction <= 0.5:
            raise TamisError(
                f"dataset.test_fraction is {self.test_fraction}; it must lie between 0 and 0.5, say 0.1"
            )
        if self.test_seed < 0:
            raise TamisError(f"dataset.test_seed is {self.test_seed}; it must be a whole number from 0 on")
        if self.held_out is not None:
            object.__setattr__(self, "held_out", as_patterns(self.held_out))
            if self.test:
                raise TamisError("dataset.held_out and dataset.test are both set; leave one of them null")
        _ = self.tolerances  # checks its numbers

    @property
    def tolerances(self) -> Tolerances:
        """Where the checks refuse."""
        return Tolerances(self.shortest_distance, self.net_force, self.energy_window)

    def _files(self) -> list[Path]:
        return [*matching(self.train), *matching(self.test or ())]

    def _read(self) -> Dataset:
        training = [frame for path in matching(self.train) for frame in self._frames(path)]
        testing = [frame for path in matching(self.test or ()) for frame in self._frames(path)]
        frames = training + testing
        raise_problems([f"{frame.name}: {problem}" for frame in frames for problem in frame.problems])
        dataset = Dataset(
            structures=tuple(frame.atoms for frame in frames),
            energies=np.array([frame.energy for frame in frames]),
            forces=tuple(frame.forces for frame in frames),
            stresses=np.array([frame.stress for frame in frames]).reshape(-1, 6),
            groups=tuple(frame.group for frame in frames),
            blocks=tuple(frame.block for frame in frames),
            ids=tuple(frame.name for frame in frames),
            is_test=np.arange(len(frames)) >= len(training),
            test_kind="file",
            blocks_whole=has_blocks(tuple(frame.block for frame in training)),
        )
        return dataset if self.test else self._with_drawn_test(dataset)

    def _with_drawn_test(self, dataset: Dataset) -> Dataset:
        """``dataset``, of which what ``held_out`` names, or ``test_fraction``, is for testing."""
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
        if drawn.test_kind == "random":
            warn_of_trajectories(drawn)
        return drawn

    def _frames(self, path: Path) -> Iterator[Frame]:
        for i, atoms in enumerate(read_frames(path, self.format)):
            yield self._frame(atoms, f"{path}#{i}")

    def _frame(self, atoms: Atoms, name: str) -> Frame:
        problems: list[str] = []
        labels = {}
        for key, argument in ((self.energy_key, "energy_key"), (self.forces_key, "forces_key")):
            found = label(atoms, key)
            labels[argument] = None if found is None else numbers(found)
            if found is None:
                problems.append(
                    f"has no {key}; it has {', '.join(names_of_labels(atoms))}: set dataset.{argument}"
                )
            elif labels[argument] is None:
                problems.append(f"{key} is {str(found)[:60]!r}; numbers are needed")
        energy, forces = labels["energy_key"], labels["forces_key"]
        if energy is not None and energy.size != 1:
            problems.append(f"{self.energy_key} has {energy.size} numbers; one is needed")
            energy = None
        stress, wrong = self._stress(atoms)
        group = label(atoms, self.group_key) if self.group_key else None
        block = label(atoms, self.block_key) if self.block_key else None
        bare = Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
        return Frame(
            name=name,
            atoms=bare,
            energy=float(np.nan if energy is None else energy.item()),
            forces=np.empty((0, 3)) if forces is None else forces,
            stress=stress,
            group=UNGROUPED if group is None else str(group),
            block=name if block is None else str(block),
            problems=(*problems, *wrong),
        )

    def _stress(self, atoms: Atoms) -> tuple[Array, list[str]]:
        """Stress (6,), eV/Å³, ASE sign; NaN where there is no label. With it, what is wrong with the label."""
        missing = np.full(6, np.nan)
        if not atoms.pbc.all() or atoms.cell.volume == 0.0:
            return missing, []
        stress = label(atoms, self.stress_key) if self.stress_key else None
        if stress is not None:
            values = voigt(stress)
            return (missing, [f"{self.stress_key} needs 6 or 9 numbers"]) if values is None else (values, [])
        virial = label(atoms, self.virial_key) if self.virial_key else None
        if virial is None:
            return missing, []
        values = voigt(virial)
        if values is None:
            return missing, [f"{self.virial_key} needs 6 or 9 numbers"]
        return -values / atoms.cell.volume, []


@dataclass(frozen=True, eq=False)
class Frame:
    """One structure with its labels (units of Dataset) and what is wrong with it."""

    name: str
    atoms: Atoms
    energy: float
    forces: Array
    stress: Array
    group: str
    block: str
    problems: tuple[str, ...]


def as_patterns(value: Any) -> tuple[str, ...]:
    """A string, a list of strings or None as a tuple of strings."""
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(str(item) for item in value)


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

    refuse_missing_lines(path, file_format)
    frames = iread(path, index=":", format=file_format)
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
    refuse_cut_line(path)
    if count == 0:
        raise TamisError(f"{path} holds no structure; remove it from dataset.train or dataset.test")


def refuse_missing_lines(path: Path, file_format: str | None) -> None:
    """An XYZ file may say that it has a billion atoms: ASE would look for each of them behind the end of the file."""
    from ase.io.formats import filetype, open_with_compression

    try:
        if (file_format or filetype(str(path))) not in ("extxyz", "xyz"):
            return
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


def refuse_cut_line(path: Path) -> None:
    """An XYZ file that was cut inside its last number reads like a whole one, with another number."""
    if path.suffix not in XYZ_SUFFIXES:
        return
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(end - 1, 0))
        if file.read(1) not in (b"", b"\n"):
            raise TamisError(
                f"{path} does not end with a whole line: is it truncated? If it is complete, end it with a newline"
            )


def label(atoms: Atoms, key: str) -> Any:
    """What the file says under ``key``; ASE keeps some names in a calculator, others with the atoms. None: nothing."""
    if key in atoms.info:
        return atoms.info[key]
    if key in atoms.arrays:
        return atoms.arrays[key]
    return None if atoms.calc is None else atoms.calc.results.get(key)


def names_of_labels(atoms: Atoms) -> list[str]:
    """Keys under which ``atoms`` has something."""
    results = {} if atoms.calc is None else atoms.calc.results
    return sorted({*atoms.info, *results, *(set(atoms.arrays) - {"numbers", "positions"})}) or ["nothing"]


def numbers(values: Any) -> Array | None:
    """``values`` as an array of float64; None where they are something else."""
    try:
        return np.array(values, dtype=float)
    except (TypeError, ValueError, OverflowError):
        return None


def voigt(values: Any) -> Array | None:
    """Six numbers xx yy zz yz xz xy of a symmetric tensor given as 6, 9 or 3 x 3 numbers; None for anything else."""
    found = numbers(values)
    if found is None or found.size not in (6, 9):
        return None
    if found.size == 6:
        return found.ravel()
    full = found.reshape(3, 3)
    full = 0.5 * (full + full.T)
    return np.array([full[0, 0], full[1, 1], full[2, 2], full[1, 2], full[0, 2], full[0, 1]])
