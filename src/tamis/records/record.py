"""The record of a trial: what was asked, what came out, how long it took. The file is the truth, MLflow a copy."""

from __future__ import annotations

import json
import math
import resource
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.names import printable
from tamis.core.progress import announced_if_slow
from tamis.core.secrets import redacted

if TYPE_CHECKING:
    from pydantic import TypeAdapter

RECORD_FILE = "record.json"
STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
"""For pydantic: no conversions, no unknown keys, finite numbers; holds for the parts of a dataclass, too."""
COMPILED = "; the first time in an installation, kernels are compiled"
DOING = {
    "dataset": "reading the data set and looking for copies",
    "rows": f"making design rows{COMPILED}",
    "features": f"making the latent space{COMPILED}",
    "selection": "choosing structures",
    "fit": f"fitting{COMPILED}",
    "errors": f"measuring errors{COMPILED}",
    "properties": f"measuring properties{COMPILED}",
    "dynamics": f"running MD{COMPILED}",
}
"""What a stage does, for whoever waits."""


class Status(StrEnum):
    """How far a trial came."""

    RUNNING = "running"
    COMPLETE = "complete"
    FAILED = "failed"
    SKIPPED = "skipped"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"

    @property
    def has_ended(self) -> bool:
        """Whether the trial came to an end of its own, good or bad; if not, it is run again."""
        return self not in (Status.RUNNING, Status.INTERRUPTED)


RUNNING, COMPLETE, FAILED, SKIPPED, STOPPED, INTERRUPTED = Status


@dataclass(frozen=True)
class DatasetFacts:
    """The data set as this trial saw it; empty until it has been read.

    fingerprint: of structures and labels. pool, tuning, validation, test: ids of the structures of each part.
    pool_groups: group of each structure of the pool. n_pool_atoms: atoms of the pool.
    n_distinct_pool, n_distinct_validation: structures without their copies.
    test_kind, validation_kind: how these parts were chosen. notes: what was corrected or looks doubtful.
    read_as: what was taken for energy, forces and stress.
    """

    fingerprint: str = ""
    elements: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    pool_groups: tuple[str, ...] = ()
    tuning: tuple[str, ...] = ()
    validation: tuple[str, ...] = ()
    test: tuple[str, ...] = ()
    n_pool_atoms: int = 0
    n_distinct_pool: int = 0
    n_distinct_validation: int = 0
    test_kind: str = ""
    validation_kind: str = ""
    notes: tuple[str, ...] = ()
    read_as: str = ""


@dataclass(frozen=True)
class BudgetFacts:
    """How much each point of the curve was allowed to keep, in ``unit``; empty until the pool is known."""

    unit: Literal["structures", "atoms"] = "structures"
    limits: tuple[int, ...] = ()


@dataclass(frozen=True)
class SelectionFacts:
    """Ids of the kept structures at the last point, in the order of choice.

    nested: each point of the curve kept the first ones of these. notes: what the pruner was given to choose by.
    """

    nested: bool = True
    ids: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class CurvePoint:
    """One point of a learning curve.

    n_structures, n_atoms: how much was kept. metrics: name -> value. ids: of the kept structures in the order of the
    pool, where selections are not nested; else None.
    """

    n_structures: int
    n_atoms: int
    metrics: dict[str, float]
    ids: tuple[str, ...] | None = None


@dataclass
class TrialRecord:
    """Everything about one trial that a reader may ask for. It grows while the trial runs.

    config: the resolved configuration. overrides: what was typed. labels: of the sweep, such as the block of a plan.
    versions: of programs and packages. own: whether the descriptor is the model's own; None: there is none.
    curve: one point for each limit of the budget. metrics: name -> value at the last point, and peak memory; names,
    units and directions are in ``tamis.core.metrics``. seconds: stage -> wall time, s.
    problems: stage -> why something could not be measured, or what rests on too little, in a trial that is complete
    all the same. status, reason: how the trial ended, and why. started: time in seconds since 1970.
    id: of this record alone; MLflow's run is found by it.
    """

    __pydantic_config__ = STRICT

    config: dict[str, Any]
    overrides: list[str] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    dataset: DatasetFacts = field(default_factory=DatasetFacts)
    budget: BudgetFacts = field(default_factory=BudgetFacts)
    own: bool | None = None
    selection: SelectionFacts = field(default_factory=SelectionFacts)
    curve: list[CurvePoint] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    status: Status = RUNNING
    reason: str = ""
    started: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def measured(self) -> dict[str, float]:
        """Metrics, and the seconds of each stage under the names that they have in MLflow and in objectives."""
        return self.metrics | {names.seconds(stage): value for stage, value in self.seconds.items()}

    def kept(self, i: int) -> tuple[str, ...]:
        """Ids of the structures that point ``i`` of the curve kept."""
        point = self.curve[i]
        return self.selection.ids[: point.n_structures] if point.ids is None else point.ids

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the stage's seconds, and note the peak memory of the process so far."""
        start = time.perf_counter()
        try:
            with announced_if_slow(DOING.get(name, "")):
                yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start
            # Linux counts ru_maxrss in KiB
            self.metrics[names.PEAK_MEMORY] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def save(self, folder: Path) -> None:
        """Write ``record.json``, whole or not at all, and without secrets."""
        text = json.dumps(redacted(_in_json(asdict(self))), indent=1, allow_nan=False)
        write_atomically(folder / RECORD_FILE, text.encode())


def _in_json(value: Any) -> Any:
    """The value as JSON can hold it: NaN and infinity become words, and so do names that are not UTF-8."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_in_json(key): _in_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


@dataclass(frozen=True)
class _Config:
    """What readers of results rely on in the configuration of a complete trial."""

    choices: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    latent: dict[str, Any] = field(default_factory=dict)
    descriptor: dict[str, Any] = field(default_factory=dict)
    pruner: dict[str, Any] = field(default_factory=dict)
    budget: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    seed: dict[str, int] = field(default_factory=dict)
    validation_fraction: float = 0.0


@dataclass(frozen=True)
class _Complete:
    """The part of a complete record that ``_Config`` describes."""

    __pydantic_config__ = STRICT | {"extra": "ignore"}

    config: _Config


def read_record(folder: Path) -> TrialRecord:
    """The record of the trial in ``folder``.

    Raises
    ------
    TamisError : there is none, or it is damaged or of an earlier version.
    """
    return read_record_file(folder / RECORD_FILE)


@cache
def _adapter(kind: type) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter  # many commands read no record

    return TypeAdapter(kind)


def read_record_file(path: Path) -> TrialRecord:
    """The record in a file that may have another name.

    Raises
    ------
    TamisError : there is none, or it is damaged or of an earlier version.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TamisError(f"cannot read {path} ({error.strerror}); name the folder of a trial") from error
    from pydantic import ValidationError
    from pydantic_core import from_json

    try:
        record: TrialRecord = _adapter(TrialRecord).validate_json(data)
        if record.status == COMPLETE:
            _adapter(_Complete).validate_json(data)
        missing = {one.name for one in fields(TrialRecord)} - from_json(data, cache_strings="keys").keys()
        wrong = f"it has no {', '.join(sorted(missing))}" if missing else ""
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        wrong = ": ".join([*filter(None, [".".join(str(part)[:80] for part in first["loc"])]), first["msg"]])
    if wrong:
        raise TamisError(
            f"{path} is damaged, or from an earlier version of tamis ({wrong}); remove the folder and run the trial "
            "again"
        )
    return record
