"""How long a study will take and how much disk it will fill, from the records of trials like its own."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tamis.record import COMPLETE, RECORD_FILE, TrialRecord, read_record
from tamis.study.trials import Trial

ONCE = ("seconds/dataset", "seconds/rows", "seconds/setup")
"""Stages that trials of one process share: after the first they take next to nothing."""


@dataclass(frozen=True)
class Measured:
    """What a trial took: seconds, and bytes in its folder."""

    seconds: float
    size: int


@dataclass(frozen=True)
class Estimate:
    """Of a study's trials that are not done.

    n: how many; n_like: how many of them resemble measured ones; seconds: of processor, those n_like together;
    size: bytes, all of them, as far as sizes are known.
    """

    n: int
    n_like: int
    seconds: float
    size: float


def measurements(folders: Iterable[Path]) -> list[tuple[Mapping[str, Any], Measured]]:
    """Configuration, time and size of every complete trial below ``folders``."""
    found: list[tuple[Mapping[str, Any], Measured]] = []
    for folder in folders:
        for path in folder.rglob(RECORD_FILE):
            record = read_record(path.parent)
            if record.status == COMPLETE:
                size = sum(file.stat().st_size for file in path.parent.rglob("*") if file.is_file())
                found.append((record.config, Measured(_seconds(record), size)))
    return found


def _seconds(record: TrialRecord) -> float:
    return sum(
        value for name, value in record.metrics.items() if name.startswith("seconds/") and name not in ONCE
    )


def estimate(trials: Sequence[Trial], measured: Sequence[tuple[Mapping[str, Any], Measured]]) -> Estimate:
    """Each trial takes the median of those most like it: in all of ``_likeness``, else in the first few of it."""
    like: dict[str, list[Measured]] = {}
    for config, took in measured:
        for key in _keys(config):
            like.setdefault(key, []).append(took)
    medians = {
        key: Measured(median(t.seconds for t in found), round(median(t.size for t in found)))
        for key, found in like.items()
    }
    nearest = [
        next((medians[key] for key in _keys(trial.config) if key in medians), None) for trial in trials
    ]
    known = [one for one in nearest if one is not None]
    size = sum(one.size for one in known) / len(known) * len(trials) if known else 0.0
    return Estimate(len(trials), len(known), sum(one.seconds for one in known), size)


def _keys(config: Mapping[str, Any]) -> list[str]:
    """What trials must have in common to be alike, from most to least."""
    choices, budget = config.get("choices", {}), config.get("budget", {})
    base = [choices.get("model"), choices.get("evaluation"), budget.get("fractions", budget)]
    more = [config.get("dataset", {}).get("elements"), choices.get("pruner"), choices.get("descriptor")]
    return [json.dumps([*base, *more[:n]], sort_keys=True) for n in (3, 2, 1, 0)]
