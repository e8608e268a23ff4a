"""Stand-in for the module of this name."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType

from tamis.sweeps.folder import Sweep, SweepFolder


class Publisher:
    """Writes nothing."""

    def __init__(self, tracker: object, folder: SweepFolder, sweep: Sweep) -> None:
        self.published: list[tuple[str, Mapping[str, str]]] = []

    def __enter__(self) -> Publisher:
        return self

    def publish(self, name: str, tags: Mapping[str, str] | None = None) -> None:
        """Remember the name."""
        self.published.append((name, tags or {}))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
