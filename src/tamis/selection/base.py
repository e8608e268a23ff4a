"""What every pruner promises: choose structures of the pool, never more than the budget."""

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, cast, final

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import NotApplicableError, TamisError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Shape = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Features:
    """What a pruner sees of the pool: never labels, never other structures.

    vectors: (n_structures, n_pooled) one latent vector per structure (pooled, scaled).
    environments: (n_environments, n_features) one latent vector per atom; n_pooled = n_features for mean pooling.
        No rows where they were made for a pruner that does not look at them.
    owners: (n_environments,) the structure that an atom belongs to.
    n_atoms: (n_structures,) atoms per structure.
    groups: n_structures names of kinds of structure.
    """

    vectors: Array
    environments: Array
    owners: Indices
    n_atoms: Indices
    groups: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def has_descriptor(self) -> bool:
        """False for ``descriptor=none``."""
        return self.vectors.shape[1] > 0


@dataclass(frozen=True)
class Limit:
    """How much one selection may keep: at most ``structures``, at most ``atoms`` (None: no bound)."""

    structures: int | None = None
    atoms: int | None = None


@dataclass(frozen=True, eq=False)
class Selection:
    """indices: kept structures (positions in the pool) in the order of choice; limit: what it had to obey."""

    indices: Indices
    limit: Limit


class Pruner(ABC):
    """Chooses structures. Subclasses are frozen dataclasses built from one YAML; ``_choose`` is their one method."""

    nested: ClassVar[bool]
    """True if the choice of n structures is a prefix of the choice of n + 1, for the same features and seed."""
    needs_descriptor: ClassVar[bool] = True
    """False for pruners that look at no latent vector: they go with ``descriptor=none`` and with nothing else."""
    needs_environments: ClassVar[bool] = False
    """True for pruners that look at atoms, not only at structures."""

    @abstractmethod
    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        """``n_structures`` different structures in the order of choice (1 <= n_structures <= len(features))."""

    def working(self, vectors: Shape, environments: Shape) -> int:
        """How many numbers of 8 bytes the choice holds at once beside what it sees, from the shapes of what it sees.

        Environments that it does not look at have no rows.
        """
        return 0

    @final
    def select(self, features: Features, limit: Limit, rng: np.random.Generator) -> Selection:
        """Choose within ``limit``.

        Raises
        ------
        NotApplicableError : the pruner ignores descriptors but got one, or needs one but got none.
        TamisError : the limit is above the pool or leaves nothing.
        """
        self.check_descriptor(features.has_descriptor)
        self._check_limit(features, limit)
        if self.needs_environments and len(features.owners) < features.n_atoms.sum():
            raise TamisError(
                f"{type(self).__name__} looks at environments, but these features were made for a pruner that does "
                "not; make them with LatentSpace.features(values, groups, pruner)"
            )
        if limit.atoms is None:
            return Selection(self._choose(features, limit.structures or len(features), rng), limit)
        if self.nested:
            most = min(limit.structures or len(features), _most_within(features.n_atoms, limit.atoms))
            order = self._choose(features, max(most, 1), rng)
            kept = within_atoms(order, features.n_atoms, limit.atoms)
        else:
            kept = self._largest_within(features, limit, rng)
        if len(kept) == 0:
            raise TamisError(
                f"a budget of {limit.atoms} atoms keeps no structure: the first choice alone has more; "
                "raise budget.n_atoms or the fraction"
            )
        return Selection(kept, limit)

    def _largest_within(self, features: Features, limit: Limit, rng: np.random.Generator) -> Indices:
        """The choice of most structures whose atoms fit, by bisection: a trimmed choice would waste budget."""
        could_fit = _most_within(features.n_atoms, cast(int, limit.atoms))  # asked for where there is a limit
        best, fits, too_many = np.zeros(0, dtype=np.intp), 0, limit.structures or len(features)
        n_structures = too_many  # the most first: a bisection alone would never ask for it
        while n_structures > fits:
            # more than could ever fit need not be chosen to be too many: it may be the whole pool
            chosen = None
            if n_structures <= could_fit:
                chosen = self._choose(features, n_structures, copy.deepcopy(rng))
            if chosen is not None and features.n_atoms[chosen].sum() <= limit.atoms:
                best, fits = chosen, n_structures
            else:
                too_many = n_structures
            n_structures = (fits + too_many) // 2
        return best

    def _check_limit(self, features: Features, limit: Limit) -> None:
        if len(features) == 0:
            raise TamisError("the pool is empty: there is nothing to choose from")
        for unit, amount, most in (
            ("structures", limit.structures, len(features)),
            ("atoms", limit.atoms, int(features.n_atoms.sum())),
        ):
            if amount is not None and not 1 <= amount <= most:
                raise TamisError(
                    f"a budget of {amount} {unit} is outside 1 .. {most}, the {unit} of the pool"
                )

    @final
    def check_descriptor(self, has_descriptor: bool) -> None:
        """Raise NotApplicableError where this pruner and the descriptor (or its absence) do not go together."""
        if self.needs_descriptor and not has_descriptor:
            raise NotApplicableError(
                "this pruner chooses in a latent space: it needs a descriptor other than none"
            )
        if not self.needs_descriptor and has_descriptor:
            raise NotApplicableError("this pruner looks at no descriptor: it is run with descriptor=none")


def _most_within(n_atoms: Indices, limit: int) -> int:
    """How many structures have at most ``limit`` atoms if they are the smallest: no choice that fits has more."""
    return len(within_atoms(np.argsort(n_atoms), n_atoms, limit))


def within_atoms(order: Indices, n_atoms: Indices, limit: int | None) -> Indices:
    """The longest prefix of ``order`` that has at most ``limit`` atoms (all of it where the limit is None)."""
    if limit is None:
        return order
    return order[: int(np.searchsorted(np.cumsum(n_atoms[order]), limit, side="right"))]
