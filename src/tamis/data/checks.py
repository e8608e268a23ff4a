"""Checks that every data set must pass before anything is computed from it.

All problems are collected and raised together, each with the id of its structure; doubts are logged as warnings.
Nothing is dropped here: a user who wants to go on without a structure lists it in ``dataset.drop``.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols, covalent_radii
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked
from tamis.core.geometry import SHORTEST_REACH, neighbours_within, periodic_volume
from tamis.core.messages import listed
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data.dataset import Dataset
from tamis.data.plausibility import (
    UNTYPED,
    Factors,
    find_fillers,
    free_atoms_in,
    set_isolated_apart,
    unit_doubts,
)

Array = NDArray[np.float64]

LOG = logging.getLogger(__name__)

SHOWN = 10
"""Problems that are printed; the rest is counted."""
SMALLEST_VOLUME_PER_ATOM = 0.5
"""Å³; hydrogen at hundreds of GPa has more than 1."""
LARGEST_STRESS = 3.0
"""eV/Å³ (480 GPa); a larger stress more likely has a wrong unit or sign."""
ONE_ENERGY = 1e-3
"""eV/atom; largest difference between two energies of one structure."""
IMPOSSIBLE_STRESS = 30.0
"""eV/Å³ (4.8 TPa)."""
FAR_OUT = 15.0
"""Robust standard deviations at which an energy is an outlier; the mlearn sets reach 5.2."""


@dataclass(frozen=True)
class Tolerances(Checked):
    """Limits beyond which a structure is refused.

    shortest_distance : shortest allowed distance over the sum of the two covalent radii. Mo at 6000 K reaches 0.61.
    net_force : largest allowed ``|sum of forces| / sqrt(n_atoms)``, eV/Å; a tenth of it is worth a warning. Independent
        noise of each atom's force has its own size here; mlearn has 1e-8.
    energy_window : eV/atom; an energy further than this from what its composition suggests may have another
        reference than the rest. Between a crystal and its hot melt lie 0.2 to 1.5.
    zero_forces : accept a set whose forces are all 0 although neighbours do not balance.
    """

    shortest_distance: Annotated[float, Above(0)] = 0.5
    net_force: Annotated[float, Above(0)] = 0.1
    energy_window: Annotated[float, Above(0)] = 3.0
    zero_forces: bool = False


@dataclass(frozen=True, eq=False)
class Findings:
    """What the checks say of a data set.

    problems : for which it is refused. hints : at their cause. doubts : on labels that are allowed, hints among them.
    sound : the structures that can be computed, without free atoms.
    """

    problems: Sequence[str]
    hints: Sequence[str]
    doubts: Sequence[str]
    sound: Dataset


def check_dataset(
    dataset: Dataset, elements: Sequence[str], tolerances: Tolerances | None = None, typed: Factors = UNTYPED
) -> tuple[str, ...]:
    """Refuse a data set that would give wrong numbers or crash an engine; log and return doubts.

    Parameters
    ----------
    As for ``examine``.

    Raises
    ------
    TamisError : lists up to 10 problems, each with the id of its structure, and their number.
    """
    found = examine(dataset, elements, tolerances, typed)
    raise_problems(found.problems, found.hints)
    for doubt in found.doubts:
        LOG.warning("%s", doubt)
    return tuple(found.doubts)


def examine(
    dataset: Dataset, elements: Sequence[str], tolerances: Tolerances | None = None, typed: Factors = UNTYPED
) -> Findings:
    """All that is wrong or doubtful with a data set.

    Parameters
    ----------
    dataset : as read.
    elements : chemical symbols that the configuration declares.
    tolerances : where doubt becomes refusal; the defaults suit DFT data of solids and liquids.
    typed : factors by which units that a user typed have multiplied energies, forces and stresses.

    Raises
    ------
    TamisError : there is no structure.
    """
    tolerances = tolerances or Tolerances()
    if len(dataset) == 0:
        raise TamisError("the data set is empty; give at least one structure with energy and forces")
    problems = repeated_ids(dataset.ids)
    sound: list[int] = []
    for i in range(len(dataset)):
        found = [*broken_numbers(dataset, i), *unknown_elements(dataset.structures[i], elements)]
        found = found or [
            *(net_force(dataset.forces[i], tolerances.net_force) if dataset.has_forces[i] else ()),
            *overlaps(dataset.structures[i], tolerances.shortest_distance),
        ]
        problems += [f"{dataset.ids[i]}: {text}" for text in found]
        if not found:
            sound.append(i)
    _ = dataset.copies  # computed once; subsets share it
    remaining = dataset.subset(sound)
    bonded = set_isolated_apart(remaining)
    problems += repeated_structures(remaining) + foreign_energies(remaining, tolerances.energy_window)
    fillers, filler_doubts = find_fillers(bonded, tolerances.zero_forces)
    problems += impossible_stresses(remaining) + fillers + useless_weights(remaining)
    units = unit_doubts(bonded, typed)
    doubts = [*doubts_of(bonded, elements, tolerances), *filler_doubts, *units] if sound else []
    return Findings(problems, units, doubts, bonded)


def raise_problems(problems: Sequence[str], hints: Sequence[str] = ()) -> None:
    """Raise one TamisError for all ``problems``, with hints at their cause; do nothing if there are none."""
    if not problems:
        return
    shown = "\n  ".join(problems[:SHOWN])
    rest = f"\n  ... and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    raise TamisError(
        "".join(f"of all structures: {hint}.\n" for hint in hints)
        + f"the data set has {len(problems)} problem(s):\n  {shown}{rest}\n"
        "Correct the files, or leave structures out by listing their ids in dataset.drop."
    )


def repeated_ids(ids: Sequence[str]) -> list[str]:
    """Ids that stand for more than one structure."""
    seen: set[str] = set()
    repeated = [name for name in ids if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    return [f"{name}: this id occurs twice; the same file may be listed twice" for name in repeated]


def check_geometries(dataset: Dataset, tolerances: Tolerances | None = None) -> None:
    """Refuse structures that would crash an engine, whatever their labels are.

    Raises
    ------
    TamisError : as for ``check_dataset``.
    """
    shortest = (tolerances or Tolerances()).shortest_distance
    problems = []
    for name, atoms in zip(dataset.ids, dataset.structures, strict=True):
        found = [*broken_geometry(atoms), *unknown_elements(atoms, chemical_symbols[1:])]
        problems += [f"{name}: {text}" for text in found or overlaps(atoms, shortest)]
    raise_problems(problems)


def broken_geometry(atoms: Atoms) -> list[str]:
    """Problems with the positions and the cell that would stop any engine."""
    if len(atoms) == 0:
        return ["has no atoms; remove it"]
    parts = (("position", atoms.positions), ("cell", atoms.cell.array))
    return [text for name, values in parts for text in _not_finite(name, values)] or unusable_cell(atoms)


def _not_finite(name: str, values: Array) -> list[str]:
    """A problem with the first number that is not finite."""
    if np.isfinite(values).all():
        return []
    where = np.argwhere(~np.isfinite(values))[0]
    return [f"{name}[{', '.join(map(str, where))}] is {values[tuple(where)]}; it must be finite"]


def broken_numbers(dataset: Dataset, i: int) -> list[str]:
    """Problems with the numbers of structure ``i`` that would stop any engine."""
    atoms, forces = dataset.structures[i], np.asarray(dataset.forces[i])
    found = broken_geometry(atoms)
    if len(atoms) == 0:
        return found
    if dataset.has_forces[i]:  # NaN throughout: none are given
        found += _not_finite("force", forces)
    if not np.isfinite(dataset.energies[i]):
        found.append(f"energy is {dataset.energies[i]}; a finite number in eV is needed")
    if forces.shape != (len(atoms), 3):
        found.append(f"forces have shape {forces.shape} for {len(atoms)} atoms; ({len(atoms)}, 3) is needed")
    if np.isinf(dataset.stresses[i]).any():
        found.append("stress is infinite; give a finite number, or none")
    if dataset.weights is not None and not (dataset.weights[i] >= 0.0).all():
        found.append(f"weights of energy, forces, stress are {dataset.weights[i]}; give 0 or more for each")
    return found


def useless_weights(dataset: Dataset) -> list[str]:
    """A problem if no energy counts, without which the constant of a potential is anything."""
    if len(dataset) == 0 or dataset.label_weights[:, 0].any():
        return []
    return ["the weight of every energy is 0; give one structure at least a weight, with dataset.weights"]


def unusable_cell(atoms: Atoms) -> list[str]:
    """A problem if the periodic cell has no volume (a slab: no area); other directions need no cell vector."""
    if not atoms.pbc.any():
        return []
    volume = periodic_volume(atoms)
    smallest = SMALLEST_VOLUME_PER_ATOM * len(atoms) if atoms.pbc.all() else SMALLEST_VOLUME_PER_ATOM
    if volume >= smallest:
        return []
    return [
        f"periodic cell of {volume / len(atoms):.3g} Å³ per atom, less than {SMALLEST_VOLUME_PER_ATOM}; give the cell "
        'vectors of all periodic directions in Å, pbc="T T F" for a slab without a third one, or pbc="F F F" for a '
        "molecule"
    ]


def unknown_elements(atoms: Atoms, elements: Sequence[str]) -> list[str]:
    """A problem if the structure has elements that the configuration does not declare."""
    numbers = set(map(int, set(atoms.numbers)))
    if wrong := sorted(number for number in numbers if not 0 < number < len(chemical_symbols)):
        return [f"has atoms of the atomic number {wrong[0]}, which is no element; correct it"]
    names = {chemical_symbols[number] for number in numbers}
    unknown = sorted(names - set(elements))
    if not unknown:
        return []
    return [f"has {', '.join(unknown)}, but dataset.elements is {', '.join(elements)}; add what is missing"]


def net_force(forces: Array, tolerance: float) -> list[str]:
    """A problem if forces do not sum to zero, as Newton's third law demands where atoms only act on each other."""
    drift = net_force_per_root(forces)
    if drift <= tolerance:
        return []
    return [
        f"forces sum to {np.linalg.norm(forces.sum(axis=0)):.3g} eV/Å, {drift:.3g} per square root of the number of "
        f"atoms where {tolerance} is allowed (dataset.net_force); are forces of fixed atoms zero, or rows missing?"
    ]


