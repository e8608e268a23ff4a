"""Hydra's end of Dask: jobs run on local worker processes or on those of a cluster (docs/cluster.md)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import JobReturn
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class DaskLauncher(Launcher):
    """Runs jobs on the workers of a Dask cluster.

    The parameters are those of ``tamis.sweeps.on_dask.dask_workers``.
    """

    def __init__(
        self,
        cluster: Mapping[str, Any] | None,
        adapt: Mapping[str, Any] | None,
        address: str | None,
        settings: Mapping[str, Any],
        dashboard: bool,
    ) -> None:
        self.cluster, self.adapt, self.settings = cluster, adapt, settings
        self.address, self.dashboard = address, dashboard

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the sweep, and not needed."""

    @contextmanager
    def workers(self) -> Iterator[Any]:
        """Workers for a sweeper of tamis, which hands its own functions to them."""
        from tamis.sweeps.on_dask import dask_workers

        with dask_workers(self.cluster, self.adapt, self.address, self.settings, self.dashboard) as workers:
            yield workers

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Refuse: sweepers of tamis take ``workers``."""
        raise HydraException(
            "hydra/launcher=dask runs sweeps of hydra/sweeper=grid and study; choose one of these"
        )
