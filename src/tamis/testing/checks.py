"""Checks of laws that hold without ``assert``, too, and the structures that laws look at."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError

Array = NDArray[np.float64]


def require(holds: Any, said: str) -> None:
    """Raise AssertionError with what should hold, where it does not."""
    if not holds:
        raise AssertionError(said)


def require_same(actual: Array, expected: Array, tolerance: float = 1e-8) -> None:
    """Raise AssertionError unless the arrays are equal to ``tolerance`` of the largest expected value."""
    require(actual.shape == expected.shape, f"shape {actual.shape}, not {expected.shape}")
    scale = max(np.abs(expected).max(initial=0.0), 1e-3)
    difference = np.abs(actual - expected).max(initial=0.0)
    require(
        difference <= tolerance * scale, f"differs by {difference:.3g}; {tolerance * scale:.3g} is allowed"
    )


def require_error(kind: type[TamisError], pattern: str, call: Callable[[], object]) -> None:
    """Raise AssertionError unless ``call`` raises ``kind`` with a message in which ``pattern`` is found."""
    try:
        call()
    except kind as error:
        require(re.search(pattern, str(error)), f"the error says {str(error)!r}, and nothing of {pattern!r}")
        return
    raise AssertionError(f"no {kind.__name__} is raised; one that says {pattern!r} is needed")


def silicon() -> Atoms:
    """Three atoms in a skewed cell far smaller than the cutoffs, so that images of one atom are neighbours."""
    atoms = Atoms(
        "Si3",
        [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.7, 2.3, 1.1]],
        cell=[[4.4, 0.1, 0.3], [0.6, 4.1, -0.2], [-0.3, 0.5, 4.7]],
        pbc=True,
    )
    atoms.rattle(0.05, seed=1)
    return atoms


def alloy() -> Atoms:
    """Silicon of which one atom is germanium."""
    atoms = silicon()
    atoms.symbols[1] = "Ge"
    return atoms


def cluster() -> Atoms:
    """Four atoms without a cell."""
    return Atoms("Si4", [[0.0, 0.0, 0.0], [2.3, 0.1, 0.0], [0.2, 2.4, 0.1], [0.3, 0.2, 2.5]])
