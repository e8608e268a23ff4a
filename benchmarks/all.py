"""All figures of speed in one table: each beside its bar, which says what falls short. Half an hour on a quiet machine.

Runs the other benchmarks, one after the other, and takes the figures from the tables that they write. A bar is an upper
limit. Where a benchmark fails, its figures are missing and the rest goes on.
"""

from __future__ import annotations

import argparse
import csv
import math
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import RESULTS, report

HERE = Path(__file__).parent
ROOT = "{root}"


@dataclass(frozen=True)
class Figure:
    """One number of a benchmark's table: ``column`` of the row in which ``where`` holds, over that of ``over``."""

    what: str
    benchmark: str
    column: str
    bar: float
    where: tuple[tuple[str, str], ...] = ()
    over: tuple[tuple[str, str], ...] = ()

    def value(self, rows: list[dict[str, str]]) -> float:
        """The number; NaN where no row has it."""
        found = self._number(rows, self.where)
        return found / self._number(rows, self.over) if self.over else found

    def _number(self, rows: list[dict[str, str]], where: tuple[tuple[str, str], ...]) -> float:
        chosen = [row for row in rows if all(row[name] == value for name, value in where)]
        return float(chosen[0][self.column]) if chosen else float("nan")


BENCHMARKS: dict[str, tuple[str, ...]] = {
    "start": ("first_use.py", "start"),
    "families": ("first_use.py", "families"),
    "retrain": ("retrain_linear.py", "--root", ROOT),
    "retrain 18 settings": (
        *("retrain_linear.py", "--root", ROOT, "--models", "ace", "--overrides"),
        *("model.widenings=0", "model.stress_weights=[1.0,2.0]"),
    ),
    "retrain gap": (
        *("retrain_linear.py", "--root", ROOT, "--models", "gap", "--repeats", "2"),
        *("--overrides", "model.n_sparse=1000"),
    ),
    "networks": ("train_network.py", "--root", ROOT, "--fractions", "1.0", "--seeds", "0", "1"),
    "md": ("md.py",),
    "properties": ("properties.py", "--root", ROOT, "--families", "snap", "ace", "chimes"),
    "featurise": (
        *("featurise.py", "--root", ROOT, "--every", "4", "--families"),
        *("soap", "acsf", "soap_dscribe", "acsf_dscribe", "quests"),
    ),
}


def where(**columns: str) -> tuple[tuple[str, str], ...]:
    """Conditions on a row."""
    return tuple(columns.items())


FIGURES = (
    Figure(
        "tamis --help over import numpy",
        "start",
        "clock_s",
        6,
        where(what="tamis --help"),
        where(what="import numpy"),
    ),
    Figure("a warm default trial, s by the clock", "start", "clock_s", 2.5, where(what="default trial")),
    *(
        Figure(
            f"{family}: first trial less the second, s",
            "families",
            "first_less_this_s",
            8,
            where(family=family, trial="second, empty store"),
        )
        for family in ("snap", "ace", "chimes", "gap", "nnp_quick")
    ),
    *(
        Figure(f"{model}: a retrain, s", "retrain", "fit_cpu_s", bar, where(model=model))
        for model, bar in (("ace", 0.25), ("snap", 0.04), ("chimes", 0.10))
    ),
    Figure(
        "ace, 18 settings: a retrain over its arithmetic",
        "retrain 18 settings",
        "fit/arithmetic",
        1.0,
        where(model="ace"),
    ),
    *(
        Figure(
            f"{model}: a curve of eight over its largest point", "retrain", "curve/fit", 3, where(model=model)
        )
        for model in ("ace", "snap", "chimes")
    ),
    *(
        Figure(f"{model}: deviation from QR", "retrain", "deviation_from_QR", 1e-6, where(model=model))
        for model in ("ace", "snap", "chimes")
    ),
    Figure("gap, 1000 points: a retrain, s", "retrain gap", "fit_cpu_s", 1.5, where(model="gap")),
    Figure(
        "gap, 1000 points: a curve over its largest point", "retrain gap", "curve/fit", 3, where(model="gap")
    ),
    Figure("one network, s", "networks", "cpu_s", 8, where(networks="1")),
    Figure("three networks, s", "networks", "cpu_s", 20, where(networks="3")),
    *(
        Figure(f"{family}: all properties, s", "properties", "cpu_s", 2, where(family=family, property="all"))
        for family in ("snap", "ace", "chimes")
    ),
    *(
        Figure(
            f"{family}: an MD step over one call",
            "md",
            "ratio",
            1.1,
            where(family=family, way="fix external"),
        )
        for family in ("ace", "gap", "nnp", "chimes")
    ),
    Figure("snap: an MD step over LAMMPS", "md", "ratio", 1.1, where(family="snap", way="pair style")),
    *(
        Figure(
            f"{name}: store over the bare loop",
            "featurise",
            "store/bare",
            1.10,
            where(family=name, rows="values"),
        )
        for name in ("soap", "acsf", "soap_dscribe", "acsf_dscribe", "quests")
    ),
)


def main() -> None:
    """Run what the command line names, and print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, required=True, help="local copy of mlearn")
    options.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    options.add_argument("--out", type=Path, default=RESULTS / "all.csv")
    given = options.parse_args()
    tables = {name: table(name, given.root.absolute()) for name in given.only}
    rows = []
    for figure in FIGURES:
        if figure.benchmark in tables:
            value = figure.value(tables[figure.benchmark])
            verdict = "missing" if math.isnan(value) else "" if value <= figure.bar else "falls short"
            rows.append({"figure": figure.what, "value": value, "bar": float(figure.bar), "verdict": verdict})
    report("all figures", rows, given.out)


def table(name: str, root: Path) -> list[dict[str, str]]:
    """The rows that a benchmark writes; none where it fails."""
    script, *arguments = BENCHMARKS[name]
    out = RESULTS / f"all-{name.replace(' ', '-')}.csv"
    command = [
        sys.executable,
        str(HERE / script),
        *(a.replace(ROOT, str(root)) for a in arguments),
        "--out",
        str(out),
    ]
    out.unlink(missing_ok=True)
    print(f"{name}: {script} {' '.join(arguments)}", flush=True)
    if subprocess.run(command, check=False).returncode or not out.is_file():
        return []
    with out.open(newline="") as file:
        return list(csv.DictReader(file))


if __name__ == "__main__":
    main()
