"""Trials put in order: learning curves by data set, setting, model, pruner and descriptor."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.trials import Metrics, Trial
from tamis.core.flatten import flatten
from tamis.core.metrics import FRACTION_OF_ATOMS, KEPT_ATOMS
from tamis.records.record import COMPLETE

Array = NDArray[np.float64]

RANDOM, STRATIFIED = "random", "stratified"
BASELINES = (RANDOM, STRATIFIED)
PUBLISHED = '"split": "published"'
"""In the configuration of the data set whose name needs no addition, however many trials others have."""
NO_DESCRIPTOR = "none"
MODELS = ("snap", "ace", "chimes", "gap", "nnp")
FAMILIES = ("snap", "ace", "chimes", "soap", "acsf")
"""The own descriptors of the models, in their order: own cells of a matrix are on its diagonal."""
Seeds = tuple[int, int, int]
"""Seeds of split, selection and fit."""
Variant = tuple[str, str]
"""Choice of a group, and the configuration as JSON text."""


@dataclass(frozen=True, order=True)
class Ground:
    """The common ground of a comparison: a data set with its split, and other settings such as the latent space."""

    data: str
    setting: str

    @property
    def name(self) -> str:
        """In one phrase."""
        return f"{self.data}, {self.setting}" if self.setting else self.data


@dataclass(frozen=True)
class CurveKey:
    """Identifies a curve. block: of the plan that its trials come from, if any."""

    ground: Ground
    model: str
    pruner: str
    descriptor: str
    own: bool
    block: str
    seeds: Seeds

    @property
    def arm(self) -> str:
        """The descriptor where there is one, else the pruner."""
        return self.pruner if self.descriptor == NO_DESCRIPTOR else self.descriptor


@dataclass(frozen=True, eq=False)
class Point(CurveKey):
    """One retrained potential: point ``number`` of a trial's curve, and what was measured of it."""

    trial: Trial
    number: int
    metrics: Metrics

    @property
    def atoms(self) -> float:
        """Atoms kept."""
        return self.metrics[KEPT_ATOMS]

    @property
    def fraction(self) -> float:
        """Part of the pool's atoms."""
        return self.metrics[FRACTION_OF_ATOMS]

    @property
    def budget(self) -> str:
        """What was asked for: the same text for all seeds, whose numbers of atoms may differ a little."""
        return f"{self.trial.parts['budget']} {self.number}"

    @property
    def kept(self) -> tuple[str, ...]:
        """Ids of the kept structures."""
        return self.trial.kept(self.number)


@dataclass(frozen=True, eq=False)
class Curve(CurveKey):
    """A learning curve: the points of one trial, or of several trials that differ in their budget alone.

    points: by rising number of atoms.
    """

    points: tuple[Point, ...]

    @property
    def trial(self) -> Trial:
        """The trial of the first point."""
        return self.points[0].trial

    @cached_property
    def atoms(self) -> Array:
        """Atoms kept at each point, rising."""
        return np.array([point.atoms for point in self.points])

    @property
    def n_pool_atoms(self) -> float:
        """Atoms of the pool."""
        return float(self.trial.dataset.n_pool_atoms)


@dataclass(frozen=True, eq=False)
class Results:
    """All trials, and the curves of the complete ones. doubled: trials that gave no point which another had not."""

    trials: tuple[Trial, ...]
    curves: tuple[Curve, ...]
    doubled: int

    @cached_property
    def grounds(self) -> list[Ground]:
        """Data sets and settings."""
        return sorted({curve.ground for curve in self.curves})

    @property
    def points(self) -> list[Point]:
        """Points of all curves."""
        return [point for curve in self.curves for point in curve.points]

    def at(self, ground: Ground) -> list[Curve]:
        """Curves of one ground."""
        return [curve for curve in self.curves if curve.ground == ground]

    def pruners(self, ground: Ground, first: str = "") -> list[str]:
        """Pruners that were run with descriptors: ``first``, then those of most curves."""
        found = Counter(c.pruner for c in self.at(ground) if c.descriptor != NO_DESCRIPTOR)
        return sorted(found, key=lambda name: (name != first, -found[name], name))


