"""Trials put in order: learning curves by data set, setting, model, pruner and descriptor."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.names import Variant, name_variants
from tamis.analysis.trials import Metrics, Trial
from tamis.records.record import COMPLETE

Array = NDArray[np.float64]

PRIMARY_PRUNER = "fps"
RANDOM, STRATIFIED = "random", "stratified"
BASELINES = (RANDOM, STRATIFIED)
PUBLISHED = '"split": "published"'
"""In the configuration of the data set on which the primary endpoint is measured."""
SAME = "same"
"""In place of a choice that has one file."""
NO_DESCRIPTOR = "none"
FAMILIES = ("ace", "soap", "acsf", "chimes", "snap")
MODELS = ("snap", "ace", "chimes", "gap", "nnp")


Source = tuple[Trial, int]
"""A trial, and the number of a point of it."""


Seeds = tuple[int, int, int]
"""Of split, selection and fit."""


@dataclass(frozen=True, order=True)
class Ground:
    """What comparisons stand on: a data set with its split, and what else is the same for all (latent space)."""

    data: str
    setting: str

    @property
    def is_primary(self) -> bool:
        """Whether the primary endpoint is measured here: nothing is other than usual."""
        return not self.setting and " (" not in self.data

    @property
    def name(self) -> str:
        """In one phrase."""
        return f"{self.data}, {self.setting}" if self.setting else self.data


@dataclass(frozen=True, eq=False)
class Curve:
    """A learning curve: the points of one trial, or of several trials that differ in their budget alone.

    points: metrics, by rising number of atoms. source: trial and number of the point therein, of each point.
    """

    ground: Ground
    model: str
    pruner: str
    descriptor: str
    own: bool
    seeds: Seeds
    points: tuple[Metrics, ...]
    source: tuple[Source, ...]

    @property
    def arm(self) -> str:
        """The descriptor where there is one, else the pruner."""
        return self.pruner if self.descriptor == NO_DESCRIPTOR else self.descriptor

    @cached_property
    def atoms(self) -> Array:
        """Atoms kept at each point, rising."""
        return np.array([point["kept/atoms"] for point in self.points])

    @property
    def n_pool_atoms(self) -> float:
        """Atoms of the pool."""
        return float(self.source[0][0].dataset.n_pool_atoms)


Key = tuple[Ground, str, str, str, bool, Seeds]
"""What a curve is told by: ground, model, pruner, descriptor, own, seeds."""


@dataclass(frozen=True, eq=False)
class Study:
    """All trials, and the curves of the complete ones. doubled: trials that gave no point which another had not."""

    trials: tuple[Trial, ...]
    curves: tuple[Curve, ...]
    doubled: int

    @cached_property
    def grounds(self) -> list[Ground]:
        """Data sets and settings."""
        return sorted({curve.ground for curve in self.curves})

    def at(self, ground: Ground) -> list[Curve]:
        """Curves of one ground."""
        return [curve for curve in self.curves if curve.ground == ground]

    def pruners(self, ground: Ground) -> list[str]:
        """Pruners that were run with descriptors, the primary one first."""
        found = Counter(c.pruner for c in self.at(ground) if c.descriptor != NO_DESCRIPTOR)
        return sorted(found, key=lambda name: (name != PRIMARY_PRUNER, -found[name], name))


def in_order(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Known names first, in their order, then the others by the alphabet."""
    places = {name: i for i, name in enumerate(known)}
    return sorted(set(names), key=lambda n: (places.get(n.split(" ")[0], len(places)), n))


def study_of(trials: Sequence[Trial]) -> Study:
    """Name configurations and put points together to curves."""
    complete = [trial for trial in trials if trial.status == COMPLETE and trial.points]
    grounds = _grounds(complete)
    named = {group: _names(complete, grounds, group) for group in ("model", "pruner", "descriptor")}
    groups: dict[Key, list[Trial]] = defaultdict(list)
    for i, trial in enumerate(complete):
        model, pruner, descriptor = (named[group][i] for group in ("model", "pruner", "descriptor"))
        key = (grounds[i], model, pruner, descriptor, trial.own, trial.seeds)
        groups[key].append(trial)
    curves, doubled = [], 0
    for (ground, model, pruner, descriptor, own, seeds), members in groups.items():
        points, again = _points(sorted(members, key=lambda trial: trial.started))
        doubled += again
        metrics, source = zip(*points, strict=True)
        curves.append(Curve(ground, model, pruner, descriptor, own, seeds, metrics, source))
    return Study(tuple(trials), tuple(curves), doubled)


def _points(trials: Sequence[Trial]) -> tuple[list[tuple[Metrics, Source]], int]:
    """Points by rising number of atoms, and how many trials gave no new one.

    Points with equal numbers of atoms are one set, or as good as one: what was measured of it is put together
    (a curve with errors alone, and a trial with properties at one of its budgets); of the same, the newest counts.
    """
    found: dict[float, tuple[Metrics, Source]] = {}
    doubled = 0
    for trial in trials:
        doubled += all(point["kept/atoms"] in found for point in trial.points)
        for i, point in enumerate(trial.points):
            earlier, source = found.get(point["kept/atoms"], ({}, (trial, i)))
            again = source[0].parts["budget"] == trial.parts["budget"]
            found[point["kept/atoms"]] = ({**earlier, **point}, (trial, i) if again else source)
    return [found[atoms] for atoms in sorted(found)], doubled


def _grounds(trials: Sequence[Trial]) -> list[Ground]:
    """The ground of each trial.

    A data set that changed without its configuration is told by its fingerprint. Models that are configured
    otherwise than most (matched cutoffs, say) are another setting.
    """
    sets = [(f"{t.choices.get('dataset', '?')} {t.element}", t.parts["dataset"]) for t in trials]
    names = name_variants(sets, preferred=PUBLISHED)
    prints: dict[str, dict[str, None]] = defaultdict(dict)
    for trial, key in zip(trials, sets, strict=True):
        prints[names[key]][_print(trial)] = None
    data = [
        names[key] if len(prints[names[key]]) == 1 else f"{names[key]} [{_print(trial)[:6]}]"
        for trial, key in zip(trials, sets, strict=True)
    ]
    latent = [(SAME, f'{{"latent": {t.parts["latent"]}, "held": {t.validation_fraction}}}') for t in trials]
    latent_names = name_variants(latent)
    models = _names(trials, data, "model")
    return [
        Ground(where, ", ".join(filter(None, (_variant(latent_names[held]), _variant(model)))))
        for where, held, model in zip(data, latent, models, strict=True)
    ]


def _print(trial: Trial) -> str:
    return trial.dataset.fingerprint


def _variant(name: str) -> str:
    """What is in brackets behind a choice: how it differs from the usual configuration; empty for that."""
    return name.partition(" (")[2].removesuffix(")")


def _names(trials: Sequence[Trial], grounds: Sequence[Hashable], group: str) -> list[str]:
    """The name of each trial's part; cutoffs scale with the element, so each ground names its own."""
    variants: list[Variant] = [(trial.choices.get(group, "?"), trial.parts[group]) for trial in trials]
    by_ground: dict[Hashable, list[Variant]] = defaultdict(list)
    for ground, variant in zip(grounds, variants, strict=True):
        by_ground[ground].append(variant)
    named = {ground: name_variants(some) for ground, some in by_ground.items()}
    return [named[ground][variant] for ground, variant in zip(grounds, variants, strict=True)]
