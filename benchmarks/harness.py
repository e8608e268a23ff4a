"""What the benchmarks share: one thread, composed configurations, interleaved repeats, a table and a CSV."""

from __future__ import annotations

import csv
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from hydra import compose, initialize_config_dir
from joblib.externals.loky import get_reusable_executor
from omegaconf import DictConfig
from rich import box
from rich.console import Console
from rich.table import Table

from tamis.core.conf_folder import config_folder
from tamis.core.resolvers import register_resolvers

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
RESULTS = Path(__file__).parent / "results"


def one_thread() -> None:
    """Start the program again with one thread for every library, unless that is so: they read it when they load."""
    if any(os.environ.get(name) != "1" for name in THREADS):
        os.environ.update(dict.fromkeys(THREADS, "1"))
        os.execv(sys.executable, [sys.executable, *sys.argv])


@contextmanager
def on_cores(n: int) -> Iterator[None]:
    """Let the block and what it starts use ``n`` of the cores at hand."""
    before = os.sched_getaffinity(0)
    if len(before) < n:
        raise SystemExit(f"{n} cores are needed, {len(before)} are at hand")
    os.sched_setaffinity(0, set(sorted(before)[-n:]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def dataset_overrides(root: Path | None, element: str) -> list[str]:
    """mlearn where there is a local copy, else the embedded set."""
    if root is None:
        return ["dataset=sw_silicon"]
    return ["dataset=mlearn", f"dataset.element={element}", f"dataset.root={root.absolute()}"]


def configure(overrides: Sequence[str]) -> DictConfig:
    """The configuration that ``tamis <overrides>`` runs."""
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", list(overrides))


@dataclass
class Times:
    """Seconds of the repeats of one case: by the clock, and of the processor (children included)."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def interleave(cases: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, Times]:
    """Run every case once, then every case again, and so on: whatever else the machine does meets all of them.

    Worker processes end after each case, so that the next one pays for its own.
    """
    times = {name: Times() for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            start, cpu = time.perf_counter(), cpu_seconds()
            case()
            times[name].wall.append(time.perf_counter() - start)
            get_reusable_executor().shutdown(wait=True)
            times[name].cpu.append(cpu_seconds() - cpu)
    return times


def cpu_seconds() -> float:
    """Processor time of this process and of its children that have ended."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def spin(processes: int) -> None:
    """Let ``processes`` programs count, each for about a second: what a machine with free cores does at once."""
    command = [sys.executable, "-S", "-c", "for _ in range(12_000_000): pass"]
    running = [subprocess.Popen(command) for _ in range(processes)]
    for process in running:
        process.wait()


def report(title: str, rows: Sequence[Mapping[str, object]], out: Path) -> None:
    """Print the rows and write them to ``out``; all have the same keys."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for name, value in rows[0].items():
        table.add_column(name.replace("_", " "), justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()))
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(table)
    load = ", ".join(f"{x:.1f}" for x in os.getloadavg())
    print(f"load average {load} on {os.cpu_count()} cores; above 1 others took their part\n{out}")
