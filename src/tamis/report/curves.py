"""Error against kept atoms: the figure and the table that every sweep leaves in its folder."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from tamis.record import COMPLETE, TrialRecord

COLOURS = {
    "random": "#8a8f98",
    "stratified": "#3f444c",
    "ace": "#d1495b",
    "soap": "#2f6fb0",
    "acsf": "#e09f3e",
    "chimes": "#3a8f5c",
    "snap": "#7d4fa3",
    "quests": "#17a2b0",
}
QUANTITIES = {"energy_mae_meV_per_atom": "energy MAE (meV/atom)", "force_mae_eV_per_A": "force MAE (eV/Å)"}


@dataclass(frozen=True)
class Point:
    """One point of one trial: who chose (``arm``) for which model, how much was kept, what came out."""

    model: str
    pruner: str
    descriptor: str
    seed_split: int
    seed_select: int
    metrics: dict[str, float]

    @property
    def arm(self) -> str:
        """The descriptor where there is one, else the pruner."""
        return self.pruner if self.descriptor == "none" else self.descriptor


def points_of(records: Sequence[TrialRecord]) -> Iterator[Point]:
    """All points of all complete trials."""
    for record in records:
        if record.status == COMPLETE:
            choices, seed = record.config["choices"], record.config["seed"]
            for point in record.curve:
                yield Point(
                    choices["model"],
                    choices["pruner"],
                    choices["descriptor"],
                    seed["split"],
                    seed["select"],
                    point["metrics"],
                )


def write_table(points: Sequence[Point], path: Path) -> None:
    """One CSV line a point: choices, seeds, and all metrics that any point has."""
    names = sorted({name for point in points for name in point.metrics})
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "pruner", "descriptor", "seed.split", "seed.select", *names])
        for p in points:
            cells = [p.metrics.get(name, "") for name in names]
            writer.writerow([p.model, p.pruner, p.descriptor, p.seed_split, p.seed_select, *cells])


def draw_curves(points: Sequence[Point], path: Path, title: str) -> None:
    """Test errors against kept atoms, log-log: a panel a model and quantity, a line an arm, bands over seeds."""
    models = sorted({point.model for point in points})
    figure = Figure(figsize=(5.2 * len(models), 7.6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(QUANTITIES), len(models), squeeze=False, sharex="col")
    for row, (name, label) in zip(axes, QUANTITIES.items(), strict=True):
        for ax, model in zip(row, models, strict=True):
            _draw_panel(ax, [p for p in points if p.model == model], f"test/{name}")
            ax.set(xscale="log", yscale="log", ylabel=f"test {label}")
            for axis in (ax.xaxis, ax.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # ranges are often less than a decade
                axis.set_major_formatter("{x:g}")
                axis.set_minor_locator(NullLocator())
            ax.grid(alpha=0.25, lw=0.6)
    for ax, model in zip(axes[0], models, strict=True):
        ax.set_title(f"model {model}")
    for ax in axes[-1]:
        ax.set_xlabel("atoms kept")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=6, frameon=False, title="structures chosen by"
    )
    figure.suptitle(title)
    figure.savefig(path, dpi=130)


def _draw_panel(ax: Axes, points: Sequence[Point], name: str) -> None:
    arms = sorted(
        {(p.arm, p.pruner) for p in points}, key=lambda key: (key[0] not in ("random", "stratified"), key)
    )
    several = len({pruner for arm, pruner in arms if arm != pruner}) > 1
    for arm, pruner in arms:
        mine = [p for p in points if (p.arm, p.pruner) == (arm, pruner) and name in p.metrics]
        # the same budget keeps a few atoms more or less by seed: points of one budget belong together
        budgets = sorted({round(p.metrics["kept/structures"]) for p in mine})
        groups = [[p.metrics for p in mine if round(p.metrics["kept/structures"]) == n] for n in budgets]
        atoms = [np.median([m["kept/atoms"] for m in group]) for group in groups]
        low, middle, high = np.transpose([np.percentile([m[name] for m in g], [0, 50, 100]) for g in groups])
        label = f"{pruner} in {arm}" if several and arm != pruner else arm
        style = "--" if arm == pruner else "-"
        (line,) = ax.plot(atoms, middle, f"o{style}", ms=4, lw=1.6, color=COLOURS.get(arm), label=label)
        ax.fill_between(atoms, low, high, color=line.get_color(), alpha=0.13, lw=0)
