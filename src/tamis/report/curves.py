"""Error against kept atoms: the figure that every sweep leaves in its folder."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.analysis.points import Point, average, points_of, write_table
from tamis.core.files import write_atomically
from tamis.records.record import COMPLETE, TrialRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {
    "random": "#8a8f98",
    "stratified": "#9c8468",
    "ace": "#d1495b",
    "soap": "#2f6fb0",
    "acsf": "#e09f3e",
    "chimes": "#3a8f5c",
    "snap": "#7d4fa3",
    "quests": "#17a2b0",
}
QUANTITIES = {"energy_mae_meV_per_atom": "energy MAE (meV/atom)", "force_mae_eV_per_A": "force MAE (eV/Å)"}


def draw_curves(points: Sequence[Point], path: Path, title: str) -> None:
    """Test errors against kept atoms, log-log: a panel a model and quantity, a line an arm.

    Lines are geometric means over seeds, bands their range.
    """
    # every trial's process imports this module, and few of them draw
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    models = sorted({(point.setting, point.model) for point in points})
    figure = Figure(figsize=(5.2 * len(models), 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(QUANTITIES), len(models), squeeze=False, sharex="col")
    for row, (name, label) in zip(axes, QUANTITIES.items(), strict=True):
        for ax, model in zip(row, models, strict=True):
            _draw_panel(ax, [p for p in points if (p.setting, p.model) == model], f"test/{name}")
            ax.set(xscale="log", yscale="log", ylabel=f"test {label}")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(
                    LogLocator(subs=(1, 1.5, 2, 3, 5, 7))
                )  # ranges are often less than a decade
                axis.set_major_formatter("{x:g}")
                axis.set_minor_locator(NullLocator())
            ax.grid(alpha=0.25, lw=0.6)
    for ax, model in zip(axes[0], models, strict=True):
        ax.set_title(f"model {model[1]} {model[0]}")
    for ax in axes[-1]:
        ax.set_xlabel("atoms kept")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=6, frameon=False, title="structures chosen by"
    )
    figure.suptitle(title)
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=130, format=path.suffix[1:])
    write_atomically(path, drawn.getvalue())


def _draw_panel(ax: Axes, points: Sequence[Point], name: str) -> None:
    points = [p for p in points if name in p.metrics]  # without a test set there is nothing to draw
    arms = sorted(
        {(p.arm, p.pruner) for p in points}, key=lambda key: (key[0] not in ("random", "stratified"), key)
    )
    several = len({pruner for arm, pruner in arms if arm != pruner}) > 1
    for arm, pruner in arms:
        mine = [p for p in points if (p.arm, p.pruner) == (arm, pruner)]
        groups = [[p for p in mine if p.budget == budget] for budget in {p.budget for p in mine}]
        groups.sort(key=lambda group: average(group, "kept/atoms"))
        atoms = [average(group, "kept/atoms") for group in groups]
        middle = [average(group, name) for group in groups]
        low, high = ([pick(p.metrics[name] for p in group) for group in groups] for pick in (min, max))
        label = f"{pruner} in {arm}" if several and arm != pruner else arm
        style = "--" if arm == pruner else "-"
        (line,) = ax.plot(atoms, middle, f"o{style}", ms=4, lw=1.6, color=COLOURS.get(arm), label=label)
        ax.fill_between(atoms, low, high, color=line.get_color(), alpha=0.13, lw=0)


def leave_curve(record: TrialRecord, folder: Path) -> None:
    """Write a table and a figure of a learning curve into a trial's folder, where the trial is one."""
    if len(record.curve) > 1 and record.status == COMPLETE:
        points = list(points_of([record]))
        write_table(points, folder / "curve.csv")
        draw_curves(points, folder / "curve.png", "test errors against atoms kept")
