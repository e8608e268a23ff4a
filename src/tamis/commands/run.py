"""The ``tamis`` command."""

from __future__ import annotations

if __name__ == "__main__":  # python -m: before the first numerical library is loaded
    from tamis.core.threads import decide

    decide()

import logging
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from tamis.analysis.points import points_of, write_table
from tamis.commands.endings import in_a_sentence, prepare
from tamis.core.configuration import config_folder, register_resolvers, suggest
from tamis.core.errors import TamisError
from tamis.parts import objectives
from tamis.records.record import COMPLETE, RECORD_FILE, SKIPPED, TrialRecord
from tamis.report.curves import draw_curves
from tamis.report.tables import in_one_line, print_trial
from tamis.sweep import is_search, parent_run
from tamis.tracking import tracker_of
from tamis.tracking.parents import MISSED, PAUSE_S, UNREACHABLE
from tamis.trial import run_trial

log = logging.getLogger(__name__)
GROUPS = ("dataset", "descriptor", "latent", "pruner", "budget", "model", "evaluation", "experiment")


def main() -> None:
    """Entry point of the console script; whatever goes wrong ends in a sentence and an exit status."""
    register_resolvers()
    command = hydra.main(version_base="1.3", config_path=str(config_folder()), config_name="config")(run)
    if os.environ.get("HYDRA_FULL_ERROR") == "1":  # for developers
        prepare()
        return command()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands its errors on, instead of printing them its own way
    with in_a_sentence("the records and files of the trials so far are kept"):
        command()


def run(config: DictConfig) -> float | None:
    """One Hydra job: run the trial, log it, show it; returns the objective, or to a search all that it asks for."""
    about = HydraConfig.get()
    folder = Path(about.runtime.output_dir)
    if (folder / RECORD_FILE).exists():
        raise TamisError(f"{folder} holds the record of another trial; choose another hydra.run.dir")
    if config.get("study") is not None:
        raise TamisError(
            f"experiment={about.runtime.choices.get('experiment')} is a plan of many trials; run it with tamis-study"
        )
    choices = {group: name for group, name in about.runtime.choices.items() if group in GROUPS}
    searched = is_search(about.sweeper)
    if searched and about.mode == RunMode.RUN:
        raise TamisError("this is a search of many trials; add -m: tamis -m ...")
    record = run_trial(
        config,
        {k: v for k, v in choices.items() if v is not None},
        folder,
        about.overrides.task,
    )
    if not searched:  # a search logs a trial when it has told how it ended
        parent = parent_run(Path(about.sweep.dir)) if about.mode == RunMode.MULTIRUN else None
        if record.status != SKIPPED and parent != UNREACHABLE:  # a combination that means nothing is no run
            _log_to_mlflow(config, record, folder, parent)
    leave_curve(record, folder)
    shown = objectives(config) if searched else []  # test errors decide nothing, not even in passing
    print_trial(record, folder, alone=about.mode == RunMode.RUN, shown=shown)
    if record.status != COMPLETE:
        log.info("trial %s: %s", record.status, record.reason)  # to the log file; the terminal has it already
        if about.mode == RunMode.RUN:
            sys.exit(1)
    return _objective(config, record) if record.status == COMPLETE else None


def leave_curve(record: TrialRecord, folder: Path) -> None:
    """A table and a figure of a learning curve, where the trial is one."""
    if len(record.curve) > 1 and record.status == COMPLETE:
        points = list(points_of([record]))
        write_table(points, folder / "curve.csv")
        draw_curves(points, folder / "curve.png", "test errors against atoms kept")


def _objective(config: DictConfig, record: TrialRecord) -> float | None:
    for name in objectives(config):
        if name not in record.metrics:
            log.warning("%s", without_objective(record, name))
    return record.metrics.get(objectives(config)[0])


def without_objective(record: TrialRecord, name: str) -> str:
    """Why a trial has no metric ``name``.

    Where it chooses by another set, no error of the training or the test set is advised: nothing is chosen by them.
    """
    never = {"train", "test"} - {name.split("/")[0]}
    known = [metric for metric in record.metrics if metric.split("/")[0] not in never]
    why = "; ".join(dict.fromkeys(record.problems.values())) or "see record.json"
    is_spelt_right = any(metric.partition("/")[2] == name.partition("/")[2] for metric in record.metrics)
    hint = "" if is_spelt_right else suggest(name, known)
    return f"objective={name} is none of the trial's metrics; {hint}{why}"


def _log_to_mlflow(config: DictConfig, record: TrialRecord, folder: Path, parent: str | None) -> None:
    missed = Path(HydraConfig.get().sweep.dir) / MISSED
    if parent is not None and missed.exists() and 0 <= time.time() - missed.stat().st_mtime < PAUSE_S:
        return  # told a moment ago; the sweep makes it up at its end
    try:
        tracker_of(config).write(record, folder, parent)
    except Exception as error:  # the record is the truth and is safe; MLflow can be made up from it
        if parent is not None:
            with suppress(OSError):  # tamis-sync finds it without
                missed.touch()
        log.warning(
            "not logged to MLflow (%s); the record is in %s, and is sent at the end of its sweep, or by tamis-sync",
            in_one_line(str(error)),
            folder,
        )


if __name__ == "__main__":
    main()
