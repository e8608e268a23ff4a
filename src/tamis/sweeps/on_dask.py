"""Workers of a Dask cluster: local processes, jobs of a queue, or those of a scheduler elsewhere (docs/dask.md)."""

from __future__ import annotations

import asyncio
import ctypes
import importlib.util
import logging
import shlex
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any, cast

import dask
from distributed import Client, KilledWorker, LocalCluster, Nanny, Queue, SpecCluster, Worker, WorkerPlugin
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tamis.core.errors import TamisError
from tamis.core.threads import ASKED, asked, decide, environment
from tamis.sweeps.workers import Watch, WorkerDiedError, Workers

log = logging.getLogger(__name__)

STARTS = 50
"""Deaths of workers to which Dask gives the same trial; a trial that has begun counts its own (``running.run_job``)."""
FOR_WORKERS: dict[str, Any] = {
    "distributed.worker.daemon": False,  # a trial starts processes of its own
    "distributed.worker.memory.target": False,  # results are words: there is nothing to move to a disk
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,  # the kernel and the cluster watch the memory
    "distributed.worker.http.routes": [],
    "distributed.worker.profile.enabled": False,
    "distributed.admin.system-monitor.interval": "10s",
    "distributed.admin.tick.limit": "1h",  # engines hold Python's lock for long
    "logging.distributed": "critical",
}
"""Settings of Dask's workers and of the nannies that watch them."""
FOR_SCHEDULER: dict[str, Any] = {
    "distributed.scheduler.worker-saturation": 1.0,  # a trial that waits has no worker, so it does not die with one
    "distributed.scheduler.allowed-failures": STARTS,
    "distributed.scheduler.worker-ttl": None,  # an engine that holds Python's lock is not dead
    "distributed.scheduler.unknown-task-duration": "5m",  # ask the queue for a worker for each trial at once
    "distributed.scheduler.http.routes": [],
}
"""Settings of Dask's scheduler, which runs in this process."""
LOCAL = "distributed.LocalCluster"
PDEATHSIG = 1
"""``PR_SET_PDEATHSIG`` of linux/prctl.h: the signal that a process gets when its parent ends."""
CLOSE_S = 1.0
"""Seconds that a local worker has to end by itself."""
TOLD_MIN = (2, 10, 60, 600)
"""Minutes without any worker after which it is told."""


class OnDask(Workers):
    """Workers of a Dask cluster.

    Parameters
    ----------
    client : connected with the cluster's scheduler. most : workers that the cluster may get; None: it has them all.
    """

    def __init__(self, client: Client, most: int | None) -> None:
        self._client = client
        self._most = most
        self._executor = client.get_executor(pure=False)

    @property
    def n(self) -> int:
        """As many as there may be workers: a queue starts them as trials are handed in."""
        return self._most or max(1, sum(self._client.nthreads().values()))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a function over; where its worker dies, it is given to another one."""
        ours: Future[Any] = Future()
        theirs = self._executor.submit(fn, *args, **kwargs)
        ours.add_done_callback(lambda future: theirs.cancel() if future.cancelled() else None)
        theirs.add_done_callback(lambda future: _pass_on(future, ours))
        return ours

    @contextmanager
    def listening(self, listen: Watch) -> Iterator[Watch]:
        """A function that asks through a queue of the scheduler, which a thread of this process reads."""
        questions = Queue(f"questions-{uuid.uuid4().hex}", client=self._client)

        def answer() -> None:
            while (question := questions.get()) is not None:
                name, value, step = question
                stop = False
                try:
                    stop = listen(value, step)
                except Exception:
                    log.exception("nobody could say whether a trial is to be stopped; it goes on")
                Queue(name, client=self._client).put(stop)

        thread = Thread(target=answer, daemon=True)
        thread.start()
        try:
            yield Asking(questions.name)
        finally:
            questions.put(None)
            thread.join()
            questions.close()


@dataclass(frozen=True)
class Asking:
    """What a worker calls; ``questions`` is the name of a queue."""

    questions: str

    def __call__(self, value: float, step: int) -> bool:
        """Ask, and wait for the answer."""
        with closing(Queue(f"answer-{uuid.uuid4().hex}")) as answer:
            Queue(self.questions).put((answer.name, float(value), step))
            return bool(answer.get())


def _pass_on(theirs: Future[Any], ours: Future[Any]) -> None:
    """Give ``ours`` the outcome of ``theirs``."""
    with suppress(InvalidStateError):  # ours was cancelled
        try:
            ours.set_result(theirs.result())
        except KilledWorker:
            ours.set_exception(WorkerDiedError.after(STARTS))
        except CancelledError:
            ours.cancel()
        except Exception as error:
            ours.set_exception(error)


class Preparation(WorkerPlugin):
    """What a worker does before its first trial.

    Parameters
    ----------
    is_child : the worker is a child of this process, and ends with it, however that ends.
    """

    name = "tamis"

    def __init__(self, is_child: bool) -> None:
        self.is_child = is_child

    def setup(self, worker: Worker) -> None:
        """Called by Dask in the worker's main thread."""
        decide()  # before the first numerical library is loaded
        signal.signal(
            signal.SIGINT, signal.SIG_IGN
        )  # Ctrl-C reaches all processes; the command ends its workers
        if self.is_child:
            ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


