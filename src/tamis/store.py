"""Content-addressed store of basis values, their gradients and design rows: each structure is featurised once, ever.

One file per structure and basis: ``<root>/<basis key>/<kind>/<hex digit>/<structure key>.npy``, an array of numbers
followed by the CRC-32 of its bytes. A file appears whole or not at all (written under a temporary name, renamed), so
that several processes may share a store and any of them may be killed.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import io
import itertools
import json
import math
import os
import secrets
import time
import tokenize
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from ase import Atoms
from joblib.externals.loky import get_reusable_executor
from numpy.typing import NDArray

from tamis.bases.base import Array, Basis, DesignRows, LinearBasis
from tamis.bases.gradients import GradientBasis
from tamis.dataset import structure_key
from tamis.exceptions import TamisError
from tamis.memory import GIB, Block, Memory
from tamis.progress import progress

Item = tuple[Atoms, Path]

VALUES, GRADIENTS, DESIGN = "values", "gradients", "design"
CHECKSUM_BYTES = 4
SHORTEST_HEADER = 10
STRUCTURES_AT_ONCE = 2000
"""Of a stream, so many structures are in memory at once."""
WORTH_WORKERS_S = 3.0
"""Starting worker processes takes about a second; less work than this is done in the calling process."""
ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
"""Environment of workers: there is one for each core already."""


@dataclass(frozen=True)
class Store:
    """Where features and design rows are kept, and how many processes make them.

    root: folder; created when needed.
    n_jobs: worker processes; 1 works in the calling process, -1 takes every core.
    memory_gib: the most memory, GiB, that one process may take for what grows with the data set: the features of a
        pool, the rows of a fit, and what is remembered. More is an error. The program itself comes on top.
    remember: keep what was read for the next time, as far as there is room: pays where trials share a process.
    """

    root: Path
    n_jobs: int
    memory_gib: float = 4.0
    remember: bool = False
    memory: Memory = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not self.memory_gib > 0.0:
            raise TamisError(f"store.memory_gib is {self.memory_gib}; it must be above 0, say 4.0")
        object.__setattr__(self, "memory", Memory(int(self.memory_gib * GIB), self.remember))
        if self.n_jobs == 0 or self.n_jobs < -1:
            raise TamisError(f"n_jobs is {self.n_jobs}; it must be a positive number or -1 for every core")

    def values(self, basis: Basis, structures: Sequence[Atoms]) -> list[Array]:
        """Basis values of each structure, (n_atoms, n_features)."""
        if basis.n_features == 0:
            return [np.zeros((len(atoms), 0)) for atoms in structures]
        # rows that a model has already made hold the values as well
        kind = DESIGN if _keeps_values(basis) and self._has(basis, structures, DESIGN) else VALUES
        blocks = self._blocks(basis, structures, kind)
        return [block[: len(atoms)] for block, atoms in zip(blocks, structures, strict=True)]

    def lazy_values(self, basis: Basis, structures: Iterable[Atoms]) -> LazyValues:
        """The same, read one structure after the other whenever they are gone through.

        What is missing is made now, ``STRUCTURES_AT_ONCE`` at a time; an iterator's structures are not kept.
        """
        items: list[tuple[Path, int]] = []
        for batch in _batches(structures, STRUCTURES_AT_ONCE):
            paths = self._paths(basis, batch, VALUES)
            if _keeps_values(basis):
                rows = self._paths(basis, batch, DESIGN)
                paths = [row if row.exists() else path for row, path in zip(rows, paths, strict=True)]
            missing = [
                (a, p) for a, p in zip(batch, paths, strict=True) if basis.n_features and not p.exists()
            ]
            if missing:
                self._describe(basis)
                self._make(basis, missing, VALUES)
            items += [(path, len(atoms)) for path, atoms in zip(paths, batch, strict=True)]
        return LazyValues(self, basis, items, structures if isinstance(structures, Sequence) else None)

    def design(self, basis: LinearBasis, structures: Sequence[Atoms]) -> list[DesignRows]:
        """Design rows of each structure."""
        blocks = self._blocks(basis, structures, DESIGN)
        return [_unpack(block, len(atoms)) for block, atoms in zip(blocks, structures, strict=True)]

    def stream(self, basis: LinearBasis, structures: Sequence[Atoms]) -> Iterator[DesignRows]:
        """Design rows of one structure after the other, in memory that is used again: copy what is to stay.

        For bases with so many columns that all rows together would be gigabytes.
        """
        paths, buffer = self._paths(basis, structures, DESIGN), Buffer()
        for i, (atoms, path) in enumerate(zip(structures, paths, strict=True)):
            block = self.read(path, buffer)
            if block is None:  # make the others that are not there at the same time, on every core
                later = [
                    (a, p) for a, p in zip(structures[i + 1 :], paths[i + 1 :], strict=True) if not p.exists()
                ]
                self._describe(basis)
                self._make(basis, [(atoms, path), *later], DESIGN)
                block = self.read(path, buffer)
            if block is None:
                raise TamisError(f"{path} is damaged, though it was written just now; look at the disk")
            yield _unpack(block, len(atoms))

    def gradients(self, basis: GradientBasis, structures: Sequence[Atoms]) -> list[NDArray[np.void]]:
        """Derivatives of the values of each structure (see ``gradient_dtype``)."""
        return self._blocks(basis, structures, GRADIENTS)

    def prepare(self, basis: Basis, structures: Iterable[Atoms]) -> None:
        """Make the rows of a linear basis, or the values (and gradients) of any other: later calls only read.

        Of an iterator ``STRUCTURES_AT_ONCE`` structures are in memory at once.
        """
        for batch in _batches(structures, STRUCTURES_AT_ONCE):
            self._fill(basis, batch, DESIGN if isinstance(basis, LinearBasis) else VALUES)
            if isinstance(basis, GradientBasis):
                self._fill(basis, batch, GRADIENTS)

    def _paths(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> list[Path]:
        folder = self.root / basis_key(basis) / kind
        keys = [structure_key(atoms) for atoms in structures]
        return [folder / key[0] / f"{key[1:]}.npy" for key in keys]

    def _has(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> bool:
        return all(path.exists() for path in self._paths(basis, structures, kind))

    def _blocks(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> list[Block]:
        """All blocks at once, as far as the memory allows."""
        paths = self._paths(basis, structures, kind)
        title = f"{kind} of {type(basis).__name__} for {len(paths)} structures"
        with self.memory.holding():
            blocks = [self._read_counted(path, title) for path in paths]
            missing = [i for i, block in enumerate(blocks) if block is None]
            if missing:
                self._describe(basis)
                self._make(basis, [(structures[i], paths[i]) for i in missing], kind)
                for i in missing:
                    blocks[i] = self._read_counted(paths[i], title)
        return [block for block in blocks if block is not None]

    def _read_counted(self, path: Path, title: str) -> Block | None:
        block = self.read(path)
        if block is not None:
            self.memory.reserve(block.nbytes, title)
        return block

    def _fill(self, basis: Basis, structures: Sequence[Atoms], kind: str) -> None:
        """Make what is missing or damaged; holds one block at a time, since all together may be gigabytes."""
        items, buffer = zip(structures, self._paths(basis, structures, kind), strict=True), Buffer()
        missing = [(atoms, path) for atoms, path in items if self.read(path, buffer) is None]
        if missing:
            self._describe(basis)
            self._make(basis, missing, kind)

    def read(self, path: Path, buffer: Buffer | None = None) -> Block | None:
        """``read_block``, from memory where it is there."""
        block = self.memory.blocks.get(path)
        if block is None:
            block = read_block(path, buffer)
            if block is not None and self.remember:
                block = block if buffer is None else block.copy()
                self.memory.keep(path, block)
        return block

    def _make(self, basis: Basis, work: list[Item], kind: str) -> None:
        # largest first: the last jobs are short, so that no worker waits long for another
        work = sorted(work, key=lambda item: -len(item[0]))
        title = f"{type(basis).__name__} {kind}"
        with progress(title, len(work)) as advance:
            left = work
            if self.n_jobs != 1:
                left = _until_worth_workers(work, lambda item: make_block(basis, *item, kind), advance)
            for done in self._run(basis, left, kind):
                advance(done)

    def _run(self, basis: Basis, work: list[Item], kind: str) -> Iterable[int]:
        n_workers = (joblib.cpu_count() if self.n_jobs == -1 else self.n_jobs) - 1
        if n_workers == 0 or not work:
            for atoms, path in work:
                yield make_block(basis, atoms, path, kind)
            return
        executor = get_reusable_executor(max_workers=n_workers, env=ONE_THREAD)
        futures = [executor.submit(make_block_in_worker, basis, *item, kind) for item in work]
        try:
            # This process is one of n_jobs: from the first moment, while the others still start, it takes from the
            # far end what no worker has begun.
            for item, future in zip(reversed(work), reversed(futures), strict=True):
                if future.cancel():
                    yield make_block(basis, *item, kind)
            for future in futures:
                if not future.cancelled():
                    yield future.result()
        finally:  # after an error or an interrupt nothing more is begun
            for future in futures:
                future.cancel()

    def _describe(self, basis: Basis) -> None:
        """Write what the key stands for beside the rows, for people."""
        write_atomically(
            self.root / basis_key(basis) / "basis.json", json.dumps(basis_identity(basis), indent=1).encode()
        )


def basis_identity(basis: Basis) -> dict[str, object]:
    """All that the numbers of a basis depend on, apart from the structure.

    A field that takes no part in comparisons (``compare=False``) is left out: large arrays, for which another field
    holds a fingerprint.
    """
    engine = type(basis).engine
    return {
        "class": f"{type(basis).__module__}.{type(basis).__qualname__}",
        "revision": type(basis).revision,
        "engine": None if engine is None else f"{engine} {_version(engine)}",
        "config": _plain(basis),
    }


def _plain(value: Any) -> Any:
    """A dataclass, and those in its fields, as dictionaries."""
    if not is_dataclass(value):
        return value
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}


@lru_cache
def _version(engine: str) -> str:
    try:
        return importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        return "not from pip"  # built by the user, or missing: then the basis says so when it computes


def basis_key(basis: Basis) -> str:
    """SHA-256 (20 hex digits) of ``basis_identity``; the own descriptor of a model has the model's key."""
    text = json.dumps(basis_identity(basis), sort_keys=True, default=str)
    return f"{type(basis).__name__}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def make_block(basis: Basis, atoms: Atoms, path: Path, kind: str) -> int:
    """Compute one structure's block and write it; returns 1, the number of structures done."""
    block = _compute(basis, atoms, kind)
    if not np.isfinite(block["derivative"] if kind == GRADIENTS else block).all():
        raise TamisError(
            f"{type(basis).__name__} gives NaN or infinity for a structure of {len(atoms)} atoms "
            f"({atoms.get_chemical_formula()}); look for atoms on top of each other"
        )
    payload = io.BytesIO()
    np.save(payload, np.ascontiguousarray(block), allow_pickle=False)
    data = payload.getvalue()
    write_atomically(path, data + zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little"))
    return 1


def _compute(basis: Basis, atoms: Atoms, kind: str) -> Block:
    if kind == VALUES:
        return np.asarray(basis.values(atoms), dtype=np.float64)
    if kind == GRADIENTS:
        assert isinstance(basis, GradientBasis)
        return basis.gradients(atoms)
    assert isinstance(basis, LinearBasis)
    values, rows = basis.evaluate(atoms)
    return _pack(values if _keeps_values(basis) else rows.energy[None], rows)


def make_block_in_worker(basis: Basis, atoms: Atoms, path: Path, kind: str) -> int:
    """``make_block`` with the engine that an earlier item has started: each item brings a copy of the basis."""
    return make_block(_first_equal(basis), atoms, path, kind)


@lru_cache(maxsize=4)
def _first_equal(basis: Basis) -> Basis:
    return basis


@dataclass(frozen=True, eq=False)
class LazyValues:
    """Values of many structures, (n_atoms, n_features) each; going through them reads them from the store.

    items: file and number of atoms of each. structures: to make damaged files again, where they are at hand.
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
                block = self.store.values(self.basis, [self.structures[i]])[0]
            if block is None:
                raise TamisError(
                    f"{path} was damaged or removed while it was needed; run the same again, which makes it anew"
                )
            yield np.array(block[:n_atoms])  # the rest of design rows, and the buffer, are not kept


class Buffer:
    """Memory that is used again and grows: to get fresh pages takes longer than to read a file that is cached."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def take(self, size: int) -> memoryview:
        """``size`` bytes, which overwrite those given out before."""
        if len(self._memory) < size:
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]


