"""Hydra's end of Dask: jobs run on local worker processes or on those of a cluster (docs/cluster.md)."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, run_job, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict


class DaskLauncher(Launcher):
    """Runs jobs on the workers of a Dask cluster.

    The parameters are those of ``tamis.sweeps.on_dask.dask_workers``.
    """

    def __init__(
        self,
        cluster: DictConfig | None,
        adapt: DictConfig | None,
        address: str | None,
        settings: DictConfig,
        dashboard: bool,
    ) -> None:
        self.cluster, self.adapt, self.settings = _plain(cluster), _plain(adapt), _plain(settings)
        self.address, self.dashboard = address, dashboard

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the sweep."""
        self.context, self.function, self.config = hydra_context, task_function, config

    @contextmanager
    def workers(self) -> Iterator[Any]:
        """Workers for a sweeper of tamis, which hands its own functions to them."""
        from tamis.sweeps.on_dask import dask_workers

        with dask_workers(self.cluster, self.adapt, self.address, self.settings, self.dashboard) as workers:
            yield workers

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the jobs of any sweeper of Hydra's."""
        state = Singleton.get_state()
        with self.workers() as workers:
            futures = [
                workers.submit(_run, number, list(line), self.context, self.function, self.config, state)
                for number, line in enumerate(job_overrides, initial_job_idx)
            ]
            return [future.result() for future in futures]


def _run(
    number: int,
    overrides: list[str],
    context: HydraContext,
    function: TaskFunction,
    config: DictConfig,
    state: Mapping[Any, Any],
) -> JobReturn:
    """Run one job, in a worker."""
    setup_globals()
    Singleton.set_state(dict(state))
    job = context.config_loader.load_sweep_config(config, overrides)
    with open_dict(job):
        job.hydra.job.id, job.hydra.job.num = str(number), number
    HydraConfig.instance().set_config(job)
    return run_job(
        hydra_context=context,
        config=job,
        task_function=function,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def _plain(node: DictConfig | None) -> Any:
    return None if node is None else OmegaConf.to_container(node, resolve=True)
