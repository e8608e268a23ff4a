"""The test of the hypothesis, model by model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from tamis.analysis.comparison import Comparison, corrected
from tamis.analysis.contrasts import Effect, holm
from tamis.analysis.hypothesis import ALPHA
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Section, Table
from tamis.report.words import number, p_value, ratio, tone

METHOD = (
    "Differences of areas are mean log ratios of errors, paired by split. Intervals: splits and blocks of "
    "test structures (trajectories, "
    "strain modes) are drawn again, independently of each other (crossed bootstrap, 1000 draws), with as many "
    "degrees of freedom as the "
    "smaller of the two has. Splits are of one pool and are judged on one test set: what they say is about "
    "this pool. p of single models is "
    "corrected for the number of models on all primary data sets (Holm); other splits and settings are "
    "families of their own."
)
TWO_QUESTIONS = (
    "Better needs two answers. First, whether the own sets give lower errors than the mean of the others, on "
    "this data. Second, whether it "
    "is being the own one that matters: some descriptor is always the best of a row, and with splits enough "
    "that is beyond chance, whoever "
    "it is. So the own assignment is ranked among all assignments of descriptors to models, in the matrix "
    "without its row and column means."
)


def section(context: Context) -> Section:
    """Own against the mean of the others, and against each."""
    comparisons = [c for c in context.primary.values() if c.verdict.by_model]
    if not comparisons:
        return Section("Own against others", [])
    after_holm = corrected(comparisons)
    parts: list[Part] = [Paragraph(METHOD), Paragraph(TWO_QUESTIONS)]
    for comparison in comparisons:
        parts += _ground(comparison, after_holm)
    return Section("Own against others", parts)


def _ground(comparison: Comparison, after_holm: Mapping[object, float]) -> Iterator[Part]:
    name, verdict = comparison.ground.name, comparison.verdict
    rows = [
        _row(comparison, model, effect, after_holm.get((comparison.ground, model), np.nan))
        for model, effect in verdict.by_model.items()
    ]
    if verdict.pooled is not None:
        pooled = verdict.pooled
        rows.append(
            ["all", "", Cell(ratio(pooled), tone=tone(pooled)), p_value(pooled.p), "", _seeds(pooled), ""]
        )
    yield Table(
        name=file_name("hypothesis", name, comparison.pruner),
        title=f"{name}: the own descriptor against the mean of the others",
        columns=["model", "own", "ratio of errors", "p", "rank", "splits", "in words"],
        rows=rows,
        notes=f"p after Holm; rank of the own descriptor among all, 1 is best. {_assignment(comparison)}",
    )
    yield _each(comparison)


def _row(comparison: Comparison, model: str, effect: Effect, p: float) -> list[Cell | str]:
    arms = [arm for arm in comparison.arms if arm.model == model and arm.descriptor in comparison.descriptors]
    own = next(arm.descriptor for arm in arms if arm.own)
    others = {a.descriptor: comparison.effect(model, own, a.descriptor) for a in arms if not a.own}
    better = sum(1 for e in others.values() if e is not None and e.estimate > 0)
    return [
        model,
        own,
        Cell(ratio(effect), tone=tone(effect) if p <= ALPHA else ""),
        p_value(p),
        f"{better + 1} of {len(arms)}",
        _seeds(effect),
        _words(effect, p),
    ]


def _seeds(effect: Effect) -> str:
    return str(effect.n_seeds)


def _words(effect: Effect, p: float) -> str:
    if effect.n_seeds == 0:
        return "unfinished: no split has all descriptors"
    if not effect.enough:
        return f"too little for an interval ({effect.n_seeds} splits, {effect.n_blocks:.1f} test blocks)"
    if p <= ALPHA:
        return (
            f"on this data its own sets are {'better' if effect.estimate < 0 else 'worse'} than the mean of "
            "the others"
        )
    return "no difference shown"


def _assignment(comparison: Comparison) -> str:
    assigned = comparison.verdict.assignment
    if assigned is None:
        return (
            "Whether being the own one matters cannot be asked: too few models and descriptors have all "
            "trials."
        )
    return (
        f"Being the own one: rank {round(assigned.p * assigned.n)} of {assigned.n} assignments (p "
        f"{p_value(assigned.p)}, one-sided; "
        f"the lowest possible is {number(assigned.smallest, 2)}), mean ratio {np.exp(assigned.estimate):.3f} "
        "after row and column means."
    )


def _each(comparison: Comparison) -> Table:
    """Own against each other descriptor: secondary, corrected within the data set."""
    effects = {
        (arm.model, arm.descriptor, other): e
        for arm in comparison.arms
        if arm.own
        for other in comparison.descriptors
        if other != arm.descriptor and (e := comparison.effect(arm.model, arm.descriptor, other)) is not None
    }
    p = holm({key: e.p for key, e in effects.items() if e.enough})
    return Table(
        name=file_name("own-against-each", comparison.ground.name, comparison.pruner),
        title=f"{comparison.ground.name}: the own descriptor against each other one",
        columns=["model", "own", "other", "ratio of errors", "p", "splits"],
        rows=[
            [
                *key,
                Cell(ratio(e), tone=tone(e) if p.get(key, 1.0) <= ALPHA else ""),
                p_value(p.get(key, np.nan)),
                _seeds(e),
            ]
            for key, e in effects.items()
        ],
        notes="Secondary. p after Holm over the rows of this table.",
        folded=True,
    )
