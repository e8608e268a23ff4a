"""Fillers: zeros or repeated numbers that a program wrote in place of labels that it did not compute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.geometry import neighbours_within
from tamis.core.messages import listed
from tamis.data.dataset import Dataset
from tamis.data.plausibility.distances import radius

Array = NDArray[np.float64]

REACH = 1.7
"""Sums of the two largest radii; includes the second neighbours of bcc."""
LOPSIDED = 0.02
"""Length of the weighted mean of the directions to an atom's neighbours; rounding and symmetry give 1e-10."""
FEWEST = 2
"""Structures; a single one may be relaxed, and printed with few digits."""
SAME_VOLUME = 1e-3
"""Relative difference of volumes per atom above which one pressure cannot belong to both."""


def find_fillers(dataset: Dataset, zero_forces: bool = False) -> tuple[list[str], list[str]]:
    """Sentences on fillers that make a whole set useless, and on those that some structures may have.

    Parameters
    ----------
    dataset : structures that passed the other checks.
    zero_forces : allow that all forces are zero.
    """
    problems, doubts = [], same_labels(dataset)
    silent = zero_force_fillers(dataset)
    if len(silent) >= FEWEST:
        doubts.append(
            "all forces are 0 where neighbours do not balance, fillers? leave these structures out with dataset.drop, "
            f"or name the true ones with dataset.forces_key: {names(dataset, silent)}"
        )
        given = [forces for forces, known in zip(dataset.forces, dataset.has_forces, strict=True) if known]
        if not zero_forces and all_zero(given) and varies(dataset, silent):
            problems.append(
                f"every force of every structure is 0, although {len(silent)} have atoms whose neighbours do not "
                f"balance, such as {names(dataset, silent[:1])}: a filler? name the true ones with dataset.forces_key; "
                "to take them as they are, set dataset.zero_forces=true"
            )
    stressed = zero_stress_fillers(dataset)
    if len(stressed) >= FEWEST:
        doubts.append(
            "stress is 0 where it cannot be, a filler? take the stress out of these structures, or leave all out with "
            f"dataset.stress_key=null dataset.virial_key=null: {names(dataset, stressed)}"
        )
        if all_zero(dataset.stresses[np.isfinite(dataset.stresses).all(axis=1)]):
            problems.append(
                f"every stress is 0, which cannot be for {len(stressed)} structures, such as "
                f"{names(dataset, stressed[:1])}: a filler? leave it out with dataset.stress_key=null "
                "dataset.virial_key=null; with only one of these the other label is read, if there is one"
            )
    constant = constant_energies(dataset)
    if len(constant) > 2:
        doubts.append(
            "one energy for structures whose forces differ, a filler? leave these out with dataset.drop, or name the "
            f"true one with dataset.energy_key: {names(dataset, constant)}"
        )
        if len(constant) == len(dataset):
            problems.append(
                f"every energy is {dataset.energies[0]:.6g} eV, although forces differ: a filler? name the true one "
                "with dataset.energy_key"
            )
    return problems, doubts


def same_labels(dataset: Dataset) -> list[str]:
    """Sentences on structures that have the same forces or the same stress, and are no copies of each other."""
    found = []
    for what, labels in (("forces", dataset.forces), ("stress", dataset.stresses)):
        by_label: dict[bytes, list[int]] = defaultdict(list)
        for i, values in enumerate(labels):
            if np.abs(values).max() > 0.0:  # not for NaN, which is no label
                by_label[values.tobytes()].append(i)
        for first, *others in by_label.values():
            if different := [i for i in others if dataset.copies[i] != dataset.copies[first]]:
                found.append(
                    f"the same {what} for different structures: {names(dataset, [first, *different])}"
                )
    return found


def zero_force_fillers(dataset: Dataset) -> list[int]:
    """Structures whose forces are all exactly 0 although the neighbours of some atom do not balance."""
    return [
        i
        for i, atoms in enumerate(dataset.structures)
        if not dataset.forces[i].any() and lopsidedness(atoms) > LOPSIDED
    ]


def zero_stress_fillers(dataset: Dataset) -> list[int]:
    """Structures whose stress is exactly 0 although they have forces, or differ in volume from each other."""
    zero = [i for i, stress in enumerate(dataset.stresses) if np.isfinite(stress).all() and not stress.any()]
    moved = {i for i in zero if dataset.has_forces[i] and dataset.forces[i].any()}
    by_composition: dict[str, list[int]] = defaultdict(list)
    for i in zero:
        by_composition[dataset.structures[i].get_chemical_formula(empirical=True)].append(i)
    for members in by_composition.values():
        per_atom = dataset.volumes[members] / dataset.n_atoms[members]
        if np.ptp(per_atom) > SAME_VOLUME * per_atom.mean():
            moved |= set(members)
    return sorted(moved)


def constant_energies(dataset: Dataset) -> list[int]:
    """Structures with the same energy to the last digit and different forces, if they are most of the set."""
    by_energy: dict[float, list[int]] = defaultdict(list)
    for i, energy in enumerate(dataset.energies):
        by_energy[float(energy)].append(i)
    members = max(by_energy.values(), key=len, default=[])
    sizes = {float(f"{np.linalg.norm(dataset.forces[i]):.3e}") for i in members if dataset.has_forces[i]}
    return members if 2 * len(members) > len(dataset) and len(sizes) > 1 else []


def lopsidedness(atoms: Atoms) -> float:
    """Largest length of the weighted mean of the directions to an atom's neighbours; 0 at a centre of symmetry."""
    reach = 2.0 * REACH * max(radius(int(number)) for number in atoms.numbers)
    try:
        first, distance, bonds = neighbours_within(atoms, reach, "idD")
    except TamisError:  # a later check says why it cannot be treated
        return 0.0
    weights = (1.0 - distance / reach) ** 2
    total, directions = np.zeros(len(atoms)), np.zeros((len(atoms), 3))
    np.add.at(total, first, weights)
    np.add.at(directions, first, (weights / distance)[:, None] * bonds)
    return float((np.linalg.norm(directions, axis=1) / np.maximum(total, 1e-12)).max())


def varies(dataset: Dataset, members: Sequence[int]) -> bool:
    """Whether energies of equal compositions differ among ``members``."""
    by_composition: dict[str, set[float]] = defaultdict(set)
    for i in members:
        by_composition[dataset.structures[i].get_chemical_formula()].add(float(dataset.energies[i]))
    return any(len(energies) > 1 for energies in by_composition.values())


def all_zero(labels: Iterable[Array]) -> bool:
    """Whether no number differs from 0."""
    return not any(values.any() for values in labels)


def names(dataset: Dataset, members: Sequence[int]) -> str:
    """Ids of the members, as messages show them."""
    return listed([dataset.ids[i] for i in members])
