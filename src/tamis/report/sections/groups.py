"""Errors by group of test structures."""

from __future__ import annotations

from collections.abc import Iterator

from tamis.analysis.averages import AVERAGE, geometric_mean
from tamis.analysis.comparison import Comparison
from tamis.report.context import Context, at_target, by_arm, file_name, target_of
from tamis.report.document import Cell, Part, Row, Section, Table
from tamis.report.words import number

FORCE = "test/force_mae_eV_per_A"


def section(context: Context) -> Section:
    """One table a data set."""
    return Section("Errors by group", [part for c in context.primary.values() for part in _table(c)])


def _table(comparison: Comparison) -> Iterator[Part]:
    curves = list(comparison.curves)
    fraction = target_of(curves)
    if fraction is None:
        return
    columns = sorted({m for c in curves for p in c.points for m in p if m.startswith(f"{FORCE}/")})
    rows: list[Row] = []
    for (model, _, arm), mine in by_arm(curves):
        points = [found[1] for curve in mine if (found := at_target(curve, fraction)) is not None]
        if points:
            values = [[p[name] for p in points if name in p] for name in (FORCE, *columns)]
            cells = [number(geometric_mean(v)) for v in values]
            rows.append([model, Cell(arm, mark=mine[0].own), *cells, str(len(points))])
    yield Table(
        name=file_name("groups-errors", comparison.ground.name),
        title=f"{comparison.ground.name}: test force MAE (eV/Å) by group at the budget nearest to "
        f"{100 * fraction:.0f} % of the atoms",
        columns=["model", "chosen with", "all", *(c.removeprefix(f"{FORCE}/") for c in columns), "splits"],
        rows=rows,
        notes=f"{AVERAGE.capitalize()}s over splits.",
    )
