"""Any two ways of choosing structures against each other, same model, paired by split: at each budget, and over curves.

Nothing is judged here beyond these pairs: a comparison with a question of its own has a protocol.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from tamis.analysis.arms import BASELINES, MODELS, NO_DESCRIPTOR, Curve, Ground, Results, Seeds, in_order
from tamis.analysis.comparison import N_DRAWS, curves_of, errors_of
from tamis.analysis.contrasts import Effect, contrast, holm
from tamis.analysis.endpoint import ENERGIES, FORCES, Range, common_range
from tamis.analysis.resampling import cells, codes, draw_counts
from tamis.analysis.test_errors import CachedTestErrors

WHOLE_CURVE = "whole curve"
ENDPOINTS = (FORCES, ENERGIES)
MOST_ARMS = 8
"""Ways of choosing of a model that are compared with each other: of more, no table of pairs can be read."""


@dataclass(frozen=True)
class Pair:
    """Test errors of sets that were chosen in one way by those of sets that were chosen in another.

    where: the budget, or the part of the curves over which the mean of log(error) was taken. effects: endpoint -> log
    ratio, first to second; p: endpoint -> p value after Holm's correction for the pairs of the same budget.
    n_pairs: how many these are.
    """

    ground: Ground
    model: str
    where: str
    first: str
    second: str
    effects: Mapping[str, Effect]
    p: Mapping[str, float]
    n_pairs: int


def arm_name(curve: Curve) -> str:
    """Pruner, and descriptor behind it."""
    return curve.pruner if curve.descriptor == NO_DESCRIPTOR else f"{curve.pruner} in {curve.descriptor}"


def pairs_at(results: Results, ground: Ground, reader: CachedTestErrors) -> list[Pair]:
    """All pairs of each model on one ground; none of a model with more than ``MOST_ARMS`` ways of choosing."""
    found: list[Pair] = []
    curves = results.at(ground)
    for model in in_order([curve.model for curve in curves], MODELS):
        longest: dict[tuple[str, Seeds], Curve] = {}
        for curve in (one for one in curves if one.model == model):
            key = (arm_name(curve), curve.seeds)
            if key not in longest or len(longest[key].points) < len(curve.points):
                longest[key] = curve
        # by name, baselines last: others are compared with them
        order = sorted(longest, key=lambda key: (key[0] in BASELINES, key))
        mine = [longest[key] for key in order]
        if len({name for name, _ in longest}) <= MOST_ARMS:
            for where, some, span in _budgets(mine):
                found += _pairs(where, some, span, reader)
    return found


def _budgets(curves: Sequence[Curve]) -> list[tuple[str, list[Curve], Range]]:
    """The whole curves where there are any, then each budget that several ways of choosing have, small ones first."""
    by_budget: dict[str, list[Curve]] = defaultdict(list)
    for curve in curves:
        for point in curve.points:
            if point.fraction < 1.0:  # the whole pool is the same for all
                by_budget[point.budget].append(replace(curve, points=(point,)))
    single = []
    for some in by_budget.values():
        if len({arm_name(one) for one in some}) > 1:
            atoms = float(np.exp(np.mean([np.log(one.atoms[0]) for one in some])))
            fraction = float(np.mean([one.points[0].fraction for one in some]))
            single.append((f"{100 * fraction:.3g} %", some, Range(atoms, atoms)))
    single.sort(key=lambda one: one[2].low)
    long = [curve for curve in curves if len(curve.points) > 1]
    if len(single) < 2 or not long:
        return single
    n_pool_atoms = float(np.median([curve.n_pool_atoms for curve in long]))
    span, covers = common_range([curve.atoms for curve in long], n_pool_atoms)
    if span is None or span.is_point:
        return single
    ends = " to ".join(f"{100 * end / n_pool_atoms:.2g}" for end in (span.low, span.high))
    compared = [curve for curve, ok in zip(long, covers, strict=True) if ok]
    return [(f"{WHOLE_CURVE}, {ends} %", compared, span), *single]


def _pairs(where: str, curves: Sequence[Curve], span: Range, reader: CachedTestErrors) -> list[Pair]:
    effects = {endpoint: _effects(curves, span, endpoint, reader) for endpoint in ENDPOINTS}
    names = list(dict.fromkeys(pair for some in effects.values() for pair in some))
    p = {
        endpoint: dict(zip(some, holm([e.p if e.enough else np.nan for e in some.values()]), strict=True))
        for endpoint, some in effects.items()
    }
    return [
        Pair(
            ground=curves[0].ground,
            model=curves[0].model,
            where=where,
            first=pair[0],
            second=pair[1],
            effects={endpoint: some[pair] for endpoint, some in effects.items() if pair in some},
            p={endpoint: some[pair] for endpoint, some in p.items() if pair in some},
            n_pairs=len(names),
        )
        for pair in names
    ]


def _effects(
    curves: Sequence[Curve], span: Range, endpoint: str, reader: CachedTestErrors
) -> dict[tuple[str, str], Effect]:
    """The log ratio of each two ways of choosing, by the crossed bootstrap of ``resampling``."""
    usable = [(curve, found) for curve in curves if (found := errors_of(curve, reader, endpoint)) is not None]
    if not usable:
        return {}
    layout = usable[0][1].layout
    usable = [(curve, found) for curve, found in usable if found.layout == layout]
    arms, names = codes([arm_name(curve) for curve, _ in usable])
    data = curves_of(usable, layout, span, arms, endpoint)
    rng = np.random.default_rng(0)
    values = cells(data, draw_counts(int(data.blocks.max()) + 1, N_DRAWS, rng))
    seeds, n_blocks = draw_counts(data.n_seeds, N_DRAWS, rng), data.effective_blocks()
    effects: dict[tuple[str, str], Effect] = {}
    for a, b in combinations(range(len(names)), 2):
        weights = np.zeros(len(names))
        weights[a], weights[b] = 1.0, -1.0
        effect = contrast(values, weights, seeds, n_blocks)
        if effect.n_seeds:
            effects[names[a], names[b]] = effect
    return effects
