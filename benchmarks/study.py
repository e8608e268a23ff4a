"""Retrains a second of a study: snap, ace and chimes on one element, learning curves as trials, MLflow included.

Runs ``tamis-study`` on part of ``experiment=study`` in a new folder, start, composing and MLflow included, once the
store is warm (give the same --store twice). On a busy machine the processor's seconds count, not the clock's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import RESULTS, cpu_seconds, on_cores, one_thread, report

from tamis.records.record import COMPLETE, read_record

MODELS = ("snap", "ace", "chimes")
MANY = 10_000


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, required=True, help="local copy of mlearn")
    options.add_argument("--store", type=Path, required=True, help="of rows; filled before the clock starts")
    options.add_argument("--element", default="Si")
    options.add_argument("--seeds", type=int, default=2, help="27 trials, 216 retrains each")
    options.add_argument("--cores", type=int, default=2)
    options.add_argument(
        "--scratch", type=Path, help="where to make the study's folder, which is removed again"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "study.csv")
    given = options.parse_args()
    one_thread()
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        run_study(given, Path(scratch), "warm", seeds=1)
        start, cpu = time.perf_counter(), cpu_seconds()
        folder = run_study(given, Path(scratch), "study", given.seeds)
        clock, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        records = [read_record(path.parent) for path in folder.glob("*/record.json")]
    if failed := [record.reason for record in records if record.status != COMPLETE]:
        raise SystemExit(f"{len(failed)} trials did not complete; the first: {failed[0]}")
    n = sum(len(record.curve) for record in records)
    lines = [
        ("retrains", float(n)),
        ("s by the clock, all", clock),
        ("s of processor a retrain, all included", cpu / n),
        ("minutes by the clock for 10 000", clock / n * MANY / 60),
        ("minutes for 10 000 on as many free cores", cpu / n * MANY / 60 / given.cores),
    ]
    for model in MODELS:
        of_model = [record for record in records if record.config["choices"]["model"] == model]
        for stage in ("features", "selection", "fit", "errors"):
            seconds = [record.seconds[stage] / len(record.curve) for record in of_model]
            lines.append((f"{model}: {stage}, s by the clock a retrain", statistics.median(seconds)))
    report(
        f"{len(records)} trials on {given.cores} cores",
        [{"what": w, "value": v} for w, v in lines],
        given.out,
    )


def run_study(given: argparse.Namespace, scratch: Path, name: str, seeds: int) -> Path:
    """Run so many seeds of the primary block in a new folder, which is returned."""
    command = [
        sys.executable,
        "-m",
        "tamis.study.cli",
        "experiment=study",
        f"dataset.root={given.root.absolute()}",
    ]
    command += [
        f"store.root={given.store.absolute()}",
        f"study.blocks.primary.seeds={seeds}",
        "--block",
        "primary",
    ]
    command += ["--only", f"dataset.element={given.element}", "--only", "dataset.split=published"]
    command += ["--only", f"model={','.join(MODELS)}", "--folder", name, "--workers", str(given.cores)]
    with on_cores(given.cores), (scratch / f"{name}.txt").open("w") as output:
        done = subprocess.run(command, cwd=scratch, stdout=output, stderr=subprocess.STDOUT, check=False)
    if done.returncode != 0:
        raise SystemExit((scratch / f"{name}.txt").read_text()[-2000:])
    return scratch / name


if __name__ == "__main__":
    main()
