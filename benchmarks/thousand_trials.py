"""Wall time of a trial in a long sweep, all included, on one core.

Runs ``tamis -m`` with Hydra's basic launcher over split seeds and four budgets, descriptor, pruner and model as given,
in a new folder: composition of the configuration, data set, features, selection, fit, errors, files and MLflow. The
seconds a trial are the whole command's, start and final table included, over the number of trials. Growth compares
the last tenth of the sweep with the first, by the times at which the trials started.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import RESULTS, cpu_seconds, dataset_overrides, on_cores, one_thread, report

from tamis.records.record import COMPLETE, TrialRecord, read_record

FRACTIONS = ("0.05", "0.1", "0.25", "0.5")


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=1000, help="trials; rounded up to a multiple of 4")
    options.add_argument("--root", type=Path, help="local copy of mlearn; without it: sw_silicon")
    options.add_argument("--element", default="Si", help="of mlearn")
    options.add_argument("--descriptor", default="snap")
    options.add_argument("--pruner", default="fps")
    options.add_argument("--model", default="snap")
    options.add_argument(
        "--scratch", type=Path, help="where to make the sweep's folder, which is removed again"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "thousand_trials.csv")
    given = options.parse_args()
    one_thread()
    overrides = [
        *dataset_overrides(given.root, given.element),
        *(f"{group}={getattr(given, group)}" for group in ("descriptor", "pruner", "model")),
        f"seed.split=range({-(-given.n // len(FRACTIONS))})",
        f"budget.fraction={','.join(FRACTIONS)}",
        "hydra.sweep.dir=multirun",
    ]
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        seconds, cpu = run_sweep(overrides, Path(scratch))
        paths = Path(scratch).glob("multirun/*/record.json")
        records = sorted((read_record(path.parent) for path in paths), key=lambda record: record.started)
    report(f"{len(records)} trials: {' '.join(overrides)}", rows(records, seconds, cpu), given.out)
    failed = [record.reason for record in records if record.status != COMPLETE]
    if failed:
        raise SystemExit(f"{len(failed)} trials did not complete; the first: {failed[0]}")


def run_sweep(overrides: list[str], folder: Path) -> tuple[float, float]:
    """Seconds by the clock and of the processor that ``tamis -m`` takes in ``folder``."""
    start, cpu = time.perf_counter(), cpu_seconds()
    with on_cores(1), (folder / "output.txt").open("w") as output:
        finished = subprocess.run(
            [sys.executable, "-m", "tamis.commands.run", "-m", *overrides],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if finished.returncode != 0:
        tail = (folder / "output.txt").read_text()[-2000:]
        raise SystemExit(f"tamis ended with status {finished.returncode}; its last words:\n{tail}")
    return time.perf_counter() - start, cpu_seconds() - cpu


def rows(records: list[TrialRecord], seconds: float, cpu: float) -> list[dict[str, str | float]]:
    """Seconds a trial in all, by stage, and the growth."""
    n = len(records)
    between = np.diff([record.started for record in records])
    tenth = max(1, n // 10)
    lines = {
        "all included": seconds / n,
        "all included, processor": cpu / n,
        "median from start to start": float(np.median(between)),
        "last tenth / first tenth (ratio)": float(np.median(between[-tenth:]) / np.median(between[:tenth])),
    }
    stages = list(records[-1].seconds)
    for stage in stages:
        lines[stage] = float(np.median([record.seconds.get(stage, np.nan) for record in records]))
    inside = float(np.median([sum(record.seconds.get(stage, 0.0) for stage in stages) for record in records]))
    lines["between trials: Hydra, MLflow, printing"] = lines["median from start to start"] - inside
    return [
        {"part of a trial": name, "seconds": value, "part": value / (seconds / n)}
        for name, value in lines.items()
    ]


if __name__ == "__main__":
    main()
