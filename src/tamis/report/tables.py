"""Results of a trial and of a sweep, in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from rich.markup import escape

from tamis.analysis.arms import BASELINES, Ground, Point
from tamis.analysis.averages import AVERAGE, alike, average
from tamis.analysis.matrix import Matrix, matrices
from tamis.analysis.trials import Trial
from tamis.core import metrics as names
from tamis.core.messages import in_one_line, print_failure
from tamis.core.names import printable
from tamis.core.secrets import redacted
from tamis.data.dealing import test_in_words
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, SKIPPED, DatasetFacts, TrialRecord
from tamis.report.document import Cell, Row, Table, number
from tamis.report.terminal import console_of, show

ERRORS = {
    names.ENERGY_MAE: "energy MAE\nmeV/atom",
    names.FORCE_MAE: "force MAE\neV/Å",
    names.STRESS_MAE: "stress MAE\nGPa",
}
DYNAMICS = (
    *(
        names.STABLE_FRACTION,
        names.MD_FAILURES,
        names.OUT_OF_TIME,
        names.NVE_DRIFT,
        names.MD_VOLUME,
        names.DIFFUSION,
    ),
    names.OUTSIDE_KEPT.format("common"),
)
"""The rest is in dynamics.json."""
ERROR_OF = {names.MD_VOLUME: names.MD_VOLUME_ERROR, names.DIFFUSION: names.DIFFUSION_ERROR}
FIRST_ROWS = ("keep_all", *BASELINES)
N_NUMBERS = 6
"""Columns of numbers in the table of a sweep."""
COLOUR: dict[str, str] = {COMPLETE: "green", FAILED: "red", SKIPPED: "yellow"}


def print_trial(record: TrialRecord, folder: Path) -> None:
    """Tables of a trial's errors and physics, and where its files are."""
    console = console_of()
    title = " | ".join(record.config["choices"].get(g, "?") for g in ("model", "descriptor", "pruner"))
    if record.status != COMPLETE:
        print_failure(record.reason, record.status)
    if record.curve:
        show(errors_table(record, f"{title}, kept {_kept(record)}"), console)
    if (physics := physics_table(record)) is not None:
        show(physics, console)
    for stage, reason in record.problems.items():
        console.print(
            f"[yellow]{escape(stage)}[/]: {escape(in_one_line(reason))}", highlight=False, soft_wrap=True
        )
    for note in record.dataset.notes:  # the warning has scrolled away
        console.print(f"[yellow]data[/]: {escape(in_one_line(note))}", highlight=False, soft_wrap=True)
    for line in record.dataset.read_as.splitlines():
        console.print(f"data:    {escape(printable(line))}", highlight=False, soft_wrap=True)
    if record.dataset.pool:
        console.print(f"test:    {_of_test(record.dataset)}", highlight=False, soft_wrap=True)
    if record.status == COMPLETE:
        seconds = [f"{stage} {value:.2f}" for stage, value in record.seconds.items()]
        console.print(f"seconds: {', '.join(seconds)}", highlight=False)
    console.print(f"files:   {escape(str(folder))}", highlight=False, soft_wrap=True)
    if record.curve:
        console.print(f"next:    tamis report {escape(str(folder))}", highlight=False, soft_wrap=True)


def _of_test(facts: DatasetFacts) -> str:
    trained = len(facts.pool) + len(facts.tuning) + len(facts.validation)
    return test_in_words(facts.test_kind, len(facts.test), trained + len(facts.test))


def _coloured(status: str, text: str = "") -> str:
    return f"[{COLOUR.get(status, 'white')}]{text or status}[/]"


def _kept(record: TrialRecord) -> str:
    if not record.curve:
        return ""
    points = f", {len(record.curve)} points" if len(record.curve) > 1 else ""
    return f"{record.curve[-1].n_structures} of {len(record.dataset.pool)} structures{points}"


def errors_table(record: TrialRecord, title: str) -> Table:
    """One point: errors by part. A curve: test errors by number of kept structures."""
    if len(record.curve) > 1:
        columns = ["kept\nstructures", "atoms", *(f"test {heading}" for heading in ERRORS.values())]
        rows = [
            [
                *(str(point.n_structures), str(point.n_atoms)),
                *(number(point.metrics.get(names.error(names.TEST, name))) for name in ERRORS),
            ]
            for point in record.curve
        ]
        return Table("trial", title, columns, rows)
    data = record.dataset
    n_kept = record.curve[-1].n_structures
    sizes = {names.TRAIN: n_kept, names.VALIDATION: len(data.validation), names.TEST: len(data.test)}
    parts = [part for part in sizes if names.error(part, names.ENERGY_MAE) in record.metrics]
    rows = [
        [heading.replace(" MAE\n", ", "), *(_error(record.metrics, part, name) for part in parts)]
        for name, heading in ERRORS.items()
    ]
    return Table(
        "trial", title, ["MAE (RMSE)", *(f"{part}\n{sizes[part]} structures" for part in parts)], rows
    )


def _error(metrics: Mapping[str, float], part: str, mae: str) -> str:
    if names.error(part, mae) not in metrics:
        return "none" if mae == names.FORCE_MAE else "no labels"  # no labels, or zero by symmetry
    return f"{number(metrics[names.error(part, mae)])} ({number(metrics.get(names.error(part, names.RMSE_OF[mae])))})"


def physics_table(record: TrialRecord) -> Table | None:
    """Each value with its error where it has a reference; None where neither properties nor MD were measured."""
    metrics = record.metrics
    values = {
        name: _error_name(name)
        for name in metrics
        if name.startswith(names.PROPERTIES)
        and not names.is_property_error(name)
        and name != names.PROPERTIES_FAILED
    }
    values |= {name: ERROR_OF.get(name) for name in DYNAMICS if name in metrics}
    rows = [
        [name.removeprefix(names.PROPERTIES), f"{metrics[name]:.4g}", _value_of_error(of_it, metrics)]
        for name, of_it in values.items()
    ]
    return Table("physics", "properties and dynamics", ["", "value", "error"], rows) if rows else None


