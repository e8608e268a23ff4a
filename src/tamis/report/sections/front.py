"""The Pareto front: what no other trial beats in both size and error. Validation errors decide."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.analysis.arms import Curve, Ground
from tamis.analysis.trials import Metrics
from tamis.core.metrics import FORCE_MAE, FRACTION_OF_ATOMS, KEPT_ATOMS, TEST, VALIDATION, error
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table
from tamis.report.numbers import number
from tamis.report.style import colour, label, log_axes, panel

CHOSEN_BY, JUDGED_BY = error(VALIDATION, FORCE_MAE), error(TEST, FORCE_MAE)
MOST_DOTS = 2000
"""About as many trials are drawn behind the front; of more, every second, third, ..."""
ABOUT = (
    "Single trials, the luckiest of many: their validation errors flatter. To choose a set, see tamis pick."
)
Point = tuple[Curve, int, Metrics]


def section(context: Context) -> Section:
    """A front for each data set, over all models, pruners and descriptors."""
    parts: list[Part] = []
    for ground in context.results.grounds:
        curves = context.results.at(ground)
        points = [(c, i, p) for c in curves for i, p in enumerate(c.points) if CHOSEN_BY in p]
        front = pareto(points)
        if len(front) > 1:
            parts += [_table(ground, front, context), Pictures([_picture(ground, points, front, context)])]
    return Section("Pareto front of size and error", [Paragraph(ABOUT), *parts] if parts else [])


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats or equals in both atoms and validation error, from small to large."""
    front: list[Point] = []
    for point in sorted(points, key=lambda item: (item[2][KEPT_ATOMS], item[2][CHOSEN_BY])):
        if not front or point[2][CHOSEN_BY] < front[-1][2][CHOSEN_BY]:
            front.append(point)
    return front


def _table(ground: Ground, front: Sequence[Point], context: Context) -> Table:
    def row(curve: Curve, i: int, point: Metrics) -> Row:
        folder = curve.source[i][0].folder
        sizes = [f"{point[KEPT_ATOMS]:.0f}", f"{100 * point[FRACTION_OF_ATOMS]:.0f}"]
        errors = [number(point.get(name)) for name in (CHOSEN_BY, JUDGED_BY)]
        run = Cell(folder.name, link=context.links.run(folder))
        return [*sizes, *errors, curve.model, curve.pruner, Cell(curve.arm, mark=curve.own), run]

    return Table(
        name=file_name("front", ground.name),
        title=f"{ground.name}: smallest sets for their validation force error",
        columns=[
            *("atoms", "% of atoms", "validation, eV/Å", "test, eV/Å"),
            *("model", "pruner", "chosen with", "run"),
        ],
        rows=[row(*point) for point in front],
    )


def _picture(ground: Ground, points: Sequence[Point], front: Sequence[Point], context: Context) -> Picture:
    figure, ax = panel(f"Pareto front, {ground.name}")
    dots = [(p[KEPT_ATOMS], p[CHOSEN_BY]) for *_, p in points[:: max(len(points) // MOST_DOTS, 1)]]
    ax.plot(*zip(*dots, strict=True), ".", ms=3, color="#9aa3ad", alpha=0.5)
    steps = [(p[KEPT_ATOMS], p[CHOSEN_BY]) for *_, p in front]
    ax.step(*zip(*steps, strict=True), where="post", color="#555c66", lw=1)
    for curve, _, p in front:
        ax.plot(p[KEPT_ATOMS], p[CHOSEN_BY], "o", ms=5, color=colour(curve.arm, context.colours()))
    log_axes(ax, "x", "y")
    label(ax, "atoms kept", "validation force MAE (eV/Å)")
    return Picture(file_name("front", ground.name), f"{ground.name}: trials (grey) and the front.", figure)
