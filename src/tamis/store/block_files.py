"""The file of a block: an array of numbers in numpy's format, followed by the CRC-32 of its bytes."""

from __future__ import annotations

import io
import math
import os
import tokenize
import zlib
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.memory import Block

CHECKSUM_BYTES = 4
SHORTEST_HEADER = 10


class Buffer:
    """Memory that is used again and grows: to get fresh pages takes longer than to read a file that is cached."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def take(self, size: int) -> memoryview:
        """``size`` bytes, which overwrite those given out before."""
        if len(self._memory) < size:
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]


def write_block(path: Path, block: Block) -> None:
    """Write an array, whole or not at all; raises TamisError where that is not possible."""
    payload = io.BytesIO()
    np.save(payload, np.ascontiguousarray(block), allow_pickle=False)
    data = payload.getvalue()
    write_atomically(path, data + zlib.crc32(data).to_bytes(CHECKSUM_BYTES, "little"))


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


# structures of one size have equal headers, and parsing one takes as long as a checksum
@lru_cache(maxsize=1000)
def _read_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    """Shape, type, and where the numbers begin; None where this is no header that ``write_block`` writes."""
    stream = io.BytesIO(header)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError):  # as numpy's parser ends on other bytes
        return None
    if version != (1, 0) or fortran or dtype.hasobject:
        return None
    return shape, dtype, stream.tell()
