"""Properties against the whole pool's and references, stability of MD, and what low errors say about either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from tamis.analysis.arms import Ground, Point
from tamis.analysis.trials import Metrics
from tamis.core import metrics as names
from tamis.core.names import in_figure
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table, number
from tamis.report.style import label, legend, log_axes, look, ordered, panel

FORCE = names.error(names.TEST, names.FORCE_MAE)
DYNAMICS = (
    *(
        names.STABLE_FRACTION,
        names.MD_FAILURES,
        names.NVE_DRIFT,
        names.DIFFUSION_ERROR,
        names.MD_VOLUME_ERROR,
    ),
    names.OUTSIDE_KEPT.format("common"),
)
SHOWN = (
    names.LATTICE_CONSTANT,
    names.C11,
    names.C12,
    names.C44,
    names.BULK_MODULUS,
    names.VACANCY_FORMATION,
    names.VACANCY_MIGRATION,
)
"""Properties that a pruned set may spoil; the others are in properties.json."""
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
        parts += _properties(ground, _having(points, names.PROPERTIES))
        parts += _dynamics(ground, _having(points, names.MD), context)
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


def less_whole_pool(measured: Sequence[Point]) -> list[Point]:
    """Measurements of smaller sets, with differences to the whole pool's potential in place of errors.

    They have the names and units of errors: the potential of the whole pool stands where a reference would. A point
    without such a potential, of the same ground, model and split, is left out. measured : any number of grounds.
    """
    whole: dict[tuple[Ground, str, int], Metrics] = {}
    for point in measured:
        if point.metrics[names.FRACTION_OF_STRUCTURES] == 1.0:
            whole.setdefault((point.ground, point.model, point.seeds[0]), point.metrics)
    found: list[Point] = []
    for point in measured:
        reference = whole.get((point.ground, point.model, point.seeds[0]))
        is_smaller = point.metrics[names.FRACTION_OF_STRUCTURES] < 1.0
        if reference and is_smaller and (differences := _differences(point.metrics, reference)):
            sizes = {name: point.metrics[name] for name in names.SIZES}
            found.append(replace(point, metrics=sizes | differences))
    return found


def _differences(values: Metrics, reference: Metrics) -> dict[str, float]:
    found = {}
    for name in SHOWN:
        key = names.measured_property(name)
        if key in values and reference.get(key, 0.0) != 0.0:
            error = names.property_error(name, values[key], reference[key])
            if error is not None:
                found[names.measured_property(error[0])] = error[1]
    return found


def _errors_of(measured: Sequence[Point]) -> list[str]:
    return sorted({name for p in measured for name in p.metrics if names.is_property_error(name)})


def _property_table(ground: Ground, measured: Sequence[Point], name: str, title: str, notes: str) -> Table:
    chosen = _errors_of(measured)
    shown = [f"{names.property_of_error(n)}, {names.unit_of(n)}" for n in chosen]
    return Table(
        name=file_name(name, ground.name),
        title=f"{ground.name}: {title}",
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "mean size, %", "splits"],
        rows=list(_rows(measured, chosen, with_size=True)),
        notes=notes,
    )


def _dynamics(ground: Ground, measured: Sequence[Point], context: Context) -> Iterator[Part]:
    chosen = [name for name in DYNAMICS if any(name in p.metrics for p in measured)]
    if not chosen:
        yield Paragraph(f"{ground.name}: stability in MD was not measured.")
        return
    shown = [name.removeprefix(names.MD) for name in chosen]
    yield Table(
        name=file_name("dynamics", ground.name),
        title=f"{ground.name}: molecular dynamics",
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "splits"],
        rows=list(_rows(measured, chosen)),
        notes="Medians over splits. Thresholds of stability come from the full pool, never from what was kept. "
        "Environments outside of the kept ones are counted in the common space.",
    )
    yield Pictures(list(_trade_off(ground, measured, context)))


def _rows(measured: Sequence[Point], chosen: Sequence[str], with_size: bool = False) -> Iterator[Row]:
    """A row for each model, arm, pruner and budget (to the percent of the pool's atoms)."""
    groups: dict[tuple[str, str, str, int], list[Point]] = defaultdict(list)
    for p in measured:
        groups[p.model, p.arm, p.pruner, round(100 * p.fraction)].append(p)
    for (model, arm, pruner, kept), mine in sorted(groups.items()):
        values = {name: [p.metrics[name] for p in mine if name in p.metrics] for name in chosen}
        cells = [number(float(np.median(some)) if some else np.nan) for some in values.values()]
        if with_size:
            sizes = [abs(x) for name, some in values.items() if names.unit_of(name) == "%" for x in some]
            cells.append(number(float(np.mean(sizes)) if sizes else np.nan))
        yield [model, Cell(arm, mark=mine[0].own), pruner, str(kept), *cells, str(len(mine))]


def _trade_off(ground: Ground, measured: Sequence[Point], context: Context) -> Iterator[Picture]:
    both = [p for p in measured if names.STABLE_FRACTION in p.metrics and FORCE in p.metrics]
    for model in sorted({p.model for p in both}):
        figure, ax = panel(f"{model}, {ground.name}")
        for arm in ordered([p.arm for p in both if p.model == model]):
            mine = [p.metrics for p in both if (p.model, p.arm) == (model, arm)]
            x, y = ([metrics[name] for metrics in mine] for name in (FORCE, names.STABLE_FRACTION))
            tint, mark = look(arm, context.arms())
            ax.plot(x, y, mark, ms=5, alpha=0.8, color=tint, mew=0, label=in_figure(arm))
        log_axes(ax, "x")
        ax.set_ylim(-0.03, 1.03)
        label(ax, "test force MAE (eV/Å)", "survived part of the MD steps")
        legend(ax)
        yield Picture(
            file_name("trade-off", model, ground.name),
            f"{model} on {ground.name}: stability in MD against test force error, a point a trial.",
            figure,
        )
