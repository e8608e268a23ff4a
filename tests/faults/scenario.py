"""What a fault is put into, and what has to hold afterwards."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

REASONS = (
    *("No space left on device", "Input/output error", "Read-only file system"),  # the system's own words
    *("disk is full", "disk I/O error", "readonly database", "unable to open database file"),  # SQLite's
)
"""One of them has to be in what a program says that gives up because of a fault."""


class Scenario(ABC):
    """A program that is run in ``folder`` until it is done: hit by faults, and then once without any.

    name: as the list of scenarios calls it.
    """

    name: str

    @abstractmethod
    def prepare(self, folder: Path) -> None:
        """Make what the program finds there, once; it is copied for each case. Warm up what all runs share."""

    @abstractmethod
    def run(self, folder: Path) -> None:
        """The program; called in a process of its own that works in ``folder``."""

    @abstractmethod
    def complete(self, folder: Path) -> dict[str, bytes]:
        """What is complete now, name -> content: no fault may change or lose it.

        Raises
        ------
        AssertionError : something that claims to be whole is not.
        """

    @abstractmethod
    def check(self, folder: Path) -> None:
        """What has to hold when the program has come to its end without a fault; raises AssertionError."""

    def close(self) -> None:  # noqa: B027 # most have nothing to end
        """End what ``prepare`` has started."""
