"""Every trial, with its run."""

from __future__ import annotations

from collections import Counter

from tamis.analysis.arms import Curve
from tamis.report.context import Context
from tamis.report.document import Cell, Paragraph, Part, Row, Section, Table
from tamis.report.words import number

FORCE, ENERGY = "test/force_mae_eV_per_A", "test/energy_mae_meV_per_atom"


def section(context: Context) -> Section:
    """A table of the trials that the report is made of."""
    rows = [_row(curve, i, context) for curve in context.study.curves for i in range(len(curve.points))]
    linked = sum(1 for t in context.study.trials if context.links.run(t.folder))
    about = (
        f"{linked} of {len(context.study.trials)} trials have a run in MLflow; links go to {context.links.ui}, "
        "where "
        "mlflow ui shows it."
        if linked
        else (
            "No run of these trials was found in MLflow, so there are no links (tracking.uri=... names "
            "another database)."
        )
    )
    states = Counter(t.versions.get("git", "?") for t in context.study.trials if t.versions)
    code = ", ".join(f"{state} ({n})" for state, n in states.most_common())
    seconds = sum(trial.seconds for trial in context.study.trials)
    parts: list[Part] = [
        Paragraph(about),
        Paragraph(f"State of the code (trials): {code or 'unknown'}. Seconds in all trials: {seconds:.0f}."),
        Table(
            name="trials",
            title="All retrained potentials",
            columns=[
                *("data", "model", "pruner", "chosen with", "split", "select", "fit", "atoms"),
                *("test force, eV/Å", "test energy, meV/atom", "folder"),
            ],
            rows=rows,
            folded=True,
            most=500,
        ),
    ]
    return Section("Trials", parts)


def _row(curve: Curve, i: int, context: Context) -> Row:
    point, folder = curve.points[i], curve.source[i][0].folder
    return [
        curve.ground.name,
        curve.model,
        curve.pruner,
        Cell(curve.arm, mark=curve.own),
        *map(str, curve.seeds),
        f"{point['kept/atoms']:.0f}",
        number(point.get(FORCE), 4),
        number(point.get(ENERGY), 4),
        Cell(folder.name, link=context.links.run(folder)),
    ]
