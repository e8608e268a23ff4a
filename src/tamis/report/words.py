"""Verdicts in plain words, and numbers as they are printed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from tamis.analysis.arms import BASELINES
from tamis.analysis.averages import alike, size_words
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import FEWEST_BLOCKS, FEWEST_SEEDS, Effect
from tamis.analysis.efficiency import Factor
from tamis.analysis.endpoint import FIRST, LAST
from tamis.analysis.hypothesis import ALPHA, BETTER, NOT_SHOWN, UNDECIDABLE, WORSE

NOTHING = ""
ROUNDING = 1e-6
"""Of an interval's end that is an end of the curve."""


def number(value: float | None, digits: int = 3) -> str:
    """Significant digits; empty for None and NaN."""
    return NOTHING if value is None or math.isnan(value) else f"{value:.{digits}g}"


def p_value(p: float) -> str:
    """Two digits, and no more zeros than anyone believes."""
    return NOTHING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def ratio(effect: Effect | None) -> str:
    """Ratio of errors with its interval."""
    if effect is None or math.isnan(effect.estimate):
        return NOTHING
    if not effect.enough:
        return f"{effect.ratio:.2f}"
    low, high = effect.ratio_interval
    return f"{effect.ratio:.2f} ({low:.2f} to {high:.2f})"


def tone(effect: Effect | None) -> str:
    """Good where the interval is below 1, bad where it is above."""
    if effect is None or not effect.enough:
        return ""
    return "good" if effect.high < 0 else "bad" if effect.low > 0 else ""


def factor_words(factor: Factor | None, with_interval: bool) -> str:
    """``1.8 (1.2 to 2.6)``; bounds where the baseline's curve ends before."""
    if factor is None:
        return NOTHING
    sign = {"more": "≥ ", "less": "≤ ", "": ""}[factor.beyond]
    first, last = factor.reach
    below = "≤ " if factor.low <= first * (1.0 + ROUNDING) else ""
    above = "≥ " if factor.high >= last * (1.0 - ROUNDING) else ""
    between = f" ({below}{factor.low:.2g} to {above}{factor.high:.2g})" if with_interval else ""
    return f"{sign}{factor.value:.2g}{between}"


def percent(effect: Effect) -> str:
    """``5 % lower (95 % interval: 12 % lower to 3 % higher)``."""
    return f"{_signed(effect.ratio)} (95 % interval: {interval(effect)})"


def interval(effect: Effect) -> str:
    """``12 % lower to 3 % higher``."""
    low, high = (_signed(value) for value in effect.ratio_interval)
    return f"{low} to {high}"


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
    """What the compared sets have in common: as many atoms, or a budget that left them with other numbers of atoms."""
    if alike(comparison.sizes):
        return "sets of as many atoms"
    return f"sets of the same budget, which has them differ in atoms ({size_words(comparison.sizes)}),"


def verdict_words(comparison: Comparison, p: float) -> str:
    """The answer to the question of tamis on one data set, in two or three sentences.

    p : of the verdict, corrected for the number of data sets (``corrected_verdicts``).
    """
    verdict, name = comparison.verdict, comparison.ground.name
    if verdict.outcome == UNDECIDABLE or verdict.pooled is None:
        return (
            f"{name}: whether a model's own descriptor prunes best cannot be decided. "
            f"{' '.join(reasons(comparison))}"
        )
    pooled, assigned = verdict.pooled, verdict.assignment
    models = ", ".join(model for model in comparison.models if model in verdict.by_model)
    figures = (
        f"Averaged over {models}, test force errors are {percent(pooled)} with sets chosen by the own descriptor "
        f"than with {sets_words(comparison)} chosen by the others, over {count(pooled.n_seeds, 'split')}"
    )
    rank = NOTHING
    if assigned is not None:
        rank = (
            f"; of all {assigned.n} ways to assign descriptors to models {100 * assigned.p:.0f} % do as well "
            "as this one or better"
        )
    heads = {
        BETTER: "training sets pruned with a model's own descriptor are better for it.",
        WORSE: "training sets pruned with a model's own descriptor are worse for it.",
        NOT_SHOWN: "no difference between the own descriptor and the others is shown.",
    }
    tail = ""
    if verdict.outcome == NOT_SHOWN:
        tail = " Mean effects outside of this interval are excluded."
        if pooled.p <= ALPHA:
            tail = (
                " These sets do differ in the mean, but no more than descriptors assigned to models at random "
                "would: it is "
                "no effect of being the own one."
            )
    head = heads[verdict.outcome]
    if verdict.outcome in (BETTER, WORSE) and p > ALPHA:
        head = "no difference between the own descriptor and the others is shown, though it is near."
        tail = (
            f" Had this been the only data set, it would count as {verdict.outcome} (p {verdict.p:.2g}); corrected for "
            f"the number of data sets it does not (p {p:.2g}, Holm)."
        )
    return f"{name}: {head} {figures}{rank}.{tail}"


