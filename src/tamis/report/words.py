"""Verdicts in plain words, and numbers as they are printed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tamis.analysis.arms import BASELINES
from tamis.analysis.averages import alike, size_words
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import FEWEST_BLOCKS, FEWEST_SEEDS, LEVEL, Effect
from tamis.analysis.hypothesis import (
    ALPHA,
    BETTER,
    EQUIVALENT,
    NOT_ASKED,
    NOT_SHOWN,
    UNDECIDABLE,
    WORSE,
    outcome_of,
)
from tamis.analysis.judgement import Answer
from tamis.analysis.mean_curves import Factor
from tamis.analysis.protocol import OTHERS, Protocol
from tamis.report.document import count

ROUNDING = 1e-6
"""Relative difference at which an interval ends where the curve does."""
OWN = "sets chosen by a model's own descriptor"


def ratio(effect: Effect | None) -> str:
    """Ratio of errors with its interval."""
    if effect is None or math.isnan(effect.estimate):
        return ""
    if not effect.enough:
        return f"{effect.ratio:.2f}"
    low, high = effect.ratio_interval()
    return f"{effect.ratio:.2f} ({low:.2f} to {high:.2f})"


def factor_words(factor: Factor | None, with_interval: bool) -> str:
    """``1.8 (1.2 to 2.6)``; bounds where the baseline's curve ends before."""
    if factor is None:
        return ""
    sign = {"more": "≥ ", "less": "≤ ", "": ""}[factor.beyond]
    first, last = factor.reach
    below = "≤ " if factor.low <= first * (1.0 + ROUNDING) else ""
    above = "≥ " if factor.high >= last * (1.0 - ROUNDING) else ""
    between = f" ({below}{factor.low:.2g} to {above}{factor.high:.2g})" if with_interval else ""
    return f"{sign}{factor.value:.2g}{between}"


def percent(effect: Effect, level: float = LEVEL) -> str:
    """``5 % lower (95 % interval: 12 % lower to 3 % higher)``."""
    low, high = (_signed(value) for value in effect.ratio_interval(level))
    return f"{_signed(effect.ratio)} ({100 * level:g} % interval: {low} to {high})"


def _signed(value: float) -> str:
    change = 100 * (value - 1)
    if abs(change) < 0.05:
        return "equal"
    size = f"{abs(change):.1f}" if abs(change) < 10 else f"{abs(change):.0f}"
    return f"{size} % {'lower' if change < 0 else 'higher'}"


def span_words(comparison: Comparison) -> str:
    """Between which sizes the comparison was made."""
    if comparison.span.is_point:
        return f"at one budget, {size_words(comparison.sizes)}"
    low, high = (100 * end / comparison.n_pool_atoms for end in (comparison.span.low, comparison.span.high))
    return f"from {low:.0f} to {high:.0f} % of the pool's atoms"


def sets_words(comparison: Comparison) -> str:
    """Whether the compared sets have as many atoms, or only the same budget."""
    if alike(comparison.sizes):
        return "sets of as many atoms"
    return f"sets of the same budget, which differ in atoms ({size_words(comparison.sizes)}),"


def effect_words(
    comparison: Comparison,
    effect: Effect,
    models: list[str],
    against: str,
    endpoint: str,
    level: float = LEVEL,
) -> str:
    """An effect in one sentence."""
    return (
        f"Averaged over {', '.join(models)}, test errors of {endpoint} are {percent(effect, level)} with {OWN} than "
        f"with {sets_words(comparison)} chosen by {against}, over {count(effect.n_seeds, 'split')}."
    )


def description(comparison: Comparison) -> Iterator[str]:
    """Own against others and against the baselines, without a judgement."""
    verdict, name = comparison.verdict, comparison.ground.name
    if verdict.pooled is not None and verdict.pooled.enough:
        models = [model for model in comparison.models if model in verdict.by_model]
        yield f"{name}: {effect_words(comparison, verdict.pooled, models, 'the others', 'forces')}"
    else:
        yield f"{name}: own and other descriptors cannot be compared. {' '.join(reasons(comparison))}"
    yield from baseline_words(comparison)


def baseline_words(comparison: Comparison) -> Iterator[str]:
    """The own descriptor against each baseline."""
    for baseline in BASELINES:
        models, effect = comparison.own_effect(baseline)
        if effect is not None and effect.enough:
            yield (
                f"{comparison.ground.name}, described only: "
                f"{effect_words(comparison, effect, models, baseline, 'forces')}"
            )


