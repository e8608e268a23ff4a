"""A nested configuration under the names of Hydra's command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a nested mapping under their Hydra names (``model.basis.r_cut``)."""
    for key, value in config.items():
        if not prefix and key == "choices":  # called as on the command line: descriptor=soap
            yield from value.items()
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        else:
            yield name, value
