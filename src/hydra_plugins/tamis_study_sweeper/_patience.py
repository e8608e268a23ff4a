"""A database that goes away for a while is waited for, instead of ending a search of many hours."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra_plugins.tamis_study_sweeper._errors import StudyError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 10.0
"""Between two tries; each wait is twice the one before."""
NOT_TRIED_AGAIN = ("remove_session", "upgrade", "get_heartbeat_interval")
"""They ask no server, so that their success says nothing of it."""


@dataclass
class _Patience:
    """With a server, for ``seconds``; away_since: begin of the first call that it has not answered, if it is away."""

    seconds: float
    away_since: float | None = None


def make_patient(storage: RDBStorage, patience_s: float) -> None:
    """Let every call of ``storage`` that fails because the server is away be made again, for up to ``patience_s``.

    The time counts from the first of several calls in a row that are not answered: a search that ends of it reads a
    few things more on its way out, which wait for nothing.

    A call whose answer was lost may have been carried out. A trial that was made so has no worker and is reaped, a
    value that is set twice is the same, and what ends a trial a second time is refused as such (``_shared.end``).
    """
    patience = _Patience(patience_s)
    for name in dir(type(storage)):
        # Optuna's cache calls these of the methods that begin with an underscore, too
        is_call = not name.startswith("_") or name in ("_create_new_trial", "_get_trials", "_set_trial_param")
        if is_call and name not in NOT_TRIED_AGAIN and callable(method := getattr(storage, name)):
            setattr(storage, name, _patient(method, patience))


def _patient(call: Callable[..., Any], patience: _Patience) -> Callable[..., Any]:
    @functools.wraps(call)
    def patiently(*arguments: Any, **named: Any) -> Any:
        begin, wait = time.monotonic(), FIRST_WAIT_S
        while True:
            try:
                found = call(*arguments, **named)
            except Exception as error:
                if not is_away(error):
                    raise
                if patience.away_since is None:
                    patience.away_since = begin
                waited = time.monotonic() - patience.away_since
                if waited >= patience.seconds:
                    raise StudyError(
                        f"the database of the study has not answered for {waited:.0f} s, more than "
                        f"hydra.sweeper.patience_s={patience.seconds:g} ({reason_of(error)}); what has ended is kept: "
                        "the same command goes on when it is back"
                    ) from None
                if wait == FIRST_WAIT_S:
                    log.warning(
                        "the database of the study does not answer (%s); waiting up to %g s",
                        reason_of(error),
                        patience.seconds,
                    )
                time.sleep(min(wait, patience.seconds - waited))
                wait = min(2 * wait, LONGEST_WAIT_S)
            else:
                if wait > FIRST_WAIT_S:
                    log.warning("the database answers again, after %.0f s", time.monotonic() - begin)
                patience.away_since = None
                return found

    return patiently


def is_away(error: BaseException) -> bool:
    """Whether a connection was lost or cannot be made."""
    return _lost(error) is not None


def _lost(error: BaseException | None) -> BaseException | None:
    """The driver's error behind those that SQLAlchemy and Optuna raise for it, or while they see to it."""
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    while error is not None:
        if isinstance(error, OperationalError | InterfaceError):
            return error
        if isinstance(error, DBAPIError) and error.connection_invalidated:
            return error
        error = error.__cause__ or error.__context__
    return None


def reason_of(error: BaseException) -> str:
    """What the database said, in a line; Optuna and SQLAlchemy wrap it."""
    lost = _lost(error) or error
    return str(getattr(lost, "orig", None) or lost).splitlines()[0]