@contextmanager
def dask_workers(
    cluster: Mapping[str, Any] | None, adapt: Mapping[str, Any] | None, address: str | None, dashboard: bool
) -> Iterator[OnDask]:
    """Start a cluster, or find the one at ``address``; its processes or jobs end with the block.

    Parameters
    ----------
    cluster : ``_target_`` and arguments of its class. adapt : arguments of its ``adapt``, ``maximum`` among them.
    dashboard : start Dask's own pages, and say where they are.

    Raises
    ------
    TamisError : the cluster cannot be started or reached.
    """
    if dashboard and importlib.util.find_spec("bokeh") is None:
        raise TamisError(
            "Dask's dashboard needs bokeh; install it (pip install bokeh), or set hydra.launcher.dashboard=false"
        )
    settings = {**FOR_WORKERS, **FOR_SCHEDULER}
    if dashboard:
        settings.pop("distributed.scheduler.http.routes")
    with dask.config.set(settings), ExitStack() as stack:
        place = None if cluster is None else stack.enter_context(_started(cluster, adapt))
        if place is not None and dashboard:
            log.warning("Dask's dashboard: %s", place.dashboard_link)
        try:
            client = stack.enter_context(Client(place or address, set_as_default=False))
        except (OSError, TimeoutError) as error:
            raise TamisError(
                f"no Dask scheduler answers at {address} ({error}); start one there, or mend hydra.launcher.address"
            ) from error
        client.register_plugin(Preparation(isinstance(place, LocalCluster)))
        stack.enter_context(_telling_of_no_workers(client))
        yield OnDask(client, adapt["maximum"] if adapt else None)


@contextmanager
def _started(config: Mapping[str, Any], adapt: Mapping[str, Any] | None) -> Iterator[SpecCluster]:
    """A cluster of local processes, or of jobs."""
    is_local = config["_target_"] == LOCAL
    if is_local:
        more: dict[str, Any] = {"env": environment(asked())}
    else:
        more = {key: str(Path(config[key]).absolute()) for key in ("shared_temp_directory", "log_directory")}
        Path(more["shared_temp_directory"]).mkdir(parents=True, exist_ok=True)
        more["job_script_prologue"] = [*_first_lines(), *config["job_script_prologue"]]
    try:
        cluster = cast(SpecCluster, instantiate({**config, **more}, _convert_="all"))
    except InstantiationException as error:
        raise TamisError(
            f"no workers can be started ({error.__cause__ or error}); mend hydra.launcher.cluster, or install what is "
            "missing: pip install 'tamis[cluster]'"
        ) from error
    try:
        if adapt:
            cluster.adapt(**adapt)
        yield cluster
    finally:
        if is_local:  # at once, not when their trials have ended
            cluster.sync(_close_now, list(cluster.workers.values()))
        cluster.close()


async def _close_now(nannies: Sequence[Nanny]) -> None:
    await asyncio.gather(*(nanny.close(timeout=CLOSE_S) for nanny in nannies), return_exceptions=True)


def _first_lines() -> list[str]:
    """Shell commands with which every job begins: to the folder of this command, with its settings."""
    names = {key: f"DASK_{key.replace('.', '__').replace('-', '_').upper()}" for key in FOR_WORKERS}
    settings = {names[key]: value for key, value in FOR_WORKERS.items()}
    variables = {**environment(asked()), ASKED: asked(), **settings}
    return [
        f"cd {shlex.quote(str(Path.cwd()))}",
        *(f"export {name}={value}" for name, value in variables.items()),
    ]


@contextmanager
def _telling_of_no_workers(client: Client) -> Iterator[None]:
    """Warn while there is no worker: jobs may wait in a queue for long, or end as soon as they begin."""
    over = Event()

    def look() -> None:
        minutes = 0
        while not over.wait(60):
            minutes = 0 if client.nthreads() else minutes + 1
            if minutes in TOLD_MIN:
                log.warning(
                    "no worker for %d min: do the jobs wait in the queue, or do they end at once? Their logs are in "
                    "the folder that hydra.launcher.cluster.log_directory names",
                    minutes,
                )

    Thread(target=look, daemon=True).start()
    try:
        yield
    finally:
        over.set()