def read_block(path: Path, buffer: Buffer | None = None) -> Block | None:
    """The array of a store file (read-only); None where there is no file or it is damaged.

    Read, not memory-mapped: a map holds a file descriptor, of which a process has about a thousand, and the checksum
    touches every byte anyway. With a ``buffer`` the array is good until the next one is read into it.

    Raises
    ------
    TamisError : the file is there but may not be read.
    """
    try:
        with path.open("rb") as file:
            whole = (buffer or Buffer()).take(os.fstat(file.fileno()).st_size)
            read = file.readinto(whole)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise TamisError(
            f"cannot read {path} ({error.strerror}); give rights to it, or choose another store.root"
        ) from error
    whole = whole[:read].toreadonly()
    body, checksum = whole[:-CHECKSUM_BYTES], whole[-CHECKSUM_BYTES:]
    if len(body) < SHORTEST_HEADER or zlib.crc32(body) != int.from_bytes(checksum, "little"):
        return None
    # a .npy file says in bytes 8 and 9 how long the rest of its header is
    header = _read_header(bytes(body[: 10 + int.from_bytes(body[8:10], "little")]))
    if header is None:
        return None
    shape, dtype, offset = header
    if math.prod(shape) * dtype.itemsize != len(body) - offset:
        return None
    return np.frombuffer(body, dtype=dtype, offset=offset).reshape(shape)


