"""What is missing, failed, or was left out."""

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
    if context.study.doubled:
        parts.append(
            Paragraph(f"{context.study.doubled} trials were there more than once; the newest of each counts.")
        )
    parts += [Paragraph(f"Kept sets: {problem}.") for problem in context.kept_sets.problems]
    changed = {trial.versions.get("git", "") for trial in context.study.trials if trial.versions}
    if len(changed) > 1:
        parts.append(
            Paragraph(f"Trials come from {len(changed)} states of the code: {', '.join(sorted(changed))}.")
        )
    return Section("What is missing", parts or [Paragraph("Nothing: no failures, no gaps.")])


def _trials(context: Context) -> Iterator[Part]:
    reasons: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in context.study.trials:
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
    for trial in context.study.trials:
        counts.update((stage, in_one_line(reason, 200)) for stage, reason in trial.problems.items())
    if counts:
        yield Table(
            name="unmeasured",
            title="What could not be measured in complete trials",
            columns=["stage", "trials", "reason"],
            rows=[[stage, str(n), reason] for (stage, reason), n in counts.most_common()],
        )


def _gaps(context: Context) -> Iterator[Part]:
    for comparison in (*context.primary.values(), *context.secondary.values()):
        seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
        for curve in comparison.curves:
            seeds[curve.model, curve.arm].add(curve.seeds[0])
        wanted = [(m, d) for m in comparison.models for d in {arm.descriptor for arm in comparison.arms}]
        most = {m: max(len(s) for (model, _), s in seeds.items() if model == m) for m in comparison.models}
        rows = [
            [m, d, f"{len(seeds.get((m, d), ()))} of {most[m]}"]
            for m, d in sorted(wanted)
            if len(seeds.get((m, d), ())) < most[m]
        ]
        if rows:
            yield Table(
                name=file_name("gaps", comparison.ground.name, comparison.pruner),
                title=f"{comparison.ground.name}, {comparison.pruner}: descriptors with fewer splits than "
                "others of the model",
                columns=["model", "chosen with", "splits"],
                rows=rows,
                notes="Comparisons take the splits that both sides have.",
            )
