"""The points of learning curves, as tables and figures want them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tamis.analysis.averages import geometric_mean
from tamis.core.files import write_atomically
from tamis.records.record import COMPLETE, TrialRecord

HAVE_A_COLUMN = ("model=", "pruner=", "descriptor=", "budget=", "budget.", "seed.")


@dataclass(frozen=True)
class Point:
    """One point of one trial: who chose for which model, how much was to be kept, what came out.

    setting: what else was varied, as it was typed (``dataset.element=Mo``); empty where nothing was.
    budget: what was asked for, the same text for all seeds (the numbers that came of it may differ a little).
    own: whether the descriptor is the model's own.
    """

    model: str
    pruner: str
    descriptor: str
    setting: str
    budget: str
    seed_split: int
    seed_select: int
    own: bool
    metrics: dict[str, float]

    @property
    def arm(self) -> str:
        """The descriptor where there is one, else the pruner."""
        return self.pruner if self.descriptor == "none" else self.descriptor


def points_of(records: Sequence[TrialRecord]) -> Iterator[Point]:
    """All points of all complete trials."""
    everywhere = set.intersection(*(set(record.overrides) for record in records)) if records else set()
    for record in records:
        if record.status == COMPLETE:
            choices, seed = record.config["choices"], record.config["seed"]
            varied = [o for o in record.overrides if o not in everywhere and not o.startswith(HAVE_A_COLUMN)]
            for i, point in enumerate(record.curve):
                yield Point(
                    choices["model"],
                    choices["pruner"],
                    choices["descriptor"],
                    " ".join(sorted(varied)),
                    f"{json.dumps(record.config['budget'], sort_keys=True)}, point {i}",
                    seed["split"],
                    seed["select"],
                    bool(record.own),
                    point.metrics,
                )


def average(points: Sequence[Point], name: str) -> float:
    """Geometric mean of a metric over points; NaN where one has none."""
    return geometric_mean(point.metrics.get(name, np.nan) for point in points)


def write_table(points: Sequence[Point], path: Path) -> None:
    """One CSV line a point: choices, seeds, and all metrics that any point has."""
    names = sorted({name for point in points for name in point.metrics})
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(
        ["model", "pruner", "descriptor", "own", "setting", "budget", "seed.split", "seed.select", *names]
    )
    for p in points:
        cells = [p.metrics.get(name, "") for name in names]
        choices = [p.model, p.pruner, p.descriptor, p.own, p.setting, p.budget]
        writer.writerow([*choices, p.seed_split, p.seed_select, *cells])
    write_atomically(path, text.getvalue().encode())
