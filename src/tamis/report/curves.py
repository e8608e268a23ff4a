"""Errors against kept atoms: the table and the figure that every sweep leaves in its folder."""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.analysis.arms import BASELINES, Point, results_of
from tamis.analysis.averages import average
from tamis.analysis.trials import trials_of
from tamis.core.files import write_atomically
from tamis.core.metrics import ENERGY_MAE, FORCE_MAE, KEPT_ATOMS, TEST, error
from tamis.records.record import COMPLETE, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {ENERGY_MAE: "energy MAE (meV/atom)", FORCE_MAE: "force MAE (eV/Å)"}
SIZE = (5.2, 3.8)
"""Inches of a panel."""
CHOICES = ("model", "pruner", "descriptor")
HAVE_A_COLUMN = ("model=", "pruner=", "descriptor=", "budget=", "budget.", "seed.")
Names = tuple[str, ...]


class PointTable:
    """One CSV line a point of a complete trial: choices, what else was varied, seeds, and all metrics.

    Of each record it keeps the numbers alone, and the names of the metrics once for all points that have the same.
    """

    def __init__(self) -> None:
        self._everywhere: set[str] | None = None
        self._lines: list[tuple[list[Any], list[str], list[Any], Names, array[float]]] = []
        self._names: dict[Names, Names] = {}

    def add(self, record: TrialRecord) -> None:
        """Add the points of a trial, if it is complete."""
        typed = set(record.overrides)
        self._everywhere = typed if self._everywhere is None else self._everywhere & typed
        if record.status != COMPLETE:
            return
        seed, budget = record.config["seed"], json.dumps(record.config["budget"], sort_keys=True)
        first = [*(record.config["choices"][one] for one in CHOICES), bool(record.own)]
        varied = sorted(one for one in record.overrides if not one.startswith(HAVE_A_COLUMN))
        for i, point in enumerate(record.curve):
            names = self._names.setdefault(tuple(point.metrics), tuple(point.metrics))
            last = [f"{budget}, point {i}", seed["split"], seed["select"]]
            self._lines.append((first, varied, last, names, array("d", point.metrics.values())))

    def write(self, path: Path) -> None:
        """Write the table, with a column for each metric that a point has."""
        every, text = sorted({name for names in self._names for name in names}), io.StringIO()
        writer = csv.writer(text)
        writer.writerow([*CHOICES, "own", "setting", "budget", "seed.split", "seed.select", *every])
        for first, varied, last, names, values in self._lines:
            setting = " ".join(one for one in varied if one not in (self._everywhere or ()))
            metrics = dict(zip(names, values, strict=True))
            writer.writerow([*first, setting, *last, *(metrics.get(name, "") for name in every)])
        write_atomically(path, text.getvalue().encode())


def draw_curves(points: Sequence[Point], path: Path, title: str) -> None:
    """Test errors against kept atoms, log-log: a panel a model and quantity, a line an arm.

    Lines are geometric means over seeds, bands their range.
    """
    from tamis.report.style import INK, label, legend, log_axes, panels  # takes long, and few processes draw

    models = sorted({(point.ground, point.model) for point in points})
    figure, axes = panels(
        [[f"model {model}, {ground.name}" for ground, model in models]] * len(QUANTITIES), SIZE
    )
    arms = sorted({point.arm for point in points})
    for row, (name, what) in zip(axes, QUANTITIES.items(), strict=True):
        for ax, model in zip(row, models, strict=True):
            metric = error(TEST, name)
            mine = [p for p in points if (p.ground, p.model) == model and metric in p.metrics]
            _draw_panel(ax, mine, metric, arms)
            log_axes(ax, "x", "y")
            label(ax, "atoms kept", f"test {what}")
    legend(axes[0, 0], 6)
    figure.suptitle(title, color=INK)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=130, format=path.suffix[1:])
    write_atomically(path, drawn.getvalue())


def _draw_panel(ax: Axes, points: Sequence[Point], name: str, names: Sequence[str]) -> None:
    from tamis.report.style import colour, draw_curve

    arms = sorted({(p.arm, p.pruner) for p in points}, key=lambda key: (key[0] not in BASELINES, key))
    several = len({pruner for arm, pruner in arms if arm != pruner}) > 1
    for arm, pruner in arms:
        mine = [p for p in points if (p.arm, p.pruner) == (arm, pruner)]
        groups = [[p for p in mine if p.budget == budget] for budget in {p.budget for p in mine}]
        groups.sort(key=lambda group: average(group, KEPT_ATOMS))
        low, high = ([pick(p.metrics[name] for p in group) for group in groups] for pick in (min, max))
        x, y = ([average(group, metric) for group in groups] for metric in (KEPT_ATOMS, name))
        called = f"{pruner} in {arm}" if several and arm != pruner else arm
        draw_curve(ax, arm, called, colour(arm, names), x, y, (low, high))


def leave_curve(record: TrialRecord, folder: Path) -> None:
    """Write a table and a figure of a learning curve into a trial's folder, where the trial is one."""
    if len(record.curve) > 1 and record.status == COMPLETE:
        table = PointTable()
        table.add(record)
        table.write(folder / "curve.csv")
        points = results_of(trials_of({folder: record})).points
        draw_curves(points, folder / "curve.png", "test errors against atoms kept")
