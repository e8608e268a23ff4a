"""What all sections of a report are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tamis.analysis.arms import Curve, Ground, Results
from tamis.analysis.comparison import Comparison, compare
from tamis.analysis.endpoint import ENERGIES, FORCES
from tamis.analysis.judgement import Answer, answers, judged_grounds
from tamis.analysis.kept_sets import KeptSets
from tamis.analysis.protocol import Protocol
from tamis.analysis.test_errors import Reader
from tamis.analysis.trials import Metrics
from tamis.core.metrics import FRACTION_OF_ATOMS
from tamis.report.links import Links

LONGEST_NAME = 80
"""Letters of a file's name: file systems take 255 bytes, and a letter may have four."""
TARGET = 0.1
"""Fraction of the pool's atoms at which single budgets are looked at: the nearest one that there is is taken."""
ALIKE = 0.15
"""Fractions whose logs differ by less come from one budget."""
NEAR = 2.0
"""A point further than this factor from the target says nothing about it."""


@dataclass(frozen=True, eq=False)
class Context:
    """results: all trials. links: to MLflow. protocol: what is judged; None: nothing is.

    forces, energies: the comparison of the first pruner on each ground, by either error. others: of the other
    pruners, by forces. answers: to the protocol's questions. kept_sets: what is known of these.
    """

    results: Results
    links: Links
    protocol: Protocol | None
    forces: Mapping[Ground, Comparison]
    energies: Mapping[Ground, Comparison]
    others: Mapping[tuple[Ground, str], Comparison]
    answers: Sequence[Answer]
    kept_sets: KeptSets

    def colours(self) -> list[str]:
        """All arms, for colours that are the same everywhere."""
        return sorted({curve.arm for curve in self.results.curves})


def context_of(results: Results, links: Links, protocol: Protocol | None, kept_sets: KeptSets) -> Context:
    """Make all comparisons, and answer the questions of the protocol."""
    reader = Reader()
    judged = {} if protocol is None else judged_grounds(protocol, results)
    of_one = {grounds[0] for grounds in judged.values() if len(grounds) == 1}
    found: dict[str, dict[Ground, Comparison]] = {FORCES: {}, ENERGIES: {}}
    others: dict[tuple[Ground, str], Comparison] = {}
    for ground in results.grounds:
        judges = protocol if ground in of_one else None
        for pruner in results.pruners(ground, judges.pruner if judges else ""):
            if ground in found[FORCES]:
                if (other := compare(results, ground, pruner, reader)) is not None:
                    others[ground, pruner] = other
                continue
            for endpoint, comparisons in found.items():
                if (made := compare(results, ground, pruner, reader, endpoint, judges)) is not None:
                    comparisons[ground] = made
    asked = {
        (ground, endpoint): comparison
        for endpoint, comparisons in found.items()
        for ground, comparison in comparisons.items()
        if protocol is not None and comparison.pruner == protocol.pruner
    }
    given = [] if protocol is None else answers(protocol, judged, asked)
    return Context(results, links, protocol, found[FORCES], found[ENERGIES], others, given, kept_sets)


def target_of(curves: Sequence[Curve]) -> float | None:
    """The fraction of the pool nearest to the target (in log) among those that occur; None without points.

    A budget is used up to the last whole structure, so curves differ a little: the median of those nearby counts.
    """
    fractions = np.array([p[FRACTION_OF_ATOMS] for c in curves for p in c.points])
    if len(fractions) == 0:
        return None
    off = np.abs(np.log(fractions / TARGET))
    nearby = np.abs(np.log(fractions / fractions[off.argmin()])) < ALIKE
    return float(np.median(fractions[nearby]))


def at_target(curve: Curve, fraction: float) -> tuple[int, Metrics] | None:
    """Number and metrics of the curve's point nearest to a fraction; None where none is near."""
    off = [abs(np.log(point[FRACTION_OF_ATOMS] / fraction)) for point in curve.points]
    i = int(np.argmin(off))
    return (i, curve.points[i]) if off[i] <= np.log(NEAR) else None


def file_name(*parts: str) -> str:
    """Of a table or figure: letters, digits and dashes."""
    text = "-".join(part for part in parts if part)
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")[:LONGEST_NAME]
