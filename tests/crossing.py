"""Products of cases, of which few are run at once: each value once; all the others are slow tests."""

from collections.abc import Iterable
from itertools import product
from typing import Any

import pytest


def crossed(*values: Iterable[Any]) -> list[Any]:
    """Parameters of the product of ``values``; those that bring no value that was not there before are ``slow``.

    In each of the cases that stay, value number i of one list stands with value number i of the others, which begin
    again where they are shorter.
    """
    lists = [list(one) for one in values]
    longest = max(map(len, lists))
    quick = {tuple(i % len(one) for one in lists) for i in range(longest)}
    numbers = product(*(range(len(one)) for one in lists))
    return [
        pytest.param(
            *(one[i] for one, i in zip(lists, which, strict=True)),
            marks=() if which in quick else pytest.mark.slow,
        )
        for which in numbers
    ]
