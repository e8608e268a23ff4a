"""Optuna's study of a search: where it is kept, what makes it the same one, which of its trials count."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any

import optuna
from optuna import Study
from optuna.storages import (
    BaseStorage,
    JournalStorage,
    RDBStorage,
    RetryHeartbeatStaleTrialCallback,
    get_storage,
)
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from tamis.core.errors import TamisError, causes
from tamis.core.locks import LOCK_FILE, is_held
from tamis.core.messages import listed, reason_of
from tamis.core.secrets import redacted
from tamis.core.suggestions import suggest
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.job import differences
from tamis.sweeps.search.settings import SearchSettings
from tamis.sweeps.search.space import Space, clash_of, in_words

log = logging.getLogger(__name__)
SQLITE = "study.db"
DEFINITION, EXHAUSTED = "definition", "exhausted"
"""Attributes of a study: what makes it the same one; whether its sampler has no more points."""
SWEEP = "sweep"
"""Attribute of a trial: folder and id of the sweep that runs it; a folder on another machine may have the same path."""
FOLDER = "folder"
"""Attribute of a trial: where its records are, for whoever looks at it in Optuna's dashboard."""
HEARTBEAT_S, GRACE_S = 60, 300
"""On a database server: how often a command says that a trial runs, and after what silence others run it again."""
NEWBORN_S = 60.0
"""A running trial without the attribute SWEEP for this long is abandoned."""
LOCKED_S = 60.0
"""How long a command waits for others that write the same SQLite file."""


def address_of(storage: str | None, folder: Path) -> str:
    """URL or path of the storage; None: SQLite in the sweep's folder."""
    return storage or f"sqlite:///{folder / SQLITE}"


def open_storage(address: str, retries: int = 0) -> BaseStorage:
    """The storage at a URL, or in the journal file at a path; it is made where there is none.

    On a server, Optuna's heartbeat finds the trials of commands that died on other machines, and runs each again, up to
    ``retries`` times.

    Raises
    ------
    TamisError : it cannot be reached, written or read.
    """
    try:
        if "://" not in address:
            return JournalStorage(JournalFileBackend(address))
        if address.startswith("sqlite:"):
            storage = RDBStorage(address, engine_kwargs={"connect_args": {"timeout": LOCKED_S}})
            _prepare_sqlite(storage)
            return get_storage(storage)
        return get_storage(
            RDBStorage(
                address,
                engine_kwargs={"pool_pre_ping": True},  # a server closes what is idle during a long trial
                heartbeat_interval=HEARTBEAT_S,
                grace_period=GRACE_S,
                heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(max_retry=retries),
            )
        )
    except Exception as error:  # of SQLAlchemy, a driver, the journal's lines or the file system
        reason = reason_of(error).splitlines()[0]
        raise TamisError(
            f"hydra.sweeper.storage={redacted(address)} cannot be opened ({redacted(reason)}); is the server running, "
            "its driver installed, the address right, and may you write there?"
        ) from error


def storage_failure(error: BaseException | None) -> str:
    """What the database or the file system said, if that is behind ``error``; else nothing. Optuna wraps it."""
    for one in causes(error):
        if isinstance(one, OSError | SQLAlchemyError):
            return redacted(str(getattr(one, "orig", None) or one).splitlines()[0])
    return ""


def _prepare_sqlite(storage: RDBStorage) -> None:
    """Let SQLite write ahead, and let each transaction lock the file from its beginning.

    Writing ahead, a write takes 1 ms instead of 20; a kill loses nothing, a power cut the last trials. Optuna takes a
    trial from its queue by SELECT ... FOR UPDATE, which SQLite does not have: without the lock two threads take the
    same trial. See "Transactions with SQLite and the sqlite3 driver" in the manual of SQLAlchemy.
    """
    from sqlalchemy import Connection, event

    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # the driver begins no transactions of its own
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")

    def begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(storage.engine, "connect", prepare)
    event.listen(storage.engine, "begin", begin)
    storage.remove_session()
    storage.engine.dispose()  # of connections that were made before


def find_study(name: str, storage: BaseStorage, where: str) -> Study:
    """A study that is there; nothing is made. Raises TamisError where there is none of that name."""
    names = optuna.get_all_study_names(storage)
    if name not in names:
        raise TamisError(
            f"there is no study {name} in {redacted(where)}; {suggest(name, names)}there are: "
            f"{', '.join(names) or 'none'}"
        )
    return optuna.load_study(study_name=name, storage=storage)


