"""Rows of words as columns, for readers of text files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Words = Sequence[str]

MOST_ATOMS = 10**8
"""More lines than any structure has; a header that announces more is damaged."""


def columns(rows: Sequence[Sequence[str]], n: int) -> list[Words]:
    """The ``n`` columns of ``rows``.

    Raises
    ------
    ValueError : a row has another number of words.
    """
    if wrong := set(map(len, rows)) - {n}:
        raise ValueError(f"a row of a table has {min(wrong)} columns, expected are {n}")
    words = list(chain.from_iterable(rows))
    return [words[k::n] for k in range(n)]


def reals(some: Iterable[Words]) -> Array:
    """Numbers (n, number of columns) from columns of words; ValueError for a word that is none."""
    return np.array([list(map(float, words)) for words in some]).T


def symbols(words: Words) -> list[str]:
    """Chemical symbols with a capital and small letters: SI and si become Si."""
    known = {word: word.capitalize() for word in set(words)}
    return [known[word] for word in words]
