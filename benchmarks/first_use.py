"""What a user waits for before anything is computed: commands that start, MLflow, kernels of a new installation.

python benchmarks/first_use.py start      --help over the import of numpy; imports; a trial with and without MLflow
python benchmarks/first_use.py families   each family's first trial with no compiled kernels, and the next ones
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import RESULTS, cpu_seconds, one_thread, report

TAMIS = str(Path(sys.executable).with_name("tamis"))
FAMILIES = ("snap", "ace", "chimes", "gap", "nnp_quick")
SMALL = ("descriptor=none", "pruner=random", "budget.fraction=0.2", "store.n_jobs=1")
"""The family's own kernels alone, in a short trial, so that they stand out."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a program by the clock and of the processor, and what it wrote."""

    wall: float
    cpu: float
    output: str


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("what", choices=("start", "families"))
    options.add_argument("--families", nargs="+", default=FAMILIES)
    options.add_argument("--repeats", type=int, default=5, help="of start; the fastest counts")
    options.add_argument("--out", type=Path, default=RESULTS / "first_use.csv")
    given = options.parse_args()
    one_thread()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        run(place, (TAMIS, "model=snap", *SMALL))  # makes the data set and MLflow's database
        if given.what == "start":
            rows = start(place, given.repeats)
        else:
            rows = [row for family in given.families for row in families(place, family)]
        report(f"first use: {given.what}", rows, given.out)


def run(place: Path, command: Sequence[str], more: Mapping[str, str] | None = None) -> Cost:
    """Run a program in a folder to its end."""
    begun, cpu = time.perf_counter(), cpu_seconds()
    done = subprocess.run(
        command, cwd=place, env=os.environ | dict(more or {}), capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return Cost(time.perf_counter() - begun, cpu_seconds() - cpu, done.stdout + done.stderr)


def start(place: Path, repeats: int) -> list[dict[str, object]]:
    """Each command in turn, again and again; seconds and multiples of the import of numpy."""
    python = (sys.executable, "-c")
    commands = {
        "import numpy": (*python, "import numpy"),
        "tamis --help": (TAMIS, "--help"),
        "import tamis": (*python, "import tamis"),
        "import tamis; tamis.prune": (*python, "import tamis; tamis.prune"),
        "import tamis.commands.run": (*python, "import tamis.commands.run"),
        "import tamis.trial": (*python, "import tamis.trial"),
        "import mlflow and its store": (*python, "import mlflow.store.tracking.sqlalchemy_store"),
        "default trial, tracking=null": (TAMIS, "tracking=null"),
        "default trial": (TAMIS,),
    }
    run(place, (TAMIS,))  # fills the store
    costs: dict[str, list[Cost]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            costs[name].append(run(place, command))
    wall = {name: min(cost.wall for cost in found) for name, found in costs.items()}
    cpu = {name: min(cost.cpu for cost in found) for name, found in costs.items()}
    unit = cpu["import numpy"]
    return [
        {"what": name, "clock_s": wall[name], "processor_s": cpu[name], "over_import_numpy": cpu[name] / unit}
        for name in commands
    ]


def families(place: Path, family: str) -> list[dict[str, object]]:
    """The first trial after an installation, the same again with nothing stored, and again with what is stored."""
    kernels, rows = place / f"kernels-{family}", []
    for trial, store in (("first", "one"), ("second, empty store", "two"), ("second, same store", "one")):
        settings = (f"model={family}", *SMALL, f"store.root=store-{family}-{store}", "tracking=null")
        cost = run(place, (TAMIS, *settings), {"NUMBA_CACHE_DIR": str(kernels)})
        rows.append({"family": family, "trial": trial, "clock_s": cost.wall, "processor_s": cost.cpu})
    for row in rows:
        row["first_less_this_s"] = rows[0]["processor_s"] - row["processor_s"]
    return rows


if __name__ == "__main__":
    main()
