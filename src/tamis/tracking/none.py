"""No tracking (``tracking=null``): what takes the tracker's place keeps nothing and finds nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from tamis.records.record import TrialRecord
from tamis.tracking.parents import UNREACHABLE, Parent
from tamis.tracking.tracker import Child, ParentRun, Tracker, Written


@dataclass(frozen=True)
class NoTracker:
    """What callers ask of a ``Tracker``; nothing is written. The parent of a folder is one that was not reached."""

    uri: str = ""
    experiment: str = ""

    def answers(self) -> bool:
        """There is nothing to wait for."""
        return True

    def open_parent(self, parent: Parent, tags: Mapping[str, str] | None = None) -> str:
        """Make no run."""
        return UNREACHABLE

    def end_parent(self, run_id: str, status: str = "FINISHED") -> None:
        """Nothing."""

    def find_parent(self, parent: Parent) -> ParentRun | None:
        """None."""
        return None

    def children(self, parent: str) -> list[Child]:
        """None."""
        return []

    def discard(self, run_id: str) -> None:
        """Nothing."""

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Nothing."""

    def attach(self, run_id: str, folder: Path) -> None:
        """Nothing."""

    def write(
        self, record: TrialRecord, folder: Path, parent: str | None, more: Mapping[str, str] | None = None
    ) -> Written:
        """Write no run."""
        return Written(UNREACHABLE, is_new=False)


def tracker_of(config: DictConfig) -> Tracker | NoTracker:
    """The tracker that a composed configuration names in ``tracking``, or none."""
    return instantiate(config.get("tracking")) or NoTracker()
