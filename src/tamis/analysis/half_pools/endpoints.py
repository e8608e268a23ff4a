"""Endpoints of curves over half-pools, and their contrasts, in the form that ``halves.of_half_pools`` takes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import NO_DESCRIPTOR, RANDOM
from tamis.analysis.endpoint import ENERGIES, FORCES, area_weights, common_range
from tamis.analysis.half_pools.answers import ALL
from tamis.analysis.half_pools.table import Row
from tamis.core.errors import TamisError

Array = NDArray[np.float64]

FIRST, LAST = 0.05, 0.5
"""Ends of the range, as parts of the pool's atoms."""
Pool = tuple[int, int]
"""Repetition and half."""


@dataclass(frozen=True, order=True)
class Arm:
    """What is compared: a model with the sets of one pruner in the space of one descriptor."""

    element: str
    setting: str
    model: str
    pruner: str
    descriptor: str
    own: bool


Endpoints = Mapping[Arm, Mapping[Pool, Mapping[int, float]]]
"""The endpoint of every curve: by arm, half-pool and seed."""


def endpoints_of(
    rows: Iterable[Row], endpoint: str = FORCES, stratum: str = ALL, first: float = FIRST, last: float = LAST
) -> Endpoints:
    """Mean over log(atoms) of log(MAE), in the range that all curves of one model on one half-pool share.

    Parameters
    ----------
    rows : of one plan of budgets: leave out blocks that measure single budgets. endpoint : ``FORCES`` (eV/Å) or
    ``ENERGIES`` (meV/atom). stratum : or ``ALL``. first, last : ends of the range, parts of the pool's atoms.

    Unfinished curves, and those without errors in the stratum, have no endpoint.

    Raises
    ------
    TamisError : no such endpoint, or two curves of one arm, half-pool and seed, such as of two blocks.
    """
    if endpoint not in (FORCES, ENERGIES):
        raise TamisError(f"no endpoint is called {endpoint}; {FORCES} and {ENERGIES} are there")
    groups: dict[tuple[str, str, str, Pool], dict[tuple[Arm, int], list[Row]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for row in rows:
        arm = Arm(row.element, row.setting, row.model, row.pruner, row.descriptor, row.own)
        pool = (row.repetition, row.half)
        groups[row.element, row.setting, row.model, pool][arm, row.seed].append(row)
    found: dict[Arm, dict[Pool, dict[int, float]]] = defaultdict(lambda: defaultdict(dict))
    for (*_, pool), members in groups.items():
        for (arm, seed), value in _areas(members, endpoint, stratum, first, last).items():
            found[arm][pool][seed] = value
    return found


def _areas(
    members: Mapping[tuple[Arm, int], list[Row]], endpoint: str, stratum: str, first: float, last: float
) -> dict[tuple[Arm, int], float]:
    """The endpoints of curves of one model on one half-pool."""
    curves: dict[tuple[Arm, int], tuple[Array, Array]] = {}
    for key, points in members.items():
        blocks = {row.block for row in points}
        if len(blocks) > 1:
            raise TamisError(
                f"{key[0].model} with {key[0].pruner} {key[0].descriptor}, seed {key[1]}, has points of the blocks "
                f"{', '.join(sorted(blocks))}; choose rows of one block"
            )
        atoms, places = np.unique([float(row.kept_atoms) for row in points], return_index=True)
        errors = np.array([getattr(points[i], endpoint).get(stratum, np.nan) for i in places])
        if (errors > 0.0).all():  # NaN is not
            curves[key] = (atoms, errors)
    if not curves:
        return {}
    pool_atoms = float(next(iter(members.values()))[0].pool_atoms)
    span, covers = common_range([atoms for atoms, _ in curves.values()], pool_atoms, first, last)
    if span is None:
        return {}
    return {
        key: float(area_weights(atoms, span) @ np.log(errors))
        for (key, (atoms, errors)), is_whole in zip(curves.items(), covers, strict=True)
        if is_whole
    }


def own_against_others(
    endpoints: Endpoints, element: str, model: str, pruner: str, setting: str = ""
) -> Array:
    """(R, 2): own minus the mean of the others, by repetition and half; NaN for a half-pool that lacks a descriptor.

    The others are all descriptors that any half-pool has of this model and pruner. (0, 2) without an own one, or
    without others.
    """
    arms = [
        a for a in endpoints if (a.element, a.setting, a.model, a.pruner) == (element, setting, model, pruner)
    ]
    own = [_by_pool(endpoints, arm) for arm in arms if arm.own]
    others = [_by_pool(endpoints, arm) for arm in arms if not arm.own and arm.descriptor != NO_DESCRIPTOR]
    return _contrasts(own, others)


def against_baseline(
    endpoints: Endpoints,
    element: str,
    model: str,
    pruner: str,
    descriptor: str,
    baseline: str = RANDOM,
    setting: str = "",
) -> Array:
    """(R, 2): the arm minus the baseline, such as random or stratified, each the mean over its draws.

    NaN for a half-pool that lacks one of the two, or has fewer draws than others. (0, 2) where none has both.
    """
    arms = [a for a in endpoints if (a.element, a.setting, a.model) == (element, setting, model)]
    one = [_by_pool(endpoints, a) for a in arms if (a.pruner, a.descriptor) == (pruner, descriptor)]
    other = [_by_pool(endpoints, a) for a in arms if (a.pruner, a.descriptor) == (baseline, NO_DESCRIPTOR)]
    return _contrasts(one, other)


def _by_pool(endpoints: Endpoints, arm: Arm) -> dict[Pool, float]:
    """The mean over draws on each half-pool that has as many as any."""
    pools = endpoints[arm]
    most = max(len(draws) for draws in pools.values())
    # sorted, so that the last digit does not depend on the order of rows
    return {
        pool: float(np.mean([draws[seed] for seed in sorted(draws)]))
        for pool, draws in pools.items()
        if len(draws) == most
    }


def _contrasts(ones: list[dict[Pool, float]], others: list[dict[Pool, float]]) -> Array:
    """Mean of ``ones`` minus mean of ``others``, (R, 2), where all of them are known."""
    if not ones or not others:
        return np.empty((0, 2))
    known = [*ones, *others]
    repetitions = sorted({repetition for one in known for repetition, _ in one})
    found = np.full((len(repetitions), 2), np.nan)
    for i, repetition in enumerate(repetitions):
        for half in (0, 1):
            pool = (repetition, half)
            if all(pool in one for one in known):
                found[i, half] = np.mean([one[pool] for one in ones]) - np.mean([one[pool] for one in others])
    return found
