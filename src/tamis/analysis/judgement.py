"""The answers to the questions of a protocol."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from tamis.analysis.arms import BASELINES, Ground, Results
from tamis.analysis.comparison import Comparison, compare
from tamis.analysis.contrasts import Effect, holm
from tamis.analysis.hypothesis import BETTER, EQUIVALENT, NOT_ASKED, UNDECIDABLE, WORSE, outcome_of
from tamis.analysis.protocol import HOLM, OTHERS, Protocol, Question
from tamis.analysis.test_errors import CachedTestErrors


@dataclass(frozen=True, eq=False)
class Answer:
    """To one question on one data set.

    data: its name. comparison: None where the data set has no trials, or too many kinds of them. effect: own against
    the others or the baseline, over the models that are judged. p_alone, p: of the answer, as if this were the only
    data set, and corrected. missing: arms of the protocol without a finished curve. outcome: see ``hypothesis``.
    """

    question: Question
    data: str
    comparison: Comparison | None
    effect: Effect | None
    p_alone: float
    p: float
    missing: Sequence[str]
    outcome: str


def judged_grounds(protocol: Protocol, results: Results) -> Mapping[int, list[Ground]]:
    """Number of each data set of the protocol -> grounds on which its trials stand: one, if all is as it should be."""
    found: dict[int, set[Ground]] = defaultdict(set)
    for curve in results.curves:
        place = protocol.place(curve.trial)
        if place is not None and curve.arm not in BASELINES and protocol.counts(curve):
            found[place].add(curve.ground)
    return {place: sorted(grounds) for place, grounds in found.items()}


def answers(protocol: Protocol, results: Results, reader: CachedTestErrors) -> list[Answer]:
    """All answers, question by question; the correction counts the data sets of the protocol, whichever were found."""
    grounds = judged_grounds(protocol, results)

    @cache
    def compared(place: int, endpoint: str) -> Comparison | None:
        found = grounds.get(place, ())
        return (
            compare(results, found[0], protocol.pruner, reader, endpoint, protocol)
            if len(found) == 1
            else None
        )

    given: list[Answer] = []
    is_open = True
    for question in protocol.asked:
        now = [
            _alone(protocol, question, i, grounds.get(i, ()), compared(i, question.endpoint))
            for i in range(len(protocol.data))
        ]
        if protocol.correction == HOLM:
            now = [replace(a, p=p) for a, p in zip(now, holm([a.p for a in now]), strict=True)]
        now = [replace(a, outcome=_outcome(protocol, a) if is_open else NOT_ASKED) for a in now]
        is_open = is_open and all(answer.outcome in (BETTER, WORSE, EQUIVALENT) for answer in now)
        given += now
    return given


def _alone(
    protocol: Protocol,
    question: Question,
    place: int,
    grounds: Sequence[Ground],
    comparison: Comparison | None,
) -> Answer:
    """The answer on one data set, as if it were the only one."""
    data = protocol.name(place)
    if comparison is None:
        several = f"one kind of trials, as these differ: {'; '.join(ground.name for ground in grounds)}"
        missing = several if len(grounds) > 1 else "all trials"
        return Answer(question, data, None, None, np.nan, np.nan, (missing,), UNDECIDABLE)
    wanted = [(m, d) for m in protocol.models for d in protocol.descriptors]
    effect, p = comparison.verdict.pooled, comparison.verdict.p
    if question.against != OTHERS:
        wanted = [(m, question.against) for m in protocol.models]
        effect = comparison.own_effect(question.against)[1]
        p = effect.p if effect is not None and effect.enough else np.nan
    missing_arms = tuple(f"{m} with {d}" for m, d in wanted if comparison.index(m, d) is None)
    p = np.nan if missing_arms else p
    return Answer(question, data, comparison, effect, p, p, missing_arms, UNDECIDABLE)


def _outcome(protocol: Protocol, answer: Answer) -> str:
    effect = None if answer.missing else answer.effect
    return outcome_of(effect, answer.p, protocol.alpha, protocol.margin)
