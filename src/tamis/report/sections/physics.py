"""Properties against the whole pool's and references, stability of MD, and what low errors say about either."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from tamis.analysis.arms import BASELINES, RANDOM, Curve, Ground
from tamis.analysis.matrix import Matrix
from tamis.analysis.trials import Metrics
from tamis.analysis.whole_pool import Measured, less_whole_pool
from tamis.core.metrics import (
    DIFFUSION_ERROR,
    FORCE_MAE,
    FRACTION_OF_ATOMS,
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
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table
from tamis.report.matrix import heat_map
from tamis.report.numbers import number
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
    "Medians over splits of value less reference; empty: could not be measured (see problems).",
)
NO_WHOLE = (
    "no potential of a smaller set has one of the whole pool beside it, of the same model and split, with properties "
    "(pruner=keep_all makes it)."
)


def section(context: Context) -> Section:
    """Properties and MD of each data set, if they were measured."""
    parts: list[Part] = []
    for ground in context.results.grounds:
        curves = context.results.at(ground)
        first = context.forces[ground].pruner if ground in context.forces else ""
        parts += _properties(ground, _having(curves, PROPERTIES), first)
        parts += _dynamics(ground, _having(curves, MD), first, context)
    if not any(isinstance(part, Table) for part in parts):
        parts = [Paragraph("No trial measured properties or MD (evaluation=quick or full does).")]
    return Section("Properties and stability", parts)


def _having(curves: Sequence[Curve], beginning: str) -> list[Measured]:
    return [(c, p) for c in curves for p in c.points if any(name.startswith(beginning) for name in p)]


def _properties(ground: Ground, measured: Sequence[Measured], first: str) -> Iterator[Part]:
    """Differences to the potential of the whole pool first: pruning made these. Then errors against references."""
    if not measured:
        yield Paragraph(f"{ground.name}: properties were not measured.")
        return
    if pruned := less_whole_pool(measured):
        yield _property_table(ground, pruned, "properties-less-whole-pool", *WHOLE)
    else:
        yield Paragraph(f"{ground.name}: {NO_WHOLE}")
    if not _errors_of(measured):
        yield Paragraph(f"{ground.name}: properties were measured, but no reference is known for them.")
        return
    yield _property_table(ground, measured, "properties", *REFERENCE)
    for kept, matrix in _matrices(measured, first, _mean_size):
        if RANDOM in matrix.columns:
            relative = matrix.values / matrix.values[:, [matrix.columns.index(RANDOM)]]
            matrix = Matrix(matrix.rows, matrix.columns, relative, matrix.own)
            title = f"{ground.name}: property errors relative to random, {kept} % of atoms"
            yield from _picture(matrix, file_name("matrix-properties", str(kept), ground.name), title, 1.0)


def _errors_of(measured: Sequence[Measured]) -> list[str]:
    return sorted({n for _, p in measured for n in p if is_property_error(n)})


def _mean_size(point: Metrics) -> float:
    """Mean size of the properties' errors that are in percent."""
    errors = [abs(v) for n, v in point.items() if is_property_error(n) and unit_of(n) == "%"]
    return float(np.mean(errors)) if errors else np.nan


def _property_table(ground: Ground, measured: Sequence[Measured], name: str, title: str, notes: str) -> Table:
    names = _errors_of(measured)
    shown = [f"{property_of_error(n)}, {unit_of(n)}" for n in names]
    return Table(
        name=file_name(name, ground.name),
        title=f"{ground.name}: {title}",
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "mean size, %", "splits"],
        rows=list(_rows(measured, names, with_size=True)),
        notes=notes,
    )


