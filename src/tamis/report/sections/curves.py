"""Learning curves, what they save, and errors by group of test structures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np

from tamis.analysis.arms import BASELINES, Point
from tamis.analysis.averages import AVERAGE, geometric_mean
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import FEWEST_SEEDS
from tamis.core.metrics import FORCE_MAE, TEST, error
from tamis.report.context import Context, at_target, file_name, target_of
from tamis.report.document import Cell, Paragraph, Part, Picture, Pictures, Row, Section, Table, count, number
from tamis.report.style import colour, draw_curve, label, legend, log_axes, panel
from tamis.report.words import factor_words

FRACTIONS = (0.05, 0.1, 0.25, 0.5)
"""At which data-efficiency factors are given."""
ERROR = error(TEST, FORCE_MAE)
FORCE, ENERGY = ("force", "test force MAE (eV/Å)"), ("energy", "test energy MAE (meV/atom)")


def section(context: Context) -> Section:
    """Curves of forces and energies, model by model, data-efficiency factors, and errors by group."""
    parts: list[Part] = []
    for ground, comparison in context.forces.items():
        parts += [Paragraph(_about(comparison)), Pictures(list(_pictures(comparison, *FORCE, context)))]
        if ground in context.energies:
            parts.append(Pictures(list(_pictures(context.energies[ground], *ENERGY, context))))
        parts += [*_efficiency(comparison), *_groups(comparison)]
    return Section("Learning curves and data efficiency", parts)


def _about(comparison: Comparison) -> str:
    band = "95 % interval of this mean, on these test structures"
    if comparison.n_seeds < FEWEST_SEEDS:
        band = f"none, as there are fewer than {FEWEST_SEEDS} splits"
    splits = count(comparison.n_seeds, "split")
    return f"{comparison.ground.name}: geometric mean over {splits}; bands: {band}. Dashed: baselines."


def _pictures(comparison: Comparison, name: str, quantity: str, context: Context) -> Iterator[Picture]:
    curves, where = comparison.mean_curves, comparison.ground.name
    for model in comparison.models:
        figure, ax = panel(f"{model}, {where}")
        mine = [i for i, arm in enumerate(comparison.arms) if arm.model == model]
        for i in sorted(mine, key=lambda i: (comparison.arms[i].descriptor not in BASELINES, i)):
            arm = comparison.arms[i]
            called = f"{arm.descriptor} (own)" if arm.own else arm.descriptor
            tint = colour(arm.descriptor, context.colours())
            if len(curves.grid) == 0:
                ax.plot(*_dots(comparison, i), "o", ms=5, alpha=0.8, color=tint, label=called)
                continue
            middle, half = curves.means[i, :, 0], curves.half[i]
            band = (np.exp(middle - half), np.exp(middle + half))
            draw_curve(ax, arm.descriptor, called, tint, curves.grid, np.exp(middle), band, arm.own)
        log_axes(ax, "x", "y")
        label(ax, "atoms kept", quantity)
        legend(ax)
        caption = f"{quantity} of {model} on {where} against the atoms kept, by what chose the structures."
        yield Picture(file_name("curve", name, model, where), caption, figure)


def _dots(comparison: Comparison, arm: int) -> tuple[list[float], list[float]]:
    """Single budgets: atoms and error, a point a split."""
    mine = comparison.data.arms == arm
    atoms = [c.atoms[0] for c, m in zip(comparison.curves, mine, strict=True) if m]
    weights = comparison.data.structure_weights
    return atoms, (comparison.data.errors[mine, 0] @ weights / weights.sum()).tolist()


def _efficiency(comparison: Comparison) -> Iterator[Table]:
    low, high = comparison.efficiency_range()
    fractions = [f for f in FRACTIONS if low <= f <= high]
    with_interval = comparison.n_seeds >= FEWEST_SEEDS

    def row(model: str, arm: str, baseline: str) -> Row:
        factors = (comparison.efficiency(model, arm, baseline, f) for f in fractions)
        words = (factor_words(one, with_interval) for one in factors)
        return [model, Cell(arm, mark=comparison.is_recorded_own(model, arm)), *words]

    for baseline in BASELINES:
        rows = [
            row(model, arm, baseline)
            for model in comparison.models
            for arm in (*comparison.descriptors, *BASELINES)
            if arm != baseline
            and comparison.index(model, arm) is not None
            and comparison.index(model, baseline) is not None
        ]
        if rows and fractions:
            yield Table(
                name=file_name("efficiency", comparison.ground.name, baseline),
                title=f"{comparison.ground.name}: data-efficiency factor against {baseline}",
                columns=["model", "chosen with", *(f"at {100 * f:.0f} % of atoms" for f in fractions)],
                rows=rows,
                notes=f"How many times as many atoms chosen by {baseline} give the same test force error (95 % "
                f"interval); ≥ and ≤: the curve of {baseline} ends there. It counts as its lowest value so far.",
            )


def _groups(comparison: Comparison) -> Iterator[Table]:
    fraction = target_of(comparison.curves)
    if fraction is None:
        return
    points = [found for curve in comparison.curves if (found := at_target(curve, fraction)) is not None]
    groups = sorted({name for p in points for name in p.metrics if name.startswith(f"{ERROR}/")})
    by_arm: dict[tuple[str, str, str], list[Point]] = defaultdict(list)
    for p in points:
        by_arm[p.model, p.pruner, p.arm].append(p)
    rows: list[Row] = []
    for (model, _, arm), mine in sorted(by_arm.items()):
        means = [geometric_mean(p.metrics[m] for p in mine if m in p.metrics) for m in (ERROR, *groups)]
        rows.append([model, Cell(arm, mark=mine[0].own), *map(number, means), str(len(mine))])
    yield Table(
        name=file_name("groups-errors", comparison.ground.name),
        title=f"{comparison.ground.name}: test force MAE (eV/Å) by group of test structures at the budget nearest to "
        f"{100 * fraction:.0f} % of the atoms",
        columns=["model", "chosen with", "all", *(m.removeprefix(f"{ERROR}/") for m in groups), "splits"],
        rows=rows,
        notes=f"{AVERAGE.capitalize()}s over splits.",
    )
