"""Chooses the keys of energy, forces and stress in a user's files, and finds labels that contradict the choice."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.suggestions import suggest
from tamis.core.units import MEV_PER_EV
from tamis.data.checks import IMPOSSIBLE_STRESS
from tamis.data.file_units import PRESSURES, FileUnits
from tamis.data.sources.labels import (
    Keys,
    bare,
    has_volume,
    label,
    names_of_labels,
    numbers,
    stress_under,
    voigt,
)

Array = NDArray[np.float64]
Named = Sequence[tuple[str, Atoms]]
"""Ids and structures."""

AUTO = "auto"
"""The value of a key that the user has not named."""
USUAL = {
    "energy": "energy",
    "forces": "forces",
    "stress": "stress",
    "virial": "virial",
    "group": "config_type",
    "block": None,
}
"""The names that ``auto`` takes."""
REFERENCE_WORDS = frozenset(
    [
        *("ref", "reference", "dft", "qm", "abinitio", "vasp", "qe", "castep", "cp2k", "gpaw", "pbe"),
        *("target", "true", "label", "data", "total"),
    ]
)
"""Words around the names of training labels (``REF_energy``, ``energy_dft``)."""
CORES = {
    "energy": ("energy",),
    "forces": ("forces", "force"),
    "stress": ("stress",),
    "virial": ("virial", "virials"),
}
ROUNDING = {"energy": 1e-3, "forces": 1e-3, "stress": 1e-4, "virial": 1e-3}
"""eV, eV/Å, eV/Å³ (16 MPa) and eV: labels that are nearer are one number, printed with other digits. VASP prints
stresses to 0.01 kbar, and virials are printed with two decimals or more."""
RELATIVE_ROUNDING = 1e-3
SAME_ENERGY = 1e-6
"""eV; free energy and energy that are nearer are one number."""
COMPONENTS = ("xx", "yy", "zz", "yz", "xz", "xy")
RATIOS: dict[float, str] = {1.0: "", **{1.0 / number: unit for unit, number in PRESSURES.items()}}
"""A stress in another unit over the same in eV/Å³ -> the unit."""


@dataclass(frozen=True)
class Choice:
    """keys : names to read. problems : reasons to refuse them. remarks : notes for the user, by label."""

    keys: Keys
    problems: tuple[str, ...]
    remarks: Mapping[str, str]


def choose_keys(frames: Named, wanted: Mapping[str, str | None], units: FileUnits) -> Choice:
    """One name for each label of a whole data set.

    Parameters
    ----------
    frames : structures as read, without those that the user leaves out.
    wanted : ``energy``, ``forces``, ``stress``, ``virial``, ``group``, ``block`` -> the name that the user gave, AUTO
        or None (not read).
    units : of the numbers in the files.
    """
    counts = Counter(name for _, atoms in frames for name in names_of_labels(atoms))
    chosen = {what: _usual(what, counts) if name == AUTO else name for what, name in wanted.items()}
    problems, remarks = [*_missing(counts, wanted, len(frames))], {}
    if wanted["energy"] == AUTO:
        chosen["energy"], remark, wrong = _energy_of_forces(frames, counts)
        problems += wrong
        remarks["energy"] = remark
    for what in CORES:
        if wanted[what] == AUTO and chosen[what] in counts:
            problems += _other_spellings(frames, what, str(chosen[what]), counts, units)
    chosen, wrong, remark = _one_stress(frames, chosen, wanted, counts, units)
    problems += wrong
    remarks["stress"] = remark
    keys = Keys(**chosen)  # type: ignore[arg-type]
    return Choice(keys, tuple(problems), {what: text for what, text in remarks.items() if text})


def _usual(what: str, counts: Mapping[str, int]) -> str | None:
    name = USUAL[what]
    return name if what in ("energy", "forces") or name in counts else None


def _missing(counts: Mapping[str, int], wanted: Mapping[str, str | None], n_frames: int) -> Iterator[str]:
    """Problems with names that no structure has, if the user gave them or they are of energy or forces."""
    known = sorted(set(counts) - {"nothing"})
    for what, given in wanted.items():
        needed = what in ("energy", "forces")
        name = _usual(what, counts) if given == AUTO and needed else given
        if name in (None, AUTO, *counts) or not n_frames:
            continue
        if given == AUTO and what == "energy" and "free_energy" in counts:  # taken in its place
            continue
        alike = sorted(spellings(what, known)) if given == AUTO else []
        hint = f"did you mean {alike[0]}? " if alike else suggest(str(name), known)
        yield (
            f"no structure has {name} (dataset.{what}_key); {hint}they have {', '.join(known) or 'nothing'}: "
            f"correct dataset.{what}_key{'; each needs energy and forces' if needed else ', or set it to null'}"
        )


def _energy_of_forces(frames: Named, counts: Mapping[str, int]) -> tuple[str, str, list[str]]:
    """The key of the energy whose gradient the forces are, a remark, and problems.

    With smeared occupations forces belong to the free energy of the electrons; the energy extrapolated to zero width,
    which ASE calls ``energy`` for VASP, GPAW, CASTEP and others, is another number.
    """
    if not counts.get("free_energy"):
        return "energy", "", []
    if not counts.get("energy"):
        return "free_energy", "", []
    both = [(name, atoms) for name, atoms in frames if label(atoms, "free_energy") is not None]
    gaps = dict(_gaps(both, "energy", "free_energy"))
    if max(gaps.values(), default=0.0) <= SAME_ENERGY:
        return "energy", "free_energy is the same", []
    worst = max(gaps, key=lambda name: gaps[name])
    n_atoms = len(dict(both)[worst])
    apart = f"{MEV_PER_EV * gaps[worst] / n_atoms:.3g} meV/atom ({worst})"
    if len(both) < len(frames):
        return (
            "energy",
            "",
            [
                f"{len(both)} of {len(frames)} structures have free_energy, to which forces belong, up to {apart} from "
                "energy; the others have energy alone, and these are two different energies: set "
                "dataset.energy_key=energy for the one that all have, or leave the others out"
            ],
        )
    return (
        "free_energy",
        f"the one that forces belong to; energy, up to {apart} from it, with dataset.energy_key=energy",
        [],
    )


def _flat(value: Any) -> Array | None:
    found = numbers(value)
    return None if found is None else found.ravel()


def _gaps(
    frames: Named, one: str, other: str, as_numbers: Callable[[Any], Array | None] = _flat
) -> Iterator[tuple[str, float]]:
    """Id and largest difference of two labels, for structures that have both with equally many numbers."""
    for name, atoms in frames:
        values = [label(atoms, key) for key in (one, other)]
        a, b = (None if value is None else as_numbers(value) for value in values)
        if a is not None and b is not None and a.shape == b.shape and a.size and np.isfinite(a - b).all():
            yield name, float(np.abs(a - b).max())


def _other_spellings(
    frames: Named, what: str, chosen: str, counts: Iterable[str], units: FileUnits
) -> Iterator[str]:
    """Problems with labels of the same meaning but other values (``REF_energy`` beside ``energy``)."""
    factor = abs(units.factor(what))
    for other in sorted(spellings(what, counts)):
        if other in (chosen, USUAL[what]):
            continue
        gaps = _gaps(frames, chosen, other, voigt if what in ("stress", "virial") else _flat)
        differing = [(name, gap) for name, gap in gaps if gap * factor > ROUNDING[what]]
        if differing:
            name, gap = max(differing, key=lambda one: one[1])
            yield (
                f"{name}: {chosen} and {other} are {gap:.4g} apart (and differ in {len(differing)} of {len(frames)} "
                f"structures); which is the reference, and which a model's? set dataset.{what}_key={other}, or "
                f"dataset.{what}_key={chosen}"
            )


def spellings(what: str, names: Iterable[str]) -> set[str]:
    """The ``names`` that mean a label to train on: its core, and words as in ``REFERENCE_WORDS`` around it."""
    cores = [{core} for core in CORES[what]]
    return {name for name in names if set(re.split(r"[_.\-\s]+", name.lower())) - REFERENCE_WORDS in cores}


def _one_stress(
    frames: Named,
    chosen: dict[str, str | None],
    wanted: Mapping[str, str | None],
    counts: Iterable[str],
    units: FileUnits,
) -> tuple[dict[str, str | None], list[str], str]:
    """``chosen`` without contradictions of stress and virial, problems, and a remark.

    If the two contradict each other, the one that the user typed is read, and the other is not.
    """
    stress, virial = chosen["stress"], chosen["virial"]
    typed = [what for what in ("stress", "virial") if wanted[what] not in (AUTO, None)]
    if stress and virial:
        clash = _stress_against_virial(frames, stress, virial, units)
        if not clash or len(typed) != 1:
            return chosen, clash, ""
        other = "virial" if typed == ["stress"] else "stress"
        return chosen | {other: None}, [], f"{chosen[other]} contradicts it and is not read"
    if typed or None in (wanted["stress"], wanted["virial"]):
        return chosen, [], ""
    stresses, virials = sorted(spellings("stress", counts)), sorted(spellings("virial", counts))
    if not stress and not virial:
        ways = [f"dataset.stress_key={name}" for name in stresses] + [
            f"dataset.virial_key={name}" for name in virials
        ]
        return chosen, [], f"to be read with {' or '.join(ways)}" if ways else ""
    pairs = [(stress, name) for name in virials] if stress else [(name, str(virial)) for name in stresses]
    found = [text for pair in pairs for text in _stress_against_virial(frames, *pair, units, of_choice=True)]
    return chosen, found, ""


def _stress_against_virial(
    frames: Named, stress: str, virial: str, units: FileUnits, of_choice: bool = False
) -> list[str]:
    """A problem if structures have a stress and a virial that is not minus the stress times the volume.

    of_choice : one of the two has an unusual name and would not be read; the advice is to name one.
    """
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
    gaps = np.abs(ours - theirs).max(axis=1)
    largest = np.maximum(np.abs(ours).max(axis=1), np.abs(theirs).max(axis=1))
    wrong = np.flatnonzero(gaps > ROUNDING["stress"] + RELATIVE_ROUNDING * largest)
    if not len(wrong):
        return []
    worst = int(wrong[np.argmax(gaps[wrong])])
    k = int(np.argmax(np.abs(ours[worst] - theirs[worst])))
    volumes = np.array([volume for _, _, _, volume in pairs])
    return [
        f"{pairs[worst][0]}: {stress} and {virial} contradict each other: component {COMPONENTS[k]} of the stress is "
        f"{ours[worst, k]:.4g} eV/Å³, and minus virial over volume is {theirs[worst, k]:.4g} (they differ in "
        f"{len(wrong)} of {len(pairs)} structures that have both){_explained(ours, theirs, volumes)}; set "
        f"{_advice(ours, theirs, stress, virial, of_choice)}"
    ]


def _advice(ours: Array, theirs: Array, stress: str, virial: str, of_choice: bool) -> str:
    """Settings that choose one of the two, unless it holds nothing but zeros or is in an unknown unit."""
    ways = []
    if theirs.any():
        ways.append(f"dataset.{f'virial_key={virial}' if of_choice else 'stress_key=null'} to take {virial}")
    if ours.any() and float(np.abs(ours).max()) < IMPOSSIBLE_STRESS:
        ways.append(f"dataset.{f'stress_key={stress}' if of_choice else 'virial_key=null'} to take {stress}")
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
