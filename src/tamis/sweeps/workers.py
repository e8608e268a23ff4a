"""Where the trials of a sweep run: in this process, or wherever a launcher has workers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, runtime_checkable

from hydra.plugins.launcher import Launcher

from tamis.core.errors import TamisError

ShouldStop = Callable[[float, int], bool]
"""Gets a value and a step of a running trial; True ends the trial."""


class WorkerDiedError(TamisError):
    """A trial whose worker process died each time it was begun."""


class Workers(Executor):
    """Runs functions in processes that keep what they have loaded.

    blameless: errors for which a trial is not to blame: Ctrl-C, the disk, workers or their scheduler that are gone.
    """

    blameless: tuple[type[BaseException], ...] = (KeyboardInterrupt, OSError, CancelledError)

    @property
    @abstractmethod
    def n(self) -> int:
        """How many trials to have under way at a time, so that no worker is idle."""

    @abstractmethod
    def listening(self, listen: ShouldStop) -> AbstractContextManager[ShouldStop]:
        """A function for a worker, which calls ``listen`` in this process and returns its answer."""


class InThisProcess(Workers):
    """Runs a function within ``submit``."""

    n = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run the function; the future that is returned has ended. KeyboardInterrupt is raised here."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    @contextmanager
    def listening(self, listen: ShouldStop) -> Iterator[ShouldStop]:
        """The function itself."""
        yield listen


@runtime_checkable
class HasWorkers(Protocol):
    """A launcher with workers, such as ``hydra/launcher=dask``."""

    def workers(self) -> AbstractContextManager[Workers]:
        """Workers that are there until the block ends."""


@contextmanager
def workers_of(launcher: Launcher) -> Iterator[Workers | None]:
    """The workers of an instantiated launcher; None where it has none, and only its ``launch`` runs jobs."""
    from hydra._internal.core_plugins.basic_launcher import (
        BasicLauncher,  # Hydra makes the class anew when it starts
    )

    if isinstance(launcher, BasicLauncher):
        yield InThisProcess()
    elif isinstance(launcher, HasWorkers):
        with launcher.workers() as workers:
            yield workers
    else:
        yield None
