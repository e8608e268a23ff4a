"""Properties of potentials less those of the potential trained on the whole pool, of the same model and split."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.analysis.arms import Curve
from tamis.analysis.trials import SIZES, Metrics

Measured = tuple[Curve, Metrics]
PROPERTIES = "properties/"
SHOWN = (
    "lattice_constant_A",
    "elastic_C11_GPa",
    "elastic_C12_GPa",
    "elastic_C44_GPa",
    "elastic_bulk_modulus_GPa",
    "vacancy_formation_eV",
    "vacancy_migration_eV",
)
"""Properties that a pruned set may spoil; the others are in properties.json."""


def less_whole_pool(measured: Sequence[Measured]) -> list[Measured]:
    """What was measured of smaller sets, with differences to the whole pool's potential in place of its errors.

    They have the names and units of errors: the potential of the whole pool stands where a reference would. A curve
    without such a potential, of the same ground, model and split, is left out. measured : any number of grounds.
    """
    whole: dict[tuple[object, ...], Metrics] = {}
    for curve, point in measured:
        if _is_whole(point):
            whole.setdefault(_key(curve), point)
    found: list[Measured] = []
    for curve, point in measured:
        if not _is_whole(point) and (reference := whole.get(_key(curve))) is not None:
            differences = _differences(point, reference)
            if differences:
                found.append((curve, {name: point[name] for name in SIZES if name in point} | differences))
    return found


def _is_whole(point: Metrics) -> bool:
    return point["kept/fraction_of_structures"] == 1.0


def _key(curve: Curve) -> tuple[object, ...]:
    return curve.ground, curve.model, curve.seeds[0]


def _differences(values: Metrics, reference: Metrics) -> dict[str, float]:
    from tamis.core.metrics import property_error  # brings ASE

    found = {}
    for name in SHOWN:
        key = PROPERTIES + name
        if key in values and key in reference and reference[key] != 0.0:
            error = property_error(name, values[key], reference[key])
            if error is not None:
                found[PROPERTIES + error[0]] = error[1]
    return found