def net_force_per_root(forces: Array) -> float:
    """``|sum of forces| / sqrt(n_atoms)``, eV/Å."""
    return float(np.linalg.norm(forces.sum(axis=0)) / np.sqrt(len(forces)))


def overlaps(atoms: Atoms, shortest: float) -> list[str]:
    """A problem if two atoms or images are closer than ``shortest`` times the sum of their covalent radii."""
    radii = shortest * covalent_radii[atoms.numbers]
    try:
        first, second, distance = neighbours_within(atoms, max(2.0 * float(radii.max()), SHORTEST_REACH))
    except TamisError as error:  # no engine could find neighbours in this cell
        return [str(error)]
    near = distance < radii[first] + radii[second]
    if not near.any():
        return []
    k = int(np.argmin(np.where(near, distance, np.inf)))
    return [
        f"atoms {first[k]} and {second[k]} are {distance[k]:.3f} Å apart, allowed is "
        f"{radii[first[k]] + radii[second[k]]:.3f} ({shortest} of their covalent radii, "
        "dataset.shortest_distance); are the positions in Å?"
    ]


def impossible_stresses(dataset: Dataset) -> list[str]:
    """Stresses that are too large to be real."""
    largest = largest_stress(dataset)
    return [
        f"{dataset.ids[i]}: stress reaches {largest[i]:.3g} eV/Å³ ({largest[i] * GPA_PER_EV_PER_A3 / 1000:.3g} TPa), "
        f"allowed is {IMPOSSIBLE_STRESS:g}; set its unit with dataset.units.stress (gpa, kbar, bar; a minus "
        "in front, such as -kbar, where it is positive under pressure), or leave it out with dataset.stress_key=null "
        "dataset.virial_key=null"
        for i in np.flatnonzero(largest > IMPOSSIBLE_STRESS)
    ]


