"""What a record becomes in MLflow: the name of its run, tags, parameters, and metrics by the number of structures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.core.flatten import flatten
from tamis.core.irrelevant import PLACES
from tamis.core.metrics import is_of_group
from tamis.core.names import LONGEST_KEY, cut_short, mlflow_key, mlflow_keys, printable
from tamis.core.secrets import redacted
from tamis.records.record import COMPLETE, INTERRUPTED, STOPPED, TrialRecord

if TYPE_CHECKING:
    from mlflow.entities import Metric, Param

MAX_PARAM_LENGTH = 6000
"""MLflow cuts parameter values here."""
MAX_TAG_LENGTH = 5000
"""MLflow refuses longer ones."""
NO_PARAMS = ("store.", *(f"dataset.{key}" for key in PLACES))
"""Paths change no result, and classes follow from the choices. Both are in record.json."""
ID = "tamis.id"
"""Tag of every run: the id of its record or parent, the same on every server."""
FOLDER = "tamis.folder"
"""Tag with the folder of a trial."""
PARENT = "mlflow.parentRunId"
"""MLflow's tag of runs that hang under another."""
USER = "mlflow.user"
"""MLflow's tag of who ran it."""
ENDED = {COMPLETE: "FINISHED", STOPPED: "KILLED", INTERRUPTED: "KILLED"}
"""MLflow's words for how a trial ended; all else failed."""


def run_name(record: TrialRecord) -> str:
    """Such as ``ace · fps in soap · 10 % · split 0``, and the number of the trial where a search made it."""
    config = record.config
    model = str(config.get("choices", {}).get("model", "?"))
    split = f"split {config.get('seed', {}).get('split', '?')}"
    parts = [model, chosen_by(config), _amount(config), split]
    if number := record.labels.get("trial"):
        parts.insert(0, f"trial {number}")
    name = " · ".join(parts)
    return cut_short(printable(name), name, LONGEST_KEY)


def chosen_by(config: Mapping[str, Any]) -> str:
    """The pruner, and the descriptor in whose space it chose."""
    choices = config.get("choices", {})
    pruner, descriptor = str(choices.get("pruner", "?")), str(choices.get("descriptor", "none"))
    return pruner if descriptor == "none" else f"{pruner} in {descriptor}"


def data_name(config: Mapping[str, Any]) -> str:
    """The choice of the data set, and its element where that is one of its settings."""
    return f"{config.get('choices', {}).get('dataset', '?')} {config.get('dataset', {}).get('element', '')}".strip()


def _amount(config: Mapping[str, Any]) -> str:
    """The budget."""
    budget = config.get("budget", {})
    if (fraction := budget.get("fraction")) is not None:
        return f"{100 * fraction:.3g} %"
    for key, unit in (("n_structures", "structures"), ("n_atoms", "atoms")):
        if budget.get(key) is not None:
            return f"{budget[key]} {unit}"
    return str(config.get("choices", {}).get("budget", "?"))


def tags_of(record: TrialRecord, folder: Path, parent: str) -> dict[str, str]:
    """How a trial ended, where its files are, of what versions it is."""
    tags = {
        "tamis.kind": "trial",
        ID: record.id,
        "tamis.status": record.status,
        "tamis.reason": record.reason,
        FOLDER: str(folder),
        "tamis.dataset_fingerprint": record.dataset.fingerprint,
        "mlflow.source.name": " ".join(["tamis", *record.overrides]),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": record.versions.get("git", ""),
        USER: owner_of(folder),
        PARENT: parent,
    }
    tags |= {f"tamis.problem.{stage}": reason for stage, reason in record.problems.items()}
    tags |= {f"version.{name}": version for name, version in record.versions.items()}
    tags |= {f"tamis.{name}": label for name, label in record.labels.items()}
    return as_tags(tags)


def owner_of(folder: Path) -> str:
    """Name of the user whose folder it is: of who ran it, whoever sends it; empty where the machine knows no name."""
    try:
        return folder.owner()
    except (KeyError, OSError):
        return ""


def as_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that MLflow takes; empty ones are left out."""
    shown = {
        mlflow_key(key): printable(value)[:MAX_TAG_LENGTH] for key, value in redacted(dict(tags)).items()
    }
    return {key: value for key, value in shown.items() if value}


def params_of(record: TrialRecord) -> list[Param]:
    """The configuration, but for what decides no result."""
    from mlflow.entities import Param

    values = {
        key: printable(str(value))[:MAX_PARAM_LENGTH]
        for key, value in flatten(redacted(record.config))
        if not key.startswith(NO_PARAMS) and not key.endswith("_target_")
    }
    return [Param(key, values[name]) for name, key in mlflow_keys(values).items()]


def metrics_of(record: TrialRecord, by_group: bool) -> list[Metric]:
    """The points of a learning curve, or the metrics once; the step is the number of kept structures."""
    from mlflow.entities import Metric

    now, points = in_ms(record.started), list(_points(record, by_group))
    keys = mlflow_keys(
        dict.fromkeys(name for name, _, _ in points)
    )  # groups have the names that a user gave them
    return [Metric(keys[name], value, now, step) for name, value, step in points]


def _points(record: TrialRecord, by_group: bool) -> Iterator[tuple[str, float, int]]:
    on_curve: set[str] = set()
    for point in record.curve:
        for name, value in point.metrics.items():
            on_curve.add(name)
            if math.isfinite(value) and (by_group or not is_of_group(name)):
                yield name, value, point.n_structures
    for name, value in record.measured.items():
        if name not in on_curve and math.isfinite(value):
            yield name, value, 0


def in_ms(seconds: float) -> int:
    """MLflow counts time in milliseconds."""
    return round(seconds * 1000)
