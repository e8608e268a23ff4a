"""Limits the memory of one process's data, and keeps what was read for the next time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError

RowArray = NDArray[Any]

GIB = 2**30
LARGEST_KEPT = 31 * 2**20
"""Bytes, a little less than the 32 MiB that are glibc's limit."""
N_PARTS = 500
"""Files larger than 1/500 of the memory are not kept: a few with thousands of columns would evict all others."""


def keep_freed_memory() -> None:
    """Let the C library keep what is freed for the next array of this size, as where iterations all need the same.

    glibc fetches arrays larger than a threshold from the kernel each time, page by page. The threshold rises to the
    largest of them that was freed (mallopt(3), M_MMAP_THRESHOLD). The array here is never written to and takes no
    memory. Without glibc this does nothing.
    """
    np.empty(LARGEST_KEPT, dtype=np.uint8)


@dataclass(eq=False)
class Memory:
    """An account of bytes: data in use are reserved; data that were read may be kept in the rest.

    limit: bytes that ``reserved`` and ``n_bytes`` together never exceed. remember: whether to keep data at all.
    """

    limit: int
    remember: bool
    blocks: dict[str, RowArray] = field(default_factory=dict)
    n_bytes: int = 0
    reserved: int = 0
    holders: int = 0

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Release at the end of the block all that is reserved in it; data read in it may not be used afterwards."""
        before = self.reserved
        self.holders += 1
        try:
            yield
        finally:
            self.holders -= 1
            self.reserved = before

    @contextmanager
    def lending(self) -> Iterator[None]:
        """Reserve data for a caller until its ``holding`` ends; without one, only check the limit."""
        with nullcontext() if self.holders else self.holding():
            yield

    def reserve(self, n_bytes: int, what: str) -> None:
        """Reserve bytes, and forget data that were read before as far as necessary.

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

    def keep(self, name: str, block: RowArray) -> None:
        """Keep a block under a name, its file's path, and forget the oldest ones until all fit."""
        if not self.remember or block.nbytes > self.limit / N_PARTS:
            return
        self.blocks[name] = block
        self.n_bytes += block.nbytes
        self._shrink()

    def _shrink(self) -> None:
        while self.blocks and self.reserved + self.n_bytes > self.limit:
            self.n_bytes -= self.blocks.pop(next(iter(self.blocks))).nbytes
