"""One pruner on one ground, all models and descriptors: areas, effects and verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
    Study,
    in_order,
)
from tamis.analysis.contrasts import Effect, contrast, holm
from tamis.analysis.efficiency import Factor, factor
from tamis.analysis.endpoint import Range, area_weights, common_range
from tamis.analysis.hypothesis import Arm, Verdict, judge
from tamis.analysis.mean_curves import MeanCurves, mean_curves
from tamis.analysis.resampling import (
    Curves,
    cells,
    codes,
    draw_counts,
)
from tamis.analysis.test_errors import Layout, Reader, TestErrors

Array = NDArray[np.float64]

N_DRAWS = 1000
"""Draws of the bootstrap."""
FORCES, ENERGIES = "force", "energy"


@dataclass(frozen=True, eq=False)
class Comparison:
    """Curves of one ground and pruner that can be compared, and what they were compared by.

    arms: who chose for which model, baselines included (their descriptor is the pruner's name).
    curves, data: the learning curves, and their errors by test structure. span: atoms of the area. n_left_out: curves
    that are unfinished; n_without_errors: curves without a usable test_errors.csv. n_pool_atoms: of the pool.
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
        """Whether the area is the one that was fixed beforehand."""
        return self.span.is_planned(self.n_pool_atoms)

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
        found = [i for i, a in enumerate(self.arms) if (a.model, a.descriptor) == (model, descriptor)]
        return found[0] if found else None

    def effect(self, model: str, descriptor: str, baseline: str) -> Effect | None:
        """One arm against a baseline (or another descriptor), same model."""
        a, b = self.index(model, descriptor), self.index(model, baseline)
        if a is None or b is None:
            return None
        weights = np.zeros(len(self.arms))
        weights[a] += 1.0
        weights[b] -= 1.0
        values, seeds = self._draws
        return contrast(values, weights, seeds, self.n_blocks)

    def own_effect(self, baseline: str) -> tuple[list[str], Effect | None]:
        """The own descriptor against a baseline, mean over the models that have both; which models these are."""
        weights, models = np.zeros(len(self.arms)), []
        for a, arm in enumerate(self.arms):
            b = self.index(arm.model, baseline)
            if arm.own and b is not None:
                weights[[a, b]] += (1.0, -1.0)
                models.append(arm.model)
        if not models:
            return [], None
        values, seeds = self._draws
        return in_order(models, MODELS), contrast(values, weights / len(models), seeds, self.n_blocks)

    @cached_property
    def verdict(self) -> Verdict:
        """The hypothesis on this ground."""
        values, seeds = self._draws
        chosen = [i for i, arm in enumerate(self.arms) if arm.descriptor not in BASELINES]
        arms = [self.arms[i] for i in chosen]
        return judge(values[chosen], arms, seeds, self.n_blocks, np.random.default_rng(1))

    @cached_property
    def mean_curves(self) -> MeanCurves:
        """Of each arm, on the sizes that all curves have."""
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


def corrected(comparisons: Sequence[Comparison]) -> Mapping[object, float]:
    """(ground, model) -> p of own against others, after Holm over all models of all primary grounds.

    Each other ground is a family of its own: what is secondary makes the primary question no harder.
    """
    families = [[c for c in comparisons if c.ground.is_primary]]
    families += [[c] for c in comparisons if not c.ground.is_primary]
    found: dict[object, float] = {}
    for family in families:
        found |= holm(
            {(c.ground, model): e.p for c in family for model, e in c.verdict.by_model.items() if e.enough}
        )
    return found


def corrected_verdicts(comparisons: Sequence[Comparison]) -> Mapping[object, float]:
    """p of the verdict of each ground, after Holm over the primary ones: the question is asked once for each."""
    alone: dict[object, float] = {c.ground: c.verdict.p for c in comparisons}
    return {**alone, **holm({c.ground: c.verdict.p for c in comparisons if c.ground.is_primary})}


def compare(
    study: Study, ground: Ground, pruner: str, reader: Reader, quantity: str = FORCES
) -> Comparison | None:
    """Put together what can be compared; None where there is nothing."""
    chosen = [c for c in study.at(ground) if c.pruner == pruner or c.arm in BASELINES]
    chosen = [c for c in chosen if c.descriptor != NO_DESCRIPTOR or c.arm in BASELINES]
    if not chosen:
        return None
    errors = [_errors(curve, reader) for curve in chosen]
    layouts = Counter(e.layout for e in errors if e is not None)
    if not layouts:
        return None
    layout = layouts.most_common(1)[0][0]
    usable = [(c, e) for c, e in zip(chosen, errors, strict=True) if e is not None and e.layout == layout]
    n_pool_atoms = float(np.median([c.n_pool_atoms for c, _ in usable]))
    span, covers = common_range([c.atoms for c, _ in usable], n_pool_atoms)
    if span is None:
        return None
    compared = [pair for pair, ok in zip(usable, covers, strict=True) if ok]
    numbers, arms = codes([Arm(c.model, c.arm, c.own) for c, _ in compared])
    return Comparison(
        ground=ground,
        pruner=pruner,
        arms=tuple(arms),
        curves=tuple(c for c, _ in compared),
        data=_curves(compared, layout, span, numbers, quantity),
        layout=layout,
        span=span,
        n_left_out=int(np.sum(~covers)),
        n_without_errors=len(chosen) - len(usable),
        n_pool_atoms=n_pool_atoms,
    )


def _errors(curve: Curve, reader: Reader) -> TestErrors | None:
    """Errors of each point of a curve, which may come from several trials."""
    read = {id(trial): reader.read(trial) for trial, _ in curve.source}
    parts = [(read[id(trial)], i) for trial, i in curve.source]
    layouts = {part.layout if part else None for part, _ in parts}
    if None in layouts or len(layouts) != 1:
        return None
    found = [(part, i) for part, i in parts if part is not None]
    return TestErrors(
        found[0][0].layout,
        np.array([part.forces[i] for part, i in found]),
        np.array([part.energies[i] for part, i in found]),
    )


def _curves(
    compared: Sequence[tuple[Curve, TestErrors]],
    layout: Layout,
    span: Range,
    arms: NDArray[np.intp],
    quantity: str,
) -> Curves:
    shape = (len(compared), max(len(curve.points) for curve, _ in compared))
    errors, weights = np.ones((*shape, len(layout.ids))), np.zeros(shape)
    for k, (curve, found) in enumerate(compared):
        n = len(curve.points)
        errors[k, :n] = found.forces if quantity == FORCES else found.energies
        weights[k, :n] = area_weights(curve.atoms, span)
    n_atoms = np.array(layout.n_atoms, dtype=np.float64)
    splits = np.array([curve.seeds[0] for curve, _ in compared])
    return Curves(
        errors=errors,
        point_weights=weights,
        structure_weights=n_atoms if quantity == FORCES else np.ones(len(n_atoms)),
        blocks=codes(layout.blocks)[0],
        arms=arms,
        seeds=np.unique(splits, return_inverse=True)[1].astype(np.intp),
    )
