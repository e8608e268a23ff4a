"""Errors by group of test structures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tamis.analysis.arms import Curve
from tamis.analysis.averages import AVERAGE, geometric_mean
from tamis.analysis.comparison import Comparison
from tamis.core.metrics import FORCE_MAE, TEST, error
from tamis.report.context import Context, at_target, file_name, target_of
from tamis.report.document import Cell, Row, Section, Table
from tamis.report.numbers import number

FORCE = error(TEST, FORCE_MAE)


def section(context: Context) -> Section:
    """One table a data set."""
    return Section("Errors by group", [part for c in context.forces.values() for part in _table(c)])


def _table(comparison: Comparison) -> Iterator[Table]:
    fraction = target_of(comparison.curves)
    if fraction is None:
        return
    groups = sorted({m for c in comparison.curves for p in c.points for m in p if m.startswith(f"{FORCE}/")})
    by_arm: dict[tuple[str, str, str], list[Curve]] = defaultdict(list)
    for curve in comparison.curves:
        by_arm[curve.model, curve.pruner, curve.arm].append(curve)
    rows: list[Row] = []
    for (model, _, arm), mine in sorted(by_arm.items()):
        points = [found[1] for curve in mine if (found := at_target(curve, fraction)) is not None]
        means = [number(geometric_mean(p[m] for p in points if m in p)) for m in (FORCE, *groups)]
        if points:
            rows.append([model, Cell(arm, mark=mine[0].own), *means, str(len(points))])
    yield Table(
        name=file_name("groups-errors", comparison.ground.name),
        title=f"{comparison.ground.name}: test force MAE (eV/Å) by group at the budget nearest to "
        f"{100 * fraction:.0f} % of the atoms",
        columns=["model", "chosen with", "all", *(m.removeprefix(f"{FORCE}/") for m in groups), "splits"],
        rows=rows,
        notes=f"{AVERAGE.capitalize()}s over splits.",
    )
