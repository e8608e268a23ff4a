"""Making many blocks in the calling process, and in others beside it where that pays."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from pathlib import Path

from ase import Atoms

from tamis.bases.base import Basis
from tamis.core.memory import RowArray
from tamis.core.progress import progress
from tamis.core.threads import environment
from tamis.store.blocks import make_block

Item = tuple[Atoms, Path]
"""A structure, and the file of its block."""
WORTH_WORKERS_S = 3.0
"""Worker processes start in about a second; less work than this is done in the calling process."""


Made = Callable[[Path, RowArray], None]
"""Gets the file and the block of a structure that was made in the calling process."""


def make_blocks(basis: Basis, work: Sequence[Item], kind: str, n_jobs: int, made: Made) -> None:
    """Compute and write the blocks of many structures in up to ``n_jobs`` processes (-1: one for every core)."""

    def do(item: Item) -> None:
        made(item[1], make_block(basis, *item, kind))

    # largest first: with short jobs at the end no worker waits long for another
    left = sorted(work, key=lambda item: -len(item[0]))
    with progress(f"{type(basis).__name__} {kind}", len(left)) as advance:
        if n_jobs != 1:
            left = _until_worth_workers(left, do, advance)
        for _ in _share_out(basis, left, kind, n_jobs, do):
            advance(1)


def _until_worth_workers(
    work: list[Item], do: Callable[[Item], None], advance: Callable[[int], None]
) -> list[Item]:
    """Work here until enough is certainly left for worker processes to pay; returns the rest."""
    start = time.perf_counter()
    for done, item in enumerate(work):
        elapsed = time.perf_counter() - start
        # three items, because the first one loads the engine
        if done >= 3 and elapsed / done * (len(work) - done) > WORTH_WORKERS_S:
            return work[done:]
        do(item)
        advance(1)
    return []


def _share_out(
    basis: Basis, work: Sequence[Item], kind: str, n_jobs: int, do: Callable[[Item], None]
) -> Iterable[None]:
    """Work here, by ``do``, and in other processes; yields when a block is finished."""
    n_workers = _n_workers(n_jobs) if work else 0
    if n_workers == 0:
        for item in work:
            do(item)
            yield
        return
    from joblib.externals.loky import get_reusable_executor

    # one thread each, because there is a worker for every core
    executor = get_reusable_executor(max_workers=n_workers, env=environment(1))
    futures = [executor.submit(_make_block_in_worker, basis, *item, kind) for item in work]
    try:
        # This process is one of n_jobs: while the others start, it already takes jobs from the far end.
        for item, future in zip(reversed(work), reversed(futures), strict=True):
            if future.cancel():
                do(item)
                yield
        for future in futures:
            if not future.cancelled():
                yield future.result()
    finally:  # after an error or an interrupt no further job starts
        for future in futures:
            future.cancel()


def _n_workers(n_jobs: int) -> int:
    """Processes beside this one."""
    if n_jobs != -1:
        return n_jobs - 1
    import joblib  # takes a quarter of a second, and most calls find everything in the store

    return int(joblib.cpu_count()) - 1


def _make_block_in_worker(basis: Basis, atoms: Atoms, path: Path, kind: str) -> None:
    """``make_block`` with the first copy of the basis, which has its engine; each item brings a new copy."""
    make_block(_first_equal(basis), atoms, path, kind)


@lru_cache(maxsize=4)
def _first_equal(basis: Basis) -> Basis:
    return basis
