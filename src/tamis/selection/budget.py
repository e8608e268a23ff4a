"""How much of the pool may be kept, and choosing for several such limits at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction as Exact
from itertools import pairwise
from typing import Annotated

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.fields import Between, Checked, OneOf, Whole
from tamis.selection.base import Features, Indices, Limit, Pruner, Selection, within

PART = Between(0.0, 1.0, say=0.3, above=True)
UNIT = OneOf("structures", "atoms")


class Budget(ABC):
    """One limit, or several that rise. Subclasses are frozen dataclasses built from one YAML."""

    @abstractmethod
    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """The limits for a pool whose structures have ``n_atoms`` atoms, (n_structures,), rising.

        Whether the pool can obey them is checked where structures are chosen.
        """


@dataclass(frozen=True)
class WholePool(Budget):
    """Everything may be kept."""

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit: the number of structures of the pool."""
        return (Limit(structures=len(n_atoms)),)


@dataclass(frozen=True)
class FractionBudget(Checked, Budget):
    """A fraction of the pool, rounded down, so that the budget is never exceeded.

    fraction: above 0, at most 1; taken as the decimal number that was written (0.29 of 100 are 29, not 28).
    of: ``structures`` or ``atoms``.
    """

    fraction: Annotated[float, PART]
    of: Annotated[str, UNIT]

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit."""
        return (_part(self.fraction, self.of, n_atoms),)


@dataclass(frozen=True)
class StructuresBudget(Checked, Budget):
    """A number of structures."""

    n_structures: Annotated[int, Whole(1)]

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit."""
        return (Limit(structures=self.n_structures),)


@dataclass(frozen=True)
class AtomsBudget(Checked, Budget):
    """A number of atoms, summed over the kept structures."""

    n_atoms: Annotated[int, Whole(1)]

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit."""
        return (Limit(atoms=self.n_atoms),)


@dataclass(frozen=True)
class CurveBudget(Checked, Budget):
    """A learning curve: several fractions of the pool in one trial.

    fractions: strictly rising, each above 0 and at most 1. Fractions that come to the same count are one limit.
    of: ``structures`` or ``atoms``.
    """

    fractions: Annotated[tuple[float, ...], PART]
    of: Annotated[str, UNIT]

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(a >= b for a, b in pairwise(self.fractions)):
            raise TamisError(f"fractions is {list(self.fractions)}; each must be larger than the one before")

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """As many limits as there are different counts."""
        return tuple(dict.fromkeys(_part(f, self.of, n_atoms) for f in self.fractions))


def select_all(
    pruner: Pruner, features: Features, limits: Sequence[Limit], seed: int | Sequence[int]
) -> tuple[Selection, ...]:
    """One selection for each of the rising ``limits``, each the same as if it were made alone with this seed.

    A pruner that keeps prefixes chooses once, for the largest limit; the other selections are prefixes of that choice.

    Raises
    ------
    TamisError : see `Pruner.select`.
    """
    if not pruner.keeps_prefixes:
        return tuple(pruner.select(features, limit, np.random.default_rng(seed)) for limit in limits)
    order = pruner.select(features, limits[-1], np.random.default_rng(seed)).indices
    return tuple(Selection(within(order, features.n_atoms, limit), limit) for limit in limits)


def _part(fraction: float, of: str, n_atoms: Indices) -> Limit:
    total = len(n_atoms) if of == "structures" else int(n_atoms.sum())
    # repr is the shortest decimal number that is this float: what the user wrote, without binary rounding.
    count = int(Exact(repr(float(fraction))) * total)
    return Limit(structures=count) if of == "structures" else Limit(atoms=count)
