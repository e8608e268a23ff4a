"""What a user asks first: which set to take, and what it costs in error."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tamis.analysis.arms import NO_DESCRIPTOR, RANDOM, Ground, Point
from tamis.analysis.averages import average
from tamis.analysis.candidates import USUAL, Candidate, pick
from tamis.core.errors import TamisError
from tamis.core.figures import INK
from tamis.core.metrics import FORCE_MAE, KEPT_ATOMS, TEST, VALIDATION, error
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table, count, number
from tamis.report.sections.curves import FORCE, pictures
from tamis.report.style import draw_curve, label, legend, log_axes, look, ordered, panel

CHOSEN_BY, TOLD = error(VALIDATION, FORCE_MAE), error(TEST, FORCE_MAE)
LIMIT = 1.0 + USUAL.within / 100.0
NOTES = (
    "Validation errors (energies and forces alike, by those of the whole pool with the same model and split, geometric "
    "mean over splits) choose; properties and MD, where measured, must not get worse. Test errors are read afterwards. "
    "Range: of the validation ratio over splits. tamis pick writes such a set, with other limits if asked."
)


def section(context: Context) -> Section:
    """For each data set: the smallest set that serves each model, and what smaller ones cost."""
    known = [ground for ground in context.results.grounds if ground in context.candidates]
    unknown = [ground for ground in context.results.grounds if ground not in context.candidates]
    parts = [part for ground in known for part in _ground(ground, context)]
    return Section("Which set to take", [*parts, *(_lowest(unknown, context) if unknown else ())])


def _ground(ground: Ground, context: Context) -> Iterator[Part]:
    points = [p for curve in context.results.at(ground) for p in curve.points]
    candidates = context.candidates[ground]
    by_model = {m: [c for c in candidates if c.members[0].model == m] for m in context.models(ground)}
    taken = {model: _pick(some) for model, some in by_model.items() if some}
    for model, one in taken.items():
        if len(taken) == 1:
            yield Paragraph(_sentence(ground, model, one, points), strong=True)
    yield Table(
        name=file_name("take", ground.name),
        title=f"{ground.name}: the smallest set within {USUAL.within:g} % of the whole pool's errors",
        columns=[
            *(
                "model",
                "pruner",
                "chosen with",
                "atoms",
                "% of pool",
                "validation error by whole pool's",
                "range",
            ),
            *("test force, eV/Å", "with the whole pool", "splits"),
        ],
        rows=[_row(model, one, points) for model, one in taken.items()],
        notes=NOTES,
    )
    yield Pictures([_picture(ground, m, by_model[m], one, context) for m, one in taken.items()])


def _pick(candidates: Sequence[Candidate]) -> Candidate | None:
    try:
        return pick(candidates)
    except TamisError:  # not even the whole pool serves, as where MD failed
        return None


def _whole(model: str, points: Sequence[Point]) -> float:
    """Test force error with the whole pool."""
    return average([p for p in points if p.model == model and p.fraction == 1.0], TOLD)


def _ratios(candidate: Candidate, context_points: Sequence[Point]) -> list[float]:
    """Validation ratios, split by split."""
    whole = {
        (p.model, p.seeds[0]): USUAL.loss(p.metrics)
        for p in context_points
        if p.fraction == 1.0 and USUAL.judges(p.metrics)
    }
    return [float(np.exp(USUAL.loss(p.metrics) - whole[p.model, p.seeds[0]])) for p in candidate.members]


def _row(model: str, one: Candidate | None, points: Sequence[Point]) -> Row:
    if one is None:
        return [model, "none serves", *[""] * 7, number(_whole(model, points)), ""]
    first, ratios = one.members[0], _ratios(one, points)
    chosen = (first.pruner, Cell(first.arm, mark=first.own))
    if first.fraction == 1.0:
        chosen = ("none", Cell("whole pool"))
    between = f"{min(ratios):.2f} to {max(ratios):.2f}" if len(ratios) > 1 else ""
    return [
        *(model, *chosen, f"{one.n_atoms:.0f}"),
        *(f"{100 * first.fraction:.0f}", f"{one.ratio:.2f}", between),
        *(number(average(one.members, TOLD)), number(_whole(model, points)), str(one.n_splits)),
    ]


def _sentence(ground: Ground, model: str, one: Candidate | None, points: Sequence[Point]) -> str:
    if one is None:
        return f"{ground.name}: no set serves {model} within {USUAL.within:g} % of the whole pool's errors."
    first = one.members[0]
    if first.fraction == 1.0:
        return (
            f"{ground.name}: {model} needs the whole pool, {one.n_atoms:.0f} atoms: no smaller set that was tried is "
            f"within {USUAL.within:g} % of its errors. Its test force MAE is {number(_whole(model, points))} eV/Å "
            f"({count(one.n_splits, 'split')})."
        )
    how = first.pruner if first.descriptor == NO_DESCRIPTOR else f"{first.pruner} in {first.arm}"
    return (
        f"{ground.name}: {model} needs {one.n_atoms:.0f} atoms, {100 * first.fraction:.0f} % of the pool, chosen by "
        f"{how}. Its test force MAE is then {number(average(one.members, TOLD))} eV/Å, and "
        f"{number(_whole(model, points))} with the whole pool ({count(one.n_splits, 'split')})."
    )


def _picture(
    ground: Ground, model: str, candidates: Sequence[Candidate], taken: Candidate | None, context: Context
) -> Picture:
    """Validation error by the whole pool's against the kept part, with the limit and the set that is taken."""
    n_splits = max(one.n_splits for one in candidates)
    figure, ax = panel(f"{model}, {ground.name}, {count(n_splits, 'split')}")
    lines: dict[tuple[str, str], list[Candidate]] = {}
    for one in candidates:
        lines.setdefault((one.members[0].arm, one.members[0].pruner), []).append(one)
    pruners = sorted({pruner for arm, pruner in lines if arm != pruner})
    for arm in ordered([arm for arm, _ in lines]):
        for pruner in sorted(pruner for of, pruner in lines if of == arm):
            some = lines[arm, pruner]
            x, y = [one.n_atoms for one in some], [one.ratio for one in some]
            called = arm if arm == pruner else f"{pruner} in {arm}"
            number = pruners.index(pruner) if pruner in pruners else 0
            own = some[0].members[0].own
            draw_curve(ax, arm, called, look(arm, context.arms()), x, y, own=own, number=number)
    ax.axhline(LIMIT, color=INK, lw=0.8, ls=(0, (4, 3)))
    if taken is not None:
        ax.plot(taken.n_atoms, taken.ratio, "o", ms=13, mfc="none", mec=INK, mew=1.4, label="taken")
    log_axes(ax, "x", "y")
    label(ax, "atoms kept", "validation error by whole pool's")
    legend(ax)
    caption = (
        f"{model} on {ground.name}: geometric means over {count(n_splits, 'split')}; line: {USUAL.within:g} % above "
        "the whole pool; ring: the smallest set below it."
    )
    return Picture(file_name("take", model, ground.name), caption, figure)


