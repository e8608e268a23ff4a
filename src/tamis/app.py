"""The ``tamis`` command."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tamis.configuration import config_folder, explain, register_resolvers, suggest
from tamis.exceptions import TamisError
from tamis.record import COMPLETE, RECORD_FILE, SKIPPED, TrialRecord
from tamis.report.curves import draw_curves
from tamis.report.points import points_of, write_table
from tamis.report.tables import in_one_line, print_failure, print_trial
from tamis.sweep import UNREACHABLE, parent_run
from tamis.trial import run_trial

log = logging.getLogger(__name__)
GROUPS = ("dataset", "descriptor", "latent", "pruner", "budget", "model", "evaluation", "experiment")
INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


def main() -> None:
    """Entry point of the console script; whatever goes wrong ends in a sentence and an exit status."""
    register_resolvers()
    command = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(run)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":  # for developers
        return command()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on, instead of printing them its own way
    try:
        command()
    except (HydraException, OmegaConfBaseException, TamisError, OSError) as error:
        print_failure(explain(error))
        sys.exit(1)
    except KeyboardInterrupt:
        print_failure("interrupted; the records and files of the trials so far are kept")
        sys.exit(INTERRUPTED)


def run(config: DictConfig) -> float | None:
    """One Hydra job: run the trial, log it, show it; returns the objective for a sweeper."""
    about = HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    if (folder / RECORD_FILE).exists():
        raise TamisError(f"{folder} holds the record of another trial; choose another hydra.run.dir")
    trial = OmegaConf.masked_copy(config, [str(key) for key in config if key not in ("hydra", "tracking")])
    choices = {group: name for group, name in about.runtime.choices.items() if group in GROUPS}
    record = run_trial(
        trial, {k: v for k, v in choices.items() if v is not None}, folder, about.overrides.task
    )
    parent = parent_run(Path(about.sweep.dir)) if about.mode == RunMode.MULTIRUN else None
    if record.status != SKIPPED and parent != UNREACHABLE:  # a combination that means nothing is no run
        _log_to_mlflow(config, record, folder, parent)
    if len(record.curve) > 1 and record.status == COMPLETE:
        points = list(points_of([record]))
        write_table(points, folder / "curve.csv")
        draw_curves(points, folder / "curve.png", "test errors against atoms kept")
    print_trial(record, folder, alone=about.mode == RunMode.RUN)
    if record.status != COMPLETE:
        log.info("trial %s: %s", record.status, record.reason)  # to the log file; the terminal has it already
        if about.mode == RunMode.RUN:
            sys.exit(1)
        return None
    if config.objective not in record.metrics:
        hint = suggest(config.objective, record.metrics)
        log.warning("objective=%s is none of the trial's metrics; %ssee record.json", config.objective, hint)
    return record.metrics.get(config.objective)


def _log_to_mlflow(config: DictConfig, record: TrialRecord, folder: Path, parent: str | None) -> None:
    try:
        instantiate(config.tracking).write(record, folder, parent)
    except Exception as error:  # the record is the truth and is safe; MLflow can be made up from it
        log.warning("not logged to MLflow (%s); the record is in %s", in_one_line(str(error)), folder)


if __name__ == "__main__":
    main()
