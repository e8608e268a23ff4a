"""What all sections of a report are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from tamis.analysis.arms import Curve, Ground, Study
from tamis.analysis.comparison import ENERGIES, Comparison, compare
from tamis.analysis.kept_sets import KeptSets
from tamis.analysis.test_errors import Reader
from tamis.analysis.trials import Metrics
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
    """study: all trials. links: to MLflow. primary: the comparison of the first pruner on each ground.

    energies: the same for energy errors. secondary: of the other pruners. kept_sets: what is known of these.
    """

    study: Study
    links: Links
    primary: Mapping[Ground, Comparison]
    energies: Mapping[Ground, Comparison]
    secondary: Mapping[tuple[Ground, str], Comparison]
    kept_sets: KeptSets

    def colours(self) -> list[str]:
        """All arms, for colours that are the same everywhere."""
        return sorted({curve.arm for curve in self.study.curves})


def context_of(study: Study, links: Links, kept_sets: KeptSets) -> Context:
    """Make all comparisons."""
    reader = Reader()
    primary, energies, secondary = {}, {}, {}
    for ground in study.grounds:
        pruners = study.pruners(ground)
        for pruner in pruners:
            found = compare(study, ground, pruner, reader)
            if found is not None and ground not in primary:
                primary[ground] = found
                also = compare(study, ground, pruner, reader, ENERGIES)
                if also is not None:
                    energies[ground] = also
            elif found is not None:
                secondary[ground, pruner] = found
    return Context(study, links, primary, energies, secondary, kept_sets)


def target_of(curves: list[Curve]) -> float | None:
    """The fraction of the pool nearest to the target (in log) among those that occur; None without points.

    A budget is used up to the last whole structure, so curves differ a little: the median of those nearby counts.
    """
    fractions = np.array([p["kept/fraction_of_atoms"] for c in curves for p in c.points])
    if len(fractions) == 0:
        return None
    off = np.abs(np.log(fractions / TARGET))
    nearby = np.abs(np.log(fractions / fractions[off.argmin()])) < ALIKE
    return float(np.median(fractions[nearby]))


def at_target(curve: Curve, fraction: float) -> tuple[int, Metrics] | None:
    """Number and metrics of the curve's point nearest to a fraction; None where none is near."""
    i, point = min(
        enumerate(curve.points), key=lambda item: _apart(item[1]["kept/fraction_of_atoms"], fraction)
    )
    return (i, point) if _apart(point["kept/fraction_of_atoms"], fraction) <= NEAR else None


def _apart(a: float, b: float) -> float:
    return max(a / b, b / a)


def file_name(*parts: str) -> str:
    """Of a table or figure: letters, digits and dashes."""
    text = "-".join(part for part in parts if part)
    return "".join(letter if letter.isalnum() else "-" for letter in text.lower()).strip("-")[:LONGEST_NAME]


def by_arm(curves: list[Curve]) -> Iterator[tuple[tuple[str, str, str], list[Curve]]]:
    """(model, pruner, arm) -> curves of all seeds."""
    groups: dict[tuple[str, str, str], list[Curve]] = {}
    for curve in curves:
        groups.setdefault((curve.model, curve.pruner, curve.arm), []).append(curve)
    yield from sorted(groups.items())
