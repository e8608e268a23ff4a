"""``tamis key=value ...``: one trial; ``tamis -m ...``: many, through a sweeper."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tamis.commands import FLAGS
from tamis.commands.endings import in_a_sentence, prepare
from tamis.core.conf_folder import config_folder
from tamis.core.messages import in_one_line, print_failure
from tamis.core.resolvers import register_resolvers
from tamis.sweeps.job import sweep_name

PARITY = "evaluation.errors.parity_plot"

log = logging.getLogger(__name__)


def main() -> None:
    """Hand the command line to Hydra; whatever goes wrong ends in a sentence and an exit status."""
    register_resolvers()
    OmegaConf.register_new_resolver("tamis.sweep_name", sweep_name, replace=True)
    command = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(run)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":  # for developers
        prepare()
        return command()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on, instead of printing them its own way
    with in_a_sentence("trials that have ended are kept, and the same command resumes with the others"):
        command()


def run(config: DictConfig) -> None:
    """Run one trial: a single one, or one of a sweep that a launcher of Hydra's such as joblib runs."""
    # what was typed is understood by now: what is wrong with it was told before these imports
    from tamis.parts import GROUPS
    from tamis.records.record import COMPLETE
    from tamis.report.curves import leave_curve
    from tamis.report.tables import print_trial
    from tamis.trial import run_trial

    about = HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    alone = about.mode == RunMode.RUN
    if alone and (reason := no_single_trial(config, about.sweeper, folder)):
        print_failure(reason)
        sys.exit(1)
    if alone and OmegaConf.select(config, PARITY, default=True) is None:
        OmegaConf.update(config, PARITY, True)
    choices = {group: name for group, name in about.runtime.choices.items() if group in GROUPS and name}
    record = run_trial(config, choices, folder, about.overrides.task)
    leave_curve(record, folder)
    if not alone:  # its sweep tells MLflow and the terminal
        return
    send(config, folder)
    print_trial(record, folder)
    if record.status != COMPLETE:
        log.info("trial %s: %s", record.status, record.reason)  # to the log file; the terminal has it already
        sys.exit(1)


def no_single_trial(config: DictConfig, sweeper: DictConfig, folder: Path) -> str:
    """Why the command cannot run as one trial; empty where it can."""
    is_sweep = config.get("plan") is not None or "study_name" in sweeper
    if is_sweep or sweeper.get("params") or sweeper.get("together"):
        short = {setting: flag for flag, setting in FLAGS.items()}
        typed = " ".join(short.get(word, word) for word in sys.argv[1:])
        return f"this is a sweep of many trials; add -m: tamis -m {typed}"
    if (folder / "record.json").exists():
        return f"{folder} holds the record of another trial; choose another hydra.run.dir"
    return ""


def send(config: DictConfig, folder: Path) -> None:
    """Write the trial's run to MLflow; what goes wrong there is a warning, since the record is safe."""
    from tamis.sweeps.publish import send_single

    try:
        if (tracker := instantiate(config.tracking)) is not None:
            send_single(tracker, folder)
    except Exception as error:
        log.warning(
            "not logged to MLflow (%s); the record is in %s, and tamis sync %s sends it",
            in_one_line(str(error)),
            folder,
            folder,
        )
