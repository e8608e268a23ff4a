"""Errors against kept atoms: the table and the figure that every sweep leaves in its folder."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

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
HAVE_A_COLUMN = ("model=", "pruner=", "descriptor=", "budget=", "budget.", "seed.")


def write_table(records: Sequence[TrialRecord], path: Path) -> None:
    """One CSV line a point of a complete trial: choices, what else was varied, seeds, and all metrics."""
    everywhere = set.intersection(*(set(record.overrides) for record in records))
    complete = [record for record in records if record.status == COMPLETE]
    names = sorted({name for record in complete for point in record.curve for name in point.metrics})
    text = io.StringIO()
    writer = csv.writer(text)
    choices = ("model", "pruner", "descriptor")
    writer.writerow([*choices, "own", "setting", "budget", "seed.split", "seed.select", *names])
    for record in complete:
        seed = record.config["seed"]
        varied = [o for o in record.overrides if o not in everywhere and not o.startswith(HAVE_A_COLUMN)]
        words = [
            *(record.config["choices"][one] for one in choices),
            bool(record.own),
            " ".join(sorted(varied)),
        ]
        budget = json.dumps(record.config["budget"], sort_keys=True)
        for i, point in enumerate(record.curve):
            numbers = [point.metrics.get(name, "") for name in names]
            writer.writerow([*words, f"{budget}, point {i}", seed["split"], seed["select"], *numbers])
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
        write_table([record], folder / "curve.csv")
        points = results_of(trials_of({folder: record})).points
        draw_curves(points, folder / "curve.png", "test errors against atoms kept")
