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


def in_todays_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A recorded configuration with today's keys; what is current already stays as it is."""
    found: dict[str, Any] = {}
    for key, value in config.items():
        translate = RETIRED.get((str(config.get("_target_")), key))
        if translate is not None and isinstance(value, int | float):
            found = {**translate(value), **found}
        elif isinstance(value, Mapping):
            found[key] = in_todays_keys(value)
        else:
            found[key] = value
    return found