def random_words(comparison: Comparison) -> Iterator[str]:
    """What pruning with the own descriptor is worth against the baselines: secondary, one sentence each."""
    for baseline in BASELINES:
        models, effect = comparison.own_effect(baseline)
        if effect is None or not effect.enough:
            continue
        shown = "is shown" if effect.low > 0 or effect.high < 0 else "is not shown"
        yield (
            f"{comparison.ground.name}, secondary: a difference between sets chosen by the own descriptor and "
            f"{sets_words(comparison)} chosen by {baseline} {shown}. Errors of {', '.join(models)} are "
            f"{percent(effect)} in the mean, over {count(effect.n_seeds, 'split')}; not corrected for the "
            "number of such questions."
        )


def reasons(comparison: Comparison) -> Iterator[str]:
    """Why nothing can be concluded."""
    verdict = comparison.verdict
    if not verdict.by_model:
        yield "No model was trained both on sets of its own descriptor and on sets of others."
        return
    pooled = verdict.pooled
    if pooled is None or pooled.n_seeds == 0:
        yield "No split has all descriptors of all models: the study is unfinished."
    elif pooled.n_seeds < FEWEST_SEEDS:
        yield f"Splits that have all trials: {pooled.n_seeds}; at least {FEWEST_SEEDS} are needed."
    if comparison.n_blocks < FEWEST_BLOCKS:
        yield f"The test set counts as {comparison.n_blocks:.1f} independent blocks."
    assigned = verdict.assignment
    if assigned is None:
        yield "The models have no descriptors in common, or only one model has an own one."
    elif assigned.smallest > ALPHA / 2:
        yield (
            f"With {len(verdict.by_model)} models there are {assigned.n} assignments of descriptors to models, "
            "too few to "
            "tell an own descriptor from one that happens to be good."
        )


def count(n: int, noun: str) -> str:
    """``1 split``, ``2 splits``."""
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def caveats(comparison: Comparison) -> Iterator[str]:
    """What a reader has to know about the numbers of one data set."""
    if not comparison.is_planned:
        yield (
            f"The comparison is {span_words(comparison)}, not from {100 * FIRST:.0f} to {100 * LAST:.0f} % as "
            "planned."
        )
    if comparison.ground.data.startswith("sw_silicon"):
        yield "sw_silicon is a classical toy: good for a demonstration, never for a verdict."
    yield (
        f"The test set counts as {comparison.n_blocks:.1f} independent blocks of "
        f"{max(comparison.data.blocks) + 1}: most of the "
        "error is in few of them, and intervals are as wide as that makes them."
    )
    if comparison.n_left_out:
        yield f"{comparison.n_left_out} unfinished curves are left out."
    if comparison.n_without_errors:
        yield f"{comparison.n_without_errors} curves have no usable test_errors.csv and are left out."
    seeds = {m: int(e.n_seeds) for m, e in comparison.verdict.by_model.items()}
    if len(set(seeds.values())) > 1:
        yield f"Models have different numbers of splits: {', '.join(f'{m} {n}' for m, n in seeds.items())}."
