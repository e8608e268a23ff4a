"""Chooses the keys of energy, forces and stress in a user's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tamis.core.suggestions import suggest
from tamis.core.units import MEV_PER_EV
from tamis.data.file_units import FileUnits
from tamis.data.sources.contradictions import (
    CORES,
    Named,
    gaps,
    other_spellings,
    spellings,
    stress_against_virial,
)
from tamis.data.sources.labels import Keys, label, names_of_labels

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
SAME_ENERGY = 1e-6
"""eV; free energy and energy that are nearer are one number."""


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
            problems += other_spellings(frames, what, str(chosen[what]), set(counts) - {USUAL[what]}, units)
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
    apart_by = dict(gaps(both, "energy", "free_energy"))
    if max(apart_by.values(), default=0.0) <= SAME_ENERGY:
        return "energy", "free_energy is the same", []
    worst = max(apart_by, key=lambda name: apart_by[name])
    n_atoms = len(dict(both)[worst])
    apart = f"{MEV_PER_EV * apart_by[worst] / n_atoms:.3g} meV/atom ({worst})"
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
        clash = stress_against_virial(frames, stress, virial, units)
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
    found = [text for pair in pairs for text in stress_against_virial(frames, *pair, units, of_choice=True)]
    return chosen, found, ""
