"""Labelled structures, and the split of them into pool, validation and test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.names import printable
from tamis.data.copies import copies_of
from tamis.data.dealing import bundles_of, first_members, hold_out
from tamis.data.signal import root_mean_squares, still_force

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

FEWEST_BLOCKS = 5
"""With fewer blocks, one of them would be more than a fifth of the training data."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Structures with reference labels.

    structures: n ASE atoms; positions, cell, pbc and elements are used, attached calculators are not.
    energies: (n,) total energies, eV.
    forces: n arrays (n_atoms, 3), eV/Å; all NaN where a structure has none.
    stresses: (n, 6), eV/Å³, ASE sign, Voigt xx yy zz yz xz xy; NaN marks a component without a usable label.
    groups: n names of kinds of structure ("Vacancy"), by which splits are stratified and errors reported.
    blocks: n names of trajectories or strain modes: structures of one block are not independent of each other.
    ids: n unique names ("training.json#12"), used in messages and selections.
    is_test: (n,) True where the source says that a structure is for testing only.
    notes: sentences for the record on corrections, unknowns and doubts from reading the set; no part of the
        fingerprint.
    test_kind: how these were chosen: "published", "file", "random", "blocks" (whole ones), "none".
    blocks_whole: whether a block is held out whole for testing, for validation and in folds.
    isolated: free atoms that were set apart; None: there are none. They are written with the kept structures.
    frames: n structures as they were in the files, with every key and column in the files' units, for writing only;
        empty: the source keeps none.
    file_format: name of the format that all of these files have; "": they have several, or there are none.
    read_as: lines for the record on the keys and units of energy, forces and stress.
    weights: (n, 3) factors of the squared residuals of energy, forces, stress; None: all 1.
    free_energies: energies of free atoms by element, eV, which models take as they are; those of others are fitted.
    whole_elements, atom_spacing: of the whole set that this is a part of: its chemical symbols, sorted (empty: those
        that occur), and the length by which default cutoffs scale, Å (None: not known).
    """

    structures: tuple[Atoms, ...]
    energies: Array
    forces: tuple[Array, ...]
    stresses: Array
    groups: tuple[str, ...]
    blocks: tuple[str, ...]
    ids: tuple[str, ...]
    is_test: NDArray[np.bool_]
    notes: tuple[str, ...] = ()
    test_kind: str = "published"
    blocks_whole: bool = False
    isolated: Dataset | None = None
    frames: tuple[Atoms, ...] = ()
    file_format: str = ""
    read_as: str = ""
    weights: Array | None = None
    free_energies: Mapping[str, float] = field(default_factory=dict)
    whole_elements: tuple[str, ...] = ()
    atom_spacing: float | None = None

    def __post_init__(self) -> None:
        n = len(self.structures)
        for name in ("energies", "forces", "stresses", "groups", "blocks", "ids", "is_test"):
            if len(getattr(self, name)) != n:
                raise TamisError(f"{name} has {len(getattr(self, name))} entries for {n} structures")
        if len(self.frames) not in (0, n):
            raise TamisError(f"frames has {len(self.frames)} entries for {n} structures")
        if self.stresses.shape != (n, 6):
            raise TamisError(f"stresses must have shape ({n}, 6), got {self.stresses.shape}")
        if self.weights is not None and self.weights.shape != (n, 3):
            raise TamisError(
                f"weights must have shape ({n}, 3) for energy, forces and stress, got {self.weights.shape}"
            )
        for name in ("groups", "blocks", "ids"):  # they go into files and databases
            object.__setattr__(self, name, tuple(map(printable, getattr(self, name))))

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
    def has_forces(self) -> NDArray[np.bool_]:
        """Whether a structure has forces, (n,)."""
        return np.array([np.isfinite(forces).any() for forces in self.forces], dtype=np.bool_)

    @cached_property
    def has_stress(self) -> NDArray[np.bool_]:
        """Whether a structure has a stress label that a fit can use, (n,)."""
        return np.isfinite(self.stresses).any(axis=1) & np.isfinite(self.volumes)

    @cached_property
    def label_weights(self) -> Array:
        """The weights of energy, forces and stress of each structure, (n, 3); 0 where it has no such label."""
        labelled = np.column_stack([np.ones(len(self), dtype=np.bool_), self.has_forces, self.has_stress])
        return labelled * (1.0 if self.weights is None else self.weights)

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that occur, sorted."""
        return tuple(sorted({s for atoms in self.structures for s in atoms.get_chemical_symbols()}))

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (16 hex digits) of geometry, labels, weights, groups, split marks and energies of free atoms, and of
        which structures share a block.

        Names of files are left out, and so are ids and the names of blocks, which begin with them: the same set in
        another file or format is the same set.
        """
        digest = hashlib.sha256()
        for atoms, forces in zip(self.structures, self.forces, strict=True):
            digest.update(structure_key(atoms).encode())
            digest.update(np.ascontiguousarray(forces, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.energies, dtype="<f8").tobytes())
        digest.update(np.ascontiguousarray(self.stresses, dtype="<f8").tobytes())
        numbers = {name: i for i, name in enumerate(dict.fromkeys(self.blocks))}
        digest.update("\0".join((*self.groups, *(str(numbers[name]) for name in self.blocks))).encode())
        digest.update(np.ascontiguousarray(self.is_test, dtype="u1").tobytes())
        if self.weights is not None and (self.weights != 1.0).any():
            digest.update(np.ascontiguousarray(self.weights, dtype="<f8").tobytes())
        if self.free_energies:
            digest.update(repr(sorted(self.free_energies.items())).encode())
        return digest.hexdigest()[:16]

    @cached_property
    def copies(self) -> Indices:
        """Number of the set of copies that each structure belongs to, (n,), see ``tamis.data.copies``."""
        return copies_of(self.structures)

    @property
    def bundles(self) -> Indices:
        """Number of each structure's bundle, (n,), which is held out as a whole, see ``tamis.data.dealing``.

        Bundles are blocks if these are held out whole and there are enough of them, else copies.
        """
        if self.deals_blocks:
            return bundles_of(self.copies, self.blocks)
        return self.copies

    @property
    def deals_blocks(self) -> bool:
        """Whether bundles are blocks: they are held out whole, and there are at least FEWEST_BLOCKS."""
        return self.blocks_whole and len(set(self.blocks)) >= FEWEST_BLOCKS

    def with_test(self, is_test: NDArray[np.bool_], test_kind: str, blocks_whole: bool) -> Dataset:
        """The same structures with others for testing."""
        return self.sharing_copies(
            replace(self, is_test=is_test, test_kind=test_kind, blocks_whole=blocks_whole),
            np.arange(len(self)),
        )

    def with_notes(self, notes: Sequence[str]) -> Dataset:
        """The same structures with more notes."""
        return self.sharing_copies(replace(self, notes=(*self.notes, *notes)), np.arange(len(self)))

    @property
    def training(self) -> Dataset:
        """The structures that are not for testing."""
        return self.subset(np.flatnonzero(~self.is_test))

    @property
    def testing(self) -> Dataset:
        """The structures that are for testing only."""
        return self.subset(np.flatnonzero(self.is_test))

    def subset(self, indices: Sequence[int] | Indices) -> Dataset:
        """The structures ``indices`` in that order."""
        chosen = np.asarray(indices, dtype=np.intp)
        part = replace(
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
            weights=None if self.weights is None else self.weights[chosen],
        )
        return self.sharing_copies(part, chosen)

    def sharing_copies(self, part: Dataset, chosen: Indices) -> Dataset:
        """``part`` with the known ``copies``, which are computed once for a data set and all its parts.

        Parameters
        ----------
        part : a new set of the structures ``chosen``, whatever else differs.
        """
        if "copies" in self.__dict__:
            part.__dict__["copies"] = self.copies[chosen]
        return part


def with_isolated(dataset: Dataset) -> Dataset:
    """The free atoms that were set apart, and then the structures."""
    apart = dataset.isolated
    if apart is None:
        return dataset
    return replace(
        dataset,
        structures=apart.structures + dataset.structures,
        energies=np.concatenate([apart.energies, dataset.energies]),
        forces=apart.forces + dataset.forces,
        stresses=np.concatenate([apart.stresses, dataset.stresses]),
        groups=apart.groups + dataset.groups,
        blocks=apart.blocks + dataset.blocks,
        ids=apart.ids + dataset.ids,
        is_test=np.concatenate([apart.is_test, dataset.is_test]),
        frames=apart.frames + dataset.frames,
        weights=_joined(apart, dataset),
        isolated=None,
    )


def _joined(*parts: Dataset) -> Array | None:
    """The weights of all parts, one after the other; None where none has any."""
    if all(part.weights is None for part in parts):
        return None
    return np.concatenate([np.ones((len(p), 3)) if p.weights is None else p.weights for p in parts])


@dataclass(frozen=True, eq=False)
class Split:
    """Indices into a Dataset.

    pool: may be kept for training; validation: steers searches; test: measures errors, and decides nothing; tuning:
    chooses the settings of models that tune on a labelled set of their own (else empty).
    """

    pool: Indices
    tuning: Indices
    validation: Indices
    test: Indices

    @property
    def trained(self) -> Indices:
        """All structures that are not for testing."""
        return np.concatenate([self.pool, self.tuning, self.validation])


def structure_key(atoms: Atoms) -> str:
    """SHA-256 (hex) of the input of a basis: elements, positions, cell, periodicity."""
    digest = hashlib.sha256()
    digest.update(np.ascontiguousarray(atoms.numbers, dtype="<i4").tobytes())
    digest.update(np.ascontiguousarray(atoms.positions, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(atoms.cell.array, dtype="<f8").tobytes())
    digest.update(np.ascontiguousarray(atoms.pbc, dtype="u1").tobytes())
    return digest.hexdigest()


def split_dataset(
    dataset: Dataset, validation_fraction: float, rng: np.random.Generator, with_tuning: bool = False
) -> Split:
    """Set aside a validation set, stratified by group, from all structures that are not for testing.

    Bundles stay together. A set without forces, or without stress labels, gets a bundle that has them if two have.

    Parameters
    ----------
    dataset : with at least two distinct structures that are not for testing.
    validation_fraction : part of these structures, less than 1; above 0 at least one bundle is taken. 0: there is no
        validation set, hence no tuning set.
    rng : draws within groups.
    with_tuning : take a tuning set of the same size, too.
    """
    if not 0.0 <= validation_fraction < 1.0:
        raise TamisError(
            f"validation_fraction is {validation_fraction}; it must lie between 0 and 1, say 0.1 (0: no validation set)"
        )
    if with_tuning and validation_fraction == 0.0:
        raise TamisError(
            "validation_fraction is 0; the model is tuned on a set as large as the validation set: take 0.1, or "
            "model.tuning=kept"
        )
    _ = dataset.copies  # computed once; subsets share it
    available = np.flatnonzero(~dataset.is_test)
    if validation_fraction == 0.0:
        none = np.empty(0, dtype=np.intp)
        return Split(pool=available, tuning=none, validation=none, test=np.flatnonzero(dataset.is_test))
    needed = 3 if with_tuning else 2
    n_distinct = len(set(dataset.copies[available].tolist()))
    if n_distinct < needed:
        copies = f" ({len(available)} with copies)" if len(available) > n_distinct else ""
        raise TamisError(
            f"the data set has {n_distinct} distinct structure(s) for training{copies}; at least {needed} are needed, "
            f"one to train on and one to validate{', and one to tune on' if with_tuning else ''}"
        )
    rest, validation = _take(dataset, available, validation_fraction, rng, left=needed - 1)
    tuning = np.empty(0, dtype=np.intp)
    if with_tuning:
        rest, tuning = _take(dataset, rest, min(len(validation) / len(rest), 0.5), rng, left=1)
    return Split(pool=rest, tuning=tuning, validation=validation, test=np.flatnonzero(dataset.is_test))


def draw_test(dataset: Dataset, fraction: float, seed: int) -> Dataset:
    """``dataset`` with about ``fraction`` of every group for testing.

    Whole blocks where a block has several structures, and copies together; a group with one of these stays in training.
    """
    blocks_whole = has_blocks(dataset.blocks)
    kind = "none" if fraction == 0.0 else "blocks" if blocks_whole else "random"
    bundles = bundles_of(dataset.copies, dataset.blocks) if blocks_whole else dataset.copies
    rng = np.random.default_rng(seed)
    is_test = hold_out(dataset.groups, fraction, rng, bundles)
    if is_test.any():
        is_test = _with_signals(dataset, is_test, bundles, rng)
    return dataset.with_test(is_test, kind if is_test.any() else "none", blocks_whole)


def has_blocks(blocks: Sequence[str]) -> bool:
    """Whether some block has more than one structure."""
    return len(set(blocks)) < len(blocks)


def _take(
    dataset: Dataset, available: Indices, fraction: float, rng: np.random.Generator, left: int
) -> tuple[Indices, Indices]:
    """The parts of ``available`` that stay and are taken: at least one bundle is taken, and ``left`` stay."""
    part = dataset.subset(available)
    bundles = part.bundles if len(np.unique(part.bundles)) > left else part.copies
    taken = hold_out(part.groups, fraction, rng, bundles)
    if not taken.any():
        taken = bundles == bundles[rng.choice(first_members(bundles)[0])]
    taken = _with_signals(part, taken, bundles, rng)
    while len(np.unique(bundles[~taken])) < left:
        taken &= bundles != rng.choice(np.unique(bundles[taken]))
    return available[~taken], available[taken]


def _with_signals(
    dataset: Dataset, taken: NDArray[np.bool_], bundles: Indices, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """``taken``, with a bundle that has forces and one that has stress labels if two have; an only one stays."""
    taken, only = taken.copy(), []
    moving = root_mean_squares(dataset.forces) > still_force(dataset.forces)
    for signal in (moving, np.isfinite(dataset.stresses).any(axis=1)):
        with_signal = np.unique(bundles[signal])
        if len(with_signal) > 1 and not (signal & taken).any():
            taken |= bundles == rng.choice(with_signal)
        elif len(with_signal) == 1:
            only.append(with_signal[0])
    others = np.setdiff1d(bundles, only)
    if not len(others):
        return taken
    taken &= np.isin(bundles, others)
    return taken if taken.any() else bundles == rng.choice(others)
