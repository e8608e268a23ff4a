"""What a comparison over half-pools answers: plain values that a report prints and nothing computes again.

Ratios are of errors, one to the other: 1 is equal, below 1 is better. Where nothing is known, numbers are NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

BETTER, WORSE, EQUIVALENT = "better", "worse", "equivalent"
NOT_DECIDED, NOT_ASKED = "not decided", "not asked"
VERDICTS = (BETTER, WORSE, EQUIVALENT, NOT_DECIDED, NOT_ASKED)
ALL = "all"
"""In place of an element: all elements together."""
WHOLE, DFT = "whole half-pool", "DFT"
"""What properties are compared with: the potential trained on the whole half-pool, or the reference."""


@dataclass(frozen=True)
class Estimate:
    """A ratio of errors with its intervals.

    low, high: at 95 %. low90, high90: at 90 %, for equivalence. freedom: degrees of freedom. repetitions: whole ones
    that it is made of. smallest_visible: ratio above 1 that a study with this error would have shown in 80 % of cases.
    """

    label: str
    ratio: float
    low: float
    high: float
    low90: float
    high90: float
    freedom: float
    repetitions: int
    smallest_visible: float


@dataclass(frozen=True)
class AssignmentRank:
    """Place of the own assignment of descriptors to models, the lowest error first, among all that there are.

    two_p: two-sided, at most 1.
    """

    rank: int
    of: int
    two_p: float


@dataclass(frozen=True)
class Answer:
    """The answer to one question for one pruner.

    letter: a to e, as in the protocol. endpoint: forces or energies. against: others, or a baseline. verdict: one of
    ``VERDICTS``. together: elements as fixed; as_units: elements as a sample of elements. elements: by name.
    models: (model, element or ``ALL``, estimate), described and not judged. mixed: of the mixed model, a check.
    note: what is missing, or why it was not asked.
    """

    letter: str
    question: str
    pruner: str
    endpoint: str
    against: str
    verdict: str
    sentence: str
    together: Estimate | None = None
    as_units: Estimate | None = None
    elements: tuple[tuple[str, Estimate], ...] = ()
    models: tuple[tuple[str, str, Estimate], ...] = ()
    assignment_rank: AssignmentRank | None = None
    mixed: Estimate | None = None
    note: str = ""


@dataclass(frozen=True)
class StratumEffect:
    """A pruner against a baseline in one stratum. p_holm: corrected for all strata and elements of the question."""

    pruner: str
    element: str
    stratum: str
    against: str
    endpoint: str
    estimate: Estimate
    p_holm: float


@dataclass(frozen=True)
class HowSmall:
    """The smallest budget whose error is within 10 % of the whole half-pool's.

    fraction: of the half-pool's atoms, the median over half-pools; None: no budget below the whole serves. low, high:
    the least over half-pools, and the 90th percentile ("a bad day"). limited_by: what needs the most, such as a
    stratum. saturated: the baseline's curve hardly falls, so that no efficiency can be told.
    """

    model: str
    element: str
    endpoint: str
    pruner: str
    descriptor: str
    fraction: float | None
    low: float
    high: float
    kept_structures: float
    kept_atoms: float
    limited_by: str
    saturated: bool


@dataclass(frozen=True)
class CurvePoint:
    """The error at one budget by that of the whole half-pool: geometric mean and 95 % interval over half-pools."""

    model: str
    element: str
    pruner: str
    descriptor: str
    endpoint: str
    fraction: float
    ratio_to_whole: float
    low: float
    high: float


@dataclass(frozen=True)
class PropertyEffect:
    """A property's signed difference over n half-pools, in ``unit``. to: ``WHOLE`` or ``DFT``. budget: a fraction."""

    model: str
    element: str
    property: str
    unit: str
    arm: str
    budget: float
    to: str
    median: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class MdEffect:
    """Medians over n half-pools of where a potential failed. compression: volume by the volume at rest.

    A run that did not fail counts with the end of its range; censored: the part of runs that did not.
    """

    model: str
    element: str
    arm: str
    budget: float
    failure_temperature_K: float  # noqa: N815 # the unit
    compression: float
    censored: float
    n: int


@dataclass(frozen=True)
class Answers:
    """All of a comparison. deviations: from the protocol, a sentence each. counts: trials and repetitions, by name."""

    answers: tuple[Answer, ...] = ()
    strata: tuple[StratumEffect, ...] = ()
    how_small: tuple[HowSmall, ...] = ()
    curves: tuple[CurvePoint, ...] = ()
    properties: tuple[PropertyEffect, ...] = ()
    md: tuple[MdEffect, ...] = ()
    deviations: tuple[str, ...] = ()
    counts: Mapping[str, int] | None = None
