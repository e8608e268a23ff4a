"""The material of all sections of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from tamis.analysis.arms import MODELS, Curve, Ground, Point, Results, in_order
from tamis.analysis.candidates import USUAL, Candidate, weigh
from tamis.analysis.comparison import Comparison, compare
from tamis.analysis.coverage import KeptSets
from tamis.analysis.endpoint import ENERGIES
from tamis.analysis.judgement import Answer, answers
from tamis.analysis.pairs import Pair, pairs_at
from tamis.analysis.protocol import Protocol
from tamis.analysis.test_errors import CachedTestErrors
from tamis.core.errors import TamisError
from tamis.report.links import Links

LONGEST_NAME = 80
"""Letters of a file's name: file systems take 255 bytes, and a letter may have four."""
TARGET = 0.1
"""Fraction of the pool's atoms at which single budgets are looked at: the nearest one that there is is taken."""
ALIKE = 0.15
"""Fractions whose logs differ by less come from one budget."""
MOST_ON_TOP = 3
"""A search has many settings."""
NEAR = 2.0
"""A point further than this factor from the target says nothing about it."""


@dataclass(frozen=True, eq=False)
class Context:
    """results: all trials. links: to MLflow. protocol: what is judged; None: nothing is.

    forces, energies: the comparison of the first pruner on each ground, by either error. others: of the other
    pruners, by forces. pairs: any two ways of choosing. answers: to the protocol's questions. kept_sets: what is known
    of these. candidates: sets beside the whole pool of their ground; a ground without a potential of its whole pool has
    none.
    """

    results: Results
    links: Links
    protocol: Protocol | None
    forces: Mapping[Ground, Comparison]
    energies: Mapping[Ground, Comparison]
    others: Mapping[tuple[Ground, str], Comparison]
    pairs: Sequence[Pair]
    answers: Sequence[Answer]
    kept_sets: KeptSets
    candidates: Mapping[Ground, Sequence[Candidate]]

    def models(self, ground: Ground) -> list[str]:
        """Models that were trained on a ground."""
        return in_order([curve.model for curve in self.results.at(ground)], MODELS)

    def on_top(self) -> list[Ground]:
        """Grounds without a potential of the whole pool whose learning curves the report begins with."""
        return [ground for ground in self.forces if ground not in self.candidates][:MOST_ON_TOP]

    def arms(self) -> list[str]:
        """All arms, for looks that are the same everywhere."""
        return sorted({curve.arm for curve in self.results.curves})


def context_of(results: Results, links: Links, protocol: Protocol | None, kept_sets: KeptSets) -> Context:
    """Make all comparisons, and answer the questions of the protocol."""
    reader = CachedTestErrors()
    forces, energies, others = {}, {}, {}
    for ground in results.grounds:
        for pruner in results.pruners(ground, protocol.pruner if protocol else ""):
            found = compare(results, ground, pruner, reader)
            if found is not None and ground in forces:
                others[ground, pruner] = found
            elif found is not None:
                forces[ground] = found
                if (also := compare(results, ground, pruner, reader, ENERGIES)) is not None:
                    energies[ground] = also
    given = answers(protocol, results, reader) if protocol else []
    pairs = [pair for ground in results.grounds for pair in pairs_at(results, ground, reader)]
    candidates = {ground: some for ground in results.grounds if (some := _candidates(results, ground))}
    return Context(results, links, protocol, forces, energies, others, pairs, given, kept_sets, candidates)


def _candidates(results: Results, ground: Ground) -> list[Candidate]:
    try:
        return weigh([p for curve in results.at(ground) for p in curve.points], USUAL)
    except TamisError:  # no trial of the whole pool, or no validation errors
        return []


def target_of(curves: Sequence[Curve]) -> float | None:
    """The fraction of the pool nearest to the target (in log) among those that occur; None without points.

    A budget is used up to the last whole structure, so curves differ a little: the median of those nearby counts.
    """
    fractions = np.array([p.fraction for c in curves for p in c.points])
    if len(fractions) == 0:
        return None
    off = np.abs(np.log(fractions / TARGET))
    nearby = np.abs(np.log(fractions / fractions[off.argmin()])) < ALIKE
    return float(np.median(fractions[nearby]))


def at_target(curve: Curve, fraction: float) -> Point | None:
    """The curve's point nearest to a fraction; None where none is near."""
    off, nearest = min((abs(np.log(p.fraction / fraction)), i) for i, p in enumerate(curve.points))
    return curve.points[nearest] if off <= np.log(NEAR) else None


def file_name(*parts: str) -> str:
    """The file name of a table or figure: letters, digits and dashes."""
    text = "-".join(part for part in parts if part)
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")[:LONGEST_NAME]
