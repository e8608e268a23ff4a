"""The stage "properties": measure, compare with references, write metrics, JSON and pictures."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tamis.core.files import write_atomically
from tamis.core.metrics import PROPERTIES_FAILED, measured_property, property_error
from tamis.data.crystal import Crystal
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.base import Findings, Subject
from tamis.evaluation.properties.base import Line, Measured, Property
from tamis.evaluation.properties.collect import measure_isolated
from tamis.evaluation.properties.reference import STAGE, PropertyReference, reference_of

REFERENCE: Line = {"lw": 5.0, "alpha": 0.3, "solid_capstyle": "butt"}
POTENTIAL: Line = {"lw": 1.3, "marker": ".", "ms": 4.0}


def measure_properties(properties: Mapping[str, Property], subject: Subject, limit_s: float) -> Findings:
    """Measure all ``properties`` of the subject in the given order, in a process of their own.

    Writes ``<folder>/properties/properties.json`` and a picture of each property that has one. A failure becomes a
    problem; the other properties are measured all the same. limit_s: wall time for each value or group of values, s.
    """
    if subject.crystal is None:
        reason = (
            "the data set names no crystal; give dataset.crystal (a file, own, or structure, element and a)"
        )
        return Findings({}, {STAGE: reason})
    folder = subject.folder / STAGE
    folder.mkdir(parents=True, exist_ok=True)
    refused = {name: reason for name, one in properties.items() if (reason := one.refuses(subject.crystal))}
    total = Findings(problems={f"{STAGE}/{name}": reason for name, reason in refused.items()})
    properties = {name: one for name, one in properties.items() if name not in refused}
    told, failed = dict[str, Any](), 0
    results = measure_isolated(properties, subject.crystal, subject.potential, limit_s)
    for name, measured in properties.items():
        found, problem = results[name]
        reference, no_reference = reference_of(measured, subject.crystal, subject, limit_s)
        problems = {f"{STAGE}/{name}": problem, f"{STAGE}/{name}/reference": no_reference}
        metrics = with_errors(found.values, reference.values)
        total = total.plus(Findings(metrics, {stage: reason for stage, reason in problems.items() if reason}))
        told[name] = _in_words(found, reference, problem)
        failed += bool(problem)
        title = f"{_called(subject.crystal)}: {name.replace('_', ' ')}"
        _draw(measured, found, reference, title, folder / f"{name}.png")
    finite = json.loads(json.dumps(told), parse_constant=lambda nan: None)  # JSON has no NaN: null instead
    write_atomically(folder / "properties.json", json.dumps(finite, indent=1).encode())
    return total.plus(Findings({PROPERTIES_FAILED: float(failed)}))


def _called(crystal: AnyCrystal) -> str:
    return f"{crystal.element} {crystal.structure}" if isinstance(crystal, Crystal) else crystal.structure


def with_errors(values: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """Metrics of the finite values and, where there is a reference, of their errors."""
    metrics = {}
    for name, value in values.items():
        if not np.isfinite(value):
            continue
        metrics[measured_property(name)] = value
        if name in reference and (error := property_error(name, value, reference[name])) is not None:
            metrics[measured_property(error[0])] = error[1]
    return metrics


def _in_words(found: Measured, reference: PropertyReference, problem: str) -> dict[str, Any]:
    """What properties.json says of one property; the unit is part of each name."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in found.values.items():
        values[name] = {"value": value}
        if name in reference.values:
            values[name] |= {"reference": reference.values[name], "source": reference.sources[name]}
    return {"values": values, "data": found.data, "problem": problem or None}


def _draw(measured: Property, found: Measured, reference: PropertyReference, title: str, path: Path) -> None:
    if not found.data:
        return
    from tamis.core.figures import legend, panel, save

    figure, ax = panel(title)
    # the reference is a wide line below, which shows on both sides of a potential that equals it
    for data, line, label in ((reference.data, REFERENCE, "reference"), (found.data, POTENTIAL, "potential")):
        measured.draw(ax, data, line, label)
    if ax.lines:
        legend(ax, columns=2)
        save(figure, path)