def _error_name(name: str) -> str | None:
    """The metric with the error of a property."""
    found = names.property_error(name.removeprefix(names.PROPERTIES), 1.0, 1.0)
    return None if found is None else names.measured_property(found[0])


def _value_of_error(error: str | None, metrics: Mapping[str, float]) -> str:
    if error is None or error not in metrics:
        return ""
    return f"{metrics[error]:+.3g} {names.unit_of(error)}"


def print_sweep(
    trials: Mapping[str, Trial], points: Sequence[Point], folder: Path, tracking_uri: str | None
) -> None:
    """Results of a sweep: one row a combination of choices and budget, averaged over seeds.

    trials : by the name of the folder. points : of all of them.
    tracking_uri : None where nothing went to MLflow.
    """
    console = console_of()
    counts = Counter(trial.status for trial in trials.values())
    lines = {line for trial in trials.values() for line in trial.dataset.read_as.splitlines()}
    for line in sorted(lines):
        console.print(f"data: {escape(printable(line))}", highlight=False, soft_wrap=True)
    if points:
        table = sweep_table(points)
        show(table, console, len(table.columns) - N_NUMBERS)
        for matrix, about in matrices(points):
            show(matrix_table(matrix, about), console)
    present = [status for status in (COMPLETE, FAILED, INTERRUPTED, SKIPPED, RUNNING) if counts[status]]
    console.print(", ".join(_coloured(s, f"{counts[s]} {s}") for s in present), highlight=False)
    for reason, failed in _failures(trials).items():
        shown = f"{', '.join(failed[:5])}{', ...' if len(failed) > 5 else ''}"
        console.print(f"  failed ({shown}): {escape(reason)}", highlight=False, soft_wrap=True)
    files = " (results.csv, errors.png)" if counts[COMPLETE] else ""
    console.print(f"folder: {escape(str(folder))}{files}", highlight=False, soft_wrap=True)
    if tracking_uri is not None:
        address = redacted(tracking_uri)
        command = address if address.startswith("http") else f"mlflow ui --backend-store-uri {address}"
        console.print(f"browse: {escape(command)}", highlight=False, soft_wrap=True)


def _failures(trials: Mapping[str, Trial]) -> dict[str, list[str]]:
    """Reasons, each with the names of the trials that failed for it; those of the most trials first, at most five."""
    found: dict[str, list[str]] = {}
    for name, trial in trials.items():
        if trial.status == FAILED:
            found.setdefault(in_one_line(trial.reason), []).append(name)
    return dict(sorted(found.items(), key=lambda item: -len(item[1]))[:5])


def sweep_table(points: Sequence[Point]) -> Table:
    """Geometric means of test errors over seeds, by data set, model, budget, pruner and descriptor."""
    groups: dict[tuple[Ground, str, str, str, str], list[Point]] = {}
    for point in points:
        key = (point.ground, point.model, point.budget, point.pruner, point.descriptor)
        groups.setdefault(key, []).append(point)
    # budgets from small to large, whatever they are called
    sizes = {key[2]: average(mine, names.KEPT_ATOMS) for key, mine in groups.items()}
    several = len({key[0] for key in groups}) > 1
    rows: list[Row] = []
    ordered = sorted(groups, key=lambda k: (k[:2], sizes[k[2]], k[3] not in FIRST_ROWS, k[3:]))
    for key in ordered:
        ground, model, _, pruner, descriptor = key
        mine = groups[key]
        kept = [f"{average(mine, size):.0f}" for size in (names.KEPT_STRUCTURES, names.KEPT_ATOMS)]
        errors = [number(average(mine, names.error(names.TEST, name))) for name in ERRORS]
        words = [ground.name] * several + [model, pruner, descriptor]
        rows.append([*words, *kept, str(len(mine)), *errors])
    words = ["data"] * several + ["model", "pruner", "descriptor"]
    columns = [*words, "kept\nstructures", "atoms", "seeds", *ERRORS.values()]
    breaks = [i + 1 for i, (a, b) in enumerate(pairwise(ordered)) if a[:3] != b[:3]]
    title = f"test errors ({AVERAGE} over seeds)"
    return Table("sweep", title, columns, rows, notes=_unequal(groups), breaks=breaks)


def matrix_table(matrix: Matrix, about: str) -> Table:
    """Errors relative to random; the best of a row is green, the own descriptor's is marked."""

    best = np.nanmin(matrix.values, axis=1)
    rows: list[Row] = [
        [
            model,
            *(
                Cell(f"{value:.2f}" if value == value else "", bool(own), "good" if value == best[i] else "")
                for value, own in zip(matrix.values[i], matrix.own[i], strict=True)
            ),
        ]
        for i, model in enumerate(matrix.rows)
    ]
    title = f"test force MAE relative to random, {about}; = own descriptor, best of a row in green"
    return Table("matrix", title, ["model \\ pruned with", *matrix.columns], rows)


def _unequal(groups: Mapping[tuple[Ground, str, str, str, str], Sequence[Point]]) -> str:
    """Says so where the sets that one budget gave differ in their atoms; empty where they do not."""
    sizes: dict[tuple[Ground, str, str], list[float]] = {}
    for key, points in groups.items():
        sizes.setdefault(key[:3], []).append(average(points, names.KEPT_ATOMS))
    if all(map(alike, sizes.values())):
        return ""
    return "rows of one budget differ in their atoms: compare them as curves, or with a budget of atoms"
