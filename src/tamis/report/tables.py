"""Tables in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tamis.analysis.averages import AVERAGE, alike
from tamis.analysis.matrix import matrices
from tamis.analysis.points import Point, average, points_of
from tamis.core import metrics
from tamis.core.messages import in_one_line, print_failure
from tamis.core.names import printable
from tamis.core.secrets import redacted
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, RUNNING, SKIPPED, TrialRecord
from tamis.report.trial_physics import physics_table

ERRORS = {
    metrics.ENERGY_MAE: "energy MAE\nmeV/atom",
    metrics.FORCE_MAE: "force MAE\neV/Å",
    metrics.STRESS_MAE: "stress MAE\nGPa",
}
BASELINES = ("keep_all", "random", "stratified")
COLOUR: dict[str, str] = {COMPLETE: "green", FAILED: "red", SKIPPED: "yellow"}


def print_trial(record: TrialRecord, folder: Path, alone: bool, shown: Sequence[str] = ()) -> None:
    """Tables of one trial's errors and physics, and where its files are; one line where it is part of a sweep.

    shown: names of the metrics in that line; none: the test error of forces.
    """
    console = _console()
    title = " | ".join(record.config["choices"].get(g, "?") for g in ("model", "descriptor", "pruner"))
    if not alone:
        found = [f"{name} {value:.6g}" for name, value in record.measured.items() if name in shown]
        force = record.metrics.get(metrics.error(metrics.TEST, metrics.FORCE_MAE))
        if not shown and force is not None:
            found = [f"test force MAE {force:.4f} eV/Å"]
        result = f"{', '.join(found)}{_stability(record)}" if found else ""
        console.print(
            f"{folder.name:>4}  {title:<32} {_kept(record):<22} {_coloured(record.status)}  "
            f"{escape(in_one_line(record.reason)) or result}",
            highlight=False,
            soft_wrap=True,
        )
        return
    if record.status != COMPLETE:
        print_failure(record.reason, record.status)
    if record.curve:
        console.print(_trial_table(record, f"{title}, kept {_kept(record)}"))
    if (physics := physics_table(record)) is not None:
        console.print(physics)
    for stage, reason in record.problems.items():
        console.print(
            f"[yellow]{escape(stage)}[/]: {escape(in_one_line(reason))}", highlight=False, soft_wrap=True
        )
    seconds = [f"{stage} {value:.2f}" for stage, value in record.seconds.items()]
    for note in record.dataset.notes:  # the warning has scrolled away
        console.print(f"[yellow]data[/]: {escape(in_one_line(note))}", highlight=False, soft_wrap=True)
    if record.dataset.read_as:
        console.print(
            f"data:    {escape(printable(record.dataset.read_as))}", highlight=False, soft_wrap=True
        )
    if record.status == COMPLETE:
        console.print(f"seconds: {', '.join(seconds)}", highlight=False)
    console.print(f"files:   {escape(str(folder))}", highlight=False, soft_wrap=True)


def _stability(record: TrialRecord) -> str:
    """What MD found and how much went wrong, where anything did."""
    stable = record.metrics.get(metrics.STABLE_FRACTION)
    said = "" if stable is None else f", stable {stable:.2f}"
    n = len(record.problems)
    return said + (f", {n} problem{'s' if n > 1 else ''}" if n else "")


def _coloured(status: str, text: str = "") -> str:
    return f"[{COLOUR.get(status, 'white')}]{text or status}[/]"


def _console() -> Console:
    console = Console()
    # a file or a pipe has no width: take one that holds every table
    return console if console.is_terminal else Console(width=120)


def _kept(record: TrialRecord) -> str:
    if not record.curve:
        return ""
    points = f", {len(record.curve)} points" if len(record.curve) > 1 else ""
    return f"{record.curve[-1].n_structures} of {len(record.dataset.pool)} structures{points}"


def _trial_table(record: TrialRecord, title: str) -> Table:
    """One point: errors by part. A curve: test errors by number of kept structures."""
    if len(record.curve) > 1:
        return _curve_table(record, title)
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("MAE (RMSE)")
    parts = [p for p in metrics.PARTS if metrics.error(p, metrics.ENERGY_MAE) in record.metrics]
    sizes = {
        metrics.TRAIN: record.curve[-1].n_structures,
        metrics.VALIDATION: len(record.dataset.validation),
        metrics.TEST: len(record.dataset.test),
    }
    for part in parts:
        table.add_column(f"{part}\n{sizes[part]} structures", justify="right")
    for name, heading in ERRORS.items():
        pairs = [
            (
                record.metrics.get(metrics.error(part, name)),
                record.metrics.get(metrics.error(part, metrics.RMSE_OF[name])),
            )
            for part in parts
        ]
        nothing = "all zero" if name == metrics.FORCE_MAE else "no labels"
        cells = [f"{_number(mae)} ({_number(rmse)})" if mae is not None else nothing for mae, rmse in pairs]
        table.add_row(heading.replace(" MAE\n", ", "), *cells)
    return table


def _curve_table(record: TrialRecord, title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for heading in ("kept\nstructures", "atoms", *(f"test {heading}" for heading in ERRORS.values())):
        table.add_column(heading, justify="right")
    for point in record.curve:
        errors = [_number(point.metrics.get(metrics.error(metrics.TEST, name))) for name in ERRORS]
        table.add_row(str(point.n_structures), str(point.n_atoms), *errors)
    return table


def print_sweep(records: Mapping[str, TrialRecord], folder: Path, tracking_uri: str | None) -> None:
    """Results of a sweep: one row a combination of choices and budget, averaged over seeds.

    records : by the name of the trial's folder. tracking_uri : None where nothing went to MLflow.
    """
    console = _console()
    counts = Counter(record.status for record in records.values())
    for read_as in sorted({record.dataset.read_as for record in records.values()} - {""}):
        console.print(f"data: {escape(printable(read_as))}", highlight=False, soft_wrap=True)
    if counts[COMPLETE]:
        points = list(points_of(list(records.values())))
        console.print(sweep_table(points))
        for table in matrices(points):
            console.print(table)
    present = [status for status in (COMPLETE, FAILED, INTERRUPTED, SKIPPED, RUNNING) if counts[status]]
    console.print(", ".join(_coloured(s, f"{counts[s]} {s}") for s in present), highlight=False)
    for reason, names in _failures(records).items():
        shown = f"{', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        console.print(f"  failed ({shown}): {escape(reason)}", highlight=False, soft_wrap=True)
    files = " (results.csv, errors.png)" if counts[COMPLETE] else ""
    console.print(f"folder: {escape(str(folder))}{files}", highlight=False, soft_wrap=True)
    if tracking_uri is not None:
        address = redacted(tracking_uri)
        command = address if address.startswith("http") else f"mlflow ui --backend-store-uri {address}"
        console.print(f"browse: {escape(command)}", highlight=False, soft_wrap=True)


def _failures(records: Mapping[str, TrialRecord]) -> dict[str, list[str]]:
    """Reasons, each with the names of the trials that failed for it; those of the most trials first, at most five."""
    found: dict[str, list[str]] = {}
    for name, record in records.items():
        if record.status == FAILED:
            found.setdefault(in_one_line(record.reason), []).append(name)
    return dict(sorted(found.items(), key=lambda item: -len(item[1]))[:5])


def sweep_table(points: Sequence[Point]) -> Table:
    """Geometric means of test errors over seeds, by model, budget, pruner and descriptor."""
    groups: dict[tuple[str, str, str, str, str], list[Point]] = {}
    for point in points:
        key = (point.setting, point.model, point.budget, point.pruner, point.descriptor)
        groups.setdefault(key, []).append(point)
    table = Table(box=box.SIMPLE_HEAD, title=f"test errors ({AVERAGE} over seeds)", title_justify="left")
    several = any(key[0] for key in groups)
    for heading in (*(["varied"] if several else []), "model", "pruner", "descriptor"):
        table.add_column(heading)
    for heading in ("kept\nstructures", "atoms", "seeds", *ERRORS.values()):
        table.add_column(heading, justify="right")
    # budgets from small to large, whatever they are called
    sizes = {key[2]: average(points, metrics.KEPT_ATOMS) for key, points in groups.items()}
    if unequal := _unequal(groups):
        table.caption, table.caption_justify = unequal, "left"
    last_section = None
    for key in sorted(groups, key=lambda k: (k[:2], sizes[k[2]], k[3] not in BASELINES, k[3:])):
        setting, model, _, pruner, descriptor = key
        if last_section not in (None, key[:3]):
            table.add_section()
        last_section = key[:3]
        kept = (f"{average(groups[key], size):.0f}" for size in (metrics.KEPT_STRUCTURES, metrics.KEPT_ATOMS))
        errors = [_number(average(groups[key], metrics.error(metrics.TEST, name))) for name in ERRORS]
        table.add_row(
            *([setting] if several else []), model, pruner, descriptor, *kept, str(len(groups[key])), *errors
        )
    return table


def _unequal(groups: Mapping[tuple[str, str, str, str, str], Sequence[Point]]) -> str:
    """Says so where the sets that one budget gave differ in their atoms; empty where they do not."""
    sizes: dict[tuple[str, ...], list[float]] = {}
    for key, points in groups.items():
        sizes.setdefault(key[:3], []).append(average(points, metrics.KEPT_ATOMS))
    if all(map(alike, sizes.values())):
        return ""
    return "rows of one budget differ in their atoms: compare them as curves, or with a budget of atoms"


def _number(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.3g}"
