"""Measuring properties in a process of its own, which is started again where one of them ended it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from ase.calculators.calculator import Calculator

from tamis.data.crystal import Crystal
from tamis.evaluation.isolate import StoppedError, run_apart
from tamis.evaluation.properties.base import Measured, Property, PropertyError, Sample
from tamis.models.base import Potential


@dataclass(frozen=True, eq=False)
class Task:
    """What a child process is given: properties, a crystal, and what makes or is the calculator."""

    properties: Mapping[str, Property]
    crystal: Crystal
    maker: Potential | Calculator


@dataclass(frozen=True)
class Progress:
    """What a child process says of one property: a part of it, or its end with a problem ("": none)."""

    name: str
    part: Measured
    ended: bool = False
    problem: str = ""


def work(task: Task) -> Iterator[Progress]:
    """Measure one property after the other, in whatever process this is called."""
    maker = task.maker
    calculator = maker.calculator() if isinstance(maker, Potential) else maker
    sample = Sample(task.crystal, calculator)
    for name, measured in task.properties.items():
        problem = ""
        try:
            for part in measured.measure(sample):
                yield Progress(name, part)
        except PropertyError as error:
            problem = str(error)
        except Exception as error:  # whatever an engine does with a bad potential; the others go on
            problem = f"{type(error).__name__}: {error}"
        yield Progress(name, Measured(), True, problem)


def measure_apart(
    properties: Mapping[str, Property], crystal: Crystal, maker: Potential | Calculator, limit_s: float
) -> dict[str, tuple[Measured, str]]:
    """What was found of each property, in the order given, and why not all of it ("": it is all).

    limit_s : wall time for each part of a property, s. A property at which the process dies, or is stopped, has
    failed; the next one is measured by a new process.
    """
    found = {name: Measured() for name in properties}
    problems: dict[str, str] = {}
    while left := {name: one for name, one in properties.items() if name not in problems}:
        try:
            for progress in run_apart(work, Task(left, crystal, maker), limit_s, each=True):
                found[progress.name] = found[progress.name].plus(progress.part)
                if progress.ended:
                    problems[progress.name] = progress.problem
        except StoppedError as error:
            reached = next((name for name in left if name not in problems), None)
            if reached is not None:
                problems[reached] = str(error)
    return {name: (found[name], problems[name] or not_finite(found[name])) for name in properties}


def not_finite(found: Measured) -> str:
    """A problem where a value is NaN or infinite."""
    broken = [name for name, value in found.values.items() if not np.isfinite(value)]
    return f"not finite: {', '.join(broken)}" if broken else ""