def repeated_structures(dataset: Dataset) -> list[str]:
    """Problems with structures that are both for training and testing, or have two different energies."""
    found = []
    for members in same_geometry(dataset):
        first, names = members[0], [dataset.ids[i] for i in members]
        if len({bool(dataset.is_test[i]) for i in members}) == 2:
            found.append(
                f"{', '.join(names)}: one structure for training and for testing; keep it in one of them"
            )
        spread = np.ptp(dataset.energies[members]) / dataset.n_atoms[first]
        if spread > ONE_ENERGY:
            found.append(
                f"{', '.join(names)}: one structure with energies {spread:.3g} eV/atom apart; keep the right one"
            )
    if dataset.test_kind == "file":
        known = {name for text in found for name in text.split(": ")[0].split(", ")}
        found += [
            f"{', '.join(names)}: one structure for training and for testing, up to symmetry or the size of the cell; "
            "keep it in one of them"
            for names in shared_copies(dataset)
            if not known.intersection(names)
        ]
    return found


def shared_copies(dataset: Dataset) -> list[list[str]]:
    """Ids of each set of copies, with the same energy per atom, that has members for training and for testing."""
    energies = dataset.energies / dataset.n_atoms
    shared = set(dataset.copies[dataset.is_test]) & set(dataset.copies[~dataset.is_test])
    members = [np.flatnonzero(dataset.copies == number) for number in sorted(shared)]
    return [[dataset.ids[i] for i in m] for m in members if np.ptp(energies[m]) <= ONE_ENERGY]


