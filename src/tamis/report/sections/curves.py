"""Learning curves and what they save."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from tamis.analysis.arms import BASELINES, RANDOM, STRATIFIED
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import FEWEST_SEEDS
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table
from tamis.report.style import colour, label, legend, log_axes, panel
from tamis.report.words import count, factor_words

FRACTIONS = (0.05, 0.1, 0.25, 0.5)
"""At which data-efficiency factors are given."""
QUANTITIES = {"force": "test force MAE (eV/Å)", "energy": "test energy MAE (meV/atom)"}


def section(context: Context) -> Section:
    """Curves of forces and energies, model by model, and data-efficiency factors."""
    parts: list[Part] = []
    for ground, comparison in context.primary.items():
        parts.append(Paragraph(_about(comparison)))
        parts.append(Pictures(list(_pictures(comparison, "force", context))))
        if ground in context.energies:
            parts.append(Pictures(list(_pictures(context.energies[ground], "energy", context))))
        parts += _efficiency(comparison)
    return Section("Learning curves and data efficiency", parts)


def _about(comparison: Comparison) -> str:
    band = "95 % interval of this mean, on these test structures"
    if comparison.n_seeds < FEWEST_SEEDS:
        band = f"none, as there are fewer than {FEWEST_SEEDS} splits"
    return (
        f"{comparison.ground.name}: geometric mean over {count(comparison.n_seeds, 'split')}; bands: {band}. "
        "Dashed: "
        "baselines."
    )


def _pictures(comparison: Comparison, quantity: str, context: Context) -> Iterator[Picture]:
    curves = comparison.mean_curves
    for model in comparison.models:
        figure, ax = panel(f"{model}, {comparison.ground.name}")
        arms = [i for i, arm in enumerate(comparison.arms) if arm.model == model]
        for i in sorted(arms, key=lambda i: (comparison.arms[i].descriptor not in BASELINES, i)):
            arm = comparison.arms[i]
            name = f"{arm.descriptor} (own)" if arm.own else arm.descriptor
            tint = colour(arm.descriptor, context.colours())
            style: dict[str, Any] = {"color": tint, "label": name, "lw": 2.4 if arm.own else 1.4}
            if len(curves.grid) == 0:
                _dots(ax, comparison, i, style)
                continue
            middle, half = curves.means[i, :, 0], curves.half[i]
            dashes = "--" if arm.descriptor in BASELINES else "-"
            ax.plot(curves.grid, np.exp(middle), ls=dashes, **style)
            ax.fill_between(
                curves.grid, np.exp(middle - half), np.exp(middle + half), color=tint, alpha=0.12, lw=0
            )
        log_axes(ax, "x", "y")
        label(ax, "atoms kept", QUANTITIES[quantity])
        legend(ax)
        yield Picture(
            file_name("curve", quantity, model, comparison.ground.name),
            f"{QUANTITIES[quantity]} of {model} on {comparison.ground.name} against the atoms kept, by what "
            "chose the structures.",
            figure,
        )


def _dots(ax: Axes, comparison: Comparison, arm: int, style: dict[str, Any]) -> None:
    """Single budgets: a point a split."""
    mine = comparison.data.arms == arm
    atoms = [c.atoms[0] for c, m in zip(comparison.curves, mine, strict=True) if m]
    weights = comparison.data.structure_weights
    ax.plot(atoms, comparison.data.errors[mine, 0] @ weights / weights.sum(), "o", ms=5, alpha=0.8, **style)


def _efficiency(comparison: Comparison) -> Iterator[Table]:
    low, high = comparison.efficiency_range()
    fractions = [f for f in FRACTIONS if low <= f <= high]
    with_interval = comparison.n_seeds >= FEWEST_SEEDS
    places = {name: i for i, name in enumerate([*comparison.descriptors, *BASELINES])}
    for baseline in (RANDOM, STRATIFIED):
        rows: list[Row] = [
            [
                arm.model,
                Cell(arm.descriptor, mark=arm.own),
                *(
                    factor_words(comparison.efficiency(arm.model, arm.descriptor, baseline, f), with_interval)
                    for f in fractions
                ),
            ]
            for model in comparison.models
            for arm in sorted(comparison.arms, key=lambda arm: places[arm.descriptor])
            if arm.model == model
            and arm.descriptor != baseline
            and comparison.index(model, baseline) is not None
        ]
        if rows and fractions:
            yield Table(
                name=file_name("efficiency", comparison.ground.name, baseline),
                title=f"{comparison.ground.name}: data-efficiency factor against {baseline}",
                columns=["model", "chosen with", *(f"at {100 * f:.0f} % of atoms" for f in fractions)],
                rows=rows,
                notes=f"How many times as many atoms chosen by {baseline} give the same test force error (95 % "
                "interval); ≥ and "
                f"≤: the curve of {baseline} ends there. The curve of {baseline} counts as its lowest value so "
                "far.",
            )
