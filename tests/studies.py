"""A small Hydra application of its own, and commands that are killed: what the tests of studies share."""

import io
import logging
import os
import runpy
import subprocess
import sys
import traceback
from contextlib import redirect_stdout
from pathlib import Path
from unittest import mock

import optuna

ROOT = Path(__file__).parents[1]
APP = """
import os, time
from pathlib import Path
import hydra
from hydra_plugins.tamis_study_sweeper.reporting import report

@hydra.main(version_base="1.3", config_path=str(Path(__file__).parent / "conf"), config_name="config")
def main(c):
    with open("jobs.txt", "a") as file:
        file.write(hydra.core.hydra_config.HydraConfig.get().runtime.output_dir + "\\n")
    time.sleep(c.sleep)
    for step in range(c.steps):
        if report((c.x - 1) ** 2 + 10 / (step + 1), step):
            return {"status": "pruned", "reason": "stopped"}
    if c.fail and c.x < c.fail:
        raise ValueError(f"x is {c.x}")
    if c.kind == "c":
        return {"status": "pruned", "reason": "c means nothing"}
    value = (c.x - 1) ** 2 + {"a": 0, "b": 1}[c.kind] + 0.1 * c.depth + 0.01 * c.seed
    if c.two:
        return [value, c.x]
    return {"values": value, "measured": {"x": c.x}}

main()
"""
CONFIG = """
defaults:
  - part: one
  - override hydra/sweeper: study
  - _self_
x: 0.0
kind: a
depth: 0
sleep: 0
seed: 0
steps: 0
fail: null
two: false
hydra:
  searchpath: [file://CONF]
  output_subdir: null
  sweep: {dir: out, subdir: "${hydra.job.num}"}
  sweeper: {study_name: toy, identity: [], observer: null}
"""


def make_app(folder: Path) -> Path:
    """The application in ``folder``: another Hydra project that uses the sweeper unchanged."""
    (folder / "conf" / "part").mkdir(parents=True)
    (folder / "app.py").write_text(APP)
    (folder / "conf" / "config.yaml").write_text(CONFIG.replace("CONF", str(ROOT / "conf")))
    for name in ("one", "two"):
        (folder / "conf" / "part" / f"{name}.yaml").write_text(f"of_{name}: 1\n")
    return folder


def command(*overrides: str) -> list[str]:
    return [sys.executable, "app.py", "-m", *overrides]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HYDRA_FULL_ERROR": "1"}


def search(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """Run the application to its end."""
    return subprocess.run(
        command(*overrides), cwd=folder, capture_output=True, text=True, env=environment(), check=False
    )


def search_here(folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    """The same in this process, which saves the imports; an error is the standard error's text."""
    output, error = io.StringIO(), ""
    before, handlers, level = Path.cwd(), logging.root.handlers[:], logging.root.level
    full_errors = mock.patch.dict(os.environ, {"HYDRA_FULL_ERROR": "1"})
    typed = mock.patch.object(sys, "argv", ["app.py", "-m", *overrides])
    with full_errors, typed, redirect_stdout(output):
        os.chdir(folder)
        try:
            runpy.run_path(str(folder / "app.py"))
        except Exception:
            error = traceback.format_exc()
        finally:
            os.chdir(before)
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
    return subprocess.CompletedProcess(["app.py", *overrides], 1 if error else 0, output.getvalue(), error)


def start(folder: Path, *overrides: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command(*overrides),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def load(address: str, name: str = "toy") -> optuna.Study:
    """The study as Optuna itself sees it."""
    if "://" in address:
        return optuna.load_study(study_name=name, storage=address)
    backend = optuna.storages.journal.JournalFileBackend(address)
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))


def counted(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """Trials that are not repeated under another number."""
    return [trial for trial in study.trials if "void" not in trial.user_attrs]


def check_whole(study: optuna.Study, total: int) -> None:
    """Exactly so many ended trials, none running, and each one that was lost repeated once, with its values."""
    trials = counted(study)
    assert len(trials) == total
    assert all(trial.state.is_finished() for trial in study.trials)
    repeated = [trial.user_attrs["retry_of"] for trial in study.trials if "retry_of" in trial.user_attrs]
    assert len(repeated) == len(set(repeated))
    by_number = {trial.number: trial for trial in study.trials}
    for trial in trials:
        if "retry_of" in trial.user_attrs:
            before = by_number[trial.user_attrs["retry_of"]].params
            assert {key: trial.params[key] for key in before} == before
