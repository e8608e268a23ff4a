"""What every pruner promises: choose structures of the pool, never more than the budget."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from tamis.exceptions import NotApplicableError, TamisError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Features:
    """What a pruner sees of the pool: never labels, never other structures.

    vectors: (n_structures, n_features) one latent vector per structure (pooled, scaled).
    environments: (n_environments, n_features) one latent vector per atom.
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

    @abstractmethod
    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        """``n_structures`` different structures in the order of choice (1 <= n_structures <= len(features))."""

    @final
    def select(self, features: Features, limit: Limit, rng: np.random.Generator) -> Selection:
        """Choose within ``limit``.

        Raises
        ------
        NotApplicableError : the pruner ignores descriptors but got one, or needs one but got none.
        TamisError : the limit is above the pool or leaves nothing.
        """
        self.check_descriptor(features.has_descriptor)
        chosen = self._choose(features, self._n_structures(features, limit), rng)
        kept = within_atoms(chosen, features.n_atoms, limit.atoms)
        if len(kept) == 0:
            raise TamisError(
                f"a budget of {limit.atoms} atoms keeps no structure: the first choice has "
                f"{features.n_atoms[chosen[0]]} atoms; raise budget.n_atoms"
            )
        return Selection(indices=kept, limit=limit)

    def _n_structures(self, features: Features, limit: Limit) -> int:
        if len(features) == 0:
            raise TamisError("the pool is empty: there is nothing to choose from")
        if limit.structures is not None:
            if not 1 <= limit.structures <= len(features):
                raise TamisError(
                    f"a budget of {limit.structures} structures is outside 1 .. {len(features)}, the size of the pool"
                )
            return limit.structures
        if limit.atoms is None:
            return len(features)
        total = int(features.n_atoms.sum())
        if not 1 <= limit.atoms <= total:
            raise TamisError(f"a budget of {limit.atoms} atoms is outside 1 .. {total}, the atoms of the pool")
        if self.nested:
            return len(features)
        return max(1, int(len(features) * limit.atoms / total))

    @final
    def check_descriptor(self, has_descriptor: bool) -> None:
        """Raise NotApplicableError where this pruner and the descriptor (or its absence) do not go together."""
        name = type(self).__name__
        if self.needs_descriptor and not has_descriptor:
            raise NotApplicableError(f"{name} chooses in a latent space: it needs a descriptor other than none")
        if not self.needs_descriptor and has_descriptor:
            raise NotApplicableError(f"{name} looks at no descriptor: run it once, with descriptor=none")


def within_atoms(order: Indices, n_atoms: Indices, limit: int | None) -> Indices:
    """The longest prefix of ``order`` that has at most ``limit`` atoms (all of it where the limit is None)."""
    if limit is None:
        return order
    return order[: int(np.searchsorted(np.cumsum(n_atoms[order]), limit, side="right"))]
