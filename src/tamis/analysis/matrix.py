"""The question of tamis as a table: each model's error on sets pruned with each descriptor, relative to random."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.table import Table

from tamis.analysis.averages import AVERAGE, size_words
from tamis.analysis.points import Point, average
from tamis.core.metrics import FORCE_MAE, KEPT_ATOMS, TEST, error

METRIC = error(TEST, FORCE_MAE)
BASELINE = "random"
Cell = tuple[float, bool]
"""Ratio of errors, and whether the descriptor is the model's own."""


def matrices(points: Sequence[Point]) -> Iterator[Table]:
    """A table for each budget (and setting) at which several models were trained on several descriptors' choices."""
    budgets: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        budgets.setdefault((point.setting, point.budget), []).append(point)
    for (setting, _), some in sorted(budgets.items(), key=lambda item: average(item[1], KEPT_ATOMS)):
        cells = ratios(some)
        models, descriptors = (sorted({key[i] for key in cells}) for i in (0, 1))
        if len(models) > 1 and len(descriptors) > 1:
            kept = f"{size_words(p.metrics[KEPT_ATOMS] for p in some)} kept"
            yield _table(
                cells,
                models,
                descriptors,
                ", ".join(part for part in (kept, setting, _averaged(some)) if part),
            )


def _averaged(points: Sequence[Point]) -> str:
    """Over what the ratios of a table are averaged."""
    seeds = {(p.seed_split, p.seed_select) for p in points}
    pruners = sorted({p.pruner for p in points if p.descriptor != "none"})
    over = [f"{len(seeds)} seeds"] * (len(seeds) > 1) + [f"pruners {', '.join(pruners)}"] * (len(pruners) > 1)
    return f"{AVERAGE} over {' and '.join(over)}" if over else ""


def ratios(points: Sequence[Point]) -> dict[tuple[str, str], Cell]:
    """(model, descriptor) -> error over the error of a random choice with the same seeds, geometric mean over seeds.

    Pruners that were run with one descriptor are averaged too: a table of one pruner is clearest.
    """
    baseline = {
        _key(p): np.log(p.metrics[METRIC]) for p in points if p.pruner == BASELINE and METRIC in p.metrics
    }
    logs: dict[tuple[str, str], list[float]] = {}
    own: dict[tuple[str, str], bool] = {}
    for p in points:
        if p.descriptor != "none" and METRIC in p.metrics and _key(p) in baseline:
            logs.setdefault((p.model, p.descriptor), []).append(np.log(p.metrics[METRIC]) - baseline[_key(p)])
            own[p.model, p.descriptor] = p.own
    return {key: (float(np.exp(np.mean(values))), own[key]) for key, values in logs.items()}


def _key(point: Point) -> tuple[str, int, int]:
    return point.model, point.seed_split, point.seed_select


def _table(
    cells: dict[tuple[str, str], Cell], models: Sequence[str], descriptors: Sequence[str], title: str
) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"test force MAE relative to random, {title}; = own descriptor, best of a row in green",
        title_justify="left",
    )
    table.add_column("model \\ pruned with")
    for descriptor in descriptors:
        table.add_column(descriptor, justify="right")
    for model in models:
        best = min(cells[key][0] for key in cells if key[0] == model)
        table.add_row(model, *(_cell(cells.get((model, d)), best) for d in descriptors))
    return table


def _cell(cell: Cell | None, best: float) -> str:
    if cell is None:
        return ""
    ratio, own = cell
    text = f"{'= ' if own else ''}{ratio:.2f}"
    return f"[green]{text}[/]" if ratio == best else text
