"""Properties of potentials less those of the potential trained on the whole pool, of the same model and split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tamis.analysis.arms import Ground, Point
from tamis.analysis.trials import Metrics
from tamis.core.metrics import (
    BULK_MODULUS,
    C11,
    C12,
    C44,
    FRACTION_OF_STRUCTURES,
    LATTICE_CONSTANT,
    SIZES,
    VACANCY_FORMATION,
    VACANCY_MIGRATION,
    measured_property,
    property_error,
)

SHOWN = (LATTICE_CONSTANT, C11, C12, C44, BULK_MODULUS, VACANCY_FORMATION, VACANCY_MIGRATION)
"""Properties that a pruned set may spoil; the others are in properties.json."""


def less_whole_pool(measured: Sequence[Point]) -> list[Point]:
    """Measurements of smaller sets, with differences to the whole pool's potential in place of errors.

    They have the names and units of errors: the potential of the whole pool stands where a reference would. A point
    without such a potential, of the same ground, model and split, is left out. measured : any number of grounds.
    """
    whole: dict[tuple[Ground, str, int], Metrics] = {}
    for point in measured:
        if point.metrics[FRACTION_OF_STRUCTURES] == 1.0:
            whole.setdefault((point.ground, point.model, point.seeds[0]), point.metrics)
    found: list[Point] = []
    for point in measured:
        reference = whole.get((point.ground, point.model, point.seeds[0]))
        is_smaller = point.metrics[FRACTION_OF_STRUCTURES] < 1.0
        if reference and is_smaller and (differences := _differences(point.metrics, reference)):
            sizes = {name: point.metrics[name] for name in SIZES}
            found.append(replace(point, metrics=sizes | differences))
    return found


def _differences(values: Metrics, reference: Metrics) -> dict[str, float]:
    found = {}
    for name in SHOWN:
        key = measured_property(name)
        if key in values and reference.get(key, 0.0) != 0.0:
            error = property_error(name, values[key], reference[key])
            if error is not None:
                found[measured_property(error[0])] = error[1]
    return found
