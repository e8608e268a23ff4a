"""Every trial, with its run."""

from __future__ import annotations

from collections import Counter

from tamis.analysis.arms import Curve
from tamis.core.metrics import ENERGY_MAE, FORCE_MAE, KEPT_ATOMS, TEST, error
from tamis.report.context import Context
from tamis.report.document import Cell, Paragraph, Row, Section, Table
from tamis.report.numbers import number

FORCE, ENERGY = error(TEST, FORCE_MAE), error(TEST, ENERGY_MAE)


def section(context: Context) -> Section:
    """A table of the trials that the report is made of."""
    trials = context.results.trials
    linked = sum(bool(context.links.run(t.folder)) for t in trials)
    about = "No run of these trials was found in MLflow, so there are no links (--tracking names another database)."
    if linked:
        about = (
            f"{linked} of {len(trials)} trials have a run in MLflow; links go to {context.links.ui}, where mlflow ui "
            "shows it."
        )
    states = Counter(t.versions.get("git", "?") for t in trials if t.versions)
    code = ", ".join(f"{state} ({n})" for state, n in states.most_common()) or "unknown"
    seconds = sum(trial.seconds for trial in trials)
    table = Table(
        name="trials",
        title="All retrained potentials",
        columns=[
            *("data", "model", "pruner", "chosen with", "split", "select", "fit", "atoms"),
            *("test force, eV/Å", "test energy, meV/atom", "folder"),
        ],
        rows=[_row(curve, i, context) for curve in context.results.curves for i in range(len(curve.points))],
        folded=True,
        most=500,
    )
    state = Paragraph(f"State of the code (trials): {code}. Seconds in all trials: {seconds:.0f}.")
    return Section("Trials", [Paragraph(about), state, table])


def _row(curve: Curve, i: int, context: Context) -> Row:
    point, folder = curve.points[i], curve.source[i][0].folder
    return [
        curve.ground.name,
        curve.model,
        curve.pruner,
        Cell(curve.arm, mark=curve.own),
        *map(str, curve.seeds),
        f"{point[KEPT_ATOMS]:.0f}",
        number(point.get(FORCE), 4),
        number(point.get(ENERGY), 4),
        Cell(folder.name, link=context.links.run(folder)),
    ]
