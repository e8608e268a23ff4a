"""Where jobs run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.plugins.launcher import Launcher

from tamis.core.errors import TamisError


class WorkerDiedError(TamisError):
    """A job whose worker died more often than is allowed."""


class Workers(Executor):
    """Runs jobs; n: trials at a time."""

    n: int = 1


class InThisProcess(Workers):
    """Runs a job within ``submit``."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # type: ignore[override]
        """Run it now."""
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def workers_of(launcher: Launcher) -> Iterator[Workers | None]:
    """The workers of a launcher; None where it is one of Hydra's others."""
    yield InThisProcess() if isinstance(launcher, BasicLauncher) else None
