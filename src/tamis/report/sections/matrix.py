"""The matrix of models and descriptors: whose sets are best for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from tamis.analysis.arms import RANDOM
from tamis.analysis.averages import alike
from tamis.analysis.comparison import Comparison
from tamis.analysis.matrix import Matrix
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Pictures, Section, Table
from tamis.report.matrix import heat_map, rows_of
from tamis.report.numbers import count
from tamis.report.words import ratio, span_words


def section(context: Context) -> Section:
    """A matrix for each data set and split; grouped splits show transfer."""
    parts = [part for comparison in context.forces.values() for part in _matrix(comparison, context)]
    return Section("Own and other descriptors", parts)


def _matrix(comparison: Comparison, context: Context) -> Iterator[Part]:
    where = comparison.ground.name
    if not any(arm.descriptor == RANDOM for arm in comparison.arms):
        yield Paragraph(f"{where}: no finished curve of random draws, so there is no matrix.")
        return
    effects = {
        (arm.model, arm.descriptor): comparison.effect(arm.model, arm.descriptor, RANDOM)
        for arm in comparison.arms
        if arm.descriptor != RANDOM
    }
    matrix = Matrix.of(
        {key: (e.ratio if e else np.nan, comparison.is_own(*key)) for key, e in effects.items()}
    )

    def cell(i: int, j: int) -> Cell:
        key = (matrix.rows[i], matrix.columns[j])
        text = ratio(effects.get(key))
        return Cell(text, bool(matrix.own[i, j]), link=_link(comparison, context, *key) if text else "")

    name = file_name("matrix", where, comparison.pruner)
    at_equal = " at equal atoms" if alike(comparison.sizes) else ""
    yield Table(
        name=name,
        title=f"{where}: test force error relative to random{at_equal} ({comparison.pruner})",
        columns=["model \\ chosen with", *matrix.columns],
        rows=rows_of(matrix, cell),
        notes=f"Ratio of errors (95 % interval of the crossed bootstrap), {span_words(comparison)}, "
        f"{count(comparison.n_seeds, 'split')}; the own descriptor has a coloured background. Below 1: better than "
        "random. Cells are described, not judged: of many intervals some leave out 1 by chance.",
    )
    if np.isfinite(matrix.values).any():
        yield Pictures([heat_map(matrix, name, f"{where}: error relative to random", centre=1.0)])


def _link(comparison: Comparison, context: Context, model: str, arm: str) -> str:
    """To the runs of a cell."""
    trial = next(c for c in comparison.curves if (c.model, c.arm) == (model, arm)).trial
    data = json.loads(trial.parts["dataset"])
    params = {group: trial.choices[group] for group in ("model", "descriptor", "pruner")}
    params |= {f"dataset.{key}": str(data[key]) for key in ("element", "split") if data.get(key)}
    return context.links.search(trial.folder, params)
