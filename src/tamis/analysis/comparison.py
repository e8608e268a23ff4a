"""One pruner on one ground, all models and descriptors: areas and effects."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.arms import (
    BASELINES,
    FAMILIES,
    MODELS,
    NO_DESCRIPTOR,
    Curve,
    Ground,
    Results,
    Seeds,
    in_order,
)
from tamis.analysis.contrasts import Effect, contrast
from tamis.analysis.endpoint import FIRST, FORCES, LAST, Range, area_weights, common_range
from tamis.analysis.hypothesis import ALPHA, Arm, Verdict, judge
from tamis.analysis.mean_curves import Factor, MeanCurves, factor, mean_curves
from tamis.analysis.protocol import Protocol
from tamis.analysis.resampling import Curves, cells, codes, draw_counts
from tamis.analysis.test_errors import CachedTestErrors, Layout, TestErrors

Array = NDArray[np.float64]

N_DRAWS = 1000
"""Draws of the bootstrap."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Curves of one ground and pruner that can be compared, and what they were compared by.

    arms: who chose for which model, baselines included (their descriptor is the pruner's name).
    curves, data: the learning curves, and their errors by test structure. span: atoms of the area. n_left_out: curves
    that are unfinished; n_without_errors: curves without a usable test_errors.csv. n_pool_atoms: of the pool.
    protocol: whose curves alone are compared, to judge; None: all are compared, to describe.
    """

    ground: Ground
    pruner: str
    arms: tuple[Arm, ...]
    curves: tuple[Curve, ...]
    data: Curves
    layout: Layout
    span: Range
    n_left_out: int
    n_without_errors: int
    n_pool_atoms: float
    protocol: Protocol | None

    @property
    def models(self) -> list[str]:
        """Models."""
        return in_order([arm.model for arm in self.arms], MODELS)

    @property
    def descriptors(self) -> list[str]:
        """Descriptors, without baselines."""
        return in_order([a.descriptor for a in self.arms if a.descriptor not in BASELINES], FAMILIES)

    @property
    def n_seeds(self) -> int:
        """Splits of the pool."""
        return self.data.n_seeds

    @property
    def is_planned(self) -> bool:
        """Whether the area is that of the protocol; True without one."""
        if self.protocol is None:
            return True
        first, last = self.protocol.first, self.protocol.last
        return self.span.covers(first * self.n_pool_atoms, last * self.n_pool_atoms)

    @property
    def sizes(self) -> list[float]:
        """Atoms of the compared sets where each curve is one point; empty where curves are compared over a range."""
        return [float(curve.atoms[0]) for curve in self.curves] if self.span.is_point else []

    @cached_property
    def n_blocks(self) -> float:
        """Effective number of test blocks."""
        return self.data.effective_blocks()

    @cached_property
    def _draws(self) -> tuple[Array, Array]:
        rng = np.random.default_rng(0)
        blocks = draw_counts(int(self.data.blocks.max()) + 1, N_DRAWS, rng)
        return cells(self.data, blocks), draw_counts(self.n_seeds, N_DRAWS, rng)

    def index(self, model: str, descriptor: str) -> int | None:
        """Number of an arm, None where there is none."""
        found = (i for i, a in enumerate(self.arms) if (a.model, a.descriptor) == (model, descriptor))
        return next(found, None)

    def is_recorded_own(self, model: str, descriptor: str) -> bool:
        """Whether the arm's records say that the descriptor is the model's own (``trial.is_own`` decides)."""
        index = self.index(model, descriptor)
        return index is not None and self.arms[index].own

    def effect(self, model: str, descriptor: str, baseline: str) -> Effect | None:
        """One arm against a baseline (or another descriptor), same model."""
        return self._effect([(model, descriptor)], baseline)

    def own_effect(self, baseline: str) -> tuple[list[str], Effect | None]:
        """The own descriptor against a baseline, mean over the models that have both; which models these are."""
        own = [(a.model, a.descriptor) for a in self.arms if a.own]
        pairs = [pair for pair in own if self.index(pair[0], baseline) is not None]
        return in_order([model for model, _ in pairs], MODELS), self._effect(pairs, baseline)

    def _effect(self, pairs: Sequence[tuple[str, str]], baseline: str) -> Effect | None:
        weights = np.zeros(len(self.arms))
        for model, descriptor in pairs:
            a, b = self.index(model, descriptor), self.index(model, baseline)
            if a is None or b is None:
                return None
            weights[a] += 1.0 / len(pairs)
            weights[b] -= 1.0 / len(pairs)
        values, seeds = self._draws
        return contrast(values, weights, seeds, self.n_blocks) if pairs else None

    @cached_property
    def verdict(self) -> Verdict:
        """Own against others."""
        values, seeds = self._draws
        chosen = [i for i, arm in enumerate(self.arms) if arm.descriptor not in BASELINES]
        alpha = ALPHA if self.protocol is None else self.protocol.alpha
        arms = [self.arms[i] for i in chosen]
        return judge(values[chosen], arms, seeds, self.n_blocks, np.random.default_rng(1), alpha)

    @cached_property
    def mean_curves(self) -> MeanCurves:
        """The mean curve of each arm, on the sizes that all curves have."""
        return mean_curves([curve.atoms for curve in self.curves], self.data)

    def efficiency(self, model: str, descriptor: str, baseline: str, fraction: float) -> Factor | None:
        """The data-efficiency factor at a fraction of the pool's atoms; None where the curves do not reach it."""
        a, b = self.index(model, descriptor), self.index(model, baseline)
        grid, means = self.mean_curves.grid, self.mean_curves.means
        at = fraction * self.n_pool_atoms
        if a is None or b is None or len(grid) == 0 or not grid[0] <= at <= grid[-1]:
            return None
        return factor(grid, means[a], means[b], at)

    def efficiency_range(self) -> tuple[float, float]:
        """Fractions of the pool that the drawn curves reach."""
        grid = self.mean_curves.grid
        return (grid[0] / self.n_pool_atoms, grid[-1] / self.n_pool_atoms) if len(grid) else (1.0, 0.0)


def compare(
    results: Results,
    ground: Ground,
    pruner: str,
    reader: CachedTestErrors,
    endpoint: str = FORCES,
    protocol: Protocol | None = None,
) -> Comparison | None:
    """Put together what can be compared; None where there is nothing. protocol : see ``Comparison``."""
    chosen = _chosen(results.at(ground), pruner, protocol)
    errors = [errors_of(curve, reader, endpoint) for curve in chosen]
    layouts = Counter(e.layout for e in errors if e is not None)
    if not layouts:
        return None
    layout = layouts.most_common(1)[0][0]
    usable = [(c, e) for c, e in zip(chosen, errors, strict=True) if e is not None and e.layout == layout]
    n_pool_atoms = float(np.median([c.n_pool_atoms for c, _ in usable]))
    first, last = (FIRST, LAST) if protocol is None else (protocol.first, protocol.last)
    span, covers = common_range([c.atoms for c, _ in usable], n_pool_atoms, first, last)
    if span is None:
        return None
    compared = [pair for pair, ok in zip(usable, covers, strict=True) if ok]
    numbers, arms = codes([Arm(c.model, c.arm, c.own) for c, _ in compared])
    return Comparison(
        ground=ground,
        pruner=pruner,
        arms=tuple(arms),
        curves=tuple(c for c, _ in compared),
        data=curves_of(compared, layout, span, numbers, endpoint),
        layout=layout,
        span=span,
        n_left_out=int(np.sum(~covers)),
        n_without_errors=len(chosen) - len(usable),
        n_pool_atoms=n_pool_atoms,
        protocol=protocol,
    )


def _chosen(curves: Sequence[Curve], pruner: str, protocol: Protocol | None) -> list[Curve]:
    """Curves of a pruner and of the baselines; if several blocks of a plan have the same one, the longest."""
    longest: dict[tuple[Arm, Seeds], Curve] = {}
    for c in curves:
        is_of_pruner = c.pruner == pruner and c.descriptor != NO_DESCRIPTOR
        if (is_of_pruner or c.arm in BASELINES) and (protocol is None or protocol.counts(c)):
            key = (Arm(c.model, c.arm, c.own), c.seeds)
            if key not in longest or len(longest[key].points) < len(c.points):
                longest[key] = c
    return list(longest.values())


def errors_of(curve: Curve, reader: CachedTestErrors, endpoint: str) -> TestErrors | None:
    """Errors of each point of a curve, which may come from several trials; None without those of the endpoint."""
    parts = [(part, p.number) for p in curve.points if (part := reader.read(p.trial)) is not None]
    if len(parts) < len(curve.points) or len({part.layout for part, _ in parts}) > 1:
        return None
    forces = np.array([part.forces[i] for part, i in parts])
    if endpoint == FORCES and np.isnan(forces).all():
        return None
    return TestErrors(parts[0][0].layout, forces, np.array([part.energies[i] for part, i in parts]))


def curves_of(
    compared: Sequence[tuple[Curve, TestErrors]],
    layout: Layout,
    span: Range,
    arms: NDArray[np.intp],
    endpoint: str,
) -> Curves:
    """Errors of curves on the same test structures; ``arms``: (K,), who chose; ``span``: over which atoms."""
    shape = (len(compared), max(len(curve.points) for curve, _ in compared))
    errors, weights = np.ones((*shape, len(layout.ids))), np.zeros(shape)
    for k, (curve, found) in enumerate(compared):
        n = len(curve.points)
        errors[k, :n] = found.forces if endpoint == FORCES else found.energies
        weights[k, :n] = area_weights(curve.atoms, span)
    given = ~np.isnan(errors).any(axis=(0, 1))  # structures without forces have no say
    n_atoms = np.array(layout.n_atoms, dtype=np.float64)
    splits = np.array([curve.seeds[0] for curve, _ in compared])
    return Curves(
        errors=np.where(given, errors, 0.0),
        point_weights=weights,
        structure_weights=np.where(given, n_atoms if endpoint == FORCES else 1.0, 0.0),
        blocks=codes(layout.blocks)[0],
        arms=arms,
        seeds=np.unique(splits, return_inverse=True)[1].astype(np.intp),
    )
