"""Trials and measurements that are missing, failed, or were left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from tamis.analysis.trials import UNREADABLE, Trial
from tamis.core.messages import in_one_line
from tamis.records.record import FAILED, INTERRUPTED, RUNNING, SKIPPED, STOPPED
from tamis.report.context import Context, file_name
from tamis.report.document import Paragraph, Part, Section, Table


def section(context: Context) -> Section:
    """Failures by reason, what could not be measured, and arms with fewer splits than others."""
    parts: list[Part] = [*_trials(context), *_measurements(context), *_gaps(context)]
    if doubled := context.results.doubled:
        parts.append(
            Paragraph(f"Trials that were there more than once: {doubled}; the newest of each counts.")
        )
    parts += [Paragraph(f"Kept sets: {problem}.") for problem in context.kept_sets.problems]
    changed = {trial.versions.get("git", "") for trial in context.results.trials if trial.versions}
    if len(changed) > 1:
        states = f"Trials come from {len(changed)} states of the code: {', '.join(sorted(changed))}."
        parts.append(Paragraph(states))
    return Section("What is missing", parts or [Paragraph("Nothing: no failures, no gaps.")])


def _trials(context: Context) -> Iterator[Part]:
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


def _measurements(context: Context) -> Iterator[Part]:
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


def _gaps(context: Context) -> Iterator[Part]:
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
