"""Labelled structures, and the split of them into pool, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.exceptions import TamisError

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Dataset:
    """Structures with reference labels.

    structures: n ASE atoms; positions, cell, pbc and elements are used, attached calculators are not.
    energies: (n,) total energies, eV.
    forces: n arrays (n_atoms, 3), eV/Å.
    stresses: (n, 6), eV/Å³, ASE sign, Voigt xx yy zz yz xz xy; NaN marks a component without a usable label.
    groups: n names of kinds of structure ("Vacancy"), by which splits are stratified and errors reported.
    blocks: n names of trajectories or strain modes: structures of one block are not independent of each other.
    ids: n unique names ("training.json#12"), used in messages and selections.
    is_test: (n,) True where the source says that a structure is for testing only.
    frames: n structures as they were in the files, with every key and column and in the files' units; empty: the
        source keeps none. For writing alone: nothing is computed from them.
    read_as: what was taken for energy, forces and stress, for the reader of a record.
    """

    structures: tuple[Atoms, ...]
    energies: Array
    forces: tuple[Array, ...]
    stresses: Array
    groups: tuple[str, ...]
    blocks: tuple[str, ...]
    ids: tuple[str, ...]
    is_test: NDArray[np.bool_]
    frames: tuple[Atoms, ...] = ()
    read_as: str = ""

    def __post_init__(self) -> None:
        n = len(self.structures)
        for name in ("energies", "forces", "stresses", "groups", "blocks", "ids", "is_test"):
            if len(getattr(self, name)) != n:
                raise TamisError(f"{name} has {len(getattr(self, name))} entries for {n} structures")
        if len(self.frames) not in (0, n):
            raise TamisError(f"frames has {len(self.frames)} entries for {n} structures")
        if self.stresses.shape != (n, 6):
            raise TamisError(f"stresses must have shape ({n}, 6), got {self.stresses.shape}")

    def __len__(self) -> int:
        return len(self.structures)

    @cached_property
    def n_atoms(self) -> Indices:
        """Number of atoms of each structure, (n,)."""
        return np.array([len(atoms) for atoms in self.structures], dtype=np.intp)

    @cached_property
    def volumes(self) -> Array:
        """Cell volumes, (n,), Å³; NaN for structures that are not periodic in all directions."""
        return np.array([a.cell.volume if a.pbc.all() else np.nan for a in self.structures])

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, sorted."""
        return tuple(sorted({s for atoms in self.structures for s in atoms.get_chemical_symbols()}))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (16 hex digits) of geometry, labels, groups and split marks."""
        digest = hashlib.sha256()
        for atoms, forces in zip(self.structures, self.forces, strict=True):
            digest.update(structure_key(atoms).encode())
            digest.update(np.ascontiguousarray(forces, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.energies, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.stresses, dtype="<f8").tobytes())
        digest.update("\0".join((*self.groups, *self.blocks, *self.ids)).encode())
        digest.update(np.ascontiguousarray(self.is_test, dtype="u1").tobytes())
        return digest.hexdigest()[:16]

    def subset(self, indices: Sequence[int] | Indices) -> Dataset:
        """The structures ``indices`` in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        return replace(
            self,
            structures=tuple(self.structures[i] for i in chosen),
            energies=self.energies[chosen],
            forces=tuple(self.forces[i] for i in chosen),
            stresses=self.stresses[chosen],
            groups=tuple(self.groups[i] for i in chosen),
            blocks=tuple(self.blocks[i] for i in chosen),
            ids=tuple(self.ids[i] for i in chosen),
            is_test=self.is_test[chosen],
            frames=tuple(self.frames[i] for i in chosen) if self.frames else (),
        )


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into a Dataset.

    pool: may be kept for training; validation: steers searches; test: judges, and decides nothing; tuning: chooses
    the settings of models that tune on a labelled set of their own (else empty).
    """

    pool: Indices
    tuning: Indices
    validation: Indices
    test: Indices


def structure_key(atoms: Atoms) -> str:
    """SHA-256 (hex) of what a basis sees: elements, positions, cell, periodicity."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(atoms.numbers, dtype="<i4").tobytes())
    digest.update(np.ascontiguousarray(atoms.positions, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(atoms.cell.array, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(atoms.pbc, dtype="u1").tobytes())
    return digest.hexdigest()


def deal_into_folds(strata: Sequence[str], n_folds: int, rng: np.random.Generator) -> Indices:
    """Fold number of each structure, (n,): every stratum is shuffled and dealt out over the folds in turn."""
    folds = np.empty(len(strata), dtype=np.intp)
    next_fold = 0
    for stratum in sorted(set(strata)):
        members = rng.permutation([i for i, s in enumerate(strata) if s == stratum])
        folds[members] = (next_fold + np.arange(len(members))) % n_folds
        next_fold += len(members)
    return folds


def hold_out(strata: Sequence[str], fraction: float, rng: np.random.Generator) -> NDArray[np.bool_]:
    """True for ``fraction`` of the structures, (n,), spread over the strata in proportion.

    Every stratum gives the whole part of its share; the strata with the largest remainders give one more until the
    total is right. A stratum with one member gives none: what there is only once is needed for training.

    Parameters
    ----------
    strata : name of each structure's stratum. fraction : from 0 to less than 1. rng : draws within strata.
    """
    held_out = np.zeros(len(strata), dtype=np.bool_)
    members = {name: np.flatnonzero([s == name for s in strata]) for name in sorted(set(strata))}
    shares = {name: fraction * len(found) for name, found in members.items() if len(found) > 1}
    counts = {name: int(share) for name, share in shares.items()}
    missing = round(fraction * len(strata)) - sum(counts.values())
    for name in sorted(shares, key=lambda name: (counts[name] - shares[name], name))[: max(missing, 0)]:
        counts[name] = min(counts[name] + 1, len(members[name]) - 1)
    for name, count in counts.items():
        held_out[rng.permutation(members[name])[:count]] = True
    return held_out


def split_dataset(
    dataset: Dataset, validation_fraction: float, rng: np.random.Generator, with_tuning: bool = False
) -> Split:
    """Set aside a validation set, stratified by group, from all that is not for testing.

    Parameters
    ----------
    dataset : with at least two structures that are not for testing.
    validation_fraction : part of these structures, more than 0 and less than 1; at least one structure is taken.
    rng : draws within groups.
    with_tuning : take a tuning set of the same size, too.
    """
    if not 0.0 < validation_fraction < 1.0:
        raise TamisError(
            f"validation_fraction is {validation_fraction}; it must lie between 0 and 1, say 0.1"
        )
    available = np.flatnonzero(~dataset.is_test)
    needed = 3 if with_tuning else 2
    if len(available) < needed:
        raise TamisError(
            f"the data set has {len(available)} structure(s) for training; at least {needed} are needed, one to "
            f"train on and one to validate{', and one to tune on' if with_tuning else ''}"
        )
    rest, validation = _take(dataset, available, validation_fraction, rng)
    tuning = np.empty(0, dtype=np.intp)
    if with_tuning:
        rest, tuning = _take(dataset, rest, len(validation) / len(rest), rng)
    return Split(pool=rest, tuning=tuning, validation=validation, test=np.flatnonzero(dataset.is_test))


def _take(
    dataset: Dataset, available: Indices, fraction: float, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """What stays and what is taken of ``available``; at least one structure is taken, and one stays."""
    taken = hold_out([dataset.groups[i] for i in available], fraction, rng)
    if not taken.any():
        taken[rng.integers(len(available))] = True
    if taken.all():
        taken[rng.integers(len(available))] = False
    return available[~taken], available[taken]
