"""The own/other matrix: who prunes best for whom."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from tamis.analysis.arms import RANDOM, STRATIFIED
from tamis.analysis.averages import alike
from tamis.analysis.comparison import Comparison
from tamis.analysis.trials import Trial
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Pictures, Section, Table
from tamis.report.heat import heat_map
from tamis.report.words import count, ratio, span_words, tone


def section(context: Context) -> Section:
    """A matrix for each data set and split; grouped splits show transfer."""
    parts: list[Part] = []
    for comparison in context.primary.values():
        parts += _matrix(comparison, context)
    return Section("Own and other descriptors", parts)


def _matrix(comparison: Comparison, context: Context) -> Iterator[Part]:
    if not any(arm.descriptor == RANDOM for arm in comparison.arms):
        yield Paragraph(
            f"{comparison.ground.name}: no finished curve of random draws, so there is no matrix."
        )
        return
    columns = [*comparison.descriptors]
    if any(arm.descriptor == STRATIFIED for arm in comparison.arms):
        columns.append(STRATIFIED)
    name = file_name("matrix", comparison.ground.name, comparison.pruner)
    yield Table(
        name=name,
        title=f"{comparison.ground.name}: test force error relative to random"
        f"{' at equal atoms' if alike(comparison.sizes) else ''} ({comparison.pruner})",
        columns=["model \\ chosen with", *columns],
        rows=[
            [model, *(_cell(comparison, context, model, column) for column in columns)]
            for model in comparison.models
        ],
        notes=f"Ratio of errors (95 % interval of the crossed bootstrap), {span_words(comparison)}, "
        f"{count(comparison.n_seeds, 'split')}; "
        "the own descriptor has a coloured background. Below 1: better than random. Green and red: the interval "
        "does not hold 1; not corrected for the number of cells, of which some are coloured by chance.",
    )
    values = np.full((len(comparison.models), len(columns)), np.nan)
    own = np.zeros(values.shape, dtype=np.bool_)
    for i, model in enumerate(comparison.models):
        for j, column in enumerate(columns):
            effect, arm = comparison.effect(model, column, RANDOM), comparison.index(model, column)
            values[i, j] = np.nan if effect is None else effect.ratio
            own[i, j] = arm is not None and comparison.arms[arm].own
    if np.isfinite(values).any():
        picture = heat_map(
            name,
            f"{comparison.ground.name}: error relative to random",
            values,
            comparison.models,
            columns,
            own,
            "model",
            "structures chosen with",
            centre=1.0,
        )
        yield Pictures([picture])


def _cell(comparison: Comparison, context: Context, model: str, column: str) -> Cell:
    effect, index = comparison.effect(model, column, RANDOM), comparison.index(model, column)
    if index is None or effect is None:
        return Cell("")
    number = [k for k in range(len(comparison.curves)) if comparison.data.arms[k] == index]
    trial = comparison.curves[number[0]].source[0][0]
    params = {g: trial.choices[g] for g in ("model", "descriptor", "pruner")} | _data(trial)
    link = context.links.search(trial.folder, params)
    return Cell(ratio(effect), mark=comparison.arms[index].own, tone=tone(effect), link=link)


def _data(trial: Trial) -> dict[str, str]:
    """Parameters that tell the data set, where it has them."""
    config = json.loads(trial.parts["dataset"])
    return {f"dataset.{key}": str(config[key]) for key in ("element", "split") if config.get(key)}
