"""The ``tamis`` command."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tamis.configuration import config_folder, register_resolvers
from tamis.record import FAILED, SKIPPED, TrialRecord
from tamis.report.tables import print_trial
from tamis.sweep import parent_run
from tamis.trial import run_trial

log = logging.getLogger(__name__)
GROUPS = ("dataset", "descriptor", "latent", "pruner", "budget", "model", "evaluation", "experiment")


def main() -> None:
    """Entry point of the console script."""
    register_resolvers()
    hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(run)()


def run(config: DictConfig) -> float | None:
    """One Hydra job: run the trial, log it, show it; returns the objective for a sweeper."""
    about = HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    trial = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", "tracking")])
    choices = {group: name for group, name in about.runtime.choices.items() if group in GROUPS}
    record = run_trial(trial, {k: v for k, v in choices.items() if v is not None}, folder)
    if record.status != SKIPPED:  # a combination that means nothing is no run
        _log_to_mlflow(config, record, folder, parent_run(Path(about.sweep.dir)))
    print_trial(record, folder, alone=about.mode == RunMode.RUN)
    if record.status == FAILED:
        log.error("trial failed: %s", record.reason)
    if about.mode == RunMode.RUN and record.status != "complete":
        sys.exit(1)
    return record.metrics.get(config.objective)


def _log_to_mlflow(config: DictConfig, record: TrialRecord, folder: Path, parent: str | None) -> None:
    try:
        instantiate(config.tracking).write(record, folder, parent)
    except Exception as error:  # the record is the truth and is safe; MLflow can be made up from it
        log.warning("not logged to MLflow (%s: %s); the record is in %s", type(error).__name__, error, folder)


if __name__ == "__main__":
    main()
