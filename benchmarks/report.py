"""How long `tamis report` takes for ten thousand trials.

One real trial (snap on sw_silicon, a learning curve) is run, and written again under other choices and seeds with
errors multiplied by random numbers: files as large as real ones, in a scratch folder that is removed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ARMS = [
    ("none", "random"),
    ("none", "stratified"),
    *((d, "fps") for d in ("ace", "soap", "acsf", "chimes", "snap")),
]
MODELS = ("snap", "ace", "chimes", "gap", "nnp")
OWN = {"snap": "snap", "ace": "ace", "chimes": "chimes", "gap": "soap", "nnp": "acsf"}
ELEMENTS = ("Si", "Mo")


def template(folder: Path) -> tuple[dict, list[str]]:
    """Record and test errors of one real trial."""
    command = [
        sys.executable,
        "-m",
        "tamis.commands.run",
        "budget=curve",
        "model.basis.twojmax=4",
        "descriptor.twojmax=4",
    ]
    subprocess.run([*command, f"hydra.run.dir={folder}"], cwd=folder.parent, check=True, capture_output=True)
    lines = (folder / "test_errors.csv").read_text().splitlines()
    return json.loads((folder / "record.json").read_text()), lines


def write_trials(record: dict, lines: list[str], folder: Path, n: int) -> None:
    """Trials of all elements, models and arms, seed after seed, until there are ``n``."""
    rng, text = np.random.default_rng(0), json.dumps(record)
    trials = list(itertools.product(ELEMENTS, MODELS, ARMS))
    for number in range(n):
        seed, (element, model, (descriptor, pruner)) = number // len(trials), trials[number % len(trials)]
        scale = float(np.exp(rng.normal(0.0, 0.05) - 0.1 * (OWN[model] == descriptor)))
        one = json.loads(text)
        config = one["config"]
        config["choices"] |= {"model": model, "descriptor": descriptor, "pruner": pruner}
        config["dataset"]["element"] = element
        config["descriptor"] = {"family": descriptor}
        config["model"]["basis"] = {"family": OWN[model]}
        config["seed"] = {"split": seed, "select": seed, "fit": seed}
        one["dataset"]["fingerprint"] = element
        one["own"] = None if descriptor == "none" else OWN[model] == descriptor
        for metrics in (one["metrics"], *(point["metrics"] for point in one["curve"])):
            metrics |= {name: value * scale for name, value in metrics.items() if "mae" in name}
        trial = folder / f"{number:05d}"
        trial.mkdir()
        (trial / "record.json").write_text(json.dumps(one))
        cells = [line.rsplit(",", 3) for line in lines[1:]]
        noise = np.exp(rng.normal(0.0, 0.1, len(cells))) * scale
        rows = [
            f"{a},{e},{float(f) * x:.6g},{float(g) * x:.6g}"
            for (a, e, f, g), x in zip(cells, noise, strict=True)
        ]
        (trial / "test_errors.csv").write_text("\n".join([lines[0], *rows]) + "\n")


def main() -> None:
    """Print seconds by the clock and of processor time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=10_000, help="trials")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "study"
        folder.mkdir()
        record, lines = template(Path(scratch) / "template")
        write_trials(record, lines, folder, arguments.n)
        size = sum(path.stat().st_size for path in folder.rglob("*.json")) / 2**20
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        tamis = str(Path(sys.executable).with_name("tamis"))
        command = [tamis, "report", str(folder), "--out", f"{scratch}/report", "--no-coverage"]
        done = subprocess.run(
            command, check=True, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        page = (Path(scratch) / "report" / "report.html").stat().st_size / 2**20
        print(done.stdout)
        print(
            f"{arguments.n} trials of {len(record['curve'])} points ({size:.0f} MiB of records): {seconds:.1f} "
            "s by the clock, "
            f"{processor:.1f} s of processor, {after.ru_maxrss / 2**10:.0f} MiB, page {page:.1f} MiB (bar: 60 "
            "s)"
        )
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
