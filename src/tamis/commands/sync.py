"""Send records to MLflow that it does not have, each once: what was run offline, or while a server was away.

tamis sync multirun/demo-1a2b3c4d                        to the database of the configuration
tamis sync multirun outputs --uri http://server:5000     all below two folders, to a server
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable
from pathlib import Path

from hydra.utils import instantiate
from rich.console import Console

from tamis.core.compose import composed
from tamis.core.errors import TamisError
from tamis.core.messages import in_one_line, plain_console, print_failure, reason_of
from tamis.core.names import quoted
from tamis.core.secrets import redacted
from tamis.records.record import RECORD_FILE
from tamis.sweeps.folder import SWEEP_FILE, SweepFolder
from tamis.sweeps.publish import Publisher, send_single
from tamis.tracking.tracker import Tracker


def add_arguments(parser: ArgumentParser) -> None:
    """Arguments of ``tamis sync``."""
    parser.add_argument(
        "folders", nargs="+", type=Path, help="of sweeps, single trials, or any folder above them"
    )
    parser.add_argument("--uri", help="tracking URI of MLflow; default: that of the configuration")
    parser.add_argument("--experiment", help="name of the experiment there")


def run(arguments: Namespace) -> int:
    """Send what is missing; returns the exit status."""
    tracker = _tracker(arguments.uri, arguments.experiment)
    if not tracker.answers():
        raise TamisError(f"{redacted(tracker.uri)} does not answer; nothing was sent")
    console, n_failed = plain_console(), 0
    for folder in arguments.folders:
        if not folder.is_dir():
            raise TamisError(f"{folder} is no folder")
        folder = _whole_sweep(folder.absolute())
        sweeps = sorted(path.parent for path in folder.rglob(SWEEP_FILE))
        for place in sweeps:
            n_failed += _sync_sweep(place, tracker, console)
        n_failed += _sync_singles(folder, sweeps, tracker, console)
    return 1 if n_failed else 0


def _tracker(uri: str | None, experiment: str | None) -> Tracker:
    given = {"tracking.uri": uri, "tracking.experiment": experiment}
    overrides = [f"{key}={quoted(value)}" for key, value in given.items() if value]
    tracker: Tracker = instantiate(composed(*overrides).tracking)
    return tracker


def _whole_sweep(folder: Path) -> Path:
    """The sweep that a folder is in, whose trials all hang under one run; else the folder itself."""
    return next((one for one in folder.parents if (one / SWEEP_FILE).is_file()), folder)


def _sync_sweep(place: Path, tracker: Tracker, console: Console) -> int:
    folder = SweepFolder(place)
    try:
        if (sweep := folder.sweep()) is None:
            raise TamisError(f"{place / SWEEP_FILE} is gone")
        with folder.alone(), Publisher(tracker, folder, sweep) as publisher:
            pass
    except TamisError as error:  # it runs, or its file is damaged
        print_failure(str(error))
        return 1
    console.print(f"{place}: {publisher.n_new} new, {publisher.n_there} already there", markup=False)
    for reason in publisher.failed:
        print_failure(reason)
    if publisher.n_left:
        print_failure(f"{publisher.n_left} runs are still missing; give the same command again")
    return len(publisher.failed) + publisher.n_left


def _sync_singles(folder: Path, sweeps: Iterable[Path], tracker: Tracker, console: Console) -> int:
    """Trials that belong to no sweep."""
    records = [path.parent for path in folder.rglob(RECORD_FILE)]
    singles = sorted(trial for trial in records if not any(trial.is_relative_to(place) for place in sweeps))
    n_new, failed = 0, []
    for trial in singles:
        try:
            n_new += send_single(tracker, trial)
        except Exception as error:  # a damaged record, or what MLflow does not take
            failed.append(f"{trial}: {in_one_line(reason_of(error))}")
    if singles:
        console.print(
            f"{folder}: {n_new} single trials new, {len(singles) - n_new - len(failed)} already there"
        )
    for reason in failed:
        print_failure(reason)
    return len(failed)
