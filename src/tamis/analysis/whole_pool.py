"""Properties of potentials less those of the potential trained on the whole pool, of the same model and split."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.analysis.arms import Curve, Ground
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

Measured = tuple[Curve, Metrics]
SHOWN = (LATTICE_CONSTANT, C11, C12, C44, BULK_MODULUS, VACANCY_FORMATION, VACANCY_MIGRATION)
"""Properties that a pruned set may spoil; the others are in properties.json."""


def less_whole_pool(measured: Sequence[Measured]) -> list[Measured]:
    """Measurements of smaller sets, with differences to the whole pool's potential in place of errors.

    They have the names and units of errors: the potential of the whole pool stands where a reference would. A curve
    without such a potential, of the same ground, model and split, is left out. measured : any number of grounds.
    """
    whole: dict[tuple[Ground, str, int], Metrics] = {}
    for curve, point in measured:
        if point[FRACTION_OF_STRUCTURES] == 1.0:
            whole.setdefault((curve.ground, curve.model, curve.seeds[0]), point)
    found: list[Measured] = []
    for curve, point in measured:
        reference = whole.get((curve.ground, curve.model, curve.seeds[0]))
        differences = (
            _differences(point, reference) if reference and point[FRACTION_OF_STRUCTURES] < 1.0 else {}
        )
        if differences:
            found.append((curve, {name: point[name] for name in SIZES} | differences))
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
