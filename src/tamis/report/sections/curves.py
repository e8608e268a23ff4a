"""Learning curves, what they save, and errors by group of test structures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from tamis.analysis.arms import BASELINES, Point
from tamis.analysis.averages import AVERAGE, geometric_mean
from tamis.analysis.comparison import Comparison
from tamis.analysis.contrasts import FEWEST_SEEDS
from tamis.analysis.hypothesis import Arm
from tamis.core.metrics import FORCE_MAE, TEST, error
from tamis.core.names import in_figure
from tamis.report.context import Context, at_target, file_name, target_of
from tamis.report.document import Cell, Part, Picture, Pictures, Row, Section, Table, count, number
from tamis.report.style import draw_curve, draw_dots, label, legend, log_axes, look, ordered, panel
from tamis.report.words import factor_words

Array = NDArray[np.float64]
FRACTIONS = (0.05, 0.1, 0.25, 0.5)
"""At which data-efficiency factors are given."""
ERROR = error(TEST, FORCE_MAE)
FORCE, ENERGY = ("force", "test force MAE (eV/Å)"), ("energy", "test energy MAE (meV/atom)")


def section(context: Context) -> Section:
    """Curves of forces and energies, model by model, data-efficiency factors, and errors by group."""
    parts: list[Part] = []
    for ground, comparison in context.forces.items():
        if ground not in context.on_top():
            parts.append(Pictures([*pictures(comparison, *FORCE, context)]))
        if ground in context.energies:
            parts.append(Pictures([*pictures(context.energies[ground], *ENERGY, context)]))
        parts += [*_efficiency(comparison), *_groups(comparison)]
    return Section("Learning curves and data efficiency", parts)


def about_bands(comparison: Comparison) -> str:
    """Over what curves are averaged, and what their bands are."""
    splits = count(comparison.n_seeds, "split")
    if comparison.n_seeds < 2:
        return splits
    if comparison.span.is_point:
        return f"{AVERAGE} over {splits}, bars: range"
    bands = "bands: 95 %" if comparison.n_seeds >= FEWEST_SEEDS else f"no bands below {FEWEST_SEEDS}"
    return f"{AVERAGE} over {splits}, {bands}"


def pictures(comparison: Comparison, name: str, quantity: str, context: Context) -> Iterator[Picture]:
    """A picture a model: errors against atoms; of one budget, a dot an arm."""
    where, about = comparison.ground.name, about_bands(comparison)
    for model in comparison.models:
        figure, ax = panel(f"{model}, {where}\n{about}")
        mine = [i for i, arm in enumerate(comparison.arms) if arm.model == model]
        places = ordered([comparison.arms[i].descriptor for i in mine])
        mine.sort(key=lambda i: places.index(comparison.arms[i].descriptor))
        if len(comparison.mean_curves.grid):
            _draw_curves(ax, comparison, mine, quantity, context)
        else:
            _draw_dots(ax, comparison, mine, quantity, context)
        caption = f"{quantity} of {model} on {where}, by what chose the structures; {about}."
        yield Picture(file_name("curve", name, model, where), caption, figure)


def _called(arm: Arm) -> str:
    return f"{arm.descriptor} (own)" if arm.own else arm.descriptor


def _draw_curves(ax: Axes, comparison: Comparison, mine: list[int], quantity: str, context: Context) -> None:
    """Mean curves with bands; marks where sets were measured."""
    curves, has_bands = comparison.mean_curves, comparison.n_seeds >= FEWEST_SEEDS
    for i in mine:
        arm = comparison.arms[i]
        middle, half = curves.means[i, :, 0], curves.half[i]
        band = (np.exp(middle - half), np.exp(middle + half)) if has_bands else None
        tint, mark = look(arm.descriptor, context.arms())
        atoms, errors = _measured(comparison, i)
        # a band needs the sizes that all curves have; a line alone goes through what was measured
        x, y = (curves.grid, np.exp(middle)) if has_bands or not len(atoms) else (atoms, errors)
        draw_curve(ax, arm.descriptor, "", (tint, ""), x, y, band, arm.own)
        ax.plot(atoms, errors, mark, color=tint, ms=5, mew=0)
        dashes = "--" if arm.descriptor in BASELINES else "-"
        ax.plot([], [], dashes, marker=mark, color=tint, ms=5, mew=0, label=in_figure(_called(arm)))
    log_axes(ax, "x", "y")
    label(ax, "atoms kept", quantity)
    legend(ax)


def _measured(comparison: Comparison, arm: int) -> tuple[Array, Array]:
    """Atoms and error at the points of an arm, means over splits; none where its curves differ in their points."""
    mine, weights = np.flatnonzero(comparison.data.arms == arm), comparison.data.structure_weights
    sizes = [comparison.curves[k].atoms for k in mine]
    if len({len(atoms) for atoms in sizes}) > 1:
        return np.empty(0), np.empty(0)
    errors = comparison.data.errors[mine, : len(sizes[0])] @ weights / weights.sum()
    return np.exp(np.mean(np.log(sizes), axis=0)), np.exp(np.mean(np.log(errors), axis=0))


def _draw_dots(ax: Axes, comparison: Comparison, mine: list[int], quantity: str, context: Context) -> None:
    """One budget: each split, their mean and range."""
    rows, weights = [], comparison.data.structure_weights
    for i in mine:
        arm = comparison.arms[i]
        errors = comparison.data.errors[comparison.data.arms == i, 0] @ weights / weights.sum()
        rows.append((_called(arm), look(arm.descriptor, context.arms()), errors.tolist(), None))
    draw_dots(ax, rows, quantity)


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
