"""The dry run of a sweep: how many trials there are, and what those that are left will need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.plugins.launcher import Launcher

from tamis.core.messages import plain_console
from tamis.sweeps.estimate import estimate, measurements, to_measure
from tamis.sweeps.execute import run_jobs
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.job import Job


def print_dry_run(
    jobs: Sequence[Job],
    folder: SweepFolder,
    sweep: Sweep,
    protocol: Mapping[str, Any] | None,
    measured: Sequence[str],
    launcher: Launcher,
) -> None:
    """Print the number of trials, and time and disk that the rest will need.

    Where no time is known of a stage, a few trials are run to measure it. They count as done afterwards, so the
    protocol is left in the folder before them.
    """
    out = plain_console()
    done = folder.done(jobs)
    for block, n in Counter(job.labels.get("block", "") for job in jobs).items():
        of_block = [job for job in jobs if job.labels.get("block", "") == block]
        points = sum(len(job.config["budget"].get("fractions", [1])) for job in of_block)
        n_done = sum(job.name in done for job in of_block)
        out.print(
            f"{block or 'trials':<28} {n:>7} trials {points:>8} retrains {n_done:>7} done", markup=False
        )
    left = [job for job in jobs if job.name not in done]
    places = [folder.path, *map(Path, measured)]
    if first := to_measure(left, measurements(places)):
        out.print(f"no time is known of some stages: {len(first)} trials are run to measure it, and kept")
        with folder.alone():
            folder.begin(sweep, protocol)
            run_jobs(first, folder, launcher, publish=lambda name: None)
        left = [job for job in left if job not in first]
    expected = estimate(left, measurements(places))
    out.print(f"{len(jobs)} trials, {len(left)} to run")
    hours = expected.seconds / 3600
    out.print(f"about {hours:.2f} h of one core, and {expected.size / 1e6:.0f} MB")
    if expected.unknown:
        parts = ", ".join(f"{what} ({n} trials)" for what, n in sorted(expected.unknown.items()))
        out.print(f"not counted, as no time is known: {parts}", markup=False)
