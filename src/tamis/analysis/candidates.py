"""Which kept sets are nearly as good as the whole pool, and the smallest of these. Validation errors decide."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tamis.analysis.arms import Point
from tamis.analysis.trials import Metrics
from tamis.core import metrics as names
from tamis.core.errors import TamisError

CENTI = 0.01
WholePoolMetrics = Mapping[tuple[str, int], Metrics]
"""Model and split -> metrics of the potential trained on the whole pool."""


@dataclass(frozen=True)
class Wish:
    """Conditions that a set has to fulfil; see ``tamis pick --help``."""

    within: float
    energy_weight: float
    force_weight: float
    properties: float
    stability: float

    def __post_init__(self) -> None:
        if self.energy_weight + self.force_weight == 0.0:
            raise TamisError("the weights of energy and force are both 0; at least one has to be above")

    @property
    def weights(self) -> Mapping[str, float]:
        """Name of a validation error -> its weight, where it has one."""
        weights = {names.ENERGY_MAE: self.energy_weight, names.FORCE_MAE: self.force_weight}
        return {
            names.error(names.VALIDATION, name): weight for name, weight in weights.items() if weight > 0.0
        }

    def judges(self, metrics: Metrics) -> bool:
        """Whether there is all that ``loss`` needs."""
        return all(metrics.get(name, 0.0) > 0.0 for name in self.weights)

    def loss(self, metrics: Metrics) -> float:
        """Weighted mean of the logs of the validation errors."""
        logs = [weight * np.log(metrics[name]) for name, weight in self.weights.items()]
        return float(sum(logs) / sum(self.weights.values()))


USUAL = Wish(within=5.0, energy_weight=1.0, force_weight=1.0, properties=5.0, stability=0.02)
"""What is asked where nothing else is."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A model, pruner, descriptor and budget, over all splits.

    members: a point a split. ratio: validation error by the whole pool's, geometric mean over splits.
    n_atoms: mean. objections: why it is not taken. unknown: what was not measured.
    """

    members: tuple[Point, ...]
    ratio: float
    n_atoms: float
    objections: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def name(self) -> str:
        """Model, pruner, descriptor and size."""
        point = self.members[0]
        return f"{point.model}, {point.pruner} in {point.arm}, {self.n_atoms:.0f} atoms"

    @property
    def n_splits(self) -> int:
        """Splits of the pool that it was tried in."""
        return len({point.seeds[0] for point in self.members})


def weigh(points: Sequence[Point], wish: Wish) -> list[Candidate]:
    """All candidates, small ones first.

    Raises
    ------
    TamisError : a model without a trial on the whole pool: there is nothing to be within x % of.
    """
    whole = _whole(points, wish)
    groups: dict[tuple[str, str, str, str], list[Point]] = defaultdict(list)
    for p in points:
        if (p.model, p.seeds[0]) in whole and wish.judges(p.metrics):
            groups[p.model, p.pruner, p.arm, p.budget].append(p)
    found = [_candidate(tuple(members), whole, wish) for members in groups.values()]
    return sorted(found, key=lambda c: (c.n_atoms, c.ratio))


def _whole(points: Sequence[Point], wish: Wish) -> WholePoolMetrics:
    full = [p for p in points if p.metrics[names.FRACTION_OF_STRUCTURES] == 1.0]
    whole: dict[tuple[str, int], Metrics] = {}
    for p in full:
        if wish.judges(p.metrics):
            key = (p.model, p.seeds[0])
            whole[key] = {**whole.get(key, {}), **p.metrics}
    if full and not whole:
        raise TamisError(
            "the trials that kept the whole pool have no validation error of energies or of forces to compare with "
            "(see their problems); leave it out with --energy-weight 0 or --force-weight 0"
        )
    if not whole:
        raise TamisError(
            "no trial kept the whole pool, so there is no error to compare with; run one with budget=all "
            "pruner=keep_all, or a curve up to 1.0"
        )
    return whole


def _candidate(members: tuple[Point, ...], whole: WholePoolMetrics, wish: Wish) -> Candidate:
    pairs = [(point.metrics, whole[point.model, point.seeds[0]]) for point in members]
    ratio = float(np.exp(np.mean([wish.loss(point) - wish.loss(full) for point, full in pairs])))
    above = 100 * (ratio - 1)
    objections = [f"validation error {above:.1f} % above the whole pool's"] if above > wish.within else []
    objections += [*_lost_properties(pairs, wish), *_lost_stability(pairs, wish)]
    unknown = [
        what
        for what, beginning in (("properties", names.PROPERTIES), ("stability in MD", names.MD))
        if not any(name.startswith(beginning) for point, _ in pairs for name in point)
    ]
    n_atoms = float(np.mean([point.atoms for point in members]))
    return Candidate(members, ratio, n_atoms, tuple(objections), tuple(unknown))


def _lost_properties(pairs: Sequence[tuple[Metrics, Metrics]], wish: Wish) -> Iterator[str]:
    """Properties whose error grew by more than is allowed; an error that became smaller is no loss."""
    both = {n for point, full in pairs for n in point.keys() & full.keys() if names.is_property_error(n)}
    for name in sorted(both):
        growth = np.mean([abs(p[name]) - abs(f[name]) for p, f in pairs if name in p and name in f])
        allowed = wish.properties * (1.0 if name.endswith("_percent") else CENTI)
        if growth > allowed:
            yield f"{name.removeprefix(names.PROPERTIES)} grew by {growth:.3g}, more than {allowed:g}"


def _lost_stability(pairs: Sequence[tuple[Metrics, Metrics]], wish: Wish) -> Iterator[str]:
    falls = [
        f[names.STABLE_FRACTION] - p[names.STABLE_FRACTION]
        for p, f in pairs
        if names.STABLE_FRACTION in p and names.STABLE_FRACTION in f
    ]
    if falls and np.mean(falls) > wish.stability:
        yield f"survived part of MD fell by {np.mean(falls):.3g}, more than {wish.stability:g}"


def pick(candidates: Sequence[Candidate]) -> Candidate:
    """The smallest without objections, among those with the most splits.

    Raises
    ------
    TamisError : there is none.
    """
    most = max((c.n_splits for c in candidates), default=0)
    # a candidate with fewer splits had fewer chances to fail
    able = [c for c in candidates if not c.objections and c.n_splits == most]
    if not able:
        raise TamisError(
            "no training set, not even the whole pool, fulfils the conditions; allow more (see --help)"
        )
    return able[0]


def typical(candidate: Candidate, wish: Wish) -> Point:
    """The member whose validation error is the middle one: the best would be the luckiest."""
    ordered = sorted(candidate.members, key=lambda p: (wish.loss(p.metrics), p.seeds))
    return ordered[(len(ordered) - 1) // 2]
