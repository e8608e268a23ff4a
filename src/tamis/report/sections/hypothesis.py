"""Own against others, model by model: description; what is judged stands in the verdict."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import Effect
from tamis.report.context import Context, file_name
from tamis.report.document import Paragraph, Part, Row, Section, Table
from tamis.report.numbers import number, p_value
from tamis.report.words import ratio

METHOD = (
    "Differences of areas are mean log ratios of errors, paired by split. Intervals (95 %): splits and blocks of test "
    "structures (trajectories, strain modes) are drawn again, independently of each other (crossed bootstrap, 1000 "
    "draws), with as many degrees of freedom as the smaller of the two has. Splits are of one pool and are judged on "
    "one test set: what they say is about this pool. Single models are described, not judged."
)
TWO_QUESTIONS = (
    "'Better' needs two answers. First, whether the own sets give lower errors than the mean of the others, on this "
    "data. Second, whether it is being the own one that matters: some descriptor is always the best of a row, and with "
    "enough splits that is beyond chance, whichever it is. So the own assignment is ranked among all assignments of "
    "descriptors to models, in the matrix without its row and column means."
)


def section(context: Context) -> Section:
    """Own against the mean of the others, and against each."""
    tables = [part for c in context.forces.values() if c.verdict.by_model for part in _ground(c)]
    about: list[Part] = [Paragraph(METHOD), *([Paragraph(TWO_QUESTIONS)] if context.protocol else [])]
    return Section("Own against others", [*about, *tables] if tables else [])


def _ground(comparison: Comparison) -> Iterator[Table]:
    name, verdict = comparison.ground.name, comparison.verdict
    rows = [_row(comparison, model, effect) for model, effect in verdict.by_model.items()]
    if verdict.pooled is not None:
        rows.append(["all", "", ratio(verdict.pooled), "", str(verdict.pooled.n_seeds)])
    yield Table(
        name=file_name("hypothesis", name, comparison.pruner),
        title=f"{name}: the own descriptor against the mean of the others",
        columns=["model", "own", "ratio of errors", "rank", "splits"],
        rows=rows,
        notes=f"Rank of the own descriptor among all; 1 is best. {_assignment(comparison)}",
    )
    yield Table(
        name=file_name("own-against-each", name, comparison.pruner),
        title=f"{name}: the own descriptor against each other one",
        columns=["model", "own", "other", "ratio of errors", "splits"],
        rows=[
            [arm.model, arm.descriptor, other, ratio(effect), str(effect.n_seeds)]
            for arm in comparison.arms
            if arm.own
            for other in comparison.descriptors
            if other != arm.descriptor
            and (effect := comparison.effect(arm.model, arm.descriptor, other)) is not None
        ],
        folded=True,
    )


def _row(comparison: Comparison, model: str, effect: Effect) -> Row:
    arms = [arm for arm in comparison.arms if arm.model == model and arm.descriptor in comparison.descriptors]
    own = next(arm.descriptor for arm in arms if arm.own)
    others = [comparison.effect(model, own, a.descriptor) for a in arms if not a.own]
    better = sum(1 for e in others if e is not None and e.estimate > 0)
    return [model, own, ratio(effect), f"{better + 1} of {len(arms)}", str(effect.n_seeds)]


def _assignment(comparison: Comparison) -> str:
    assigned = comparison.verdict.assignment
    if assigned is None:
        return "Being the own one cannot be ranked: too few models and descriptors have all trials."
    return (
        f"Being the own one: rank {round(assigned.p * assigned.n)} of {assigned.n} assignments (p "
        f"{p_value(assigned.p)}, one-sided; the lowest possible is {number(assigned.smallest, 2)}), mean ratio "
        f"{np.exp(assigned.estimate):.3f} after row and column means."
    )
