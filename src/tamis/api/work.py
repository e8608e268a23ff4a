"""How the functions of the interface run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.threads import limited

TURN = RLock()


@contextmanager
def at_work() -> Iterator[None]:
    """Compute as a trial does, on one thread; errors of Hydra and OmegaConf become TamisError.

    Threads take turns: engines have one state for the whole process, and so has the number of their threads.
    """
    try:
        with TURN, limited():
            yield
    except (HydraException, OmegaConfBaseException) as error:
        raise TamisError(explain(error)) from error
