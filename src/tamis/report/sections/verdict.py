"""The answer first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tamis.analysis.comparison import corrected_verdicts
from tamis.analysis.contrasts import mean_effect
from tamis.analysis.trials import UNREADABLE
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, SKIPPED, STOPPED
from tamis.report.context import Context
from tamis.report.document import Paragraph, Section
from tamis.report.words import caveats, count, random_words, verdict_words

QUESTION = (
    "The question: is a training set that was pruned with a model's own descriptor better for that model than "
    "one that was "
    "pruned with another's? Primary endpoint, fixed beforehand: the area under log(test force MAE) over "
    "log(atoms kept), from 3 % to "
    "50 % of the pool; everything else in this report is secondary."
)


def section(context: Context) -> Section:
    """Verdicts, with what they rest on."""
    return Section("The verdict", list(_parts(context)))


def _parts(context: Context) -> Iterator[Paragraph]:
    counts = Counter(trial.status for trial in context.study.trials)
    present = [
        f"{counts[s]} {s}"
        for s in (COMPLETE, FAILED, INTERRUPTED, SKIPPED, STOPPED, RUNNING, UNREADABLE)
        if counts[s]
    ]
    n_points = sum(len(trial.points) for trial in context.study.trials)
    yield Paragraph(QUESTION)
    yield Paragraph(f"Trials: {', '.join(present)}. Retrained potentials: {n_points}.")
    if counts[RUNNING]:
        yield Paragraph(
            f"{count(counts[RUNNING], 'trial')} without an end, running or killed: this is a report of an unfinished "
            "study.",
            strong=True,
        )
    if not context.primary:
        yield Paragraph(
            "Nothing can be compared: that takes complete trials with descriptors, and a test set.",
            strong=True,
        )
    p = corrected_verdicts(list(context.primary.values()))
    for comparison in context.primary.values():
        about = "" if comparison.ground.is_primary else "Secondary: "
        yield Paragraph(
            f"{about}{verdict_words(comparison, p[comparison.ground])}", strong=comparison.ground.is_primary
        )
        yield from map(Paragraph, random_words(comparison))
        yield Paragraph(f"{comparison.ground.name}: {' '.join(caveats(comparison))}")
    yield Paragraph(_elements(context))


def _elements(context: Context) -> str:
    """What can be said across elements, where the element is the unit."""
    by_element: dict[str, float] = {}
    for ground, comparison in context.primary.items():
        element, pooled = comparison.curves[0].source[0][0].element, comparison.verdict.pooled
        is_toy = ground.data.startswith("sw_silicon")
        if pooled is not None and pooled.enough and ground.is_primary and not is_toy:
            by_element[element] = pooled.estimate
    n = len(by_element)
    names = ", ".join(by_element) or "none"
    if n < 3:
        return (
            f"Elements with an interval: {n} ({names}). The element is the unit of any statement about "
            "materials in general, "
            "so there is none here."
        )
    effect = mean_effect(list(by_element.values()))
    low, high = effect.ratio_interval
    return (
        f"Over {n} elements ({names}), as units: ratio of errors, own to others, {effect.ratio:.2f} ({low:.2f} "
        f"to {high:.2f}). "
        "They are not a random sample of materials."
    )
