"""``tamis-log``: send records to MLflow that are not there, because it was down or its database was lost."""

from __future__ import annotations

import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console

from tamis.configuration import config_folder, register_resolvers
from tamis.record import RECORD_FILE, RUNNING, SKIPPED, read_record
from tamis.tracking import Tracker

USAGE = "usage: tamis-log <folder of trials>... [tracking.uri=... tracking.experiment=...]"


def main() -> None:
    """Entry point of the console script."""
    folders = [Path(argument) for argument in sys.argv[1:] if "=" not in argument]
    if not folders or any(not folder.is_dir() for folder in folders):
        sys.exit(USAGE)
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", overrides=[argument for argument in sys.argv[1:] if "=" in argument])
    tracker: Tracker = instantiate(config.tracking)
    for folder in folders:
        Console().print(f"{folder}: {log_folder(tracker, folder)} trials logged", highlight=False)


def log_folder(tracker: Tracker, folder: Path) -> int:
    """Log every ended trial below ``folder`` that has no run yet, under one new parent; returns how many."""
    trials = [path.parent.absolute() for path in sorted(folder.rglob(RECORD_FILE))]
    missing = [trial for trial in trials if not tracker.is_logged(trial)]
    records = {trial: read_record(trial) for trial in missing}
    ended = {trial: r for trial, r in records.items() if r.status not in (RUNNING, SKIPPED)}
    if not ended:
        return 0
    parent = tracker.start_parent(folder.name)
    for trial, record in ended.items():
        tracker.write(record, trial, parent)
    tracker.end_parent(parent)
    return len(ended)


if __name__ == "__main__":
    main()
