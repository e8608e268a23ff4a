"""A search whose trials compute a number at once, and commands that are killed: what the tests of searches share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from optuna.trial import TrialState
from tests import typed

from tamis.core.errors import TamisError
from tamis.records.record import COMPLETE, FAILED, SKIPPED, STOPPED, TrialRecord
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.job import Job
from tamis.sweeps.search import search as module
from tamis.sweeps.search.methods import check_methods, make_sampler, make_stopper
from tamis.sweeps.search.search import Search
from tamis.sweeps.search.settings import SearchSettings
from tamis.sweeps.search.space import Space
from tamis.sweeps.search.studies import address_of, counted, open_storage, open_study
from tamis.sweeps.workers import InThisProcess, Workers

DEFAULTS: dict[str, Any] = {
    "study_name": "toy",
    "storage": None,
    "direction": "minimize",
    "n_trials": 12,
    "sampler": {"_target_": "optuna.samplers.RandomSampler", "seed": 0},
    "stopper": None,
    "params": {"x": "interval(-5, 5)"},
    "conditional": None,
    "repeat": None,
    "enqueue": None,
    "constraints": None,
    "on_change": "refuse",
    "retry_failed": False,
    "max_failure_rate": 0.5,
    "retries": 5,
    "plots": False,
}
PARSER = OverridesParser.create()
optuna.logging.set_verbosity(optuna.logging.ERROR)


def settings(**changes: Any) -> SearchSettings:
    return SearchSettings(**{**DEFAULTS, **changes})


def space_of(given: SearchSettings, typed: Sequence[str] = ()) -> Space:
    return Space.parse(given.params or {}, given.conditional or (), typed, PARSER)


def composed(overrides: Sequence[str]) -> dict[str, Any]:
    """In place of Hydra: the values that were typed."""
    found: dict[str, Any] = {"x": 0.0, "kind": "a", "depth": 0, "draw": 0}
    for one in overrides:
        key, _, value = one.partition("=")
        found[key] = value if key == "kind" else float(value)
    if found["kind"] == "wrong":
        raise TamisError("kind=wrong is not a choice")
    return found


def toy_record(config: Mapping[str, Any], watch: Any = None) -> TrialRecord:
    """A parabola around 1, with a penalty; ``c`` means nothing, and ``fail`` fails."""
    record = TrialRecord(dict(config))
    for step in range(4 if watch else 0):
        if watch((config["x"] - 1) ** 2 + 10 / (step + 1), step):
            record.status, record.reason = STOPPED, f"stopped by the search after stage {step}"
            return record
    if config["kind"] == "c":
        record.status, record.reason = SKIPPED, "c means nothing"
    elif config["kind"] == "fail":
        record.status, record.reason = FAILED, f"x is {config['x']}"
    else:
        record.status = COMPLETE
        value = (
            (config["x"] - 1) ** 2 + (config["kind"] == "b") + 0.1 * config["depth"] + 0.01 * config["draw"]
        )
        record.metrics = {"error": value, "x": config["x"]}
    return record


def run_toy(job: Job, folder: Path, watch: Any = None) -> str:
    """In place of ``run_job``."""
    place = folder / job.name
    assert not place.exists(), "a folder is used twice"
    place.mkdir(parents=True)
    record = toy_record(job.config, watch)
    record.save(place)
    return record.status


class Toy:
    """A search in ``folder``; ``run`` is in place of ``run_job``."""

    def __init__(
        self,
        folder: Path,
        workers: Workers | None = None,
        run: Any = run_toy,
        objectives: Sequence[str] = ("error",),
        stream: Sequence[int] = (),
        **changes: Any,
    ) -> None:
        self.folder, self.run_job = SweepFolder(folder), run
        folder.mkdir(parents=True, exist_ok=True)
        given = settings(**changes)
        space = space_of(given)
        check_methods(given, space)
        for start in given.enqueue or ():
            space.check_start(start)
        storage = open_storage(address_of(given.storage, folder), given.retries)
        definition = {"objective": list(objectives), "space": space.describe()}
        self.study = open_study(given, space, definition, storage, folder)
        self.study.sampler = make_sampler(given.sampler, space, stream)
        self.study.pruner = make_stopper(given.stopper)
        self.published: list[str] = []
        self.search = Search(
            self.study,
            given,
            space,
            self.folder,
            self.folder.begin(Sweep("toy"), None),
            workers or InThisProcess(),
            composed,
            self.published.append,
            objectives,
        )

    def run(self, alone: bool = True) -> optuna.Study:
        """Work until the study has its trials."""
        before, module.run_job = module.run_job, self.run_job
        try:
            with self.folder.alone() if alone else nullcontext():
                self.search.settle()
                self.search.run()
        finally:
            module.run_job = before
        return self.study


def check_whole(study: optuna.Study, total: int) -> None:
    """Exactly so many ended trials, none running, and each one that was lost repeated once, with its values."""
    trials = counted(study)
    assert len(trials) == total
    assert all(trial.state.is_finished() for trial in study.trials)
    for trial in trials:
        for number in trial.system_attrs.get("retry_history", []):
            before = study.trials[number]
            assert before.state == TrialState.FAIL
            assert {key: trial.params[key] for key in before.params} == before.params


def points(study: optuna.Study) -> list[Any]:
    return [(trial.number, trial.params, trial.values) for trial in study.trials]


def load(address: str, name: str) -> optuna.Study:
    """The study as Optuna itself sees it."""
    if "://" in address:
        return optuna.load_study(study_name=name, storage=address)
    backend = optuna.storages.journal.JournalFileBackend(address)
    return optuna.load_study(study_name=name, storage=optuna.storages.JournalStorage(backend))


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


QUICK = (
    "search=study_of_tamis",
    "model=snap",
    "model.basis.twojmax=2",
    "pruner=random",
    "hydra.sweeper.repeat=null",
    "hydra.sweeper.plots=false",
)
"""A search of short trials; what it searches, and its name, are typed behind."""


def tamis(folder: Path, *overrides: str, output: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start ``tamis -m`` in ``folder``."""
    return subprocess.Popen(
        [sys.executable, "-m", "tamis.cli", "-m", *QUICK, *overrides],
        cwd=folder,
        env=environment(),
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def tamis_here(folder: Path, *overrides: str) -> tuple[int, str]:
    """The same in this process, on the basic launcher, which saves the imports; returns the status and what is said."""
    done = typed.tamis_here(folder, "-m", *QUICK, *overrides)
    return done.returncode, " ".join((done.stdout + done.stderr).split())
