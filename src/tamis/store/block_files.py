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
from tamis.core.memory import RowArray

CHECKSUM_BYTES = 4
SHORTEST_HEADER = 10


class Buffer:
    """Memory that is reused and grows: fresh pages would take longer than reading a cached file."""

    def __init__(self) -> None:
        self._memory = bytearray()

    def take(self, size: int) -> memoryview:
        """``size`` bytes; they overwrite those of the call before."""
        if len(self._memory) < size:
            self._memory = bytearray(size)
        return memoryview(self._memory)[:size]


def write_block(path: Path, block: RowArray) -> None:
    """Write an array, whole or not at all; TamisError if that fails."""
    block = np.ascontiguousarray(block)
    header, numbers = _header(block.shape, block.dtype), block.reshape(-1).view(np.uint8).data
    checksum = zlib.crc32(numbers, zlib.crc32(header))
    write_atomically(path, header, numbers, checksum.to_bytes(CHECKSUM_BYTES, "little"))


def read_block(path: Path, buffer: Buffer | None = None) -> RowArray | None:
    """The array of a store file (read-only); None if there is no file or it is damaged.

    Files are not memory-mapped: a map holds one of about a thousand file descriptors, and the checksum reads every byte
    anyway. With a ``buffer`` the array is valid until the next one is read into it.

    Raises
    ------
    TamisError : the file may not be read.
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
    # bytes 8 and 9 of a .npy file hold the length of the rest of its header
    header = _read_header(bytes(body[: 10 + int.from_bytes(body[8:10], "little")]))
    if header is None:
        return None
    shape, dtype, offset = header
    if math.prod(shape) * dtype.itemsize != len(body) - offset:
        return None
    return np.frombuffer(body, dtype=dtype, offset=offset).reshape(shape)


# structures of one size have equal headers, and making or parsing one takes as long as a checksum
@lru_cache(maxsize=1000)
def _header(shape: tuple[int, ...], dtype: np.dtype[Any]) -> bytes:
    """What numpy's format puts before the numbers."""
    stream = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


@lru_cache(maxsize=1000)
def _read_header(header: bytes) -> tuple[tuple[int, ...], np.dtype[Any], int] | None:
    """Shape, type and offset of the numbers; None for headers that ``write_block`` does not write."""
    stream = io.BytesIO(header)
    try:
        version = np.lib.format.read_magic(stream)
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError):  # as numpy's parser ends on other bytes
        return None
    if version != (1, 0) or fortran or dtype.hasobject:
        return None
    return shape, dtype, stream.tell()
