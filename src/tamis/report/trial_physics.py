"""What one trial measured beside errors, for the terminal: properties, stability in MD, and what went wrong."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.table import Table

from tamis.records.record import TrialRecord

DYNAMICS = (
    "md/stable_fraction",
    "md/failures",
    "md/out_of_time",
    "md/nve_drift_meV_per_atom_per_ps",
    "md/volume_A3_per_atom",
    "md/diffusion_A2_per_ps",
    "md/outside_kept_common_space_fraction",
)
"""The rest is in dynamics.json."""
ERROR_OF = {
    "md/volume_A3_per_atom": "md/volume_error_percent",
    "md/diffusion_A2_per_ps": "md/diffusion_error_percent",
}
PROPERTIES = "properties/"


def physics_table(record: TrialRecord) -> Table | None:
    """Each value with its error where it has a reference; None where neither properties nor MD were measured."""
    metrics = record.metrics
    values = {
        name: _error_name(name)
        for name in metrics
        if name.startswith(PROPERTIES) and "_error_" not in name and name != "properties/failed"
    }
    values |= {name: ERROR_OF.get(name) for name in DYNAMICS if name in metrics}
    if not values:
        return None
    table = Table(box=box.SIMPLE_HEAD, title="properties and dynamics", title_justify="left")
    table.add_column("")
    table.add_column("value", justify="right")
    table.add_column("error", justify="right")
    for name, error in values.items():
        table.add_row(name.removeprefix(PROPERTIES), f"{metrics[name]:.4g}", _told(error, metrics))
    return table


def _error_name(name: str) -> str | None:
    """The metric with the error of a property; the stage says what it is called, and in which unit it is."""
    from tamis.core.metrics import property_error

    found = property_error(name.removeprefix(PROPERTIES), 1.0, 1.0)
    return None if found is None else PROPERTIES + found[0]


def _told(error: str | None, metrics: Mapping[str, float]) -> str:
    if error is None or error not in metrics:
        return ""
    unit = error.rpartition("_error_")[2].replace("percent", "%").replace("_per_", "/")
    return f"{metrics[error]:+.3g} {unit}"
