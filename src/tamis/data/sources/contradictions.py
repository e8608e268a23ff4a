"""Finds labels of a user's files that contradict each other, and the settings that decide between them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.data.checks import IMPOSSIBLE_STRESS
from tamis.data.file_units import PRESSURES, FileUnits
from tamis.data.sources.labels import bare, has_volume, label, numbers, stress_under, voigt

Array = NDArray[np.float64]
Named = Sequence[tuple[str, Atoms]]
"""Ids and structures."""

REFERENCE_WORDS = frozenset(
    [
        *(
            "ref",
            "reference",
            "dft",
            "qm",
            "abinitio",
            "vasp",
            "qe",
            "castep",
            "cp2k",
            "gpaw",
            "pbe",
            "scan",
            "r2scan",
        ),
        *("target", "true", "label", "data", "total"),
    ]
)
"""Words around the names of training labels (``REF_energy``, ``energy_dft``)."""
CORES = {
    "energy": ("energy", "totenergy", "potential energy"),
    "forces": ("forces", "force", "atomic forces"),
    "stress": ("stress", "stresses", "cauchy stress"),
    "virial": ("virial", "virials"),
}
"""The names themselves, in lower case; words of one name may stand in any order."""
ROUNDING = {"energy": 1e-3, "forces": 1e-3, "stress": 1e-4, "virial": 1e-3}
"""eV, eV/Å, eV/Å³ (16 MPa) and eV: labels that are nearer are one number, printed with other digits. VASP prints
stresses to 0.01 kbar, and virials are printed with two decimals or more."""
RELATIVE_ROUNDING = 1e-3
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
RATIOS: dict[float, str] = {1.0: "", **{1.0 / number: unit for unit, number in PRESSURES.items()}}
"""A stress in another unit over the same in eV/Å³ -> the unit."""


def spellings(what: str, names: Iterable[str]) -> set[str]:
    """The ``names`` that mean a label to train on: its core, and words as in ``REFERENCE_WORDS`` around it."""
    cores = [set(core.split()) for core in CORES[what]]
    return {name for name in names if set(re.split(r"[_.\-\s]+", name.lower())) - REFERENCE_WORDS in cores}


def _flat(value: Any) -> Array | None:
    found = numbers(value)
    return None if found is None else found.ravel()


def gaps(
    frames: Named, one: str, other: str, as_numbers: Callable[[Any], Array | None] = _flat
) -> Iterator[tuple[str, float]]:
    """Id and largest difference of two labels, for structures that have both with equally many numbers."""
    for name, atoms in frames:
        values = [label(atoms, key) for key in (one, other)]
        a, b = (None if value is None else as_numbers(value) for value in values)
        if a is not None and b is not None and a.shape == b.shape and a.size and np.isfinite(a - b).all():
            yield name, float(np.abs(a - b).max())


def other_spellings(
    frames: Named, what: str, chosen: str, others: Iterable[str], units: FileUnits
) -> Iterator[str]:
    """Problems with labels of the same meaning but other values (``REF_energy`` beside ``energy``)."""
    factor = abs(units.factor(what))
    for other in sorted(others):
        found = gaps(frames, chosen, other, voigt if what in ("stress", "virial") else _flat)
        differing = [(name, gap) for name, gap in found if gap * factor > ROUNDING[what]]
        if differing:
            name, gap = max(differing, key=lambda one: one[1])
            yield (
                f"{name}: {chosen} and {other} are {gap:.4g} apart (and differ in {len(differing)} of {len(frames)} "
                f"structures); which is the reference, and which a model's? set dataset.{what}_key={other}, or "
                f"dataset.{what}_key={chosen}"
            )


def stress_against_virial(frames: Named, stress: str, virial: str, units: FileUnits) -> list[str]:
    """A problem if structures have a stress and a virial that is not minus the stress times the volume."""
    pairs = []
    for name, source in frames:
        if label(source, stress) is None or label(source, virial) is None:
            continue
        atoms = bare(source, units.factor("length"))
        if not has_volume(atoms):
            continue
        a = stress_under(source, atoms, "stress", stress, units)
        b = stress_under(source, atoms, "virial", virial, units)
        if a is not None and b is not None and a.size == b.size == 6 and np.isfinite(a - b).all():
            pairs.append((name, a, b, atoms.cell.volume))
    if not pairs:
        return []
    ours, theirs = np.array([a for _, a, _, _ in pairs]), np.array([b for _, _, b, _ in pairs])
    off = np.abs(ours - theirs).max(axis=1)
    largest = np.maximum(np.abs(ours).max(axis=1), np.abs(theirs).max(axis=1))
    wrong = np.flatnonzero(off > ROUNDING["stress"] + RELATIVE_ROUNDING * largest)
    if not len(wrong):
        return []
    worst = int(wrong[np.argmax(off[wrong])])
    k = int(np.argmax(np.abs(ours[worst] - theirs[worst])))
    volumes = np.array([volume for _, _, _, volume in pairs])
    return [
        f"{pairs[worst][0]}: {stress} and {virial} contradict each other: component {COMPONENTS[k]} of the stress is "
        f"{ours[worst, k]:.4g} eV/Å³, and minus virial over volume is {theirs[worst, k]:.4g} (they differ in "
        f"{len(wrong)} of {len(pairs)} structures that have both){_explained(ours, theirs, volumes)}; set "
        f"{_advice(ours, theirs, stress, virial)}"
    ]


def _advice(ours: Array, theirs: Array, stress: str, virial: str) -> str:
    """Settings that choose one of the two, unless it holds nothing but zeros or is in an unknown unit."""
    ways = []
    if theirs.any():
        ways.append(f"dataset.stress_key=null to take {virial}")
    if ours.any() and float(np.abs(ours).max()) < IMPOSSIBLE_STRESS:
        ways.append(f"dataset.virial_key=null to take {stress}")
    return ", or ".join(ways)


def _explained(stress: Array, by_virial: Array, volumes: Array) -> str:
    """The unit or sign that would make them agree, or the one that holds nothing but zeros."""
    if not stress.any():
        return "; every stress is zero, as where a program fills in what it has not computed"
    if not by_virial.any():
        return "; every virial is zero, as where a program fills in what it has not computed"
    if (ratio := _ratio(stress, by_virial)) is not None:
        for known, unit in RATIOS.items():
            if abs(abs(ratio) / known - 1.0) < 0.01:
                sign = "-" if ratio < 0.0 else ""
                return (
                    f"; the stress is {ratio:.6g} times the other: with dataset.units.stress={sign}"
                    f"{unit or 'ev/angstrom3'} they agree"
                )
        return f"; the stress is {ratio:.6g} times the other"
    multiplied = _ratio(stress, by_virial * volumes[:, None])
    if multiplied is not None and abs(abs(multiplied) - 1.0) < 0.01:
        return "; the virial seems to be a stress, not multiplied with the volume"
    return ""


def _ratio(a: Array, b: Array) -> float | None:
    """``a`` over ``b`` if one is a multiple of the other, else None."""
    ratio = float(np.sum(a * b) / np.sum(b * b))
    off = float(np.linalg.norm(a - ratio * b)) / max(float(np.linalg.norm(a)), 1e-300)
    return ratio if off < 0.02 else None
