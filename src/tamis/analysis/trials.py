"""The parts of records that reports need; ten thousand trials fit into memory."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.irrelevant import PLACES, REFERENCES, TRANSFER
from tamis.records.record import COMPLETE, RECORD_FILE, DatasetFacts, TrialRecord, read_record

WANTED = (
    *(names.error(names.TEST, quantity) for quantity in names.MAES),
    *(names.error(names.VALIDATION, quantity) for quantity in (names.ENERGY_MAE, names.FORCE_MAE)),
    *(*names.SIZES, names.TRANSFER, names.PROPERTIES, names.MD),
)
"""Beginnings of the names of metrics that reports show; others stay in the record."""
WHERE = (*PLACES, "sha256", *REFERENCES, *TRANSFER)
"""Keys of ``dataset`` that change no structure and no label."""
PARTS = ("dataset", "latent", "descriptor", "pruner", "budget", "model")
BLOCK = "block"
"""The label of a trial that says from which block of a plan it comes."""
UNREADABLE = "unreadable"
Metrics = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Trial:
    """One trial's record, without what no report shows.

    parts: configuration of each group as JSON text, without places of files. own: whether the descriptor is the
    model's own. block: of the plan that the trial comes from, if any. points: metrics at each point of the curve.
    ids: kept structures in the order of choice. point_ids: those of each point where selections are not nested.
    choices, seeds, dataset, problems, versions: as in ``TrialRecord``.
    """

    folder: Path
    status: str
    reason: str
    problems: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, str] = field(default_factory=dict)
    own: bool = False
    block: str = ""
    element: str = "?"
    validation_fraction: float = 0.0
    seeds: tuple[int, int, int] = (0, 0, 0)
    dataset: DatasetFacts = field(default_factory=DatasetFacts)
    points: tuple[Metrics, ...] = ()
    ids: tuple[str, ...] = ()
    point_ids: tuple[tuple[str, ...], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    started: float = 0.0

    def kept(self, i: int) -> tuple[str, ...]:
        """Ids of the structures that were kept at point ``i``."""
        return self.point_ids[i] if self.point_ids else self.ids[: int(self.points[i][names.KEPT_STRUCTURES])]


def find_trials(folders: Sequence[Path]) -> list[Path]:
    """Folders of all trials below ``folders``, each once, 2 before 10.

    Raises
    ------
    TamisError : a folder that is not there, or none of them holds a trial.
    """
    for folder in folders:
        if not folder.is_dir():
            raise TamisError(f"{folder} is no folder; give the folder of a trial or of a sweep")
    paths = {path.parent.resolve() for folder in folders for path in folder.rglob(RECORD_FILE)}
    if not paths:
        raise TamisError(
            f"no {RECORD_FILE} below {', '.join(map(str, folders))}; is this a folder of trials?"
        )
    return sorted(paths, key=lambda path: (str(path.parent), len(path.name), path.name))


def read_trials(folders: Iterable[Path]) -> list[Trial]:
    """The trials; one whose record cannot be read has the status ``unreadable``."""
    shared = Shared()
    with _no_collector():
        return [_read(folder, shared) for folder in folders]


def trials_of(records: Mapping[Path, TrialRecord]) -> list[Trial]:
    """The same of records that were read before, by folder."""
    shared = Shared()
    return [trial_of(record, folder, shared) for folder, record in records.items()]


@dataclass
class Shared:
    """Keeps equal configurations and data sets once: thousands of trials have some dozens of them."""

    texts: dict[str, str] = field(default_factory=dict)
    datasets: dict[DatasetFacts, DatasetFacts] = field(default_factory=dict)


@contextmanager
def _no_collector() -> Iterator[None]:
    """No search for garbage meanwhile: what is read stays, and would be gone through again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _read(folder: Path, shared: Shared) -> Trial:
    try:
        return trial_of(read_record(folder), folder, shared)
    except TamisError as damaged:
        return Trial(folder, UNREADABLE, str(damaged))
    except (ValueError, KeyError, TypeError, AttributeError) as damaged:
        return Trial(folder, UNREADABLE, f"{RECORD_FILE}: {type(damaged).__name__}: {damaged}")


def trial_of(record: TrialRecord, folder: Path, shared: Shared) -> Trial:
    """The part of a record that reports need.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError : its configuration or its sizes are damaged.
    """
    config = record.config
    curve = record.curve if record.status == COMPLETE else []
    if curve:
        _check_sizes(record)
    parts = {group: _text(group, config.get(group) or {}) for group in PARTS}
    seed = config.get("seed") or {}
    element = (config.get("dataset") or {}).get("element")
    return Trial(
        folder=folder,
        status=record.status,
        reason=record.reason,
        problems=record.problems,
        choices=_choices(config),
        parts={group: shared.texts.setdefault(text, text) for group, text in parts.items()},
        own=bool(record.own),
        block=record.labels.get(BLOCK, ""),
        element=str(element or "-".join(record.dataset.elements) or "?"),
        validation_fraction=float(config.get("validation_fraction") or 0.0),
        seeds=(seed.get("split", 0), seed.get("select", 0), seed.get("fit", 0)),
        dataset=shared.datasets.setdefault(record.dataset, record.dataset),
        points=tuple(_slim(point.metrics) for point in curve),
        ids=tuple(map(sys.intern, record.selection.ids)) if curve else (),
        point_ids=tuple(tuple(map(sys.intern, point.ids)) for point in curve if point.ids is not None),
        versions=record.versions,
        seconds=sum(record.seconds.values()),
        started=record.started,
    )


def _text(group: str, part: Mapping[str, Any]) -> str:
    return json.dumps({k: v for k, v in part.items() if group != "dataset" or k not in WHERE}, sort_keys=True)


def _check_sizes(record: TrialRecord) -> None:
    """Raise KeyError or ValueError unless every point says how much was kept, and of how much."""
    sizes = [
        record.dataset.n_pool_atoms,
        *(point.metrics[name] for point in record.curve for name in names.SIZES),
    ]
    if not min(sizes) > 0.0:
        raise ValueError(f"a pool or a kept set has the size {min(sizes)}")


def _choices(config: Mapping[str, Any]) -> Mapping[str, str]:
    """The choice of each group; where the record has none, the module of its class."""
    targets = {group: str((config.get(group) or {}).get("_target_", "?.?")).split(".") for group in PARTS}
    return {group: sys.intern(path[-2]) for group, path in targets.items()} | config["choices"]


def _slim(metrics: Mapping[str, float]) -> Metrics:
    return {kept: value for name, value in metrics.items() if (kept := _wanted(name))}


@cache
def _wanted(name: str) -> str:
    """The name if a report shows it, always the same object; else empty."""
    return sys.intern(name) if name.startswith(WANTED) else ""
