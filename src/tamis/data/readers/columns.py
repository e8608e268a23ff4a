"""Rows of words as columns, for readers of text files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Words = tuple[str, ...]

MOST_ATOMS = 10**8
"""More lines than any structure has; a header that announces more is damaged."""


def columns(rows: Sequence[Sequence[str]], n: int) -> list[Words]:
    """The ``n`` columns of ``rows``.

    Raises
    ------
    ValueError : a row has another number of words.
    """
    for k, row in enumerate(rows):
        if len(row) != n:
            raise ValueError(f"row {k + 1} of a table has {len(row)} columns, expected are {n}")
    return list(zip(*rows, strict=True)) if rows else [()] * n


def reals(some: Iterable[Words]) -> Array:
    """Numbers (n, number of columns) from columns of words; ValueError for a word that is none."""
    return np.array([list(map(float, words)) for words in some]).T


def symbols(words: Words) -> list[str]:
    """Chemical symbols with a capital and small letters: SI and si become Si."""
    known = {word: word.capitalize() for word in set(words)}
    return [known[word] for word in words]
