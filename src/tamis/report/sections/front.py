"""The Pareto front: what no other trial beats in both size and error. Validation errors decide."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tamis.analysis.arms import Curve, Ground
from tamis.analysis.trials import Metrics
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Section, Table
from tamis.report.style import colour, label, log_axes, panel
from tamis.report.words import number

VALIDATION, TEST = "validation/force_mae_eV_per_A", "test/force_mae_eV_per_A"
MOST_DOTS = 2000
"""About as many trials are drawn behind the front; of more, every second, third, ..."""
Point = tuple[Curve, int, Metrics]


def section(context: Context) -> Section:
    """A front for each data set, over all models, pruners and descriptors."""
    parts: list[Part] = []
    for ground in context.study.grounds:
        points = [
            (curve, i, point)
            for curve in context.study.at(ground)
            for i, point in enumerate(curve.points)
            if VALIDATION in point
        ]
        front = pareto(points)
        if len(front) > 1:
            parts += _show(ground, points, front, context)
    about = (
        "Single trials, the luckiest of many: their validation errors flatter. For a choice, see tamis-pick."
    )
    return Section("Pareto front of size and error", [Paragraph(about), *parts] if parts else [])


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats or equals in both atoms and validation error, from small to large."""
    front: list[Point] = []
    for point in sorted(points, key=lambda item: (item[2]["kept/atoms"], item[2][VALIDATION])):
        if not front or point[2][VALIDATION] < front[-1][2][VALIDATION]:
            front.append(point)
    return front


def _show(
    ground: Ground, points: Sequence[Point], front: Sequence[Point], context: Context
) -> Iterator[Part]:
    yield Table(
        name=file_name("front", ground.name),
        title=f"{ground.name}: smallest sets for their validation force error",
        columns=[
            "atoms",
            "% of atoms",
            "validation, eV/Å",
            "test, eV/Å",
            "model",
            "pruner",
            "chosen with",
            "run",
        ],
        rows=[
            [
                f"{p['kept/atoms']:.0f}",
                f"{100 * p['kept/fraction_of_atoms']:.0f}",
                number(p[VALIDATION]),
                number(p.get(TEST)),
                curve.model,
                curve.pruner,
                Cell(curve.arm, mark=curve.own),
                _run(curve, i, context),
            ]
            for curve, i, p in front
        ],
    )
    figure, ax = panel(f"Pareto front, {ground.name}")
    some = points[:: max(len(points) // MOST_DOTS, 1)]  # in one go: a line each would take minutes
    ax.plot(
        [p["kept/atoms"] for *_, p in some],
        [p[VALIDATION] for *_, p in some],
        ".",
        ms=3,
        color="#9aa3ad",
        alpha=0.5,
    )
    ax.step(
        [p["kept/atoms"] for *_, p in front],
        [p[VALIDATION] for *_, p in front],
        where="post",
        color="#555c66",
        lw=1,
    )
    for curve, _, p in front:
        ax.plot(p["kept/atoms"], p[VALIDATION], "o", ms=5, color=colour(curve.arm, context.colours()))
    log_axes(ax, "x", "y")
    label(ax, "atoms kept", "validation force MAE (eV/Å)")
    yield Pictures(
        [Picture(file_name("front", ground.name), f"{ground.name}: trials (grey) and the front.", figure)]
    )


def _run(curve: Curve, i: int, context: Context) -> Cell:
    folder = curve.source[i][0].folder
    return Cell(folder.name, link=context.links.run(folder))