def _lowest(grounds: Sequence[Ground], context: Context) -> Iterator[Part]:
    """Without a potential of the whole pool: who has the lowest validation error at each budget."""
    yield Paragraph(
        "No trial kept the whole pool, so what a smaller set costs is not known; a learning curve up to 1.0, or "
        "budget=all pruner=keep_all, tells it."
    )
    several = len(grounds) > 1
    named = {ground: [ground.name] * several for ground in grounds}
    rows = [[*named[ground], *row] for ground in grounds for row in _budgets(ground, context)]
    where = "" if several else f"{grounds[0].name}: "
    if rows:
        yield Table(
            name=file_name("take", "" if several else grounds[0].name),
            title=f"{where}lowest validation error at each budget",
            columns=[
                *["data"] * several,
                *("model", "pruner", "chosen with", "atoms", "validation force, eV/Å", "test force, eV/Å"),
                *("test force of random", "seeds"),
            ],
            rows=rows,
            notes="Geometric means over seeds. Validation errors choose, and flatter what they chose.",
        )
    yield Pictures(
        [one for where in context.on_top() for one in pictures(context.forces[where], *FORCE, context)]
    )


def _budgets(ground: Ground, context: Context) -> Iterator[list[Cell | str]]:
    """A row a model and budget, by rising atoms."""
    groups: dict[tuple[str, str], list[Point]] = {}
    for p in (p for curve in context.results.at(ground) for p in curve.points if CHOSEN_BY in p.metrics):
        groups.setdefault((p.model, p.budget), []).append(p)
    places = context.models(ground)
    for (model, _), some in sorted(
        groups.items(), key=lambda item: (places.index(item[0][0]), average(item[1], KEPT_ATOMS))
    ):
        arms: dict[tuple[str, str], list[Point]] = {}
        for p in some:
            arms.setdefault((p.pruner, p.arm), []).append(p)
        (pruner, arm), best = min(arms.items(), key=lambda item: average(item[1], CHOSEN_BY))
        yield [
            *(model, pruner, Cell(arm, mark=best[0].own), f"{average(best, KEPT_ATOMS):.0f}"),
            *(number(average(best, name)) for name in (CHOSEN_BY, TOLD)),
            *(number(average(arms.get((RANDOM, RANDOM), []), TOLD)), str(len(best))),
        ]
