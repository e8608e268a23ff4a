"""``tamis-study``: run what a plan lists and is not done yet."""

from __future__ import annotations

if __name__ == "__main__":  # python -m: before the first numerical library is loaded
    from tamis.core.threads import decide

    decide()

import argparse
import fcntl
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig
from rich.console import Console

from tamis.commands.endings import in_a_sentence
from tamis.core.configuration import config_folder, register_resolvers
from tamis.core.errors import TamisError
from tamis.core.locks import LOCK_FILE
from tamis.core.progress import progress
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, RECORD_FILE, SKIPPED, read_record
from tamis.records.versions import versions
from tamis.study.crew import clear_away, fill, kinds_of, run_all
from tamis.study.publish import Publisher
from tamis.study.slurm import in_queue
from tamis.study.slurm import run_all as run_on_slurm
from tamis.study.slurm_settings import Slurm
from tamis.study.trials import Trial, plan_of, read_composed, trials_of, write_composed
from tamis.study.worker import set_aside
from tamis.sweep import is_on_cluster
from tamis.sweeps.estimate import estimate, measurements
from tamis.sweeps.plan import Job
from tamis.tracking import tracker_of

COMPOSED_FILE = ".composed.json"
MOST_REASONS = 5
"""Different reasons of failures that are told while a study runs; all are in the records."""
TELL_EVERY_S = 60.0
WORKER_MEMORY_GIB = 1.5
"""What the data of each worker may take, unless store.memory_gib says otherwise."""
QUIET = (
    "artifacts=false",
    f"store.memory_gib={WORKER_MEMORY_GIB}",
    "store.remember=true",
    "tracking.by_group=false",
    "tracking.artifacts=false",
)
"""What ten thousand trials do without; each can be typed to have it all the same."""


def main() -> None:
    """Entry point of the console script; whatever goes wrong ends in a sentence and an exit status."""
    given = _arguments()
    register_resolvers()
    with in_a_sentence("trials that have ended are kept, and the same command goes on with the others"):
        sys.exit(run(given))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tamis-study", description=__doc__)
    parser.add_argument("overrides", nargs="*", help="as behind tamis: experiment=study dataset.root=...")
    parser.add_argument(
        "--folder", type=Path, default=Path("multirun/study"), help="of the study; default: %(default)s"
    )
    parser.add_argument(
        "--workers", type=int, default=len(os.sched_getaffinity(0)), help="processes; default: every core"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be run, and how long it would take"
    )
    parser.add_argument(
        "--measured", type=Path, nargs="+", default=[], help="more folders of trials to estimate from"
    )
    parser.add_argument("--retry-failed", action="store_true", help="run failed trials again")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KEY=A,B", help="of the plan, such as model=snap,ace"
    )
    parser.add_argument("--block", action="append", default=[], help="of the plan; default: every block")
    return parser.parse_intermixed_args()


def run(given: argparse.Namespace) -> int:
    """Run or describe the study; returns the exit status."""
    if given.workers < 1:
        raise TamisError(f"--workers is {given.workers}; at least 1 is needed")
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", [*QUIET, *given.overrides], return_hydra_config=True)
        slurm = slurm_of(config.hydra.launcher)
        jobs = list(chosen(list(plan_of(config).jobs()), given.only, given.block))
        trials = _trials(jobs, given)
    if given.dry_run:
        describe(trials, given)
        return 0
    return _run(trials, config, slurm, given)


def _trials(jobs: Sequence[Job], given: argparse.Namespace) -> list[Trial]:
    """The trials of ``jobs``; what had to be composed for them is kept in the study's folder."""
    path = given.folder / COMPOSED_FILE
    kept = read_composed(path)
    before, trials = len(kept), []
    with progress("reading the plan", len(jobs)) as advance:
        for trial in trials_of(jobs, QUIET, given.overrides, kept):
            trials.append(trial)
            advance(1)
    if len(kept) > before:
        write_composed(path, kept)
    return trials


def chosen(jobs: Sequence[Job], only: Sequence[str], blocks: Sequence[str]) -> Iterator[Job]:
    """The jobs of ``blocks`` (all where there are none) in which every key of ``only`` has one of its values.

    Raises
    ------
    TamisError : a block, a key or a value that the plan does not have.
    """
    for block in blocks:
        if block not in (known := {job.block for job in jobs}):
            raise TamisError(f"--block {block}: the plan has no such block, but {', '.join(sorted(known))}")
    wanted = {key: value.split(",") for key, _, value in (one.partition("=") for one in only)}
    for key, values in wanted.items():
        known = {value for job in jobs for name, value in job.overrides if name == key}
        if unknown := [value for value in values if value not in known]:
            raise TamisError(
                f"--only {key}={','.join(values)}: the plan has no {key}={unknown[0]}; "
                f"{'it varies ' + key + ' over ' + ', '.join(sorted(known)) if known else 'it does not vary ' + key}"
            )
    for job in jobs:
        overrides = dict(job.overrides)
        if (not blocks or job.block in blocks) and all(
            overrides.get(key) in of for key, of in wanted.items()
        ):
            yield job


def ending_of(folder: Path, trial: Trial) -> tuple[str, str]:
    """Status and reason of a trial's record; "" where there is none."""
    if not (folder / trial.name / RECORD_FILE).exists():
        return "", ""
    record = read_record(folder / trial.name)
    return record.status, record.reason


