"""What a sweep costs beside its trials: time of a warm snap trial with MLflow, the start, and workers side by side.

python benchmarks/sweeps.py trial       seconds of a trial of a sweep on one core, with MLflow and without, to 1000
python benchmarks/sweeps.py cores       trials a second of 4 workers on 2 cores over the sum of each core alone
python benchmarks/sweeps.py start       seconds until local workers are there
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRIAL = ("model=snap", "pruner=random", "artifacts=false", "tracking.artifacts=false")


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("what", choices=("trial", "cores", "start"))
    options.add_argument("--n", type=int, nargs="+", default=[100, 1000], help="trials of the sweeps")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        sweep(place, "warm", 2, 1)
        {"trial": trial, "cores": cores, "start": start}[given.what](place, given.n)


def trial(place: Path, numbers: list[int]) -> None:
    """Seconds by the clock of a trial on one core: the longer sweep less a short one, over the trials between."""
    core = {min(os.sched_getaffinity(0))}
    for more in (("by_group",), ("tracking=null",)):
        overrides = () if more == ("by_group",) else more
        base = sweep(place, f"base{len(overrides)}", 20, 1, core, *overrides)
        for n in numbers:
            seconds = sweep(place, f"{n}{len(overrides)}", n, 1, core, *overrides)
            each = (seconds - base) / (n - 20)
            print(f"{'with MLflow' if not overrides else 'without':<12} {n:>5} trials: {each:.3f} s each")


def cores(place: Path, numbers: list[int]) -> None:
    """4 workers on 2 cores against one worker on each core at the same time, each with a sweep of its own."""
    both = sorted(os.sched_getaffinity(0))[:2]
    n = numbers[0]
    started = [begin(place, f"alone{core}", n, 1, {core}) for core in both]
    alone = sum(rate(process, place / f"alone{core}", n) for process, core in zip(started, both, strict=True))
    together = rate(begin(place, "together", 2 * n, 4, set(both)), place / "together", 2 * n)
    print(f"alone {alone:.2f} trials/s, together {together:.2f} trials/s, ratio {together / alone:.2f}")


def rate(process: subprocess.Popen[str], folder: Path, n: int) -> float:
    """Trials a second between the first and the last record."""
    process.communicate()
    ends = sorted(path.stat().st_mtime for path in folder.glob("*/record.json"))
    if len(ends) != n:
        raise SystemExit(f"{folder.name} has {len(ends)} of {n} trials")
    return (n - 1) / (ends[-1] - ends[0])


def start(place: Path, numbers: list[int]) -> None:
    """Seconds until a local cluster of two workers answers."""
    code = (
        "import time; t = time.perf_counter()\n"
        "from tamis.sweeps.on_dask import dask_workers\n"
        "from hydra import compose, initialize_config_dir\n"
        "from tamis.core.conf_folder import config_folder\n"
        "from tamis.core.resolvers import register_resolvers\n"
        "from omegaconf import OmegaConf\n"
        "if __name__ == '__main__':\n"
        "    register_resolvers()\n"
        "    with initialize_config_dir(str(config_folder()), version_base='1.3'):\n"
        "        given = ['hydra.launcher.cluster.n_workers=2']\n"
        "        node = compose('config', given, return_hydra_config=True).hydra.launcher\n"
        "    plain = OmegaConf.to_container(node, resolve=False)\n"
        "    s = time.perf_counter()\n"
        "    given = {k: plain[k] for k in ('cluster', 'adapt', 'address', 'settings', 'dashboard')}\n"
        "    given['cluster']['scheduler_kwargs'] = {'dashboard': False}\n"
        "    with dask_workers(**given) as workers:\n"
        "        workers.submit(int, 1).result(); print(f'{time.perf_counter() - s:.2f}')\n"
    )
    script = place / "start.py"
    script.write_text(code)
    for _ in range(3):
        done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
        print("seconds:", done.stdout.strip() or done.stderr[-500:])


def sweep(place: Path, name: str, n: int, workers: int, on: set[int] | None = None, *more: str) -> float:
    """Run a sweep to its end; returns its seconds by the clock."""
    before = time.perf_counter()
    process = begin(place, name, n, workers, on, *more)
    out, err = process.communicate()
    if process.returncode:
        raise SystemExit(f"{out[-1000:]}{err[-1000:]}")
    return time.perf_counter() - before


def begin(
    place: Path, name: str, n: int, workers: int, on: set[int] | None = None, *more: str
) -> subprocess.Popen[str]:
    """Start a sweep of ``n`` random draws on these cores."""
    command = [sys.executable, "-m", "tamis.cli", "-m", *TRIAL, f"seed.select=range({n})"]
    command += [f"hydra.sweep.dir={place / name}", f"hydra.launcher.cluster.n_workers={workers}", *more]
    pin = (lambda: os.sched_setaffinity(0, on)) if on else None
    return subprocess.Popen(
        command, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=pin
    )


if __name__ == "__main__":
    main()
