"""Overrides of Hydra as text: what one types behind ``tamis``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

Pairs = tuple[tuple[str, str], ...]
"""Overrides as (key, text)."""


def written(value: Any, text: Callable[[str], str] = str) -> str:
    """A value as an override has it; ``text`` writes what is no list, mapping, truth value or None."""
    if isinstance(value, list | tuple):
        return f"[{','.join(written(item, text) for item in value)}]"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{written(item, text)}" for key, item in value.items()) + "}"
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else text(str(value))


def lines_of(values: Mapping[str, Any]) -> list[str]:
    """Keys and values of YAML as one would type them; a text may be anything that Hydra reads, such as ``range(3)``."""
    return [f"{key}={written(value)}" for key, value in values.items()]


def pairs_of(lines: Iterable[str]) -> Pairs:
    """Lines ``key=text`` taken apart."""
    return tuple((key, text) for key, _, text in (line.partition("=") for line in lines))
