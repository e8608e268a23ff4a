"""Measuring properties in another process, so that one that crashes or hangs leaves the others alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from ase.calculators.calculator import Calculator

from tamis.core.errors import TamisError
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.isolate import IsolatedError, run_isolated
from tamis.evaluation.properties.base import Measured, Property, Sample
from tamis.models.base import Potential

Task = tuple[Mapping[str, Property], AnyCrystal, Potential | Calculator]


def measure_isolated(
    properties: Mapping[str, Property], crystal: AnyCrystal, maker: Potential | Calculator, limit_s: float
) -> dict[str, tuple[Measured, str]]:
    """What was found of each property, and why it is not all ("": it is).

    All are measured by one process, which makes one calculator. If it dies or takes too long, the next property starts
    a new one.

    maker : is the calculator, or makes it. limit_s : wall time for each part of a property, s.
    """
    found, problems = dict.fromkeys(properties, Measured()), dict[str, str]()
    while left := {name: one for name, one in properties.items() if name not in problems}:
        try:
            for name, part in run_isolated(_measure, (left, crystal, maker), limit_s):
                if isinstance(part, Measured):
                    found[name] = found[name].plus(part)
                else:
                    problems[name] = part
        except IsolatedError as error:
            problems[next(name for name in left if name not in problems)] = str(error)
    return {name: (found[name], problems[name] or _broken(found[name])) for name in properties}


def _broken(found: Measured) -> str:
    broken = [name for name, value in found.values.items() if not np.isfinite(value)]
    return f"not finite: {', '.join(broken)}" if broken else ""


def _measure(task: Task) -> Iterator[tuple[str, Measured | str]]:
    """The parts of each property, and at its end the reason why something is missing, or ""."""
    properties, crystal, maker = task
    sample = Sample(crystal, maker.calculator() if isinstance(maker, Potential) else maker)
    for name, measured in properties.items():
        problem = ""
        try:
            for part in measured.measure(sample):
                yield name, part
        except TamisError as error:
            problem = str(error)
        yield name, problem
