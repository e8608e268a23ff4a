"""Own and other descriptors: the matrix of models and descriptors, and own against others, model by model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

import numpy as np
from matplotlib.patches import Rectangle

from tamis.analysis.arms import RANDOM
from tamis.analysis.averages import alike
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import Effect
from tamis.analysis.matrix import Matrix
from tamis.report.context import Context, file_name
from tamis.report.document import (
    Cell,
    Paragraph,
    Part,
    Picture,
    Pictures,
    Row,
    Section,
    Table,
    count,
    number,
    p_value,
)
from tamis.report.style import INK, label, panel
from tamis.report.words import ratio, span_words

FIELD = (0.62, 0.42)
"""Inches of a field of the picture."""
Effects = Mapping[tuple[str, str], Effect | None]
"""(model, arm) -> its errors against those of random draws."""


def section(context: Context) -> Section:
    """For each data set and split (grouped splits show transfer): all pruners against random, own against others."""
    parts: list[Part] = []
    for ground, first in context.forces.items():
        others = [comparison for (where, _), comparison in context.others.items() if where == ground]
        parts += [*_matrix(first, others, context), *(_own(first) if first.verdict.by_model else ())]
    if lacking := [ground.name for ground, first in context.forces.items() if not _effects(first)]:
        about = lacking[0] if len(lacking) == 1 else f"{len(lacking)} data sets or settings"
        parts.append(Paragraph(f"{about}: no finished curve of random draws, so there is no matrix."))
    return Section("Models and descriptors", parts)


def _matrix(first: Comparison, others: list[Comparison], context: Context) -> Iterator[Part]:
    where, effects = first.ground.name, _effects(first)
    if not effects:
        return
    matrix = Matrix.of(
        {key: (e.ratio if e else np.nan, first.is_recorded_own(*key)) for key, e in effects.items()}
    )
    descriptors = dict.fromkeys(d for one in others for d in one.descriptors if d not in matrix.columns)
    columns, pruners = [*matrix.columns, *descriptors], [one.pruner for one in (first, *others)]
    rows = [row for one in (first, *others) for row in _rows(one, columns, one is first, context)]
    name = file_name("matrix", where, first.pruner)
    at_equal = " at equal atoms" if alike(first.sizes) else ""
    yield Table(
        name=name,
        title=f"{where}: test force error relative to random{at_equal} ({', '.join(pruners)})",
        columns=["model \\ chosen with", "pruner", *columns, "splits"],
        rows=sorted(rows, key=lambda row: matrix.rows.index(row[0]) if row[0] in matrix.rows else len(rows)),
        notes=f"Ratio of errors (95 % interval), {span_words(first)}"
        f"{'; other pruners may cover other ranges' * bool(others)}; the own descriptor has a coloured background. "
        "Below 1: better than random.",
    )
    if np.isfinite(matrix.values).any():
        yield Pictures([_heat_map(matrix, name, _about(matrix, first))])


def _effects(comparison: Comparison) -> Effects:
    """Empty without random draws."""
    arms = [(arm.model, arm.descriptor) for arm in comparison.arms]
    effects = {key: comparison.effect(*key, RANDOM) for key in arms if key[1] != RANDOM}
    return effects if any(arm == RANDOM for _, arm in arms) else {}


def _rows(comparison: Comparison, columns: list[str], is_first: bool, context: Context) -> Iterator[Row]:
    """A row a model; the baselines, which every comparison has, stand in those of the first pruner alone."""
    effects = _effects(comparison)
    for model in comparison.models:
        shown = [arm if is_first or arm in comparison.descriptors else "" for arm in columns]
        n_seeds = [e.n_seeds for (m, _), e in effects.items() if m == model and e and np.isfinite(e.estimate)]
        cells = [_cell(comparison, effects.get((model, arm)), model, arm, context) for arm in shown]
        if is_first or n_seeds:
            yield [model, comparison.pruner, *cells, str(max(n_seeds, default=0))]


def _cell(comparison: Comparison, effect: Effect | None, model: str, arm: str, context: Context) -> Cell:
    """The ratio, with a link to its runs."""
    text = ratio(effect)
    if not text:
        return Cell("")
    trial = next(c for c in comparison.curves if (c.model, c.arm) == (model, arm)).trial
    data = json.loads(trial.parts["dataset"])
    params = {group: trial.choices[group] for group in ("model", "descriptor", "pruner")}
    params |= {f"dataset.{key}": str(data[key]) for key in ("element", "split") if data.get(key)}
    return Cell(text, comparison.is_recorded_own(model, arm), link=context.links.search(trial.folder, params))


def _about(matrix: Matrix, comparison: Comparison) -> str:
    """Title of the picture."""
    framed = ", framed: own descriptor" if matrix.own.any() else ""
    splits = count(comparison.n_seeds, "split")
    return f"{comparison.ground.name}: test force MAE by that of random, {splits}{framed}"


def _heat_map(matrix: Matrix, name: str, title: str) -> Picture:
    """The ratios as numbers on colours, blue below 1 and red above; fields of own descriptors get a frame."""
    size = (max(4.6, 1.6 + FIELD[0] * len(matrix.columns)), 1.7 + FIELD[1] * len(matrix.rows))
    figure, ax = panel(title, size)
    ax.grid(False)
    shown = np.log(matrix.values)
    reach = max(float(np.nanmax(np.abs(shown))), 0.1) * 1.6
    ax.imshow(shown, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    for (i, j), value in np.ndenumerate(matrix.values):
        if np.isfinite(value):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=9, color="#111111")
        if matrix.own[i, j]:
            ax.add_patch(Rectangle((j - 0.46, i - 0.44), 0.92, 0.88, fill=False, ec="#111111", lw=2.2))
    ax.set_xticks(range(len(matrix.columns)), matrix.columns, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(matrix.rows)), matrix.rows)
    ax.tick_params(colors=INK)
    label(ax, "structures chosen with", "model")
    return Picture(name, f"{title}.", figure)


def _own(comparison: Comparison) -> Iterator[Table]:
    name, verdict = comparison.ground.name, comparison.verdict
    rows = [_own_row(comparison, model, effect) for model, effect in verdict.by_model.items()]
    if verdict.pooled is not None:
        rows.append(["all", "", ratio(verdict.pooled), "", str(verdict.pooled.n_seeds)])
    yield Table(
        name=file_name("hypothesis", name, comparison.pruner),
        title=f"{name}: the own descriptor against the mean of the others",
        columns=["model", "own", "ratio of errors", "rank", "splits"],
        rows=rows,
        notes=f"Rank of the own descriptor among all; 1 is best. {_assignment(comparison)}",
    )
    yield Table(
        name=file_name("own-against-each", name, comparison.pruner),
        title=f"{name}: the own descriptor against each other one",
        columns=["model", "own", "other", "ratio of errors", "splits"],
        rows=[
            [arm.model, arm.descriptor, other, ratio(effect), str(effect.n_seeds)]
            for arm in comparison.arms
            if arm.own
            for other in comparison.descriptors
            if other != arm.descriptor
            and (effect := comparison.effect(arm.model, arm.descriptor, other)) is not None
        ],
        folded=True,
    )


def _own_row(comparison: Comparison, model: str, effect: Effect) -> Row:
    arms = [arm for arm in comparison.arms if arm.model == model and arm.descriptor in comparison.descriptors]
    own = next(arm.descriptor for arm in arms if arm.own)
    others = [comparison.effect(model, own, a.descriptor) for a in arms if not a.own]
    better = sum(1 for e in others if e is not None and e.estimate > 0)
    return [model, own, ratio(effect), f"{better + 1} of {len(arms)}", str(effect.n_seeds)]


def _assignment(comparison: Comparison) -> str:
    assigned = comparison.verdict.assignment
    if assigned is None:
        return "Being the own one cannot be ranked: too few models and descriptors have all trials."
    return (
        f"Being the own one: rank {round(assigned.p * assigned.n)} of {assigned.n} assignments (p "
        f"{p_value(assigned.p)}, one-sided; the lowest possible is {number(assigned.smallest, 2)}), mean ratio "
        f"{np.exp(assigned.estimate):.3f} after row and column means."
    )