@lru_cache(
    maxsize=1000
)  # structures of one size have equal headers, and parsing one takes as long as a checksum
def _read_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    """Shape, type, and where the numbers begin; None where this is no header that ``make_block`` writes."""
    stream = io.BytesIO(header)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError):  # as numpy's parser ends on other bytes
        return None
    if version != (1, 0) or fortran or dtype.hasobject:
        return None
    return shape, dtype, stream.tell()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that any reader sees all of it or nothing.

    Raises
    ------
    TamisError : the folder cannot be written.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(data)
            scratch.replace(path)
        finally:
            scratch.unlink(missing_ok=True)
    except OSError as error:
        raise TamisError(
            f"cannot write {path} ({error.strerror}); make room or rights there, or choose another folder"
        ) from error


def _batches(structures: Iterable[Atoms], size: int) -> Iterator[Sequence[Atoms]]:
    """All of what is in memory anyway; of an iterator ``size`` at a time."""
    if isinstance(structures, Sequence):
        yield structures
        return
    rest = iter(structures)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _pack(values: Array, rows: DesignRows) -> Array:
    n_features = values.shape[1]
    return np.concatenate([values, rows.forces.reshape(-1, n_features), rows.strain_gradient])


def _unpack(block: Array, n_atoms: int) -> DesignRows:
    n_values = len(block) - 3 * n_atoms - 6
    return DesignRows(
        energy=block[:n_values].sum(axis=0),
        forces=block[n_values:-6].reshape(n_atoms, 3, -1),
        strain_gradient=block[-6:],
    )


def _keeps_values(basis: Basis) -> bool:
    """Whether the basis' design blocks begin with a row for each atom."""
    return isinstance(basis, LinearBasis) and type(basis).keeps_values


def _until_worth_workers(
    work: list[Item], do: Callable[[Item], int], advance: Callable[[int], None]
) -> list[Item]:
    """Work here until it is clear that enough is left for worker processes to pay; returns what is left."""
    start = time.perf_counter()
    for done, item in enumerate(work):
        elapsed = time.perf_counter() - start
        # the first item pays for loading the engine, so it does not count
        if done >= 3 and elapsed / done * (len(work) - done) > WORTH_WORKERS_S:
            return work[done:]
        advance(do(item))
    return []
