"""Every trial with its run, and what is missing: failed trials, gaps, and what could not be measured."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tamis.analysis.arms import Point
from tamis.analysis.trials import UNREADABLE, Trial
from tamis.core.messages import in_one_line
from tamis.core.metrics import ENERGY_MAE, FORCE_MAE, TEST, error
from tamis.records.record import FAILED, INTERRUPTED, RUNNING, SKIPPED, STOPPED
from tamis.report.context import Context, file_name
from tamis.report.document import Cell, Paragraph, Part, Row, Section, Table, number

FORCE, ENERGY = error(TEST, FORCE_MAE), error(TEST, ENERGY_MAE)


def section(context: Context) -> Section:
    """Failures by reason, what could not be measured, arms with fewer splits than others, and a table of all."""
    missing: list[Part] = [*_failures(context), *_unmeasured(context), *_gaps(context)]
    if doubled := context.results.doubled:
        missing.append(
            Paragraph(f"Trials that were there more than once: {doubled}; the newest of each counts.")
        )
    missing += [Paragraph(f"Kept sets: {problem}.") for problem in context.kept_sets.problems]
    if not missing:
        missing.append(Paragraph("Nothing is missing: no failures, no gaps."))
    return Section("Trials", [*missing, *_all(context)])


def _failures(context: Context) -> Iterator[Table]:
    reasons: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in context.results.trials:
        if trial.status in (FAILED, INTERRUPTED, SKIPPED, STOPPED, RUNNING, UNREADABLE):
            reasons[trial.status, in_one_line(trial.reason, 200)].append(trial)
    if reasons:
        yield Table(
            name="failures",
            title="Trials without a result",
            columns=["status", "trials", "reason", "for example"],
            rows=[
                [status, str(len(trials)), reason or "no reason given", trials[0].folder.name]
                for (status, reason), trials in sorted(reasons.items(), key=lambda item: -len(item[1]))
            ],
        )


def _unmeasured(context: Context) -> Iterator[Table]:
    counts: Counter[tuple[str, str]] = Counter()
    for trial in context.results.trials:
        counts.update((stage, in_one_line(reason, 200)) for stage, reason in trial.problems.items())
    if counts:
        yield Table(
            name="unmeasured",
            title="What could not be measured in complete trials",
            columns=["stage", "trials", "reason"],
            rows=[[stage, str(n), reason] for (stage, reason), n in counts.most_common()],
        )


def _gaps(context: Context) -> Iterator[Table]:
    for comparison in (*context.forces.values(), *context.others.values()):
        seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
        for curve in comparison.curves:
            seeds[curve.model, curve.arm].add(curve.seeds[0])
        most = {m: max(len(s) for (model, _), s in seeds.items() if model == m) for m in comparison.models}
        descriptors = sorted({arm.descriptor for arm in comparison.arms})
        counts = [(m, d, len(seeds.get((m, d), ()))) for m in sorted(most) for d in descriptors]
        rows = [[m, d, f"{n} of {most[m]}"] for m, d, n in counts if n < most[m]]
        if rows:
            yield Table(
                name=file_name("gaps", comparison.ground.name, comparison.pruner),
                title=f"{comparison.ground.name}, {comparison.pruner}: descriptors with fewer splits than others of "
                "the model",
                columns=["model", "chosen with", "splits"],
                rows=rows,
                notes="Comparisons take the splits that both sides have.",
            )


def _all(context: Context) -> Iterator[Part]:
    trials, links = context.results.trials, context.links
    linked = sum(bool(links.run(trial.folder)) for trial in trials)
    states = Counter(trial.versions.get("git", "?") for trial in trials if trial.versions)
    code = ", ".join(f"{state} ({n})" for state, n in states.most_common()) or "unknown"
    about = (
        f"State of the code (trials): {code}. Seconds in all trials: {sum(t.seconds for t in trials):.0f}. "
    )
    if linked:
        about += f"{linked} of {len(trials)} trials have a run in MLflow; links go to {links.ui} (mlflow ui)."
    else:
        about += (
            "There are no links, since MLflow has no run of these trials (--tracking names another database)."
        )
    yield Paragraph(about)
    yield Table(
        name="trials",
        title="All retrained potentials",
        columns=[
            *("data", "model", "pruner", "chosen with", "split", "select", "fit", "atoms"),
            *("test force, eV/Å", "test energy, meV/atom", "folder"),
        ],
        rows=[_row(point, context) for point in context.results.points],
        folded=True,
        most=500,
    )


def _row(p: Point, context: Context) -> Row:
    errors = [number(p.metrics.get(name), 4) for name in (FORCE, ENERGY)]
    folder = Cell(p.trial.folder.name, link=context.links.run(p.trial.folder))
    arm = Cell(p.arm, mark=p.own)
    return [p.ground.name, p.model, p.pruner, arm, *map(str, p.seeds), f"{p.atoms:.0f}", *errors, folder]
