"""Keys that configurations had in earlier versions, as they stand in records, and what they are called today."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _remembering(mib: Any) -> dict[str, Any]:
    """MiB that a store remembered, 0: nothing. It set no bound to the rest, so the bound is generous."""
    return {"remember": mib > 0, "memory_gib": max(4.0, mib / 1024)}


RETIRED: Mapping[tuple[str, str], Callable[[Any], dict[str, Any]]] = {
    ("tamis.store.Store", "memory_MiB"): _remembering,
}
"""(class, key) -> what the key's value, a number, means in today's keys."""

FILES = "tamis.data.sources.extxyz.Extxyz"
DEFAULTS_OF_FILES = {"stress_key": "stress", "virial_key": "virial", "group_key": "config_type"}
"""What stood in records, before there were ``units``, where nobody had typed a name: such a key may be missing."""


def in_todays_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration with today's keys; what is current already stays as it is."""
    found: dict[str, Any] = {}
    older = config.get("_target_") == FILES and "units" not in config
    for key, value in config.items():
        translate = RETIRED.get((str(config.get("_target_")), key))
        if translate is not None and isinstance(value, int | float):
            found = {**translate(value), **found}
        elif older and value is not None and DEFAULTS_OF_FILES.get(key) == value:
            found[key] = "auto"
        elif isinstance(value, Mapping):
            found[key] = in_todays_keys(value)
        else:
            found[key] = value
    return found
