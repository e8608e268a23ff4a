"""Properties against the whole pool's and references, stability of MD, and what low errors say about either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from tamis.analysis.arms import Ground, Point
from tamis.analysis.whole_pool import less_whole_pool
from tamis.core.metrics import (
    DIFFUSION_ERROR,
    FORCE_MAE,
    MD,
    MD_FAILURES,
    MD_VOLUME_ERROR,
    NVE_DRIFT,
    OUTSIDE_KEPT,
    PROPERTIES,
    STABLE_FRACTION,
    TEST,
    error,
    is_property_error,
    property_of_error,
    unit_of,
)
from tamis.core.names import in_figure
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table, number
from tamis.report.style import colour, label, legend, log_axes, panel

FORCE = error(TEST, FORCE_MAE)
DYNAMICS = (
    *(STABLE_FRACTION, MD_FAILURES, NVE_DRIFT, DIFFUSION_ERROR, MD_VOLUME_ERROR),
    OUTSIDE_KEPT.format("common"),
)
WHOLE = (
    "properties less those of the potential trained on the whole pool",
    "Of the same model and split, medians over splits: what pruning changed, whatever the model is worth; empty: could "
    "not be measured of one of the two.",
)
REFERENCE = (
    "errors of properties",
    "Medians over splits of value less reference; empty: could not be measured (see what is missing).",
)
NO_WHOLE = (
    "no potential of a smaller set has one of the whole pool beside it, of the same model and split, with properties "
    "(pruner=keep_all makes it)."
)


def section(context: Context) -> Section:
    """Properties and MD of each data set, if they were measured."""
    parts: list[Part] = []
    for ground in context.results.grounds:
        points = [point for curve in context.results.at(ground) for point in curve.points]
        parts += _properties(ground, _having(points, PROPERTIES))
        parts += _dynamics(ground, _having(points, MD), context)
    if not any(isinstance(part, Table) for part in parts):
        parts = [Paragraph("No trial measured properties or MD (evaluation=quick or full does).")]
    return Section("Properties and stability", parts)


def _having(points: Sequence[Point], beginning: str) -> list[Point]:
    return [p for p in points if any(name.startswith(beginning) for name in p.metrics)]


def _properties(ground: Ground, measured: Sequence[Point]) -> Iterator[Part]:
    """Differences to the potential of the whole pool first: pruning made these. Then errors against references."""
    if not measured:
        yield Paragraph(f"{ground.name}: properties were not measured.")
        return
    if pruned := less_whole_pool(measured):
        yield _property_table(ground, pruned, "properties-less-whole-pool", *WHOLE)
    else:
        yield Paragraph(f"{ground.name}: {NO_WHOLE}")
    if _errors_of(measured):
        yield _property_table(ground, measured, "properties", *REFERENCE)
    else:
        yield Paragraph(f"{ground.name}: properties were measured, but no reference is known for them.")


def _errors_of(measured: Sequence[Point]) -> list[str]:
    return sorted({name for p in measured for name in p.metrics if is_property_error(name)})


def _property_table(ground: Ground, measured: Sequence[Point], name: str, title: str, notes: str) -> Table:
    names = _errors_of(measured)
    shown = [f"{property_of_error(n)}, {unit_of(n)}" for n in names]
    return Table(
        name=file_name(name, ground.name),
        title=f"{ground.name}: {title}",
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "mean size, %", "splits"],
        rows=list(_rows(measured, names, with_size=True)),
        notes=notes,
    )


def _dynamics(ground: Ground, measured: Sequence[Point], context: Context) -> Iterator[Part]:
    names = [name for name in DYNAMICS if any(name in p.metrics for p in measured)]
    if not names:
        yield Paragraph(f"{ground.name}: stability in MD was not measured.")
        return
    shown = [name.removeprefix(MD) for name in names]
    yield Table(
        name=file_name("dynamics", ground.name),
        title=f"{ground.name}: molecular dynamics",
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "splits"],
        rows=list(_rows(measured, names)),
        notes="Medians over splits. Thresholds of stability come from the full pool, never from what was kept. "
        "Environments outside of the kept ones are counted in the common space.",
    )
    yield Pictures(list(_trade_off(ground, measured, context)))


def _rows(measured: Sequence[Point], names: Sequence[str], with_size: bool = False) -> Iterator[Row]:
    """A row for each model, arm, pruner and budget (to the percent of the pool's atoms)."""
    groups: dict[tuple[str, str, str, int], list[Point]] = defaultdict(list)
    for p in measured:
        groups[p.model, p.arm, p.pruner, round(100 * p.fraction)].append(p)
    for (model, arm, pruner, kept), mine in sorted(groups.items()):
        values = {name: [p.metrics[name] for p in mine if name in p.metrics] for name in names}
        cells = [number(float(np.median(some)) if some else np.nan) for some in values.values()]
        if with_size:
            sizes = [abs(x) for name, some in values.items() if unit_of(name) == "%" for x in some]
            cells.append(number(float(np.mean(sizes)) if sizes else np.nan))
        yield [model, Cell(arm, mark=mine[0].own), pruner, str(kept), *cells, str(len(mine))]


def _trade_off(ground: Ground, measured: Sequence[Point], context: Context) -> Iterator[Picture]:
    both = [p for p in measured if STABLE_FRACTION in p.metrics and FORCE in p.metrics]
    for model in sorted({p.model for p in both}):
        figure, ax = panel(f"{model}, {ground.name}")
        for arm in sorted({p.arm for p in both if p.model == model}):
            mine = [p.metrics for p in both if (p.model, p.arm) == (model, arm)]
            x, y = ([metrics[name] for metrics in mine] for name in (FORCE, STABLE_FRACTION))
            tint = colour(arm, context.colours())
            ax.plot(x, y, "o", ms=5, alpha=0.8, color=tint, label=in_figure(arm))
        log_axes(ax, "x")
        ax.set_ylim(-0.03, 1.03)
        label(ax, "test force MAE (eV/Å)", "survived part of the MD steps")
        legend(ax)
        yield Picture(
            file_name("trade-off", model, ground.name),
            f"{model} on {ground.name}: stability in MD against test force error, a point a trial.",
            figure,
        )
