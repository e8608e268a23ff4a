"""Errors against kept atoms: the table and the figure that every sweep leaves in its folder."""

from __future__ import annotations

import csv
import io
import json
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.analysis.arms import Ground, Point, results_of
from tamis.analysis.averages import AVERAGE, average, size_words
from tamis.analysis.trials import trials_of
from tamis.core.files import write_atomically
from tamis.core.metrics import ENERGY_MAE, FORCE_MAE, KEPT_ATOMS, TEST, error
from tamis.records.record import COMPLETE, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUANTITIES = {ENERGY_MAE: "energy MAE (meV/atom)", FORCE_MAE: "force MAE (eV/Å)"}
SIZE = (4.4, 3.5)
"""Inches of a panel."""
MOST_COLUMNS = 3
"""Panels side by side."""
MOST_MODELS = 12
"""Models and data sets that have panels, those of the most trials; a search may have hundreds of settings."""
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


def draw_curves(points: Sequence[Point], path: Path, title: str = "Test errors") -> None:
    """Test errors by number of kept atoms: a panel a model and quantity, a line an arm. Of one budget: a dot an arm.

    Lines and dots are geometric means over seeds, bands and bars their range, which the headline says.
    """
    from tamis.report.style import headline, label, legend, panels, save  # takes long, and few processes draw

    most = Counter((point.ground, point.model) for point in points).most_common(MOST_MODELS)
    models = sorted(model for model, _ in most)
    columns = min(len(models), MOST_COLUMNS)
    cells: list[list[tuple[tuple[Ground, str], str] | None]] = []
    for first in range(0, len(models), columns):
        some = models[first : first + columns]
        empty = [None] * (columns - len(some))
        cells += [[*((model, name) for model in some), *empty] for name in QUANTITIES]
    names = [[f"{cell[0][1]}, {cell[0][0].name}" if cell else "" for cell in row] for row in cells]
    budgets: dict[tuple[str, ...], set[str]] = {}
    for p in points:
        budgets.setdefault((p.ground.name, p.model, p.arm, p.pruner), set()).add(p.budget)
    at_one = all(len(some) == 1 for some in budgets.values())
    figure, axes = panels(names, SIZE)
    each: list[Axes] = [*axes.flat]
    for ax, cell in zip(each, (cell for row in cells for cell in row), strict=True):
        if cell is None:
            ax.set_visible(False)
            continue
        model, name = cell
        metric = error(TEST, name)
        mine = [p for p in points if (p.ground, p.model) == model and metric in p.metrics]
        if at_one:
            _draw_dots(ax, mine, metric, f"test {QUANTITIES[name]}")
        else:
            _draw_lines(ax, mine, metric, sorted({point.arm for point in points}))
            label(ax, "atoms kept", f"test {QUANTITIES[name]}")
    legend(*each, columns=2 * columns)
    headline(figure, f"{title}, {_about(points, at_one)}")
    save(figure, path)


def _about(points: Sequence[Point], at_one: bool) -> str:
    """What dots, bars, lines and bands are; sizes where there is one budget."""
    groups = Counter((p.ground, p.model, p.arm, p.pruner, p.budget) for p in points)
    what, draws = ("dots", "bars") if at_one else ("lines", "bands"), max(groups.values())
    over = f"{what[0]}: {AVERAGE} over {draws} seeds, {what[1]}: their range" if draws > 1 else "one seed"
    return f"{size_words(p.atoms for p in points)} kept; {over}" if at_one else over


def _arms(points: Sequence[Point]) -> Iterator[tuple[str, str, str, list[Point]]]:
    """Arm, pruner, name and points, in the order of legends."""
    from tamis.report.style import ordered

    pruners = {p.arm: {q.pruner for q in points if q.arm == p.arm} for p in points}
    several = len({pruner for arm, some in pruners.items() for pruner in some if arm != pruner}) > 1
    for arm in ordered([*pruners]):
        for pruner in sorted(pruners[arm]):
            called = f"{pruner} in {arm}" if several and arm != pruner else arm
            yield arm, pruner, called, [p for p in points if (p.arm, p.pruner) == (arm, pruner)]


def _draw_dots(ax: Axes, points: Sequence[Point], metric: str, quantity: str) -> None:
    """A row an arm: each seed, their mean and range."""
    from tamis.report.style import draw_dots, look

    arms = list(_arms(points))
    rows = [(called, look(arm, [one for one, *_ in arms]), mine) for arm, _, called, mine in arms]
    draw_dots(
        ax, [(name, style, [p.metrics[metric] for p in mine], None) for name, style, mine in rows], quantity
    )


def _draw_lines(ax: Axes, points: Sequence[Point], metric: str, arms: Sequence[str]) -> None:
    from tamis.report.style import draw_curve, log_axes, look

    pruners = sorted({p.pruner for p in points if p.arm != p.pruner})
    for arm, pruner, called, mine in _arms(points):
        groups = [[p for p in mine if p.budget == budget] for budget in {p.budget for p in mine}]
        groups.sort(key=lambda group: average(group, KEPT_ATOMS))
        low, high = ([pick(p.metrics[metric] for p in group) for group in groups] for pick in (min, max))
        x, y = ([average(group, name) for group in groups] for name in (KEPT_ATOMS, metric))
        number = pruners.index(pruner) if pruner in pruners else 0
        several = any(len(group) > 1 for group in groups)
        draw_curve(ax, arm, called, look(arm, arms), x, y, (low, high) if several else None, number=number)
    log_axes(ax, "x", "y")


def leave_curve(record: TrialRecord, folder: Path) -> None:
    """Write a table and a figure of a learning curve into a trial's folder, where the trial is one."""
    if len(record.curve) > 1 and record.status == COMPLETE:
        table = PointTable()
        table.add(record)
        table.write(folder / "curve.csv")
        points = results_of(trials_of({folder: record})).points
        draw_curves(points, folder / "curve.png")
