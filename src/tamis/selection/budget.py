"""How much of the pool may be kept, and choosing for several such limits at once."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction as Exact
from itertools import pairwise

import numpy as np

from tamis.core.errors import TamisError
from tamis.selection.base import Features, Indices, Limit, Pruner, Selection, within_atoms

UNITS = ("structures", "atoms")


class Budget(ABC):
    """One limit, or several that rise. Subclasses are frozen dataclasses built from one YAML."""

    @abstractmethod
    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """The limits for a pool whose structures have ``n_atoms`` atoms, (n_structures,), rising.

        Raises
        ------
        TamisError : the budget is above the pool or leaves nothing.
        """


@dataclass(frozen=True)
class WholePool(Budget):
    """Everything may be kept."""

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit: as many structures as the pool has."""
        _check_pool(n_atoms)
        return (Limit(structures=len(n_atoms)),)


@dataclass(frozen=True)
class FractionBudget(Budget):
    """A fraction of the pool, rounded down: a budget is never exceeded.

    fraction: above 0, at most 1; taken as the decimal number that was written (0.29 of 100 are 29, not 28).
    of: ``structures`` or ``atoms``.
    """

    fraction: float
    of: str

    def __post_init__(self) -> None:
        _check_fraction(self.fraction, "budget.fraction")
        _check_unit(self.of)

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit."""
        return (_part(self.fraction, self.of, n_atoms),)


@dataclass(frozen=True)
class StructuresBudget(Budget):
    """A number of structures.

    n_structures: at least 1.
    """

    n_structures: int

    def __post_init__(self) -> None:
        _check_count(self.n_structures, "budget.n_structures")

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit."""
        _check_pool(n_atoms)
        if self.n_structures > len(n_atoms):
            raise TamisError(
                f"budget.n_structures is {self.n_structures}, the pool has {len(n_atoms)} structures; "
                "lower it or use budget=all"
            )
        return (Limit(structures=self.n_structures),)


@dataclass(frozen=True)
class AtomsBudget(Budget):
    """A number of atoms, summed over the kept structures.

    n_atoms: at least 1.
    """

    n_atoms: int

    def __post_init__(self) -> None:
        _check_count(self.n_atoms, "budget.n_atoms")

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """One limit."""
        _check_pool(n_atoms)
        if self.n_atoms > n_atoms.sum():
            raise TamisError(
                f"budget.n_atoms is {self.n_atoms}, the pool has {n_atoms.sum()} atoms; lower it or use budget=all"
            )
        return (_atoms_limit(self.n_atoms, n_atoms, "budget.n_atoms"),)


@dataclass(frozen=True)
class CurveBudget(Budget):
    """A learning curve: several fractions of the pool in one trial.

    fractions: strictly rising, each above 0 and at most 1. Fractions that come to the same count are one limit.
    of: ``structures`` or ``atoms``.
    """

    fractions: tuple[float, ...]
    of: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "fractions", tuple(self.fractions))
        if not self.fractions:
            raise TamisError("budget.fractions is empty; give at least one, say [0.1, 0.3, 1.0]")
        for fraction in self.fractions:
            _check_fraction(fraction, "an entry of budget.fractions")
        if any(a >= b for a, b in pairwise(self.fractions)):
            raise TamisError(
                f"budget.fractions is {list(self.fractions)}; each must be larger than the one before"
            )
        _check_unit(self.of)

    def limits(self, n_atoms: Indices) -> tuple[Limit, ...]:
        """As many limits as different counts."""
        return tuple(dict.fromkeys(_part(f, self.of, n_atoms) for f in self.fractions))


def select_all(
    pruner: Pruner, features: Features, limits: Sequence[Limit], seed: int | Sequence[int]
) -> tuple[Selection, ...]:
    """One selection for each of the rising ``limits``, each the same as if it were made alone with this seed.

    A nested pruner chooses once, for the largest limit; the others are prefixes.

    Raises
    ------
    TamisError : as `Pruner.select`, or limits that do not rise, or one too small for the first choice.
    """
    _check_rising(limits)
    if not pruner.nested:
        return tuple(pruner.select(features, limit, np.random.default_rng(seed)) for limit in limits)
    order = pruner.select(features, limits[-1], np.random.default_rng(seed)).indices
    return tuple(_prefix(order, features.n_atoms, limit) for limit in limits)


def _check_rising(limits: Sequence[Limit]) -> None:
    kinds = {(limit.structures is None, limit.atoms is None) for limit in limits}
    sizes = [limit.atoms if limit.structures is None else limit.structures for limit in limits]
    if not limits or len(kinds) > 1 or any(a is None or b is None or a >= b for a, b in pairwise(sizes)):
        raise TamisError(
            f"limits are {list(limits)}; at least one is needed, all of structures or all of atoms, "
            "each larger than the one before"
        )


def _prefix(order: Indices, n_atoms: Indices, limit: Limit) -> Selection:
    kept = within_atoms(order[: limit.structures], n_atoms, limit.atoms)
    if len(kept) == 0:
        raise TamisError(
            f"a budget of {limit.atoms} atoms keeps no structure: the first choice has {n_atoms[order[0]]} atoms; "
            "raise the budget or drop the smallest fraction of budget.fractions"
        )
    return Selection(indices=kept, limit=limit)


def _part(fraction: float, of: str, n_atoms: Indices) -> Limit:
    _check_pool(n_atoms)
    total = len(n_atoms) if of == "structures" else int(n_atoms.sum())
    # repr is the shortest decimal number that is this float: what the user wrote, without binary rounding.
    count = int(Exact(repr(float(fraction))) * total)
    if of == "atoms":
        return _atoms_limit(count, n_atoms, f"a fraction of {fraction}")
    if count == 0:
        raise TamisError(
            f"a fraction of {fraction} of {total} structures leaves nothing; "
            f"at least {1 / total:.3g} is needed to keep one"
        )
    return Limit(structures=count)


def _atoms_limit(count: int, n_atoms: Indices, what: str) -> Limit:
    if count < n_atoms.min():
        raise TamisError(
            f"{what} allows {count} atoms, which leaves nothing: the smallest structure of the pool has "
            f"{n_atoms.min()}; raise it"
        )
    return Limit(atoms=count)


def _check_pool(n_atoms: Indices) -> None:
    if len(n_atoms) == 0:
        raise TamisError("the pool is empty: there is nothing to choose from")


def _check_fraction(fraction: object, what: str) -> None:
    if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0.0 < fraction <= 1.0:
        raise TamisError(f"{what} is {fraction}; it must be a number above 0 and at most 1")


def _check_count(count: object, what: str) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise TamisError(f"{what} is {count}; it must be a whole number of at least 1")


def _check_unit(of: str) -> None:
    if of not in UNITS:
        raise TamisError(f"budget.of is {of!r}; it must be one of {', '.join(UNITS)}")
