"""Hydra's end of a Slurm cluster: the trials of a sweep as arrays of tasks, the workers of a search as one array."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)
SUBDIR = "${hydra.job.num}"
PREFIXES = ("hydra/launcher=", "hydra.launcher.", "hydra.sweeper.n_jobs=", "hydra.sweeper.observer")
"""Of what a search's worker is not to be told, with or without Hydra's signs in front (+, ++, ~)."""


class SlurmLauncher(Launcher):
    """Runs trials on a Slurm cluster through submitit (docs/cluster.md).

    Trials leave their folders only; MLflow is written by the one process that was started by hand. A sweep's folder
    goes on where it was left when the same command names it again (hydra.sweep.dir).

    Parameters
    ----------
    partition ... additional_parameters : see ``tamis.study.slurm_settings.Slurm`` and ``Resources``.
    """

    def __init__(
        self,
        partition: str | None,
        account: str | None,
        qos: str | None,
        constraint: str | None,
        cpus_per_task: int,
        mem_gb: float,
        timeout_min: int,
        resources: Sequence[Mapping[str, Any]] | None,
        rows: Mapping[str, Any] | None,
        trials_per_task: int,
        array_parallelism: int,
        attempts: int,
        max_num_timeout: int,
        signal_delay_s: int,
        poll_s: float,
        setup: Sequence[str] | None,
        additional_parameters: Mapping[str, Any] | None,
    ) -> None:
        from tamis.study.slurm_settings import Resources, Slurm

        self.slurm = Slurm(
            partition=partition,
            account=account,
            qos=qos,
            constraint=constraint,
            default=Resources(cpus_per_task, mem_gb, timeout_min),
            resources=_plain(resources) or (),
            rows=_plain(rows),
            trials_per_task=trials_per_task,
            array_parallelism=array_parallelism,
            attempts=attempts,
            max_num_timeout=max_num_timeout,
            signal_delay_s=signal_delay_s,
            poll_s=poll_s,
            setup=_plain(setup) or (),
            additional_parameters=_plain(additional_parameters) or {},
        )
        self.config: DictConfig | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before the sweep."""
        self.config = config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run a sweep's trials; those that have ended in an earlier start of the same sweep are not run again."""
        from tamis.study.slurm_sweep import run_sweep

        config = cast(DictConfig, self.config)  # set by setup
        raw = OmegaConf.to_container(config.hydra.sweep, resolve=False)
        if not isinstance(raw, dict) or raw.get("subdir") != SUBDIR:
            raise ValueError(f"hydra.sweep.subdir must be {SUBDIR}, its default, with hydra/launcher=slurm")
        values = run_sweep(config, self.slurm, job_overrides, initial_job_idx)
        returns = []
        for overrides, value in zip(job_overrides, values, strict=True):
            returned = JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
            returned.return_value = value
            returns.append(returned)
        return returns

    def run_workers(
        self, n: int, overrides: Sequence[str], is_full: Callable[[], bool], reap: Callable[[], int]
    ) -> None:
        """Run this command in an array of ``n`` tasks, as workers on one study, until it is full."""
        from hydra_plugins.tamis_study_sweeper._processes import PARENT

        from tamis.study.slurm_workers import run_workers

        config = cast(DictConfig, self.config)
        typed = [word for word in sys.orig_argv[1:] if not word.lstrip("+~").startswith(PREFIXES)]
        more = [*overrides, "hydra/launcher=basic", "hydra.sweeper.n_jobs=1", "hydra.sweeper.observer=null"]
        more = [word for i, word in enumerate(more) if word not in more[:i]]
        folder = Path(config.hydra.sweep.dir).absolute()
        choices = OmegaConf.to_container(config.hydra.runtime.choices)
        command = (sys.executable, *typed, *more)
        run_workers(self.slurm, command, n, folder, {"choices": choices}, is_full, reap, PARENT)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
