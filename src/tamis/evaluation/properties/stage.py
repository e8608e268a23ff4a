"""The stage "properties": measured apart, compared with references, kept as metrics, JSON and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tamis.core.files import write_atomically
from tamis.evaluation.base import Findings, Subject
from tamis.evaluation.properties.base import Measured, Property
from tamis.evaluation.properties.collect import measure_apart
from tamis.evaluation.properties.reference import STAGE, Reference, references_of

IN_PERCENT = ("A3_per_atom", "J_per_m2", "GPa", "THz", "A")
"""Units of what is compared by its relative error."""
AS_IT_IS = ("eV_per_atom", "eV")
"""Units of what has no natural zero or may be near it, and is compared by the difference."""


def measure_properties(properties: Mapping[str, Property], subject: Subject, limit_s: float) -> Findings:
    """Measure all ``properties`` of the subject, the cheap first as listed, in a process of its own.

    Writes ``<folder>/properties/properties.json`` and a picture of each property that has one. What fails becomes a
    problem; the others go on. limit_s: wall time for each value or group of values, s.
    """
    if subject.crystal is None:
        reason = "the data set names no crystal; give dataset.crystal (structure, element, a)"
        return Findings({}, {STAGE: reason})
    folder = subject.folder / STAGE
    folder.mkdir(parents=True, exist_ok=True)
    measured = measure_apart(properties, subject.crystal, subject.potential, limit_s)
    references = references_of(properties, subject, limit_s)
    total, told = Findings(), dict[str, Any]()
    for name, (found, problem) in measured.items():
        reference, no_reference = references[name]
        problems = {f"{STAGE}/{name}": problem, f"{STAGE}/{name}/reference": no_reference}
        metrics = with_errors(found.values, reference.values)
        total = total.plus(Findings(metrics, {stage: reason for stage, reason in problems.items() if reason}))
        told[name] = _in_words(found, reference, problem)
        _draw(properties[name], found, reference, folder / f"{name}.png")
    text = json.dumps(_finite(told), indent=1, allow_nan=False)
    write_atomically(folder / "properties.json", text.encode())
    failed = sum(bool(problem) for _, problem in measured.values())
    return total.plus(Findings({f"{STAGE}/failed": float(failed)}))


def with_errors(values: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """Metrics of the finite values and, where there is a reference, of value less reference."""
    metrics = {}
    for name, value in values.items():
        if not np.isfinite(value):
            continue
        metrics[f"{STAGE}/{name}"] = value
        if name in reference and (error := error_of(name, value, reference[name])) is not None:
            metrics[f"{STAGE}/{error[0]}"] = error[1]
    return metrics


def error_of(name: str, value: float, reference: float) -> tuple[str, float] | None:
    """Name and value of the error of ``name``; None for counts and the like, whose right value is known."""
    for unit in (*IN_PERCENT, *AS_IT_IS):
        if name.endswith(f"_{unit}"):
            what = name.removesuffix(f"_{unit}")
            if unit in AS_IT_IS:
                return f"{what}_error_{unit}", value - reference
            return f"{what}_error_percent", 100.0 * (value / reference - 1.0)
    return None


def _in_words(found: Measured, reference: Reference, problem: str) -> dict[str, Any]:
    """What properties.json says of one property; the unit is part of each name."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in found.values.items():
        values[name] = {"value": value}
        if name in reference.values:
            values[name] |= {"reference": reference.values[name], "source": reference.sources[name]}
    return {"values": values, "data": found.data, "problem": problem or None}


def _finite(value: Any) -> Any:
    """JSON has no NaN: null instead."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _draw(measured: Property, found: Measured, reference: Reference, path: Path) -> None:
    if type(measured).draw is Property.draw or not found.data:
        return
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    if measured.draw(figure, found.data, reference.data):
        figure.savefig(path, dpi=110)
