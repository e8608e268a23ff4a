"""All scenarios of a campaign.

A module is imported when one of its scenarios is wanted: small processes fork faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

from tests.faults.scenario import Scenario


class Entry(NamedTuple):
    """Where a scenario is defined, and how many of ten thousand faults hit it: dear ones get fewer."""

    module: str
    kind: str
    arguments: tuple[Any, ...]
    share: int


SCENARIOS = {
    "store, two writers": Entry("rows", "SharedStore", (), 1800),
    "record.json": Entry("files", "GrowingRecord", (), 700),
    "archive of a data set": Entry("files", "KeptDataset", (), 1000),
    "download": Entry("files", "Download", (), 900),
    "tamis report": Entry("outputs", "Report", (), 800),
    "tamis pick": Entry("outputs", "Pick", (), 600),
    "search on SQLite": Entry("search", "Search", (False,), 3100),
    "search on a new SQLite": Entry("search", "Search", (True,), 50),
    "trial, tamis sync": Entry("trial", "Trial", (), 300),
    "sweep, tamis sync": Entry("trial", "Sweep", (False,), 400),
    "sweep, trials again": Entry("trial", "Sweep", (True,), 200),
    "careless": Entry("files", "Careless", (), 0),
}


def chosen(beginnings: Sequence[str]) -> list[Scenario]:
    """The scenarios whose names begin with one of these; all that have a share where there are none."""
    names = [
        name
        for name, entry in SCENARIOS.items()
        if (name.startswith(tuple(beginnings)) if beginnings else entry.share)
    ]
    found = []
    for name in names:
        entry = SCENARIOS[name]
        one = getattr(import_module(f"tests.faults.{entry.module}"), entry.kind)(*entry.arguments)
        one.name = name
        found.append(one)
    return found
