"""The other pruners: secondary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from tamis.analysis.arms import RANDOM
from tamis.analysis.comparison import Comparison
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Part, Row, Section, Table
from tamis.report.words import ratio, span_words


def section(context: Context) -> Section:
    """All pruners against random, descriptor by descriptor."""
    parts: list[Part] = []
    for ground, first in context.forces.items():
        comparisons = [first, *(c for (g, _), c in context.others.items() if g == ground)]
        descriptors = list(dict.fromkeys(d for c in comparisons for d in c.descriptors))
        rows = [row for c in comparisons for row in _rows(c, descriptors)]
        if len(comparisons) > 1 and rows:
            parts.append(
                Table(
                    name=file_name("pruners", ground.name),
                    title=f"{ground.name}: test force error relative to random, by pruner",
                    columns=["model", "pruner", *descriptors, "splits"],
                    rows=sorted(rows, key=lambda row: str(row[0])),
                    notes=f"The first pruner: {span_words(first)}; others may cover other ranges.",
                )
            )
    return Section("Other pruners", parts)


def _rows(comparison: Comparison, descriptors: Sequence[str]) -> Iterator[Row]:
    for model in comparison.models:
        effects = {d: comparison.effect(model, d, RANDOM) for d in descriptors}
        n_seeds = [e.n_seeds for e in effects.values() if e is not None and np.isfinite(e.estimate)]
        if n_seeds:
            cells = [Cell(ratio(e), mark=comparison.is_own(model, d)) for d, e in effects.items()]
            yield [model, comparison.pruner, *cells, str(max(n_seeds))]