def same_geometry(dataset: Dataset) -> list[list[int]]:
    """Sets of structures that agree to about 1e-4 Å, with the same order of atoms and any choice of images."""
    alike: dict[tuple[bytes, ...], list[int]] = defaultdict(list)
    for i, atoms in enumerate(dataset.structures):
        cell = np.round(atoms.cell.array, 4) + 0.0
        alike[atoms.numbers.tobytes(), atoms.pbc.tobytes(), cell.tobytes()].append(i)
    found = []
    for members in alike.values():
        places: dict[bytes, list[int]] = defaultdict(list)
        for i in members if len(members) > 1 else ():
            places[_places(dataset.structures[i])].append(i)
        found += [same for same in places.values() if len(same) > 1]
    return sorted(found)


def _places(atoms: Atoms) -> bytes:
    """Where the atoms are, rounded: in the cell, or from their middle where it is not periodic throughout."""
    if atoms.pbc.all():
        return np.round(np.round(atoms.get_scaled_positions(wrap=False), 5) % 1.0, 5).tobytes()
    return (np.round(atoms.positions - atoms.positions.mean(axis=0), 4) + 0.0).tobytes()


def foreign_energies(dataset: Dataset, window: float) -> list[str]:
    """Energies with another zero than the rest, as from another code or functional, or in eV per atom."""
    if len(dataset) <= 2 * len(dataset.elements):
        return []  # too few to know which energies are usual
    residuals = energy_residuals(dataset)
    suspects = np.flatnonzero(outliers(residuals, window) | smaller_cluster(residuals, window))
    free = set(suspects.tolist()).intersection(free_atoms_in(dataset)) if len(suspects) else set()
    if free:
        return foreign_energies(dataset.subset([k for k in range(len(dataset)) if k not in free]), window)
    return [
        f"{dataset.ids[k]}: energy {dataset.energies[k]:.6g} eV is {residuals[k]:+.3g} eV/atom from what its "
        f"composition suggests (allowed: {window}); total energies with one reference are needed. If it is right, "
        "raise dataset.energy_window"
        for k in suspects
    ]


