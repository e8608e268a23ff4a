"""The jobs of a grid that no worker has yet, and the rows that have to be made before them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tamis.sweeps.job import Job, digest_of


@dataclass(frozen=True)
class Rows:
    """What has to be made before some jobs run: a part of the configuration of one of them; name: the same for all."""

    name: str
    part: str
    config: Mapping[str, Any]


class Waiting:
    """Jobs that no worker has yet, and the rows that they need."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        needs = {job.name: _needs(job) for job in jobs}
        self.rows = {rows.name: rows for some in needs.values() for rows in some}
        """Rows that are not made."""
        self._new = deque(sorted(self.rows.values(), key=lambda rows: rows.part != "model"))
        self._ready: deque[Job] = deque()
        self._blocked = [(job, {rows.name for rows in needs[job.name]}) for job in jobs]

    def __bool__(self) -> bool:
        return bool(self._new or self._ready or self._blocked)

    def next(self, n: int) -> list[Job | Rows]:
        """Up to ``n`` that may be begun; they wait no more."""
        return [
            (self._new or self._ready).popleft() for _ in range(min(n, len(self._new) + len(self._ready)))
        ]

    def made(self, rows: Rows, well: bool) -> list[Job]:
        """Let jobs go for which these were the last rows; returns those that never can, where the rows are not well."""
        del self.rows[rows.name]
        lost = [] if well else [job for job, names in self._blocked if rows.name in names]
        blocked = [
            (job, names - {rows.name}) for job, names in self._blocked if well or rows.name not in names
        ]
        self._ready += [job for job, names in blocked if not names]
        self._blocked = [(job, names) for job, names in blocked if names]
        return lost


def _needs(job: Job) -> list[Rows]:
    """What has to be made before a job runs; rows of a model hold the values of its own descriptor."""
    config = job.config
    parts = [
        "model"
    ]  # a guess from the text, for the order alone: what is own is decided by ``trial.is_own``
    if config["descriptor"] != config["model"].get("basis") and config["choices"]["descriptor"] != "none":
        parts.append("descriptor")
    where = [config["dataset"], config["store"]]
    return [Rows(f"rows-{digest_of([config[part], *where])}", part, config) for part in parts]