def answer_words(answer: Answer, protocol: Protocol) -> str:
    """The answer to a question on one data set, in two or three sentences."""
    effect, comparison, against = answer.effect, answer.comparison, answer.question.against
    others = "those chosen by the others" if against == OTHERS else f"{against} ones"
    head = {
        BETTER: f"{OWN} are better for it than {others}.",
        WORSE: f"{OWN} are worse for it than {others}.",
        EQUIVALENT: f"{OWN} are as good for it as {others}, within {100 * (protocol.margin or 0):g} %.",
        NOT_SHOWN: f"no difference between {OWN} and {others} is shown.",
        NOT_ASKED: f"whether {OWN} are better than {others} is not asked, since the question before has no answer.",
        UNDECIDABLE: f"whether {OWN} are better for it than {others} cannot be decided.",
    }[answer.outcome]
    words = [f"{answer.data}, {answer.question.endpoint}: {head}"]
    if answer.outcome == UNDECIDABLE:
        if answer.missing:
            words.append(
                f"Missing: {', '.join(answer.missing[:5])}{', ...' if len(answer.missing) > 5 else ''}."
            )
        elif comparison is not None:
            words += reasons(comparison)
    elif answer.outcome != NOT_ASKED and effect is not None and comparison is not None:
        by = "the others" if against == OTHERS else against
        words.append(
            effect_words(comparison, effect, [*protocol.models], by, answer.question.endpoint, protocol.level)
        )
        if against == OTHERS and (assigned := comparison.verdict.assignment) is not None:
            words.append(
                f"Of all {assigned.n} ways to assign descriptors to models {100 * assigned.p:.0f} % do as well as this "
                "one or better."
            )
        if answer.outcome == NOT_SHOWN:
            words.append(_nothing_shown(answer, protocol))
    return " ".join(words)


def _nothing_shown(answer: Answer, protocol: Protocol) -> str:
    alone = outcome_of(answer.effect, answer.p_alone, protocol.alpha, protocol.margin)
    if alone in (BETTER, WORSE):
        return (
            f"It is near: asked of this data set alone, the answer would be '{alone}' (p {answer.p_alone:.2g}); "
            f"corrected for the {count(len(protocol.data), 'data set')} of the protocol it is not (p {answer.p:.2g})."
        )
    if answer.effect is not None and answer.effect.p <= protocol.alpha:
        return (
            "These sets do differ in the mean, but no more than with descriptors assigned to models at random: this is "
            "no effect of being the own one."
        )
    return "Mean effects outside of this interval are excluded."


def reasons(comparison: Comparison) -> Iterator[str]:
    """Why nothing can be concluded."""
    verdict = comparison.verdict
    if not verdict.by_model:
        yield "No model was trained both on sets of its own descriptor and on sets of others."
        return
    pooled = verdict.pooled
    if pooled is None or pooled.n_seeds == 0:
        yield "No split has all descriptors of all models: the trials are not finished."
    elif pooled.n_seeds < FEWEST_SEEDS:
        yield f"Splits that have all trials: {pooled.n_seeds}; at least {FEWEST_SEEDS} are needed."
    if comparison.n_blocks < FEWEST_BLOCKS:
        yield f"The test set counts as {comparison.n_blocks:.1f} independent blocks."
    if comparison.protocol is None:
        return
    if verdict.assignment is None:
        yield "The models have no descriptors in common, or only one model has an own one."
    elif verdict.assignment.smallest > ALPHA / 2:
        yield (
            f"With {count(len(comparison.protocol.models), 'model')} there are {verdict.assignment.n} assignments of "
            "descriptors to models, too few to tell an own descriptor from one that happens to be good."
        )


def caveats(comparison: Comparison) -> Iterator[str]:
    """Notes on the numbers of one data set."""
    if comparison.protocol is not None and not comparison.is_planned:
        first, last = 100 * comparison.protocol.first, 100 * comparison.protocol.last
        yield f"The comparison is {span_words(comparison)}, not from {first:g} to {last:g} % as planned."
    else:
        yield f"The comparison is {span_words(comparison)}."
    if comparison.ground.data.startswith("sw_silicon"):
        yield "sw_silicon is a classical toy: good for a demonstration, never for a verdict."
    yield (
        f"The test set counts as {comparison.n_blocks:.1f} independent blocks of {max(comparison.data.blocks) + 1}: "
        "most of the error is in few of them, and intervals are as wide as that makes them."
    )
    if comparison.n_left_out:
        yield f"Left out as unfinished: {count(comparison.n_left_out, 'curve')}."
    if comparison.n_without_errors:
        yield f"Left out without a usable test_errors.csv: {count(comparison.n_without_errors, 'curve')}."
    seeds = {m: e.n_seeds for m, e in comparison.verdict.by_model.items()}
    if len(set(seeds.values())) > 1:
        yield f"Models have different numbers of splits: {', '.join(f'{m} {n}' for m, n in seeds.items())}."
