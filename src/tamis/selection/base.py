"""The interface of all pruners: choose structures of the pool, never more than the budget."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import NotApplicableError, TamisError
from tamis.selection.information import UNIFORM, Information

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Shape = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Features:
    """The pool as a pruner sees it, without labels.

    vectors: (n_structures, n_pooled) one latent vector per structure (pooled, scaled).
    environments: (n_environments, n_features) one latent vector per atom; n_pooled = n_features for mean pooling.
        No rows where they were made for a pruner that needs none.
    owners: (n_environments,) the structure that an atom belongs to.
    n_atoms: (n_structures,) atoms per structure.
    groups: n_structures names of kinds of structure.
    information: what each structure tells a model that is linear in the descriptor; None where no pruner asked.
    of_structures: the descriptor describes whole structures: ``vectors`` are coordinates whose distances alone mean
        something (``whole_structures``).
    notes: what a record tells of the features.
    limit: what the choice has to obey; ``Pruner.select`` sets it.
    """

    vectors: Array
    environments: Array
    owners: Indices
    n_atoms: Indices
    groups: tuple[str, ...]
    information: Information | None = None
    of_structures: bool = False
    notes: tuple[str, ...] = ()
    limit: Limit | None = None

    def __len__(self) -> int:
        return len(self.n_atoms)

    @property
    def has_descriptor(self) -> bool:
        """False for ``descriptor=none``."""
        return self.vectors.shape[1] > 0 or self.information is not None

    @property
    def costs(self) -> Indices:
        """What each structure takes of the limit, (n_structures,): its atoms, or 1 where structures are counted."""
        counts_atoms = self.limit is not None and self.limit.atoms is not None
        return self.n_atoms if counts_atoms else np.ones_like(self.n_atoms)

    def by_structure(self, environments: Array) -> list[Array]:
        """The rows of ``environments`` (n_environments, d) of each structure; views where they lie together."""
        ends = np.cumsum(np.bincount(self.owners, minlength=len(self)))
        if np.any(np.diff(self.owners) < 0):
            environments = environments[np.argsort(self.owners, kind="stable")]
        return np.split(environments, ends[:-1])


@dataclass(frozen=True)
class Limit:
    """How much one selection may keep: at most ``structures``, at most ``atoms`` (None: no bound)."""

    structures: int | None = None
    atoms: int | None = None

    def __str__(self) -> str:
        return f"{self.structures} structures" if self.atoms is None else f"{self.atoms} atoms"


@dataclass(frozen=True, eq=False)
class Selection:
    """Kept structures.

    indices: positions in the pool, in the order of choice. limit: the limit that they obey.
    """

    indices: Indices
    limit: Limit


class Pruner(ABC):
    """Chooses structures. Subclasses are frozen dataclasses built from one YAML and define ``_choose``."""

    nested: ClassVar[bool]
    """True if the choice of n structures is a prefix of the choice of n + 1, for the same features and seed."""
    needs_descriptor: ClassVar[bool] = True
    """False for pruners that use no latent vectors: they accept ``descriptor=none`` only."""
    uses_distances_alone: ClassVar[bool] = False
    """True if the choice follows from the distances between structure vectors: then these may be whole structures."""
    needs_environments: ClassVar[bool] = False
    """True for pruners that use the latent vectors of atoms, not only of structures."""
    needs_information: ClassVar[bool] = False
    """True for pruners that look at design rows, and at no latent vectors (``row_sources.features_of_rows``)."""
    noise: str = UNIFORM
    """Of design rows (``information``)."""

    @property
    def keeps_prefixes(self) -> bool:
        """Whether selections within rising limits are prefixes of each other; not where ``_improve`` changes them."""
        return self.nested

    @abstractmethod
    def _choose(self, features: Features, n_structures: int, rng: np.random.Generator) -> Indices:
        """``n_structures`` different structures in the order of choice (1 <= n_structures <= len(features))."""

    def _improve(self, features: Features, kept: Indices) -> Indices:
        """A choice within ``features.limit`` that is at least as good."""
        return kept

    def working(self, vectors: Shape, environments: Shape) -> int:
        """How many numbers of 8 bytes the choice needs beside the features, whose shapes are given.

        Environments have no rows where the pruner needs none.
        """
        return 0

    @final
    def select(self, features: Features, limit: Limit, rng: np.random.Generator) -> Selection:
        """Choose within ``limit``.

        Raises
        ------
        NotApplicableError : the pruner ignores descriptors but got one, needs one but got none, or needs more than
            distances between whole structures.
        TamisError : the limit is above the pool or leaves nothing.
        """
        self.check_descriptor(features.has_descriptor, features.of_structures)
        _check_limit(features, limit)
        if self.needs_environments and len(features.owners) < features.n_atoms.sum():
            raise TamisError(
                f"{type(self).__name__} needs environments, but these features were made for a pruner that does "
                "not; make them with LatentSpace.features(values, groups, pruner)"
            )
        features = replace(features, limit=limit)
        most = limit.structures or len(features)
        if limit.atoms is None:
            order = self._choose(features, most, rng)
        elif self.nested:
            could_fit = _most_within(features.n_atoms, limit.atoms)
            order = self._choose(features, max(min(most, could_fit), 1), rng)
        else:
            order = self._largest_within(features, most, limit.atoms, rng)
        kept = within(order, features.n_atoms, limit)
        return Selection(self._improve(features, kept), limit)

    def _largest_within(self, features: Features, most: int, atoms: int, rng: np.random.Generator) -> Indices:
        """The choice of most structures, up to ``most``, whose atoms fit; by bisection.

        A choice that is cut to fit would waste budget.
        """
        could_fit = _most_within(features.n_atoms, atoms)
        best, fits, too_many = np.zeros(0, dtype=np.intp), 0, most
        n_structures = most  # the largest first: a bisection alone would never ask for it
        while n_structures > fits:
            # more than could ever fit need not be chosen to be too many: it may be the whole pool
            chosen = None
            if n_structures <= could_fit:
                chosen = self._choose(features, n_structures, copy.deepcopy(rng))
            if chosen is not None and features.n_atoms[chosen].sum() <= atoms:
                best, fits = chosen, n_structures
            else:
                too_many = n_structures
            n_structures = (fits + too_many) // 2
        return best

    @final
    def check_descriptor(self, has_descriptor: bool, of_structures: bool = False) -> None:
        """Raise NotApplicableError where this pruner and the descriptor (or its absence) do not go together."""
        if self.needs_descriptor and not has_descriptor:
            raise NotApplicableError(
                "this pruner chooses in a latent space: it needs a descriptor other than none"
            )
        if not self.needs_descriptor and has_descriptor:
            raise NotApplicableError("this pruner looks at no descriptor: it is run with descriptor=none")
        if of_structures and not self.uses_distances_alone:
            raise NotApplicableError(
                "this descriptor gives distances between whole structures, and this pruner looks at atoms, columns or "
                "design rows: take pruner=fps, kmeans or anti, or a descriptor of atoms"
            )


def _check_limit(features: Features, limit: Limit) -> None:
    for unit, amount, most in (
        ("structures", limit.structures, len(features)),
        ("atoms", limit.atoms, int(features.n_atoms.sum())),
    ):
        if amount is not None and not 1 <= amount <= most:
            raise TamisError(
                f"the budget is {amount} {unit}, and the pool has {most}; give from 1 to {most}, or budget=all"
            )


def _most_within(n_atoms: Indices, limit: int) -> int:
    """How many of the smallest structures have at most ``limit`` atoms: no choice that fits has more."""
    return _n_within(np.sort(n_atoms), limit)


def within(order: Indices, n_atoms: Indices, limit: Limit) -> Indices:
    """The longest prefix of ``order`` that obeys ``limit``.

    Raises
    ------
    TamisError : it is empty.
    """
    kept = order[: limit.structures]
    if limit.atoms is not None:
        kept = kept[: _n_within(n_atoms[kept], limit.atoms)]
    if len(kept) == 0:
        raise TamisError(
            f"a budget of {limit} keeps no structure: the first choice alone is larger; raise the budget, or drop "
            "the smallest of its fractions"
        )
    return kept


def _n_within(n_atoms: Indices, limit: int) -> int:
    return int(np.searchsorted(np.cumsum(n_atoms), limit, side="right"))
