"""Tables in the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from tamis.record import COMPLETE, FAILED, SKIPPED, TrialRecord

ERRORS = {
    "energy_mae_meV_per_atom": "energy MAE\nmeV/atom",
    "force_mae_eV_per_A": "force MAE\neV/Å",
    "stress_mae_GPa": "stress MAE\nGPa",
}
COLOUR = {COMPLETE: "green", FAILED: "red", SKIPPED: "yellow"}


def print_trial(record: TrialRecord, folder: Path, alone: bool) -> None:
    """A table of one trial's errors and where its files are; one line where it is part of a sweep."""
    console = _console()
    title = " | ".join(record.config["choices"].get(g, "?") for g in ("model", "descriptor", "pruner"))
    if not alone:
        force = record.metrics.get("test/force_mae_eV_per_A")
        result = (
            record.reason.splitlines()[0]
            if record.reason
            else f"test force MAE {force:.4f} eV/Å"
            if force
            else ""
        )
        status = f"[{COLOUR.get(record.status, 'white')}]{record.status}[/]"
        console.print(
            f"{folder.name:>4}  {title:<32} {_kept(record):<22} {status}  {result}",
            highlight=False,
            soft_wrap=True,
        )
        return
    if record.status != COMPLETE:
        console.print(
            f"[{COLOUR.get(record.status, 'white')}]{record.status}[/]: {record.reason}", highlight=False
        )
    if record.curve:
        console.print(_trial_table(record, f"{title}, kept {_kept(record)}"))
    seconds = [
        f"{k.removeprefix('seconds/')} {v:.2f}" for k, v in record.metrics.items() if k.startswith("seconds/")
    ]
    console.print(f"seconds: {', '.join(seconds)}", highlight=False)
    console.print(f"files:   {folder}", highlight=False, soft_wrap=True)


def _console() -> Console:
    console = Console()
    # a file or a pipe has no width: take one that holds every table
    return console if console.is_terminal else Console(width=120)


def _kept(record: TrialRecord) -> str:
    if not record.curve:
        return ""
    metrics = record.metrics
    points = f", {len(record.curve)} points" if len(record.curve) > 1 else ""
    return f"{metrics['kept/structures']:.0f} of {record.dataset['n_pool']} structures{points}"


def _trial_table(record: TrialRecord, title: str) -> Table:
    """One point: errors by part. A curve: test errors by number of kept structures."""
    if len(record.curve) > 1:
        return _curve_table(record, title)
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    table.add_column("MAE (RMSE)")
    parts = [p for p in ("train", "validation", "test") if f"{p}/force_mae_eV_per_A" in record.metrics]
    for part in parts:
        table.add_column(part, justify="right")
    for name, heading in ERRORS.items():
        pairs = [
            (
                record.metrics.get(f"{part}/{name}"),
                record.metrics.get(f"{part}/{name.replace('mae', 'rmse')}"),
            )
            for part in parts
        ]
        cells = [
            f"{_number(mae)} ({_number(rmse)})" if mae is not None else "no labels" for mae, rmse in pairs
        ]
        table.add_row(heading.replace(" MAE\n", ", "), *cells)
    return table


def _curve_table(record: TrialRecord, title: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for heading in ("kept\nstructures", "atoms", *(f"test {heading}" for heading in ERRORS.values())):
        table.add_column(heading, justify="right")
    for point in record.curve:
        errors = [_number(point["metrics"].get(f"test/{name}")) for name in ERRORS]
        table.add_row(str(point["n_structures"]), f"{point['metrics']['kept/atoms']:.0f}", *errors)
    return table


def print_sweep(records: Sequence[TrialRecord], folder: Path, tracking_uri: str) -> None:
    """Results of a sweep: one row a combination of choices and budget, medians over seeds."""
    console = _console()
    console.print(sweep_table(records))
    counts = Counter(record.status for record in records)
    console.print(
        ", ".join(f"[{COLOUR.get(status, 'white')}]{n} {status}[/]" for status, n in counts.items()),
        highlight=False,
    )
    for record in [r for r in records if r.status == FAILED][:5]:
        console.print(f"  failed: {record.reason}", highlight=False, soft_wrap=True)
    console.print(f"folder: {folder} (results.csv, errors.png)", highlight=False, soft_wrap=True)
    console.print(f"browse: mlflow ui --backend-store-uri {tracking_uri}", highlight=False, soft_wrap=True)


def sweep_table(records: Sequence[TrialRecord]) -> Table:
    """Median test errors by model, pruner, descriptor and number of kept structures."""
    rows: dict[tuple[str, str, str, int], list[TrialRecord]] = {}
    points: dict[tuple[str, str, str, int], list[dict[str, float]]] = {}
    for record in records:
        choices = record.config["choices"]
        for point in record.curve if record.status == COMPLETE else ():
            key = (choices["model"], choices["pruner"], choices["descriptor"], int(point["n_structures"]))
            rows.setdefault(key, []).append(record)
            points.setdefault(key, []).append(point["metrics"])
    table = Table(box=box.SIMPLE_HEAD, title="test errors (median over seeds)", title_justify="left")
    for heading in ("model", "pruner", "descriptor"):
        table.add_column(heading)
    for heading in ("kept\nstructures", "atoms", "seeds", *ERRORS.values(), "fit\ns"):
        table.add_column(heading, justify="right")
    last_model = None
    for key in sorted(points, key=lambda k: (k[0], k[3], k[1], k[2])):
        if last_model not in (None, (key[0], key[3])):
            table.add_section()
        last_model = (key[0], key[3])
        metrics = points[key]
        medians = [_median(metrics, f"test/{name}") for name in ERRORS]
        atoms = f"{_median(metrics, 'kept/atoms'):.0f}"
        fit = np.median([r.metrics["seconds/fit"] / len(r.curve) for r in rows[key]])
        cells = [*map(_number, medians), f"{fit:.2f}"]
        table.add_row(*key[:3], str(key[3]), atoms, str(len(metrics)), *cells)
    return table


def _median(points: Sequence[dict[str, float]], name: str) -> float:
    return float(np.median([point.get(name, np.nan) for point in points]))


def _number(value: float | None) -> str:
    return "" if value is None or np.isnan(value) else f"{value:.3g}"
