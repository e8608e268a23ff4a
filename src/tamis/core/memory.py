"""How much memory the data of one process may take, and what of it is kept for the next time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tamis.core.errors import TamisError

Block = NDArray[Any]

GIB = 2**30
PARTS = 500
"""Larger files than this part of the memory are not kept: those of thousands of columns would turn all others out."""


@dataclass(eq=False)
class Memory:
    """An account of bytes: what is needed at once is reserved; what was read may be kept in what is left.

    limit: bytes, never exceeded by ``reserved`` and ``n_bytes`` together. remember: keep what was read at all.
    """

    limit: int
    remember: bool
    blocks: dict[Path, Block] = field(default_factory=dict)
    n_bytes: int = 0
    reserved: int = 0
    holders: int = 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        """What is reserved inside the block is given back at its end: use what was read no longer than that."""
        before = self.reserved
        self.holders += 1
        try:
            yield
        finally:
            self.holders -= 1
            self.reserved = before

    @contextmanager
    def lending(self) -> Iterator[None]:
        """For what goes to a caller: reserved as long as the caller is holding; where none is, only checked."""
        with nullcontext() if self.holders else self.holding():
            yield

    def reserve(self, n_bytes: int, what: str) -> None:
        """Make room for what is needed at once; what was read before is forgotten as far as that takes.

        Raises
        ------
        TamisError : it is more than the limit allows. ``what`` begins the sentence, with a verb in the plural.
        """
        if self.reserved + n_bytes > self.limit:
            raise TamisError(
                f"{what} take {(self.reserved + n_bytes) / GIB:.3g} GiB of memory at once, and store.memory_gib is "
                f"{self.limit / GIB:.3g}; raise it, or take fewer structures or a smaller basis"
            )
        self.reserved += n_bytes
        self._shrink()

    def keep(self, path: Path, block: Block) -> None:
        """Remember a block, and forget others until all fit; the first to come is the first to go."""
        if not self.remember or block.nbytes > self.limit / PARTS:
            return
        self.blocks[path] = block
        self.n_bytes += block.nbytes
        self._shrink()

    def _shrink(self) -> None:
        while self.blocks and self.reserved + self.n_bytes > self.limit:
            self.n_bytes -= self.blocks.pop(next(iter(self.blocks))).nbytes
