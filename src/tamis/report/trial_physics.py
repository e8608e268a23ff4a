"""Properties and stability in MD of one trial, for the terminal."""

from __future__ import annotations

from collections.abc import Mapping

from tamis.core.metrics import (
    DIFFUSION,
    DIFFUSION_ERROR,
    MD_FAILURES,
    MD_VOLUME,
    MD_VOLUME_ERROR,
    NVE_DRIFT,
    OUT_OF_TIME,
    OUTSIDE_KEPT,
    PROPERTIES,
    PROPERTIES_FAILED,
    STABLE_FRACTION,
    is_property_error,
    measured_property,
    property_error,
    unit_of,
)
from tamis.records.record import TrialRecord
from tamis.report.document import Table

DYNAMICS = (
    *(STABLE_FRACTION, MD_FAILURES, OUT_OF_TIME, NVE_DRIFT, MD_VOLUME, DIFFUSION),
    OUTSIDE_KEPT.format("common"),
)
"""The rest is in dynamics.json."""
ERROR_OF = {MD_VOLUME: MD_VOLUME_ERROR, DIFFUSION: DIFFUSION_ERROR}


def physics_table(record: TrialRecord) -> Table | None:
    """Each value with its error where it has a reference; None where neither properties nor MD were measured."""
    metrics = record.metrics
    values = {
        name: _error_name(name)
        for name in metrics
        if name.startswith(PROPERTIES) and not is_property_error(name) and name != PROPERTIES_FAILED
    }
    values |= {name: ERROR_OF.get(name) for name in DYNAMICS if name in metrics}
    rows = [
        [name.removeprefix(PROPERTIES), f"{metrics[name]:.4g}", _error(error, metrics)]
        for name, error in values.items()
    ]
    return Table("physics", "properties and dynamics", ["", "value", "error"], rows) if rows else None


def _error_name(name: str) -> str | None:
    """The metric with the error of a property."""
    found = property_error(name.removeprefix(PROPERTIES), 1.0, 1.0)
    return None if found is None else measured_property(found[0])


def _error(error: str | None, metrics: Mapping[str, float]) -> str:
    if error is None or error not in metrics:
        return ""
    return f"{metrics[error]:+.3g} {unit_of(error)}"
