"""Whether the content of a ``record.json`` is that of a record: such a file may be cut, edited or from elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from tamis.core.errors import TamisError

TEXTS = ("versions", "problems")
MAPPINGS = ("config", "versions", "dataset", "selection", "metrics", "problems")
LISTS = ("overrides", "curve")
PARTS = ("dataset", "latent", "descriptor", "pruner", "budget", "model", "seed", "store", "evaluation")
STATUSES = ("running", "complete", "failed", "skipped", "stopped", "interrupted")


def parsed(data: str | bytes, where: object) -> dict[str, Any]:
    """The content of a record, of the right types.

    Raises
    ------
    TamisError : no JSON, or not a record; says what is wrong.
    """
    try:
        content = decoded(data)
    except (ValueError, RecursionError) as error:
        raise TamisError(
            f"{where} cannot be read ({error}); is it cut off? remove the folder and run the trial again"
        ) from error
    if problem := problem_of(content):
        raise TamisError(
            f"{where} is no record of a trial: {problem}; remove the folder and run the trial again"
        )
    found: dict[str, Any] = content
    return found


def decoded(data: str | bytes) -> Any:
    """What JSON says.

    Raises
    ------
    ValueError : no JSON, no text, or a text that cannot be written to a file. RecursionError : nested too deep.
    """
    content = json.loads(data)
    if (b"\\ud" if isinstance(data, bytes) else "\\ud") in data.lower():  # type: ignore[operator]
        json.dumps(content, ensure_ascii=False).encode()  # halves of characters; whole ones pass
    return content


def problem_of(content: Any) -> str:
    """What is wrong with a record, in words; empty where nothing is."""
    if not isinstance(content, dict) or not isinstance(content.get("config"), dict):
        return "it is no mapping with a config"
    for name in MAPPINGS:
        if not isinstance(content.get(name, {}), dict):
            return f"{name} is no mapping"
    for name in LISTS:
        if not isinstance(content.get(name, []), list):
            return f"{name} is no list"
    for name in TEXTS:
        if not all(isinstance(value, str) for value in content.get(name, {}).values()):
            return f"{name} has an entry that is no text"
    if not _is_finite(content.get("started", 0.0)):
        return "started is no number"
    if content.get("status", "running") not in STATUSES or not isinstance(content.get("reason", ""), str):
        return f"status is none of {', '.join(STATUSES)}, or reason is no text"
    if not isinstance(content.get("id", ""), str):
        return "id is no text"
    if not are_texts(content.get("overrides", [])):
        return "overrides are no texts"
    complete = content.get("status") == "complete"  # a failed trial may have been refused for what it holds
    return (
        _of_config(content["config"], complete)
        or _of_dataset(content.get("dataset", {}))
        or _of_results(content)
        or (_of_complete(content) if complete else "")
    )


def _of_complete(content: Mapping[str, Any]) -> str:
    """What a trial has that came to its end, and every reader of results relies on."""
    curve = content.get("curve", [])
    for i, point in enumerate(curve):
        if "n_structures" not in point:
            return f"curve[{i}] has no n_structures"
    return ""


def _of_config(config: Mapping[str, Any], complete: bool) -> str:
    choices = config.get("choices", {})
    if not isinstance(choices, dict) or not are_texts(choices.values()):
        return "config.choices has an entry that is no text"
    if not complete:
        return ""
    for name in PARTS:
        if not isinstance(config.get(name, {}), dict):
            return f"config.{name} is no mapping"
    if not _is_finite(config.get("validation_fraction") or 0.0):
        return "config.validation_fraction is no number"
    fractions = (config.get("budget") or {}).get("fractions", [1])
    if not isinstance(fractions, list) or not all(map(_is_finite, fractions)):
        return "config.budget.fractions is no list of numbers"
    seeds = (config.get("seed") or {}).values()
    if any(isinstance(seed, bool) or not isinstance(seed, int) for seed in seeds):
        return "config.seed has an entry that is no whole number"
    return ""


def _of_dataset(dataset: Mapping[str, Any]) -> str:
    if not are_texts(dataset.get("elements", [])):
        return "dataset.elements are no texts"
    if not are_texts(dataset.get("notes", [])):
        return "dataset.notes are no texts"
    if not isinstance(dataset.get("fingerprint", ""), str):
        return "dataset.fingerprint is no text"
    numbers = [value for name, value in dataset.items() if name.startswith("n_")]
    return "" if all(map(_is_finite, numbers)) else "dataset has a number of structures that is none"


def _of_results(content: Mapping[str, Any]) -> str:
    if not are_texts(content.get("selection", {}).get("ids", [])):
        return "selection.ids are no texts"
    if problem := _of_metrics(content.get("metrics", {})):
        return f"metrics: {problem}"
    for i, point in enumerate(content.get("curve", [])):
        if not isinstance(point, dict) or not isinstance(point.get("metrics"), dict):
            return f"curve[{i}] has no metrics"
        if not _is_count(point.get("n_structures", 0)) or not are_texts(point.get("ids", [])):
            return f"curve[{i}] has structures that are none"
        if problem := _of_metrics(point["metrics"]):
            return f"curve[{i}]: {problem}"
    return ""


def _of_metrics(metrics: Mapping[str, Any]) -> str:
    wrong = next((name for name, value in metrics.items() if not _is_finite(value)), None)
    return "" if wrong is None else f"{wrong[:80]} is no finite number"


def _is_finite(value: Any) -> bool:
    """A float, or an integer that one can hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**63


def _is_count(value: Any) -> bool:
    return _is_finite(value) and 0 <= value < 2**53


def are_numbers(values: Any) -> bool:
    """Whether this is a list of finite numbers."""
    return isinstance(values, list) and all(map(_is_finite, values))


def are_texts(values: Any) -> bool:
    """Whether these are several texts, and not one."""
    return (
        not isinstance(values, str)
        and hasattr(values, "__iter__")
        and all(isinstance(v, str) for v in values)
    )