def _dynamics(ground: Ground, measured: Sequence[Measured], first: str, context: Context) -> Iterator[Part]:
    names = [name for name in DYNAMICS if any(name in p for _, p in measured)]
    if not names:
        yield Paragraph(f"{ground.name}: stability in MD was not measured.")
        return
    shown = [name.removeprefix(MD) for name in names]
    yield Table(
        name=file_name("dynamics", ground.name),
        title=f"{ground.name}: molecular dynamics",
        columns=["model", "chosen with", "pruner", "% of atoms", *shown, "splits"],
        rows=list(_rows(measured, names)),
        notes="Medians over splits. Thresholds of stability come from the full pool, never from what was kept.",
    )
    for kept, matrix in _matrices(measured, first, lambda point: point.get(STABLE_FRACTION, np.nan)):
        title = f"{ground.name}: survived part of MD, {kept} % of atoms"
        yield from _picture(matrix, file_name("matrix-stability", str(kept), ground.name), title, None)
    yield Pictures(list(_trade_off(ground, measured, context)))


def _rows(measured: Sequence[Measured], names: Sequence[str], with_size: bool = False) -> Iterator[Row]:
    """A row for each model, arm, pruner and budget (to the percent of the pool's atoms)."""
    groups: dict[tuple[str, str, str, int], list[Measured]] = defaultdict(list)
    for curve, point in measured:
        groups[curve.model, curve.arm, curve.pruner, _percent(point)].append((curve, point))
    for (model, arm, pruner, kept), mine in sorted(groups.items()):
        values = [[p[n] for _, p in mine if n in p] for n in names]
        cells = [number(float(np.median(v)) if v else np.nan) for v in values]
        if with_size:
            sizes = [
                abs(x) for n, some in zip(names, values, strict=True) if n.endswith("_percent") for x in some
            ]
            cells.append(number(float(np.mean(sizes)) if sizes else np.nan))
        yield [model, Cell(arm, mark=mine[0][0].own), pruner, str(kept), *cells, str(len(mine))]


def _percent(point: Metrics) -> int:
    return round(100 * point[FRACTION_OF_ATOMS])


def _matrices(
    measured: Sequence[Measured], first: str, value: Callable[[Metrics], float]
) -> Iterator[tuple[int, Matrix]]:
    """Percent of the pool's atoms and medians over splits at this budget, of the first pruner and the baselines."""
    budgets: dict[int, dict[tuple[str, str], list[Measured]]] = defaultdict(lambda: defaultdict(list))
    for curve, point in measured:
        if curve.pruner == first or curve.arm in BASELINES:
            budgets[_percent(point)][curve.model, curve.arm].append((curve, point))
    for kept, groups in sorted(budgets.items()):
        cells = {}
        for key, mine in groups.items():
            numbers = [found for _, point in mine if np.isfinite(found := value(point))]
            cells[key] = (float(np.median(numbers)) if numbers else np.nan, any(c.own for c, _ in mine))
        yield kept, Matrix.of(cells)


def _picture(matrix: Matrix, name: str, title: str, centre: float | None) -> Iterator[Pictures]:
    if np.isfinite(matrix.values).any() and len(matrix.columns) > 1:
        yield Pictures([heat_map(matrix, name, title, centre)])


def _trade_off(ground: Ground, measured: Sequence[Measured], context: Context) -> Iterator[Picture]:
    for model in sorted({curve.model for curve, _ in measured}):
        mine = [(c, p) for c, p in measured if c.model == model and STABLE_FRACTION in p and FORCE in p]
        if not mine:
            continue
        figure, ax = panel(f"{model}, {ground.name}")
        for arm in sorted({c.arm for c, _ in mine}):
            some = [(p[FORCE], p[STABLE_FRACTION]) for c, p in mine if c.arm == arm]
            tint = colour(arm, context.colours())
            ax.plot(*np.transpose(some), "o", ms=5, alpha=0.8, color=tint, label=in_figure(arm))
        log_axes(ax, "x")
        ax.set_ylim(-0.03, 1.03)
        label(ax, "test force MAE (eV/Å)", "survived part of the MD steps")
        legend(ax)
        yield Picture(
            file_name("trade-off", model, ground.name),
            f"{model} on {ground.name}: stability in MD against test force error, a point a trial.",
            figure,
        )
