"""Chooses the keys of energy, forces and stress in a user's files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tamis.core.suggestions import suggest
from tamis.core.units import MEV_PER_EV
from tamis.data.file_units import FileUnits
from tamis.data.sources.contradictions import Named, gaps, other_spellings, spellings, stress_against_virial
from tamis.data.sources.labels import Keys, label, names_of_labels

AUTO = "auto"
"""The value of a key that the user has not named."""
USUAL = {"energy": "energy", "forces": "forces", "stress": "stress", "virial": "virial"}
"""The names that ``auto`` prefers to their other spellings."""
GROUPS = ("config_type", "config_name", "group", "tamis_group")
"""The names that ``auto`` takes for the kind of structure, whatever their case; the first that occurs."""
NEEDED = ("energy", "forces")
SAME_ENERGY = 1e-6
"""eV; free energy and energy that are nearer are one number."""

Counts = Mapping[str, int]
"""Name of a label -> number of structures that have it."""


@dataclass(frozen=True)
class Choice:
    """keys : names to read. problems : reasons to refuse them. remarks : notes for the user, by label."""

    keys: Keys
    problems: tuple[str, ...]
    remarks: Mapping[str, str]


def count_labels(frames: Named) -> Counts:
    """How many structures have each label."""
    return Counter(name for _, atoms in frames for name in names_of_labels(atoms))


def choose_keys(frames: Named, wanted: Mapping[str, str | None], units: FileUnits) -> Choice:
    """One name for each label of structures with the same labels.

    Parameters
    ----------
    frames : structures as read, without those that the user leaves out.
    wanted : ``energy``, ``forces``, ``stress``, ``virial`` -> the name that the user gave, AUTO or None (not read).
    units : of the numbers in the files.
    """
    counts = count_labels(frames)
    chosen = {what: usual(what, counts) if name == AUTO else name for what, name in wanted.items()}
    problems: list[str] = []
    remarks: dict[str, str] = {}
    if wanted["energy"] == AUTO:
        chosen["energy"], remarks["energy"], problems = _energy_of_forces(frames, counts, chosen["energy"])
    for what, name in chosen.items():
        if wanted[what] == AUTO and name in counts:
            problems += other_spellings(frames, what, str(name), _rivals(what, str(name), counts), units)
    if wanted["forces"] == AUTO and chosen["forces"] in counts:
        problems += _forces_elsewhere(frames, str(chosen["forces"]), counts)
    chosen, wrong, remarks["stress"] = _one_stress(frames, chosen, wanted, units)
    keys = Keys(str(chosen["energy"]), chosen["forces"], chosen["stress"], chosen["virial"])
    told = {what: text for what, text in remarks.items() if text}
    return Choice(keys, (*problems, *wrong), told)


def usual(what: str, counts: Counts) -> str | None:
    """The spelling of a label that most structures have, ASE's name first; None: there is none.

    Energy and forces are called as in ASE then, so that messages can name them.
    """
    found = sorted(spellings(what, counts), key=lambda name: (-counts[name], name != USUAL[what], name))
    return found[0] if found else USUAL[what] if what in NEEDED else None


def usual_group(counts: Counts) -> str | None:
    """The name under which files have the kind of structure; None: there is none."""
    by_lower = {name.lower(): name for name in sorted(counts, reverse=True)}
    return next((by_lower[name] for name in GROUPS if name in by_lower), None)


def missing_keys(counts: Counts, wanted: Mapping[str, str | None], n_frames: int) -> Iterator[str]:
    """Problems with names that no structure of the whole set has, if the user gave them or they are needed.

    Parameters
    ----------
    counts : of the whole set. wanted : kind of label, group, block or weight -> the name that the user gave, AUTO or
        None (not read).
    """
    known = sorted(set(counts) - {"nothing"})
    for what, given in wanted.items():
        name = usual(what, counts) if given == AUTO and what in NEEDED else given
        if name in (None, AUTO, *counts) or not n_frames:
            continue
        if given == AUTO and what == "energy" and "free_energy" in counts:  # taken in its place
            continue
        hint = suggest(str(name), known)
        null = {
            "energy": "; each structure needs one",
            "forces": "; for a set of energies alone set it to null",
        }.get(what, ", or set it to null")
        yield (
            f"no structure has {name} (dataset.{what}_key); {hint}they have {', '.join(known) or 'nothing'}: correct "
            f"dataset.{what}_key{null}"
        )


def two_energies(choices: Sequence[tuple[str, Choice]]) -> Iterator[str]:
    """A problem if some files give the free energy in place of another energy, and others that other energy alone.

    choices : of each part of the data set, with a name for messages.
    """
    free = [
        name for name, choice in choices if choice.keys.energy == "free_energy" and "energy" in choice.remarks
    ]
    other = [name for name, choice in choices if choice.keys.energy == "energy"]
    if free and other:
        yield (
            f"{free[0]} has free_energy, to which forces belong, and it differs from energy; {other[0]} has energy "
            "alone, and these may be two different energies: set dataset.energy_key=energy for the one that all have"
        )


def _rivals(what: str, name: str, counts: Iterable[str]) -> set[str]:
    """Labels that may contradict the one under ``name``; energy and free energy are compared before."""
    rivals = spellings(what, counts) - {name}
    if what == "energy":
        rivals = rivals - {"energy"} if name == "free_energy" else rivals | ({"free_energy"} & set(counts))
        rivals -= {"free_energy"} if name == "energy" else set()
    return rivals


def _forces_elsewhere(frames: Named, chosen: str, counts: Counts) -> Iterator[str]:
    """Structures that have forces under another name alone, which would be read as structures without forces."""
    others = sorted(spellings("forces", counts) - {chosen})
    for name, atoms in frames if others and counts[chosen] < len(frames) else ():
        has = [other for other in others if label(atoms, other) is not None]
        if has and label(atoms, chosen) is None:
            yield f"{name}: has no {chosen}, and {has[0]} instead; give both one name, or split the file"


def _energy_of_forces(frames: Named, counts: Counts, name: str | None) -> tuple[str, str, list[str]]:
    """The key of the energy whose gradient the forces are, a remark, and problems.

    With smeared occupations forces belong to the free energy of the electrons; the energy extrapolated to zero width,
    which ASE calls ``energy`` for VASP, GPAW, CASTEP and others, is another number.

    Parameters
    ----------
    name : the spelling of the energy itself.
    """
    if not counts.get("free_energy") or name != "energy":
        return str(name), "", []
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
    frames: Named, chosen: dict[str, str | None], wanted: Mapping[str, str | None], units: FileUnits
) -> tuple[dict[str, str | None], list[str], str]:
    """``chosen`` without contradictions of stress and virial, problems, and a remark.

    If the two contradict each other, the one that the user typed is read, and the other is not.
    """
    stress, virial = chosen["stress"], chosen["virial"]
    if not stress or not virial:
        return chosen, [], ""
    typed = [what for what in ("stress", "virial") if wanted[what] not in (AUTO, None)]
    clash = stress_against_virial(frames, stress, virial, units)
    if not clash or len(typed) != 1:
        return chosen, clash, ""
    other = "virial" if typed == ["stress"] else "stress"
    return chosen | {other: None}, [], f"{chosen[other]} contradicts it and is not read"
