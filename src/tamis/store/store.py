"""The store: values, gradients and design rows of structures, read from files and made where they are missing."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.base import Array, Basis, DesignRows, LinearBasis
from tamis.bases.gradients import GradientBasis
from tamis.core.errors import TamisError
from tamis.core.fields import Between, Checked
from tamis.core.files import write_atomically
from tamis.core.memory import GIB, Memory, RowArray
from tamis.data.dataset import structure_key
from tamis.store.block_files import Buffer, read_block
from tamis.store.blocks import DESIGN, GRADIENTS, VALUES, design_rows, keeps_values
from tamis.store.keys import basis_identity, basis_key
from tamis.store.workers import Item, Made, make_blocks

STRUCTURES_AT_ONCE = 2000
"""Structures of an iterator that are in memory at once."""
MOST_GIB = 1e6


@dataclass(frozen=True)
class Store(Checked):
    """Folder of features and design rows, and how many processes make them.

    root: folder; created when needed.
    n_jobs: worker processes; 1 works in the calling process, -1 takes every core.
    memory_gib: the most memory, GiB, that one process may use for data that grow with the data set: the features of a
        pool, the rows of a fit, and remembered blocks. More is an error. The program itself needs memory on top.
    remember: keep blocks in memory after reading, as far as there is room; pays where trials share a process.
    """

    root: Path
    n_jobs: int
    memory_gib: Annotated[float, Between(0, MOST_GIB, "GiB", say=4.0, above=True)] = 4.0
    remember: bool = False
    memory: Memory = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "memory", Memory(int(self.memory_gib * GIB), self.remember))
        if self.n_jobs == 0 or self.n_jobs < -1:
            raise TamisError(f"n_jobs is {self.n_jobs}; it must be a positive number or -1 for every core")

    def values(self, basis: Basis, structures: Sequence[Atoms]) -> list[Array]:
        """Basis values of each structure, (n_atoms, n_features); of a ``StructureBasis`` (1, n_features)."""
        if basis.n_features == 0:
            return [np.zeros((len(atoms), 0)) for atoms in structures]
        # design rows that a model has made hold the values as well
        kind = DESIGN if keeps_values(basis) and self._has(basis, structures, DESIGN) else VALUES
        blocks = self._blocks(basis, structures, kind)
        return [block[: len(atoms)] for block, atoms in zip(blocks, structures, strict=True)]

    def lazy_values(self, basis: Basis, structures: Iterable[Atoms]) -> LazyValues:
        """The same, but read one structure at a time during iteration.

        Missing blocks are made now, ``STRUCTURES_AT_ONCE`` at a time; structures of an iterator are not kept.
        """
        items: list[tuple[Path, int]] = []
        for batch in _batches(structures):
            paths = self._paths(basis, batch, VALUES)
            if keeps_values(basis):
                rows = self._paths(basis, batch, DESIGN)
                paths = [row if row.exists() else path for row, path in zip(rows, paths, strict=True)]
            if basis.n_features:
                missing = [item for item in zip(batch, paths, strict=True) if not item[1].exists()]
                self._make(basis, missing, VALUES)
            items += [(path, len(atoms)) for path, atoms in zip(paths, batch, strict=True)]
        return LazyValues(self, basis, items, structures if isinstance(structures, Sequence) else None)

    def design(self, basis: LinearBasis, structures: Sequence[Atoms]) -> list[DesignRows]:
        """Design rows of each structure."""
        blocks = self._blocks(basis, structures, DESIGN)
        return [design_rows(block, len(atoms)) for block, atoms in zip(blocks, structures, strict=True)]

    def design_with(
        self, basis: LinearBasis, structures: Sequence[Atoms], what: str, make: Callable[[DesignRows], Array]
    ) -> tuple[list[DesignRows], list[Array | None]]:
        """Design rows, and an array that is made of those of each structure; None where this store remembers nothing.

        Parameters
        ----------
        what : names the array: it is remembered under this name.
        """
        paths = self._paths(basis, structures, DESIGN)
        blocks = self._blocks_at(paths, basis, structures, DESIGN)
        design = [design_rows(block, len(atoms)) for block, atoms in zip(blocks, structures, strict=True)]
        if not self.remember:
            return design, [None] * len(design)
        made: list[Array | None] = []
        for path, rows in zip(paths, design, strict=True):
            name = f"{path}/{what}"
            if (array := self.memory.blocks.get(name)) is None:
                array = make(rows)
                self.memory.keep(name, array)
            made.append(array)
        return design, made

    def stream(self, basis: LinearBasis, structures: Sequence[Atoms]) -> Iterator[DesignRows]:
        """Design rows of one structure after the other, in memory that is reused: copy what you keep.

        This is for bases whose rows for all structures would take gigabytes.
        """
        for atoms, block in zip(structures, self._stream(basis, structures, DESIGN), strict=True):
            yield design_rows(block, len(atoms))

    def stream_with_values(
        self, basis: LinearBasis, structures: Sequence[Atoms]
    ) -> Iterator[tuple[Array, DesignRows]]:
        """Values and design rows from one reading, like ``stream``; for a basis that ``keeps_values``."""
        for atoms, block in zip(structures, self._stream(basis, structures, DESIGN), strict=True):
            yield block[: len(atoms)], design_rows(block, len(atoms))

    def gradients(self, basis: GradientBasis, structures: Sequence[Atoms]) -> Iterator[NDArray[np.void]]:
        """Derivatives of the values of each structure (see ``gradient_dtype``), in memory that is reused."""
        return self._stream(basis, structures, GRADIENTS)

    def prepare(self, basis: Basis, structures: Iterable[Atoms]) -> None:
        """Make the rows of a linear basis, or the values (and gradients) of any other, so that later calls only read.

        At most ``STRUCTURES_AT_ONCE`` structures of an iterator are in memory at once.
        """
        for batch in _batches(structures):
            self._fill(basis, batch, DESIGN if isinstance(basis, LinearBasis) else VALUES)
            if isinstance(basis, GradientBasis):
                self._fill(basis, batch, GRADIENTS)

    def read(self, path: Path, buffer: Buffer | None = None) -> RowArray | None:
        """``read_block``, or the block that is remembered."""
        block = self.memory.blocks.get(str(path))
        if block is None:
            block = read_block(path, buffer)
            if block is not None and self.remember:
                block = block if buffer is None else block.copy()
                self.memory.keep(str(path), block)
        return block

    def _paths(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> list[Path]:
        folder = self.root / basis_key(basis) / kind
        keys = (structure_key(atoms) for atoms in structures)
        return [Path(f"{folder}/{key[0]}/{key[1:]}.npy") for key in keys]  # once through the parser of paths

    def _has(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> bool:
        return all(path.exists() for path in self._paths(basis, structures, kind))

    def _blocks(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> list[RowArray]:
        """All blocks at once, if the memory allows; reserved while the caller is ``memory.holding()``."""
        return self._blocks_at(self._paths(basis, structures, kind), basis, structures, kind)

    def _blocks_at(
        self, paths: Sequence[Path], basis: Basis, structures: Sequence[Atoms], kind: str
    ) -> list[RowArray]:
        title = f"{kind} of {type(basis).__name__} for {len(paths)} structures"
        with self.memory.lending():
            blocks = [self._read_counted(path, title) for path in paths]
            missing = [i for i, block in enumerate(blocks) if block is None]
            places = {paths[i]: i for i in missing}

            def keep(path: Path, block: RowArray) -> None:
                self.memory.reserve(block.nbytes, title)
                block.flags.writeable = False
                blocks[places[path]] = block
                self.memory.keep(str(path), block)

            self._make(basis, [(structures[i], path) for path, i in places.items()], kind, keep)
            for i in missing:  # what other processes have made, or another structure that is the same
                if blocks[i] is None:
                    blocks[i] = self._read_counted(paths[i], title)
        return [_whole(block, path) for block, path in zip(blocks, paths, strict=True)]

    def _stream(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> Iterator[RowArray]:
        """One block after the other, each valid until the next."""
        paths, buffer = self._paths(basis, structures, kind), Buffer()
        for i, (atoms, path) in enumerate(zip(structures, paths, strict=True)):
            block = self.read(path, buffer)
            if block is None:  # make all later missing ones at the same time, on every core
                rest = zip(structures[i + 1 :], paths[i + 1 :], strict=True)
                later = [item for item in rest if not item[1].exists()]
                self._make(basis, [(atoms, path), *later], kind)
                block = _whole(self.read(path, buffer), path)
            yield block

    def _read_counted(self, path: Path, title: str) -> RowArray | None:
        block = self.read(path)
        if block is not None:
            self.memory.reserve(block.nbytes, title)
        return block

    def _fill(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> None:
        """Make missing or damaged blocks; holds one at a time, since all together may be gigabytes."""
        items, buffer = zip(structures, self._paths(basis, structures, kind), strict=True), Buffer()
        self._make(basis, [(atoms, path) for atoms, path in items if self.read(path, buffer) is None], kind)

    def _make(
        self, basis: Basis, missing: Sequence[Item], kind: str, made: Made = lambda path, block: None
    ) -> None:
        """Make blocks, and write beside them what the key stands for, for human readers."""
        if missing:
            text = json.dumps(basis_identity(basis), indent=1)
            write_atomically(self.root / basis_key(basis) / "basis.json", text.encode())
            make_blocks(basis, missing, kind, self.n_jobs, made)


@dataclass(frozen=True, eq=False)
class LazyValues:
    """Values of many structures, (n_atoms, n_features) each; iteration reads them from the store.

    items: file and number of atoms of each. structures: for making damaged files again; None if they are not at hand.
    """

    store: Store
    basis: Basis
    items: Sequence[tuple[Path, int]]
    structures: Sequence[Atoms] | None

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[Array]:
        buffer = Buffer()
        for i, (path, n_atoms) in enumerate(self.items):
            block = self.store.read(path, buffer) if self.basis.n_features else np.zeros((n_atoms, 0))
            if block is None and self.structures is not None:
                with self.store.memory.holding():  # one at a time
                    block = self.store.values(self.basis, [self.structures[i]])[0]
            if block is None:
                raise TamisError(
                    f"{path} was damaged or removed while it was needed; the same command again makes it anew"
                )
            yield np.array(block[:n_atoms])  # a copy keeps neither the buffer nor the rest of design rows


def _whole(block: RowArray | None, path: Path) -> RowArray:
    """The block of a file that has just been written."""
    if block is None:
        raise TamisError(f"{path} is damaged although it was written just now; look at the disk")
    return block


def _batches(structures: Iterable[Atoms]) -> Iterator[Sequence[Atoms]]:
    """The whole sequence, or ``STRUCTURES_AT_ONCE`` structures of an iterator at a time."""
    if isinstance(structures, Sequence):
        yield structures
        return
    rest = iter(structures)
    while batch := list(itertools.islice(rest, STRUCTURES_AT_ONCE)):
        yield batch
