"""Finds labels and lengths that contradict each other, and the unit or sign that would make them agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.units import A_PER_BOHR, EV_PER_HARTREE
from tamis.data.dataset import Dataset
from tamis.data.plausibility.comparison import Comparison
from tamis.data.plausibility.distances import spread_out, usual_bond
from tamis.data.plausibility.scales import Scale
from tamis.data.plausibility.unit_tables import (
    ENERGIES,
    PER_ATOM,
    VIRIALS_AS_STRESSES,
    Reading,
    energies_beside_forces,
    matching,
    stresses_as_virials,
    stresses_beside,
)

Array = NDArray[np.float64]

DESCRIBED = 0.5
"""Relative error of held-out labels up to which the rough potential counts; good sets have 0.01 to 0.3."""
BARELY_DESCRIBED, OVERWHELMING = 0.7, 2.0
"""An error up to which it counts if labels as they are fit so much worse (see CLEAR)."""
MUCH_BETTER = 0.5
"""Part of the error of labels as they are; below it, labels are taken to contain the volume or number of atoms."""
CLEAR = 0.6
"""ln of how many times worse labels as they are fit; good sets have up to 0.1, sets of five structures 0.5."""
CLEAR_WITHOUT_UNIT = 1.2
"""The same if no known unit has the factor."""
FAR = 1.6
"""Factors nearer to 1 are not reported; good sets have 0.7 to 1.35."""
USUAL_FORCE = 0.7
"""eV/Å, median over all atoms; the explanation that leads closest to it is named first."""
LARGEST_FORCE = 10.0
"""eV/Å, median over all atoms; mlearn has 0.3 to 1, hot liquids up to 4."""
SMALLEST_FORCE = 0.1
"""eV/Å, median over all atoms, below which lengths in bohr make hartree likely."""
SHORT_BOND = 0.7
"""Usual bond over the sum of two radii, below which large forces are real."""
LONG_BOND = 1.45
"""Usual bond over the sum of two radii; in Å 0.77 (nitrogen) to 1.25 (fluorine), in bohr 1.89 times as much."""
DEEPER_THAN_ALL = 1.2
"""Times the energy of all electrons of the free atoms; no total energy in eV is lower."""
MOST_ATOMS = 1000
"""Atoms in the sample of structures by which distances are judged."""
SHOWN = 3
"""Explanations in a sentence."""


Factors = tuple[float, float, float]
"""Factors of energies, forces and stresses."""
UNTYPED: Factors = (1.0, 1.0, 1.0)


def unit_doubts(dataset: Dataset, typed: Factors = UNTYPED) -> list[str]:
    """Sentences on labels and lengths that seem to have a wrong unit or sign.

    Parameters
    ----------
    dataset : structures that passed the other checks, isolated atoms left out.
    typed : factors by which units that a user typed have multiplied energies, forces and stresses. Advice is about the
        numbers in the file, to which typed units apply.
    """
    found = _doubts(dataset)
    if not found or typed == UNTYPED:
        return found
    energy, forces, stress = typed
    in_file = replace(
        dataset,
        energies=dataset.energies / energy,
        forces=tuple(some / forces for some in dataset.forces),
        stresses=dataset.stresses / stress,
    )
    return [f"the numbers in the file: {text}" for text in _doubts(in_file)] or [
        f"{'; '.join(found)}; without the units that were typed the labels fit (eV, eV/Å, eV/Å³): leave dataset.units "
        "out"
    ]


def _doubts(dataset: Dataset) -> list[str]:
    try:
        bonds = np.array([usual_bond(dataset.structures[i]) for i in spread_out(dataset, MOST_ATOMS)])
    except TamisError:  # another check refuses these cells
        return []
    bonds = bonds[np.isfinite(bonds)]
    if len(bonds) == 0:
        return []
    if float(np.quantile(bonds, 0.1)) > LONG_BOND:
        return length_doubts(dataset, float(np.median(bonds)))
    comparison = Comparison.of(dataset, float(np.median(bonds)))
    found = [] if comparison is None else label_doubts(comparison)
    return found or absolute_doubts(dataset, float(np.median(bonds)))


def length_doubts(dataset: Dataset, bond: float) -> list[str]:
    """Sentences on distances that are too long for Å, and on the units of labels if lengths are in bohr."""
    comparison = Comparison.of(in_angstrom(dataset), bond * A_PER_BOHR)
    energy = None if comparison is None else comparison.energy_scale()
    others, forces = [], ""
    if comparison is not None and agrees(energy):
        forces = " dataset.units.forces=ev/angstrom dataset.units.stress=ev/angstrom3"
    elif comparison is not None and not agrees(energy, A_PER_BOHR):  # neither per Å nor per bohr
        others = [f"if lengths are in bohr: {doubt}" for doubt in label_doubts(comparison)]
    elif median_force(dataset) < SMALLEST_FORCE:
        forces = ", and dataset.units.energy=hartree if all labels are in atomic units"
    return [
        f"nearest neighbours are {bond:.2f} times the sum of two radii apart, where 0.8 to 1.3 is usual; in bohr "
        f"it would be {bond * A_PER_BOHR:.2f}: are positions and cells in bohr? then set "
        f"dataset.units.length=bohr{forces}",
        *others,
    ]


def in_angstrom(dataset: Dataset) -> Dataset:
    """``dataset`` with lengths converted from bohr."""
    structures = tuple(
        Atoms(a.numbers, a.positions * A_PER_BOHR, cell=a.cell.array * A_PER_BOHR, pbc=a.pbc)
        for a in dataset.structures
    )
    return replace(dataset, structures=structures)


def label_doubts(comparison: Comparison) -> list[str]:
    """Sentences on energies, forces and stresses that contradict each other."""
    energy = comparison.energy_scale()
    if energy is None or not is_off(energy):
        if energy is not None and fit_times_atoms(comparison, MUCH_BETTER * energy.errors[0]):
            return [f"energies do not fit the forces; they would as {PER_ATOM.text}"]
        return stress_doubts(comparison, reference_of_stresses(comparison, energy), 1.0)
    explanations = explain(comparison, energy.factor)
    if not explanations and energy.gain < CLEAR_WITHOUT_UNIT:
        return []
    doubt = sentence("energies", energy.factor, "the forces suggest", comparison, explanations)
    forces = explanations[0].forces if explanations else 1.0
    return [doubt, *stress_doubts(comparison, "", forces)]


def sentence(
    labels: str, factor: float, others: str, comparison: Comparison, explanations: Sequence[Reading]
) -> str:
    """The factor that was found, and its possible meanings."""
    meant = "; or ".join(one.text for one in explanations[:SHOWN])
    return (
        f"{labels} are {factor:.3g} times as large as {others}, by a rough potential for "
        f"{len(comparison.dataset)} structures; "
        + (f"this fits {meant}" if meant else "no known unit fits: do they belong together?")
    )


def explain(comparison: Comparison, factor: float) -> list[Reading]:
    """Explanations, the likeliest first; stresses that fit one of them rule out the others."""
    found = matching(factor, energies_beside_forces())
    if fit_times_atoms(comparison):
        found.append(PER_ATOM)
    stress = comparison.stress_scale("forces")
    if stress is not None:
        found = [one for one in found if agrees(stress, one.forces)] or found
    return likeliest_first(found, comparison.dataset)


def fit_times_atoms(comparison: Comparison, largest_error: float = DESCRIBED) -> bool:
    """Whether energies, multiplied by the number of atoms, fit the forces."""
    n_atoms = comparison.dataset.n_atoms.astype(float)
    scale = comparison.energy_scale(n_atoms) if n_atoms.max() > 1.0 else None
    return scale is not None and agrees(scale) and scale.errors[0] < largest_error


def likeliest_first(explanations: Sequence[Reading], dataset: Dataset) -> list[Reading]:
    """Explanations sorted by how usual the forces would be, and how well the unit fits."""
    usual = np.log(max(median_force(dataset), 1e-12) / USUAL_FORCE)
    return sorted(explanations, key=lambda one: abs(usual - np.log(abs(one.forces))) + one.misfit)


def reference_of_stresses(comparison: Comparison, energy: Scale | None) -> str:
    """``both`` if energies and forces agree, else the one that describes the stresses."""
    if agrees(energy):
        return "both"
    return "forces" if is_described(comparison.stress_scale("forces")) else "energies"


def stress_doubts(comparison: Comparison, by: str, forces: float) -> list[str]:
    """A sentence if stresses do not fit the other labels.

    Parameters
    ----------
    by : labels to compare with: energies, forces or both; "": forces whose unit was found before.
    forces : that unit in one eV/Å.
    """
    scale_of = partial(comparison.stress_scale, by or "forces")
    plain = scale_of()
    if plain is None or agrees(plain, forces):
        return []
    volumes = comparison.dataset.volumes
    readings = (
        (plain, stresses_beside(by)),
        (scale_of(1.0 / volumes), VIRIALS_AS_STRESSES),
        (scale_of(volumes), stresses_as_virials()),
    )
    described = [(scale, known) for scale, known in readings if scale is not None and is_described(scale)]
    meant = [one for scale, known in described for one in matching(scale.factor * forces, known)]
    better = any(scale.errors[0] < MUCH_BETTER * plain.errors[0] for scale, _ in described)
    if not (is_off(plain, forces, CLEAR if meant else CLEAR_WITHOUT_UNIT) or (meant and better)):
        return []
    meant = likeliest_first(meant, comparison.dataset)
    others = {"both": "energies and forces", "": "forces"}.get(by, by)
    return [sentence("stresses", plain.factor * forces, f"{others} suggest", comparison, meant)]


def is_described(scale: Scale | None) -> bool:
    """Whether the rough potential describes both kinds of labels well enough."""
    return scale is not None and max(scale.errors) < DESCRIBED


def agrees(scale: Scale | None, other: float = 1.0) -> bool:
    """Whether two kinds of labels are described and agree, one of them divided by ``other``."""
    return scale is not None and is_described(scale) and is_between(scale, other)


def is_off(scale: Scale | None, other: float = 1.0, clear: float = CLEAR) -> bool:
    """Whether two kinds of labels are described and clearly contradict each other."""
    if scale is None or agrees(scale, other):
        return False
    barely = max(scale.errors) < BARELY_DESCRIBED and scale.gain > OVERWHELMING
    return (is_described(scale) or barely) and scale.gain > clear and not is_between(scale, other)


def is_between(scale: Scale, other: float) -> bool:
    """Whether good sets may have this factor."""
    return 1.0 / FAR < scale.factor * other < FAR


def absolute_doubts(dataset: Dataset, bond: float) -> list[str]:
    """Sentences on labels that agree with each other but are too large, or as large as in another unit.

    Parameters
    ----------
    bond : usual distance of neighbours over the sum of two radii; compressed structures have large forces.
    """
    ratio = float(np.median(dataset.energies / [all_electron_energy(a.numbers) for a in dataset.structures]))
    unit = next((unit for unit, number in ENERGIES.items() if abs(ratio / number - 1.0) < 0.015), "")
    force = median_force(dataset)
    found = []
    if ratio > DEEPER_THAN_ALL:
        found.append(f"energies are {ratio:.3g} times as deep as those of all electrons of the free atoms")
    elif unit:
        found.append(f"energies are as many {unit} as all electrons of the free atoms have")
    if force > LARGEST_FORCE and bond > SHORT_BOND:
        found.append(f"half of all atoms have forces above {force:.3g} eV/Å")
    if not found:
        return []
    likely = unit or ("kcal/mol" if force > LARGEST_FORCE else "")
    if not likely:
        return [f"{found[0]}: which unit are they in? set dataset.units.energy"]
    return [
        f"{' and '.join(found)}: are energies and forces in {likely}, or one of them? then set "
        f"dataset.units.energy={likely} dataset.units.forces={likely}/angstrom, or one of these"
    ]


def all_electron_energy(numbers: NDArray[np.intp]) -> float:
    """Energy of all electrons of the free atoms, eV, to 1 % (2 % for H): Schwinger, Phys. Rev. A 24, 2353 (1981)."""
    z = np.asarray(numbers, dtype=float)
    hartree = -0.768745 * z ** (7.0 / 3.0) + 0.5 * z**2 - 0.26990 * z ** (5.0 / 3.0)
    return float(hartree.sum() * EV_PER_HARTREE)


def median_force(dataset: Dataset) -> float:
    """Length of the force on an atom, median of all, eV/Å; NaN without forces."""
    given = [forces for forces, known in zip(dataset.forces, dataset.has_forces, strict=True) if known]
    return float(np.median(np.linalg.norm(np.concatenate(given), axis=1))) if given else np.nan
