"""Workers of a Dask cluster: local processes, jobs of a queue, or those of a scheduler elsewhere (docs/dask.md)."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import shlex
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread, Timer
from typing import Any

import dask
from distributed import Client, KilledWorker, LocalCluster, Queue, SpecCluster, Worker, WorkerPlugin
from distributed.core import Status
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.core.threads import ASKED, asked, environment
from tamis.sweeps.workers import ShouldStop, Workers

log = logging.getLogger(__name__)

ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
"""The setting of what a worker's numerical libraries read when they are loaded."""
ROUTES = "distributed.scheduler.http.routes"
"""The setting that leaves Dask's pages out."""
PDEATHSIG = 1
"""``PR_SET_PDEATHSIG`` of linux/prctl.h: the signal that a process gets when its parent ends."""
CLOSE_S = 1.0
"""Seconds that a local worker has to end by itself."""
ANSWER_S = 300.0
"""Seconds that a worker waits for an answer of the command."""
NO_WORKER_WARNING_S = 180.0
"""Seconds without any worker after which the user is warned."""


class OnDask(Workers):
    """Workers of a Dask cluster; where one dies, what it ran is given to another.

    Parameters
    ----------
    client : connected with the cluster's scheduler. most : workers that the cluster may get; None: it has them all.
    """

    blameless = (*Workers.blameless, KilledWorker)

    def __init__(self, client: Client, most: int | None) -> None:
        self._client = client
        self._most = most
        self._executor = client.get_executor(pure=False)

    @property
    def n(self) -> int:
        """As many as there may be workers: a queue starts them as trials are submitted."""
        return self._most or max(1, sum(self._client.nthreads().values()))

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Hand a function over."""
        return self._executor.submit(fn, *args, **kwargs)

    @contextmanager
    def listening(self, listen: ShouldStop) -> Iterator[ShouldStop]:
        """A function that asks through a queue of the scheduler, which a thread of this process reads."""
        with closing(Queue(f"questions-{uuid.uuid4().hex}", client=self._client)) as questions:

            def answer() -> None:
                with suppress(OSError):  # the scheduler is gone
                    while (question := questions.get()) is not None:
                        name, value, step = question
                        try:
                            stop = listen(value, step)
                        except Exception as error:
                            log.warning("the stopper gave no answer (%s); the trial continues", error)
                            stop = False
                        Queue(name, client=self._client).put(stop)

            thread = Thread(target=answer, daemon=True)
            thread.start()
            try:
                yield partial(_ask, questions.name, ANSWER_S)
            finally:
                with suppress(OSError):
                    questions.put(None)
                    thread.join()


def _ask(questions: str, longest_s: float, value: float, step: int) -> bool:
    """What a worker calls: put a question into the queue of this name, and wait for the answer.

    The trial continues if none comes in time: a worker elsewhere outlives the command that has asked for the trial.
    """
    with closing(Queue(f"answer-{uuid.uuid4().hex}")) as answer:
        Queue(questions).put((answer.name, float(value), step))
        try:
            return bool(answer.get(timeout=longest_s))
        except TimeoutError:
            return False


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
        register_resolvers()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the command ends its workers
        if self.is_child:
            ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL)


@contextmanager
def dask_workers(
    cluster: Mapping[str, Any] | None,
    adapt: Mapping[str, Any] | None,
    address: str | None,
    settings: Mapping[str, Any],
    dashboard: bool,
) -> Iterator[OnDask]:
    """Start a cluster, or find the one at ``address``; its processes or jobs end with the block.

    Parameters
    ----------
    cluster : ``_target_`` and arguments of its class. adapt : arguments of its ``adapt``, ``maximum`` among them.
    settings : of Dask, for scheduler and workers. dashboard : whether Dask has pages that show what runs.

    Raises
    ------
    TamisError : the cluster cannot be started or reached.
    """
    settings = {**settings, ENVIRONMENT: {**environment(asked()), ASKED: str(asked())}}
    if dashboard:
        settings.pop(ROUTES)
    for name in (name for name in logging.root.manager.loggerDict if name.startswith("distributed")):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what a user needs to know tamis says
    with dask.config.set(settings), ExitStack() as stack:
        place = stack.enter_context(_started(cluster, settings)) if cluster else None
        try:
            client = stack.enter_context(Client(place or address, set_as_default=False))
        except (OSError, TimeoutError) as error:
            raise TamisError(
                f"no Dask scheduler answers at {address} ({error}); fix hydra.launcher.address"
            ) from error
        client.register_plugin(Preparation(isinstance(place, LocalCluster)))
        if place and adapt:
            place.adapt(**adapt)
        if dashboard:
            log.warning("Dask's dashboard (needs bokeh): %s", client.dashboard_link)
        timer = Timer(NO_WORKER_WARNING_S, _warn_of_no_worker, (client,))
        timer.daemon = True
        timer.start()
        stack.callback(timer.cancel)
        stack.enter_context(_lost_workers_explained())
        yield OnDask(client, adapt["maximum"] if adapt else None)


@contextmanager
def _lost_workers_explained() -> Iterator[None]:
    try:
        yield
    except CancelledError as error:
        raise TamisError(
            "Dask's scheduler is gone, and the workers with it; trials that have ended are kept, and the same command "
            "resumes with the others"
        ) from error
    except KilledWorker as error:
        raise TamisError(
            f"workers die before a trial begins ({error}); their logs are in hydra.launcher.cluster.log_directory"
        ) from error


@contextmanager
def _started(config: Mapping[str, Any], settings: Mapping[str, Any]) -> Iterator[SpecCluster]:
    """A cluster of local processes, or of jobs."""
    more: dict[str, Any] = {}
    if (first := config.get("job_script_prologue")) is not None:
        more = {key: str(Path(config[key]).absolute()) for key in ("shared_temp_directory", "log_directory")}
        Path(more["shared_temp_directory"]).mkdir(parents=True, exist_ok=True)
        more["job_script_prologue"] = [*_first_lines(settings), *first]
    with _startup_errors_explained():
        cluster: SpecCluster = instantiate({**config, **more}, _convert_="all")
    try:
        if more:  # one job now, so that what the queue refuses is seen; the rest as trials wait
            with _startup_errors_explained():
                cluster.sync(_submit_first_job, cluster)
        yield cluster
    finally:
        if not more:  # at once, not when their trials have ended
            cluster.sync(_end, cluster)
        cluster.close()


@contextmanager
def _startup_errors_explained() -> Iterator[None]:
    try:
        yield
    except (InstantiationException, RuntimeError, OSError, ValueError) as error:
        raise TamisError(
            f"no workers can be started ({error.__cause__ or error}); fix hydra.launcher.cluster, or install what is "
            "missing (pip install 'tamis[cluster]')"
        ) from error


async def _submit_first_job(cluster: SpecCluster) -> None:
    cluster.worker_spec.update(cluster.new_worker_spec())
    try:
        await cluster
    except Exception:
        for job in cluster.workers.values():
            job.status = Status.failed  # else Dask does not close the cluster
        raise


async def _end(cluster: LocalCluster) -> None:
    nannies = [nanny.close(timeout=CLOSE_S) for nanny in cluster.workers.values()]
    await asyncio.gather(*nannies, return_exceptions=True)


def _first_lines(settings: Mapping[str, Any]) -> list[str]:
    """Shell commands with which every job begins: to the folder of this command, with its settings."""
    lines = [f"cd {shlex.quote(str(Path.cwd()))}"]
    for key, value in settings.items():
        name = key.replace(".", "__").replace("-", "_").upper()
        lines.append(f"export DASK_{name}={shlex.quote(str(value))}")
    return lines


def _warn_of_no_worker(client: Client) -> None:
    if not client.nthreads():
        log.warning(
            "there is no worker yet: do the jobs wait in the queue, or do they end at once? Their logs are in "
            "hydra.launcher.cluster.log_directory"
        )
