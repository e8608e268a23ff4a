"""Measuring a property in a process of its own, so that one that crashes or hangs leaves the others alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase.calculators.calculator import Calculator

from tamis.data.crystal import Crystal
from tamis.evaluation.isolate import IsolatedError, run_isolated
from tamis.evaluation.properties.base import Measured, Property, Sample
from tamis.models.base import Potential

Task = tuple[Property, Crystal, Potential | Calculator]


def measure_isolated(
    measured: Property, crystal: Crystal, maker: Potential | Calculator, limit_s: float
) -> tuple[Measured, str]:
    """What was found of a property, and why it is not all ("": it is).

    maker : is the calculator, or makes it. limit_s : wall time for each part of the property, s.
    """
    found = Measured()
    try:
        for part in run_isolated(_measure, (measured, crystal, maker), limit_s):
            found = found.plus(part)
    except IsolatedError as error:
        return found, str(error)
    broken = [name for name, value in found.values.items() if not np.isfinite(value)]
    return found, f"not finite: {', '.join(broken)}" if broken else ""


def _measure(task: Task) -> Iterator[Measured]:
    """Measure, in whatever process this is called."""
    measured, crystal, maker = task
    calculator = maker.calculator() if isinstance(maker, Potential) else maker
    return measured.measure(Sample(crystal, calculator))