def energy_residuals(dataset: Dataset) -> Array:
    """Energy per atom minus the best sum of one energy per element, (n,), eV/atom.

    Least absolute deviations by iteratively reweighted least squares, so that a few foreign energies do not move it.
    """
    numbers = [atomic_numbers[element] for element in dataset.elements]
    fractions = np.array(
        [[np.mean(atoms.numbers == number) for number in numbers] for atoms in dataset.structures]
    )
    energies = dataset.energies / dataset.n_atoms
    weights = np.ones(len(energies))
    for _ in range(50):
        per_element = np.linalg.lstsq(fractions * weights[:, None], energies * weights, rcond=None)[0]
        residuals = energies - fractions @ per_element
        weights = 1.0 / np.sqrt(np.maximum(np.abs(residuals), 1e-6))
    return np.asarray(residuals - np.median(residuals))


def outliers(residuals: Array, window: float) -> NDArray[np.bool_]:
    """True for residuals beyond ``window`` eV/atom and beyond FAR_OUT robust standard deviations (1.4826 MAD)."""
    spread = 1.4826 * float(np.median(np.abs(residuals)))
    return np.abs(residuals) > max(window, FAR_OUT * spread)


def smaller_cluster(residuals: Array, window: float) -> NDArray[np.bool_]:
    """True for the smaller side of a gap between residuals that is wider than ``window`` and than both sides' spread.

    Two references in one set widen the MAD until nothing is an outlier any more; the gap between them stays.
    """
    order = np.sort(residuals)
    gaps = np.diff(order)
    k = int(np.argmax(gaps))
    low, high = order[: k + 1], order[k + 1 :]
    if gaps[k] <= max(window, 5.0 * max(low.std(), high.std())):
        return np.zeros(len(residuals), dtype=bool)
    return residuals <= order[k] if len(low) < len(high) else residuals > order[k]


def doubts_of(dataset: Dataset, elements: Sequence[str], tolerances: Tolerances) -> list[str]:
    """Sentences on labels that are allowed but deserve a look."""
    drifts = np.array([net_force_per_root(forces) for forces in dataset.forces])  # NaN without forces
    sizes = np.bincount(dataset.copies)
    repeated = (
        f"{int((sizes > 1).sum())} structure(s) more than once, up to symmetry; copies are held out together"
    )
    doubts = [
        _named(
            dataset, np.flatnonzero(drifts > 0.1 * tolerances.net_force), "forces do not quite sum to zero"
        ),
        _named(
            dataset,
            np.flatnonzero(largest_stress(dataset) > LARGEST_STRESS),
            f"stress above {LARGEST_STRESS} eV/Å³",
        ),
        _named(dataset, np.flatnonzero(sizes[dataset.copies] > 1), repeated),
    ]
    if dataset.test_kind != "file" and (shared := shared_copies(dataset)):
        doubts.append(
            "copies, up to symmetry, of training structures are among the test structures, such as "
            f"{', '.join(shared[0][:SHOWN])}: {len(shared)} of {int((sizes > 1).sum())} sets"
        )
    if not dataset.has_forces.all():
        doubts.append(
            f"{len(dataset) - dataset.has_forces.sum()} of {len(dataset)} structures have no forces"
        )
    if np.isnan(dataset.stresses).all():
        doubts.append("no structure has a stress label; models are fitted and judged without stress")
    absent = sorted(set(elements) - set(dataset.elements))
    if absent:
        doubts.append(f"declared elements that no structure has: {', '.join(absent)}")
    return [doubt for doubt in doubts if doubt]


def largest_stress(dataset: Dataset) -> Array:
    """Largest absolute component of each structure's stress, (n,), eV/Å³; 0 without labels."""
    return np.asarray(np.abs(np.nan_to_num(dataset.stresses)).max(axis=1))


def _named(dataset: Dataset, members: Iterable[int], what: str) -> str:
    """``what`` with the ids of the members; empty if there are none."""
    names = [dataset.ids[i] for i in members]
    return f"{what}: {listed(names, SHOWN)}" if names else ""