def what_is_done(folder: Path, trials: Sequence[Trial]) -> tuple[dict[str, str], str]:
    """The status of each trial, "" where it has no record, and in words what else than now they were made with."""
    status, now, others = {}, versions(), set[tuple[str, str]]()
    for trial in trials:
        status[trial.name] = ""
        if (folder / trial.name / RECORD_FILE).exists():
            record = read_record(folder / trial.name)
            status[trial.name] = record.status
            others |= record.versions.items() - now.items()
    words = [f"{name} {version} (now {now.get(name, 'none')})" for name, version in sorted(others)]
    return status, ", ".join(words)


def describe(trials: Sequence[Trial], given: argparse.Namespace) -> None:
    """Print how many trials there are, how many are done, and what the rest will need."""
    console = Console(highlight=False)
    status = {trial.name: ending_of(given.folder, trial)[0] for trial in trials}
    for block, n in Counter(trial.block for trial in trials).items():
        done = sum(bool(status[trial.name]) for trial in trials if trial.block == block)
        points = sum(len(t.config["budget"].get("fractions", [1])) for t in trials if t.block == block)
        console.print(f"{block:<28} {n:>7} trials {points:>8} retrains {done:>7} done")
    left = [trial for trial in trials if not status[trial.name]]
    places = [place for place in (given.folder, *given.measured) if place.is_dir()]
    expected = estimate(left, measurements(places))
    console.print(f"{len(trials)} trials, {len(left)} to run with {given.workers} workers")
    if expected.seconds:
        hours = expected.seconds / 3600
        console.print(
            f"about {hours:.1f} h of one worker, {hours / given.workers:.1f} h by the clock, and "
            f"{expected.size / 1e6:.0f} MB; all is known of {expected.n_like} of the {expected.n}"
        )
    if expected.unknown:
        parts = ", ".join(f"{what} ({n} trials)" for what, n in sorted(expected.unknown.items()))
        console.print(
            f"not counted, as no time is known: {parts}; run a few of these trials (--block, --only), or name folders "
            "that have some with --measured"
        )


def slurm_of(launcher: DictConfig) -> Slurm | None:
    """What ``hydra/launcher=slurm`` sets; None where trials run on this machine."""
    return instantiate(launcher).slurm if is_on_cluster(launcher) else None


def _run(trials: Sequence[Trial], config: DictConfig, slurm: Slurm | None, given: argparse.Namespace) -> int:
    folder = given.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not (jobs := in_queue(folder)):
            clear_away(folder)
        elif slurm is None:
            raise TamisError(
                f"trials of {folder} are in Slurm's queue (jobs {' '.join(jobs)}); add hydra/launcher=slurm to wait "
                f"for them, or end them with scancel {' '.join(jobs)}"
            )
        status, changed = what_is_done(folder, trials)
        again = ("", INTERRUPTED, FAILED) if given.retry_failed else ("", INTERRUPTED)
        left = [trial for trial in trials if status[trial.name] in again]
        publisher = Publisher(tracker_of(config), folder)
        publisher.open()
        publisher.forget(trial.name for trial in left)
        console = Console(highlight=False)
        console.print(f"{len(trials)} trials, {len(trials) - len(left)} done before; {folder}")
        if changed and left:
            console.print(
                f"some of these were run with {changed}; they stay, and for numbers of one version take a new --folder"
            )
        outcome = "KILLED"
        try:
            for trial in trials:  # of a study that was killed, or that MLflow did not hear of
                if status[trial.name] and trial.name not in publisher.written and trial not in left:
                    publisher.publish(trial.name)
            counts = _through(left, folder, _ending(left, folder, slurm, given.workers), publisher, console)
            outcome = "FINISHED"
        finally:
            publisher.close(outcome)
    counts += Counter(status[trial.name] for trial in trials if status[trial.name] not in again)
    parts = ", ".join(f"{counts[word]} {word}" for word in (COMPLETE, FAILED, SKIPPED))
    console.print(f"{parts}; see {folder}")
    return 1 if counts[FAILED] else 0


def _ending(left: Sequence[Trial], folder: Path, slurm: Slurm | None, n_workers: int) -> Iterator[Trial]:
    """The trials that are left as they end, here or on a cluster."""
    if slurm is None:
        fill(kinds_of(left))
        return run_all(left, folder, n_workers)
    for trial in left:
        if (folder / trial.name / RECORD_FILE).exists():  # a failure that is tried again
            set_aside(folder / trial.name)
    return run_on_slurm(left, folder, slurm)


def _through(
    left: Sequence[Trial], folder: Path, ending: Iterator[Trial], publisher: Publisher, console: Console
) -> Counter[str]:
    """See the trials that are left to their ends, with the first reasons of failures; returns how many ended how."""
    counts: Counter[str] = Counter()
    reasons: set[str] = set()
    start = told = time.monotonic()
    with progress("trials", len(left)) as advance:
        for trial in ending:
            status, reason = ending_of(folder, trial)
            counts[status] += 1
            if status == FAILED and reason not in reasons and len(reasons) < MOST_REASONS:
                reasons.add(reason)
                console.print(f"{trial.name} failed: {reason}", markup=False)
            publisher.publish(trial.name)
            advance(1)
            now, n = time.monotonic(), counts.total()
            if now - told > TELL_EVERY_S and not sys.stderr.isatty():
                told, rate = now, n / (now - start)
                console.print(
                    f"{n} of {len(left)}, {counts[FAILED]} failed; {(len(left) - n) / rate / 60:.0f} min left"
                )
    return counts


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Refuse a second study in the same folder."""
    with (folder / LOCK_FILE).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TamisError(
                f"another tamis-study runs in {folder}; wait for it, or choose another --folder"
            ) from None
        yield


if __name__ == "__main__":
    main()
