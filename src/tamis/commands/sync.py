"""``tamis-sync``: send records to an MLflow server that does not have them, each once.

Runs that were made offline, that a server missed while it was away, or that a lost database has forgotten are made
from ``record.json``. What is there already is found by its id, so the command may be killed, started again, and run
by several processes at once.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from rich.console import Console

from tamis.commands.endings import in_a_sentence
from tamis.core.configuration import config_folder, register_resolvers
from tamis.core.errors import TamisError
from tamis.core.locks import alone_in, is_in_use
from tamis.core.names import quoted
from tamis.core.progress import progress
from tamis.core.secrets import redacted
from tamis.records.record import RECORD_FILE, RUNNING, SKIPPED, read_record
from tamis.report.links import UI, read_links
from tamis.report.tables import in_one_line, print_failure
from tamis.tracking import Child, Tracker
from tamis.tracking.parents import PARENT_FILE, read_parent

USAGE = (
    "usage: tamis-sync <folder of trials, or local tracking URI>... [<tracking URI of the server>] "
    "[storage=<of the Optuna study, where it is not in the search's folder>] [tracking.experiment=...]"
)
DEPTH = 3
"""So many folders above a trial's may be that of its sweep: sweep/7, search/7/0, and one to spare."""


class AwayError(TamisError):
    """The server does not answer any more."""


@dataclass
class Tally:
    """What became of the trials of a folder.

    new, there: written now, and before. unfinished: running or skipped, which are no runs. failed: reasons.
    at_work: a sweep, study or search still runs there.
    """

    new: int = 0
    there: int = 0
    unfinished: int = 0
    failed: list[str] = field(default_factory=list)
    at_work: bool = False

    def __str__(self) -> str:
        parts = [f"{self.new} new", f"{self.there} already there"]
        parts += [f"{self.unfinished} running or skipped, not sent"] if self.unfinished else []
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        return ", ".join(parts) + ("; a process works there: run it again when that has ended" * self.at_work)


@dataclass(frozen=True)
class Group:
    """Trials that hang under one run: place is the folder of their sweep, study or search; None of single ones."""

    place: Path | None
    trials: tuple[Path, ...]


