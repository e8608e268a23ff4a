"""``tamis-study``: its processes, its folders, its runs in MLflow."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any
from unittest import mock

from tests.faults import databases
from tests.faults.forks import LONGEST_S
from tests.faults.scenario import Scenario

from tamis.cli import selections
from tamis.records.record import COMPLETE, FAILED, RECORD_FILE, RUNNING, read_record
from tamis.study import cli, crew
from tamis.tracking.connection import client_of

COMMAND = (
    *("tamis-study", "experiment=study_quick", "model.basis.twojmax=2", "--block", "primary"),
    *("--only", "model=snap", "--only", "pruner=random", "budget.fractions=[0.3,1.0]"),
    *(
        "study.blocks.primary.seeds=2",
        "dataset.cache=data",
        "store.root=store",
        "store.n_jobs=1",
        "--retry-failed",
    ),
)
DATABASE = "mlruns/mlflow.db"
ERROR = "test/force_mae_eV_per_A"


def start_in_fork(target: Callable[..., None], *arguments: object) -> BaseProcess:
    """In place of ``crew._spawn``: a worker that need not import everything again, with nothing else inherited."""
    process = multiprocessing.get_context("fork").Process(
        target=_without_inheritance, args=(target, arguments)
    )
    process.start()
    return process


def _without_inheritance(target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    """A spawned process has no descriptor but its pipe: it does not hold its study's lock or its siblings' pipes."""
    signal.alarm(LONGEST_S)
    own = {one.fileno() for one in arguments if isinstance(one, Connection)}
    for descriptor in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in own:
            with suppress(OSError):  # the one that listed them is closed
                os.close(descriptor)
    target(*arguments)


class Study(Scenario):
    """A study of two trials with one or two workers; started again until it is whole.

    has_failed: its trials have failed and been logged before, and are run again.

    What a start does before its first step below the folder (imports, composing) is done once, for all cases.
    """

    def __init__(self, n_workers: int, has_failed: bool) -> None:
        self.n_workers, self.has_failed = n_workers, has_failed

    def prepare(self, folder: Path) -> None:
        before = Path.cwd()
        os.chdir(folder)
        try:
            self.typed = [*COMMAND, f"tracking.uri=sqlite:///{folder / DATABASE}"]
            with (
                mock.patch.object(sys, "argv", [*self.typed, "--folder", "warm"]),
                redirect_stdout(io.StringIO()),
            ):
                self._warm_up()
            ruler = selections.common_ruler(self.trials[0].config["dataset"])  # its places are relative
        finally:
            os.chdir(before)
        self.ruler = mock.patch.object(selections, "common_ruler", lambda _: ruler)
        if self.has_failed:
            self._run_and_fail(folder)
        database = client_of(f"sqlite:///{folder / DATABASE}")._tracking_client.store
        database.engine.dispose()  # a connection is not for two processes

    def _warm_up(self) -> None:
        """Run the study once in another folder, and keep what every start composes again."""
        real_compose, real_trials = cli.compose, cli._trials

        def compose(*arguments: Any, **named: Any) -> Any:
            self.config = real_compose(*arguments, **named)
            return self.config

        def trials(*arguments: Any) -> Any:
            self.trials = real_trials(*arguments)
            return self.trials

        with (
            mock.patch.object(cli, "compose", compose),
            mock.patch.object(cli, "_trials", trials),
            mock.patch.object(crew, "_spawn", start_in_fork),
        ):
            try:
                cli.main()
            except SystemExit as leaving:
                assert leaving.code == 0

    def _run_and_fail(self, folder: Path) -> None:
        with redirect_stdout(io.StringIO()), suppress(SystemExit):
            self.run(folder)
        for path in (folder / "study").glob(f"*/{RECORD_FILE}"):
            record = read_record(path.parent)
            record.status, record.reason = FAILED, "on purpose"
            record.save(path.parent)

    def run(self, folder: Path) -> None:
        typed = [*self.typed, "--folder", str(folder / "study"), "--workers", str(self.n_workers)]
        with (
            mock.patch.object(sys, "argv", typed),
            mock.patch.object(crew, "_spawn", start_in_fork),
            mock.patch.object(cli, "compose", lambda *_, **__: self.config),
            mock.patch.object(cli, "_trials", lambda *_: self.trials),
            self.ruler,
        ):
            cli.main()

    def complete(self, folder: Path) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for path in (folder / "study").glob(f"*/{RECORD_FILE}"):
            record = read_record(path.parent)
            assert record.status != RUNNING, f"{path.parent.name} looks ended, and is not"
            if record.status == COMPLETE:
                for file in path.parent.iterdir():
                    if not file.name.startswith("earlier"):
                        found[f"{path.parent.name}/{file.name}"] = file.read_bytes()
        return found

    def check(self, folder: Path) -> None:
        places = [path.parent for path in (folder / "study").glob(f"*/{RECORD_FILE}")]
        assert {place.name for place in places} == {trial.name for trial in self.trials}
        records = {place.name: read_record(place) for place in places}
        assert {one.status for one in records.values()} == {COMPLETE}, (
            "trials have failed and were not repeated"
        )
        left = [path.name for path in (folder / "study" / crew.RUNNING_FOLDER).iterdir()]
        assert not left, f"left behind: {left}"
        here = [
            run
            for run in databases.runs(folder / DATABASE)
            if not run.trial or Path(run.tags["tamis.folder"]).parent == folder / "study"
        ]
        parents = [run for run in here if not run.trial and "warm" not in run.tags.get("mlflow.runName", "")]
        assert len(parents) == 1, f"{len(parents)} parents: {[run.tags for run in parents]}"
        trials = [run for run in here if run.trial]
        assert sorted(run.trial for run in trials) == sorted(records), "runs are not one for each record"
        for run in trials:
            record = records[run.trial]
            assert databases.is_whole(run) and run.tags["mlflow.parentRunId"] == parents[0].run_id
            assert run.metrics[ERROR] == record.metrics[ERROR]
            assert run.params["seed.split"] == str(record.config["seed"]["split"])
        assert all(run.status == "FINISHED" for run in [*parents, *trials])