def open_study(
    settings: SearchSettings, space: Space, definition: Mapping[str, Any], storage: BaseStorage, folder: Path
) -> Study:
    """The study, made or resumed; nothing is written before all is checked.

    Parameters
    ----------
    definition : what makes the study the same one; ``objective`` is in it.

    Raises
    ------
    TamisError : another study has the name, or the folder holds the trials of another one.
    """
    name = settings.study_name
    if name in optuna.get_all_study_names(storage):
        study = optuna.load_study(study_name=name, storage=storage)
        _check_definition(study, settings, space, definition)
    else:
        if any(path.name.isdigit() for path in folder.glob("*")):
            raise TamisError(
                f"{folder} holds trials, and there is no study {name} in its storage; choose another hydra.sweep.dir, "
                "or the storage of that study"
            )
        study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=[StudyDirection[one.upper()] for one in settings.directions],
            load_if_exists=True,
        )
    if study.user_attrs.get(DEFINITION) != definition:
        study.set_metric_names(list(definition["objective"]))
        study.set_user_attr(DEFINITION, dict(definition))
        study.set_user_attr(EXHAUSTED, False)
    _enqueue_missing(study, settings.enqueue or ())
    return study


def _enqueue_missing(study: Study, starts: Sequence[Mapping[str, Any]]) -> None:
    """Enqueue the first trials that are not there: a kill may have come between two of them."""
    there = [one.system_attrs.get("fixed_params") for one in study.trials if not history_of(one)]
    for start in map(dict, starts):
        if start in there:
            there.remove(start)  # equal starts are as many trials
        else:
            study.enqueue_trial(start)


def _check_definition(
    study: Study, settings: SearchSettings, space: Space, definition: Mapping[str, Any]
) -> None:
    """Refuse to go on with another study under the same name."""
    if clashes := list(dict.fromkeys(_clashes(study, settings, space))):
        raise TamisError(
            f"study {study.study_name} is another one, and Optuna cannot go on with its trials: "
            f"{listed(clashes, between='; ')}; choose another hydra.sweeper.study_name"
        )
    changed = differences(study.user_attrs.get(DEFINITION, {}), definition)
    if not changed:
        return
    changes = listed(changed, between="; ")
    if settings.on_change == "refuse":
        raise TamisError(
            f"study {study.study_name} is another one ({changes}); choose another hydra.sweeper.study_name, or go on "
            "with its trials all the same: hydra.sweeper.on_change=continue"
        )
    log.warning("study %s resumes, changed: %s", study.study_name, changes)


def _clashes(study: Study, settings: SearchSettings, space: Space) -> Iterator[str]:
    """Why Optuna cannot go on with the trials of a study."""
    before, now = [one.name.lower() for one in study.directions], list(settings.directions)
    if before != now:
        yield f"direction: {before} -> {now}"
    rules = set(settings.constraints or ())
    for trial in study.get_trials(deepcopy=False):
        if trial.state == TrialState.COMPLETE and trial.constraints.keys() != rules:
            yield f"constraints: {sorted(trial.constraints)} -> {sorted(rules)}"
        for one in space.parameters:
            domain: Any = trial.distributions.get(one.name)
            if domain is not None and clash_of(domain, one.domain):
                yield f"{one.name}: {in_words(domain)} -> {one}"


def history_of(trial: FrozenTrial) -> list[int]:
    """Numbers of the trials that this one repeats, as Optuna's callback for retries notes them."""
    history: list[int] = trial.system_attrs.get("retry_history", [])
    return history


def counted(study: Study) -> list[FrozenTrial]:
    """The trials that count: those that no other trial repeats."""
    trials = study.get_trials(deepcopy=False)
    repeated = {number for trial in trials for number in history_of(trial)}
    return [trial for trial in trials if trial.number not in repeated]


def ended(study: Study) -> list[FrozenTrial]:
    """The trials that count and have ended."""
    return [trial for trial in counted(study) if trial.state.is_finished()]


def enqueue_again(study: Study, trial: FrozenTrial, retries: int | None = None) -> None:
    """Requeue a trial's values, at most ``retries`` times (None: no limit). The original no longer counts."""
    if any(trial.number in history_of(other) for other in study.get_trials(deepcopy=False)):
        return  # by a start that was killed before it had told Optuna the rest
    same = deepcopy(trial)  # the callback changes it
    same.user_attrs = {}
    RetryHeartbeatStaleTrialCallback(max_retry=retries)(study, same)


def is_abandoned(trial: FrozenTrial, this: Sweep, is_shared: bool) -> bool:
    """Whether the command of a running trial is gone; ``this`` is the sweep that this command alone works on.

    A trial whose folder cannot be seen from here is left to Optuna's heartbeat, or to the next command in that folder.
    """
    if (sweep := trial.user_attrs.get(SWEEP)) is None:
        begun = trial.datetime_start or datetime.now()
        return not is_shared or (datetime.now() - begun).total_seconds() > NEWBORN_S
    folder = SweepFolder(Path(sweep["folder"]))
    known = folder.sweep()
    is_here = known is not None and known.id == sweep["id"]
    return bool(sweep["id"] == this.id or (is_here and not is_held(folder.path / LOCK_FILE)))
