"""How long a sweep will take and how much disk it will fill, from the records of trials like its own.

A stage takes as long as in trials that are like it in what the stage depends on: the time of a fit is known from any
trial of the model, however its structures were chosen, and that of properties needs one trial that measured some.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean, median
from typing import Any

from tamis.records.record import COMPLETE, RECORD_FILE, TrialRecord, read_record
from tamis.sweeps.job import Job

ONCE = ("setup", "dataset", "rows")
"""Work that the first trial in a process does for later ones; estimated by the median."""
BY_POINT = ("fit", "errors")
"""Stages that each point of a learning curve goes through."""
LIKE = {
    "setup": ((), ("model", "descriptor")),
    "dataset": ((), ("elements", "model")),
    "rows": (("model",), ("elements", "split")),
    "features": (("descriptor",), ("elements", "split")),
    "selection": (("pruner",), ("elements", "descriptor", "fractions", "split")),
    "fit": (("model",), ("elements", "fractions", "split", "pruner", "descriptor")),
    "errors": (("model",), ("elements", "fractions", "split", "pruner", "descriptor")),
    "properties": (("model", "evaluation"), ("elements",)),
    "dynamics": (("model", "evaluation"), ("elements",)),
}
"""Stage -> what trials must have in common for it, and what makes them more alike, the weightiest first."""


@dataclass(frozen=True)
class TimedTrial:
    """A trial that was run: its configuration, the seconds of its stages, and the bytes in its folder."""

    config: Mapping[str, Any]
    seconds: Mapping[str, float]
    size: int


@dataclass(frozen=True)
class Estimate:
    """What the trials of a sweep that are not done will need.

    seconds: of the workers, all stages that are known; size: bytes, all trials, as far as sizes are known;
    unknown: stage and what of -> number of trials in which it is missing from ``seconds``.
    """

    seconds: float
    size: float
    unknown: Mapping[str, int] = field(default_factory=dict)


def measurements(folders: Iterable[Path]) -> list[TimedTrial]:
    """Every complete trial below ``folders``."""
    found = []
    for folder in folders:
        for path in folder.rglob(RECORD_FILE):
            record = read_record(path.parent)
            if record.status == COMPLETE:
                size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
                found.append(TimedTrial(record.config, _seconds(record), size))
    return found


def _seconds(record: TrialRecord) -> dict[str, float]:
    return {stage: value for stage, value in record.seconds.items() if stage in LIKE}


def to_measure(jobs: Sequence[Job], measured: Sequence[TimedTrial]) -> list[Job]:
    """A few jobs that have every stage of which no time is known."""
    known = {
        key for one in measured for stage in one.seconds for key in _keys(stage, _about(one.config))[-1:]
    }
    found = []
    for job in jobs:
        needed = {_keys(stage, _about(job.config))[-1] for stage in _stages(job.config) if stage not in ONCE}
        if needed - known:
            known |= needed
            found.append(job)
    return found


def estimate(jobs: Sequence[Job], measured: Sequence[TimedTrial]) -> Estimate:
    """Each stage takes the mean time of the most similar trials.

    Means, since times are summed and every sweep has slow first runs. All points of a curve are taken to cost the same.
    """
    alike: dict[str, list[float]] = {}
    for one in measured:
        about, points = _about(one.config), _n_points(one.config)
        for stage, seconds in one.seconds.items():
            for key in _keys(stage, about):
                alike.setdefault(key, []).append(seconds / points if stage in BY_POINT else seconds)
    typical = {key: (median if json.loads(key)[0] in ONCE else fmean)(found) for key, found in alike.items()}
    total, unknown = 0.0, Counter[str]()
    for job in jobs:
        about, points = _about(job.config), _n_points(job.config)
        missing = []
        for stage in _stages(job.config):
            known = [typical[key] for key in _keys(stage, about) if key in typical]
            if known:
                total += known[0] * (points if stage in BY_POINT else 1)
            else:
                missing.append(stage)
        unknown.update(f"{stage} of {_what(stage, about)}" for stage in missing if stage not in ONCE)
    size = fmean(one.size for one in measured) * len(jobs) if measured else 0.0
    return Estimate(total, size, dict(unknown))


def _stages(config: Mapping[str, Any]) -> list[str]:
    evaluation = config.get("evaluation", {})
    later = [name for name in ("properties", "dynamics") if evaluation.get(name)]
    return [stage for stage in LIKE if stage not in ("properties", "dynamics") or stage in later]


def _about(config: Mapping[str, Any]) -> dict[str, Any]:
    dataset = config.get("dataset", {})
    more = {
        "elements": dataset.get("elements"),
        "split": dataset.get("split"),
        "fractions": config.get("budget"),
    }
    return {**config.get("choices", {}), **more}


def _n_points(config: Mapping[str, Any]) -> int:
    return len(config.get("budget", {}).get("fractions", [1]))


def _keys(stage: str, about: Mapping[str, Any]) -> list[str]:
    """What trials must have in common to be alike, from most to least."""
    needed, more = LIKE[stage]
    common = [*needed, *more]
    return [
        json.dumps([stage, *(about.get(name) for name in common[:n])], sort_keys=True)
        for n in range(len(common), len(needed) - 1, -1)
    ]


def _what(stage: str, about: Mapping[str, Any]) -> str:
    return " ".join(str(about.get(name)) for name in LIKE[stage][0][:1])