def in_order(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Known names first, in their order, then the others by the alphabet."""
    places = {name: i for i, name in enumerate(known)}
    return sorted(set(names), key=lambda n: (places.get(n.split(" ")[0], len(places)), n))


def results_of(trials: Sequence[Trial]) -> Results:
    """Name configurations and put points together to curves."""
    complete = [trial for trial in trials if trial.status == COMPLETE and trial.points]
    grounds = _grounds(complete)
    named = [_names(complete, grounds, group) for group in ("model", "pruner", "descriptor")]
    groups: dict[CurveKey, list[Trial]] = defaultdict(list)
    for trial, ground, model, pruner, descriptor in zip(complete, grounds, *named, strict=True):
        key = CurveKey(ground, model, pruner, descriptor, trial.own, trial.block, trial.seeds)
        groups[key].append(trial)
    curves, doubled = [], 0
    for key, members in groups.items():
        points, again = _points(key, sorted(members, key=lambda trial: trial.started))
        doubled += again
        curves.append(Curve(**vars(key), points=points))
    return Results(tuple(trials), tuple(curves), doubled)


def _points(key: CurveKey, trials: Sequence[Trial]) -> tuple[tuple[Point, ...], int]:
    """Points by rising number of atoms, and how many trials gave no new one.

    Points with equal numbers of atoms are one set, or as good as one: what was measured of it is put together
    (a curve with errors alone, and a trial with properties at one of its budgets); of the same, the newest counts.
    """
    found: dict[float, Point] = {}
    doubled = 0
    for trial in trials:
        doubled += all(metrics[KEPT_ATOMS] in found for metrics in trial.points)
        for number, metrics in enumerate(trial.points):
            point = Point(**vars(key), trial=trial, number=number, metrics=metrics)
            if before := found.get(point.atoms):
                again = before.trial.parts["budget"] == trial.parts["budget"]
                point = replace(point if again else before, metrics={**before.metrics, **metrics})
            found[point.atoms] = point
    return tuple(found[atoms] for atoms in sorted(found)), doubled


def _grounds(trials: Sequence[Trial]) -> list[Ground]:
    """The ground of each trial.

    A data set that changed while its configuration did not is named by its fingerprint. Models that are configured
    otherwise than most (matched cutoffs, say) are another setting.
    """
    sets = [(f"{t.choices.get('dataset', '?')} {t.element}", t.parts["dataset"]) for t in trials]
    names = name_variants(sets, preferred=PUBLISHED)
    prints: dict[str, set[str]] = defaultdict(set)
    for trial, key in zip(trials, sets, strict=True):
        prints[names[key]].add(trial.dataset.fingerprint)
    data = [
        names[key] if len(prints[names[key]]) == 1 else f"{names[key]} [{trial.dataset.fingerprint[:6]}]"
        for trial, key in zip(trials, sets, strict=True)
    ]
    latent = [("", f'{{"latent": {t.parts["latent"]}, "held": {t.validation_fraction}}}') for t in trials]
    latent_names = name_variants(latent)
    models = _names(trials, data, "model")
    return [
        Ground(where, ", ".join(filter(None, (_variant(latent_names[held]), _variant(model)))))
        for where, held, model in zip(data, latent, models, strict=True)
    ]


def _variant(name: str) -> str:
    """The brackets behind a choice, with its differences from the usual configuration; empty for the usual one."""
    return name.partition(" (")[2].removesuffix(")")


def _names(trials: Sequence[Trial], grounds: Sequence[Hashable], group: str) -> list[str]:
    """The name of each trial's part; cutoffs scale with the element, so each ground names its own."""
    variants: list[Variant] = [(trial.choices.get(group, "?"), trial.parts[group]) for trial in trials]
    by_ground: dict[Hashable, list[Variant]] = defaultdict(list)
    for ground, variant in zip(grounds, variants, strict=True):
        by_ground[ground].append(variant)
    named = {ground: name_variants(some) for ground, some in by_ground.items()}
    return [named[ground][variant] for ground, variant in zip(grounds, variants, strict=True)]


def name_variants(variants: Iterable[Variant], preferred: str = "") -> dict[Variant, str]:
    """``ace`` for the most frequent configuration of ``ace``, ``ace (r_cut=5.0)`` for another.

    preferred : text in configurations that come before more frequent ones.
    """
    by_choice: dict[str, Counter[str]] = defaultdict(Counter)
    for choice, text in variants:
        by_choice[choice][text] += 1
    names: dict[Variant, str] = {}
    for choice, counts in by_choice.items():
        # ties are broken by the text, so that names do not depend on the order of the folders
        usual, *rest = sorted(counts, key=lambda text: (preferred not in text, -counts[text], text))
        names[choice, usual] = choice
        for text in rest:
            names[choice, text] = f"{choice} ({difference(usual, text)})"
    return names


def difference(usual: str, other: str) -> str:
    """The settings of ``other`` that ``usual`` does not have: ``key=value, ...``."""
    a, b = _leaves(usual), _leaves(other)
    changed = [f"{key}={_short(b[key])}" for key in b if a.get(key) != b[key]]
    gone = [f"no {key}" for key in a if key not in b]
    return ", ".join((changed + gone)[:4]) or "other"


def _leaves(text: str) -> Mapping[str, Any]:
    return dict(flatten(json.loads(text)))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
