"""Names for configurations: the choice, and what in it differs from the most frequent configuration of that choice."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from tamis.core.flatten import flatten

Variant = tuple[str, str]
"""Choice of a group, and the configuration as JSON text."""


def name_variants(variants: Iterable[Variant], preferred: str = "") -> dict[Variant, str]:
    """``ace`` for the most frequent configuration of ``ace``, ``ace (r_cut=5.0)`` for another.

    preferred : text in configurations that come before more frequent ones.
    """
    by_choice: dict[str, Counter[str]] = defaultdict(Counter)
    for choice, text in variants:
        by_choice[choice][text] += 1
    names: dict[Variant, str] = {}
    for choice, counts in by_choice.items():
        # ties are broken by the text, so that names do not depend on the order of the folders
        usual, *rest = sorted(counts, key=lambda text: (preferred not in text, -counts[text], text))
        names[choice, usual] = choice
        for text in rest:
            names[choice, text] = f"{choice} ({difference(usual, text)})"
    return names


def difference(usual: str, other: str) -> str:
    """The settings of ``other`` that ``usual`` does not have: ``key=value, ...``."""
    a, b = _leaves(usual), _leaves(other)
    changed = [f"{key}={_short(b[key])}" for key in b if a.get(key) != b[key]]
    gone = [f"no {key}" for key in a if key not in b]
    return ", ".join((changed + gone)[:4]) or "other"


def _leaves(text: str) -> Mapping[str, Any]:
    return dict(flatten(json.loads(text)))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
