"""The Pareto front: what no other trial beats in both size and error. Validation errors decide."""

from __future__ import annotations

from collections.abc import Sequence

from tamis.analysis.arms import Ground, Point
from tamis.core.figures import GREY
from tamis.core.metrics import FORCE_MAE, TEST, VALIDATION, error
from tamis.core.names import in_figure
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table, number
from tamis.report.style import label, legend, log_axes, look, ordered, panel

CHOSEN_BY, JUDGED_BY = error(VALIDATION, FORCE_MAE), error(TEST, FORCE_MAE)
MOST_DOTS = 2000
"""About as many trials are drawn behind the front; of more, every second, third, ..."""
ABOUT = (
    "Single trials, the luckiest of many: their validation errors flatter. To choose a set, see tamis pick."
)


def section(context: Context) -> Section:
    """A front for each data set, over all models, pruners and descriptors."""
    parts: list[Part] = []
    for ground in context.results.grounds:
        points = [p for c in context.results.at(ground) for p in c.points if CHOSEN_BY in p.metrics]
        front = pareto(points)
        if len(front) > 1:
            parts += [_table(ground, front, context), Pictures([_picture(ground, points, front, context)])]
    return Section("Pareto front of size and error", [Paragraph(ABOUT), *parts] if parts else [])


def pareto(points: Sequence[Point]) -> list[Point]:
    """Points that no other beats or equals in both atoms and validation error, from small to large."""
    front: list[Point] = []
    for point in sorted(points, key=lambda p: (p.atoms, p.metrics[CHOSEN_BY])):
        if not front or point.metrics[CHOSEN_BY] < front[-1].metrics[CHOSEN_BY]:
            front.append(point)
    return front


def _table(ground: Ground, front: Sequence[Point], context: Context) -> Table:
    def row(p: Point) -> Row:
        folder = p.trial.folder
        numbers = [f"{p.atoms:.0f}", f"{100 * p.fraction:.0f}"]
        numbers += [number(p.metrics.get(name)) for name in (CHOSEN_BY, JUDGED_BY)]
        run = Cell(folder.name, link=context.links.run(folder))
        return [*numbers, p.model, p.pruner, Cell(p.arm, mark=p.own), run]

    return Table(
        name=file_name("front", ground.name),
        title=f"{ground.name}: smallest sets for their validation force error",
        columns=[
            *("atoms", "% of atoms", "validation, eV/Å", "test, eV/Å"),
            *("model", "pruner", "chosen with", "run"),
        ],
        rows=[row(point) for point in front],
    )


def _picture(ground: Ground, points: Sequence[Point], front: Sequence[Point], context: Context) -> Picture:
    figure, ax = panel(f"Smallest errors for their size, {ground.name}")
    dots, steps = (
        list(zip(*((p.atoms, p.metrics[CHOSEN_BY]) for p in some), strict=True))
        for some in (points[:: max(len(points) // MOST_DOTS, 1)], front)
    )
    ax.plot(*dots, "o", ms=3, color=GREY, alpha=0.4, mew=0, label="each trial")
    ax.step(*steps, where="post", color=GREY, lw=1)
    for arm in ordered([p.arm for p in front]):
        tint, mark = look(arm, context.arms())
        mine = [(p.atoms, p.metrics[CHOSEN_BY]) for p in front if p.arm == arm]
        ax.plot(*zip(*mine, strict=True), ls="", marker=mark, ms=6, color=tint, mew=0, label=in_figure(arm))
    log_axes(ax, "x", "y")
    label(ax, "atoms kept", "validation force MAE (eV/Å)")
    legend(ax)
    caption = (
        f"{ground.name}: all trials (grey), and those that none beats in size and error, by what chose them."
    )
    return Picture(file_name("front", ground.name), caption, figure)
