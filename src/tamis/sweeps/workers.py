"""Where the trials of a sweep run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from tamis.core.errors import TamisError

Watch = Callable[[float, int], bool]


class WorkerDiedError(TamisError):
    """The process of a trial died more often than allowed."""


class Workers(Executor):
    """An executor that knows how many trials run at a time."""

    n: int

    def listening(self, listen: Watch) -> Any:
        """Give a function for a worker that calls ``listen`` in the parent and returns its answer."""
        raise NotImplementedError


class InThisProcess(Workers):
    """Runs a trial inside ``submit``."""

    n = 1

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # the Executor's signature
        """The ended call."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future

    @contextmanager
    def listening(self, listen: Watch) -> Iterator[Watch]:
        """``listen`` itself."""
        yield listen


def workers_of(launcher: Any) -> Workers | None:
    """The workers of a Hydra launcher."""
    from hydra._internal.core_plugins.basic_launcher import BasicLauncher

    return InThisProcess() if isinstance(launcher, BasicLauncher) else None