def main() -> None:
    """Entry point of the console script; whatever goes wrong ends in a sentence and an exit status."""
    register_resolvers()
    with in_a_sentence("what was sent is whole, and the same command goes on with the rest"):
        sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Sync what the arguments name; returns the exit status."""
    sources, overrides, storage = read_command(arguments)
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        tracker: Tracker = instantiate(compose("config", overrides=overrides).tracking)
    console, failed = Console(highlight=False, soft_wrap=True), 0
    for source in sources:
        for name, tally in sync(source, tracker, storage):
            console.print(f"{name}: {tally}", markup=False)
            for reason in tally.failed:
                print_failure(reason)
            failed += len(tally.failed)
    return 1 if failed else 0


def read_command(arguments: Sequence[str]) -> tuple[list[str], list[str], str]:
    """Sources, overrides of the configuration (the server's address among them), and the storage of searches.

    Raises
    ------
    TamisError : no source, or one that is not there. SystemExit : help was asked for and printed.
    """
    if any(argument in ("-h", "--help") for argument in arguments):
        print(USAGE)
        sys.exit(0)
    plain, overrides, storage = [], [], ""
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign or Path(argument).exists() or "://" in key:
            plain.append(argument)
        elif key == "storage":
            storage = value
        elif key.startswith("tracking."):
            overrides.append(argument)
        else:
            raise TamisError(f"{key}=... is unknown; {USAGE}")
    if len(plain) > 1 and "://" in plain[-1]:
        overrides.append(f"tracking.uri={quoted(plain.pop())}")
    if not plain or (len(plain) == 1 and "://" in plain[0] and not overrides):
        raise TamisError(f"nothing to send, or nowhere to send it; {USAGE}")
    for source in plain:
        if "://" not in source and not Path(source).is_dir():
            raise TamisError(f"{source} is no folder; {USAGE}")
    return plain, overrides, storage


def sync(source: str, tracker: Tracker, storage: str = "") -> Iterator[tuple[str, Tally]]:
    """Send what ``source``, a folder or a tracking URI, has and the tracker's server has not; (name, what became).

    Raises
    ------
    AwayError : the server stopped to answer.
    """
    if "://" in source:
        trials = [Path(name) for name in read_links(source, UI).runs if name]
        gone = [f"{trial} is gone, and its record with it" for trial in trials if not trial.is_dir()]
        if gone or not trials:
            yield str(redacted(source)), Tally(failed=gone or ["it has no runs of tamis"])
        trials = [trial for trial in trials if trial.is_dir()]
    else:
        trials = trials_below(Path(source))
        if not trials:
            yield source, Tally()
    for group in groups_of(trials):
        yield _sync_group(group, tracker, storage)


def _sync_group(group: Group, tracker: Tracker, storage: str) -> tuple[str, Tally]:
    name = "single trials" if group.place is None else str(group.place)
    tally = Tally(at_work=group.place is not None and at_work(group.place))
    try:
        if group.place is None:
            _send(group.trials, None, [], tracker, tally)
        else:
            _send_sweep(group.place, group.trials, tracker, tally)
    except AwayError:
        raise
    except Exception as error:
        _raise_if_away(error, tracker, tally, name)
        tally.failed.append(f"{name}: {_said(error)}")
    return name, tally


def trials_below(folder: Path) -> list[Path]:
    """Folders with a record, but those of trials that a study still runs, which are in hidden folders."""
    found = (path.parent for path in folder.absolute().rglob(RECORD_FILE))
    top = len(folder.absolute().parts)
    return sorted(path for path in found if not any(part.startswith(".") for part in path.parts[top:]))


def groups_of(trials: Iterable[Path]) -> list[Group]:
    """The trials by the folder of their sweep, study or search."""
    by_place: dict[Path | None, list[Path]] = {}
    for trial in trials:
        near = (trial, *trial.parents[:DEPTH])  # a database names the folders of searches, too
        places = (place for place in near if (place / PARENT_FILE).exists())
        by_place.setdefault(next(places, None), []).append(trial)
    return [Group(place, tuple(members)) for place, members in by_place.items()]


def at_work(place: Path) -> bool:
    """Whether a sweep, a study or a search still runs in this folder, as far as can be seen from this machine."""
    return is_in_use(place)


def _send_sweep(place: Path, trials: Sequence[Path], tracker: Tracker, tally: Tally) -> None:
    """The runs of a sweep or study, under its own run."""
    parent = read_parent(place)
    if parent is None:
        raise TamisError(f"{place / PARENT_FILE} is gone")
    with alone_in(place / PARENT_FILE):  # two of these commands make one parent
        found = tracker.find_parent(parent)
        run_id = tracker.open_parent(parent) if found is None else found.run_id
    _send(trials, run_id, tracker.children(run_id), tracker, tally)
    if tally.new:
        _heal(tracker, run_id)
    if not tally.at_work and (found is None or found.status == "RUNNING"):
        tracker.end_parent(run_id)


def _heal(tracker: Tracker, parent: str) -> None:
    """Delete second runs of a record, as processes that do not see each other's locks may have written."""
    counts = Counter(child.id for child in tracker.children(parent) if child.id)
    for id, n in counts.items():
        if n > 1:
            tracker.settle(id)


def _send(
    trials: Sequence[Path], parent: str | None, children: Iterable[Child], tracker: Tracker, tally: Tally
) -> None:
    """The runs of trials that are not among the ``children``."""
    whole = [child for child in children if child.is_whole]
    ids = {child.id for child in whole if child.id}
    folders = {child.folder for child in whole if not child.id}  # written before there were ids
    with progress("trials", len(trials)) as advance:
        for trial in trials:
            try:
                record = read_record(trial)
            except TamisError as error:  # the file is damaged, or somebody else's
                tally.failed.append(_said(error))
                continue
            if record.status in (RUNNING, SKIPPED):
                tally.unfinished += 1
            elif record.id in ids or str(trial) in folders:
                tally.there += 1
            else:
                try:
                    is_new = tracker.write(record, trial, parent).is_new
                    tally.new, tally.there = tally.new + is_new, tally.there + (not is_new)
                except Exception as error:
                    _raise_if_away(error, tracker, tally, str(trial))
                    tally.failed.append(f"{trial}: {_said(error)}")
            advance(1)


def _raise_if_away(error: Exception, tracker: Tracker, tally: Tally, name: str) -> None:
    """Raises AwayError where the server is the reason, so that nothing else need be tried."""
    if not tracker.answers():
        raise AwayError(
            f"{redacted(tracker.uri)} does not answer ({_said(error)}); {name}: {tally} up to there. Nothing is lost: "
            "the same command goes on when the server is back"
        ) from error


def _said(error: Exception) -> str:
    return in_one_line(str(error) or type(error).__name__)


if __name__ == "__main__":
    main()
