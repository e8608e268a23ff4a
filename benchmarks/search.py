"""What a trial of a search costs beside its job: composition, sampler, storage, files and MLflow, on one core.

A job that computes nothing but writes a record is searched with ``hydra/sweeper=study`` in a new folder: five keys, two
of them conditional, TPE, and MLflow on SQLite by ``tamis.search_runs``. The seconds a trial are the whole command's
over the number of trials. Growth compares the last hundred trials with the first, from start to start.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import optuna
from harness import RESULTS, cpu_seconds, on_cores, one_thread, report

from tamis.core.conf_folder import config_folder

APP = """
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf
from tamis.records.record import COMPLETE, TrialRecord

@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def main(config):
    value = (config.x - 0.3) ** 2 + config.y**2 / 100 + {"a": 0.0, "b": 0.1}[config.kind]
    record = TrialRecord(config=OmegaConf.to_container(config.job), metrics={"value": value}, status=COMPLETE)
    record.metrics |= {f"metric/{i}": float(i) for i in range(30)}
    record.save(Path(HydraConfig.get().runtime.output_dir))
    return value

main()
"""
CONFIG = """
defaults:
  - override hydra/sweeper: study
  - _self_
x: 0.0
y: 0
z: 0.0
kind: a
depth: 1
job: {x: "${x}", y: "${y}", kind: "${kind}"}
tracking: {_target_: tamis.tracking.Tracker, uri: "sqlite:///mlflow.db", artifact_root: artifacts, experiment: search}
hydra:
  searchpath: ["file://CONF"]
  output_subdir: null
  sweep: {dir: out, subdir: "${hydra.job.num}"}
  job_logging: {handlers: {console: {level: WARNING}}}
  sweeper:
    study_name: trivial
    n_trials: TOTAL
    params: {x: "interval(0, 1)", y: "range(0, 10)", kind: "choice(a, b)"}
    conditional:
      - {when: {kind: a}, params: {z: "tag(log, interval(0.001, 1))"}}
      - {when: {kind: b}, params: {depth: "int(interval(1, 9))"}}
    observer: {_target_: tamis.search_runs.SearchRuns, tracker: "${tracking}"}
"""


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=1000, help="trials")
    options.add_argument(
        "--storage", default="null", help="null: SQLite; or the name of a journal file, or a URL"
    )
    options.add_argument("--scratch", type=Path, help="where to make the folder, which is removed again")
    options.add_argument("--out", type=Path, default=RESULTS / "search.csv")
    given = options.parse_args()
    one_thread()
    with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
        folder = Path(scratch)
        (folder / "conf").mkdir()
        (folder / "app.py").write_text(APP)
        text = CONFIG.replace("CONF", str(config_folder())).replace("TOTAL", str(given.n))
        (folder / "conf" / "config.yaml").write_text(text)
        start, cpu = time.perf_counter(), cpu_seconds()
        with on_cores(1), (folder / "output.txt").open("w") as output:
            done = subprocess.run(
                [sys.executable, "app.py", "-m", f"hydra.sweeper.storage={given.storage}"],
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
        seconds, cpu = time.perf_counter() - start, cpu_seconds() - cpu
        if done.returncode != 0:
            raise SystemExit((folder / "output.txt").read_text()[-2000:])
        starts = starts_of(folder, given.storage)
    report(f"{given.n} trials, storage {given.storage}", rows(starts, seconds, cpu), given.out)


def starts_of(folder: Path, storage: str) -> np.ndarray:
    """When each trial began, in seconds."""
    address: str | optuna.storages.BaseStorage = (
        f"sqlite:///{folder}/out/study.db" if storage == "null" else storage
    )
    if storage.endswith(".journal"):
        backend = optuna.storages.journal.JournalFileBackend(str(folder / storage))
        address = optuna.storages.JournalStorage(backend)
    trials = optuna.load_study(study_name="trivial", storage=address).trials
    return np.array([trial.datetime_start.timestamp() for trial in trials if trial.datetime_start])


def rows(starts: np.ndarray, seconds: float, cpu: float) -> list[dict[str, str | float]]:
    """Seconds a trial, and growth."""
    between = np.diff(starts)
    part = min(100, len(between) // 2)
    values = {
        "all included": seconds / len(starts),
        "all included, processor": cpu / len(starts),
        "median of the first hundred": float(np.median(between[:part])),
        "median of the last hundred": float(np.median(between[-part:])),
        "last / first (ratio)": float(np.median(between[-part:]) / np.median(between[:part])),
    }
    return [{"a trial": name, "seconds": value} for name, value in values.items()]


if __name__ == "__main__":
    main()
