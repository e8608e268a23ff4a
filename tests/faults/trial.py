"""``tamis`` and ``tamis -m``, each followed by ``tamis sync``: records, and their runs in MLflow."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
from collections import Counter
from pathlib import Path
from unittest import mock

from tests.faults import databases
from tests.faults.scenario import Scenario

from tamis.commands import run as app
from tamis.commands import sync
from tamis.records.record import COMPLETE, FAILED, RECORD_FILE, STOPPED, read_record
from tamis.sweeps.running import RUNNING_FOLDER
from tamis.tracking.connection import client_of

TRIAL = ("model=snap", "model.basis.twojmax=2", "descriptor=none", "pruner=random", "store.n_jobs=1")
DATABASE = "mlruns/mlflow.db"
ERROR = "test/force_mae_eV_per_A"


class Trial(Scenario):
    """A single trial. It does not resume: each start takes a new folder, and ``tamis sync`` looks after MLflow."""

    FOLDER = "outputs"

    def prepare(self, folder: Path) -> None:
        self.kept = (f"dataset.cache={folder / 'data'}", f"store.root={folder / 'store'}")
        self.kept = (*self.kept, f"tracking.artifact_root={folder / 'mlruns' / 'artifacts'}")
        self.uri = f"sqlite:///{folder / DATABASE}"
        with contextlib.redirect_stdout(io.StringIO()):
            self._run(folder.parent / "warm")
        database = client_of(self.uri)._tracking_client.store
        database.engine.dispose()  # a connection is not for two processes

    def command(self, place: Path) -> list[str]:
        """What is typed; ``place`` is the folder of this start."""
        return ["tamis", *TRIAL, f"hydra.run.dir={place}"]

    def run(self, folder: Path) -> None:
        self._run(folder / self.FOLDER)

    def _run(self, folder: Path) -> None:
        number = len(list(folder.glob("*"))) if folder.is_dir() else 0
        typed = [*self.command(folder / str(number)), *self.kept, f"tracking.uri={self.uri}"]
        with mock.patch.object(sys, "argv", typed), mock.patch.dict(os.environ):
            os.environ.pop("HYDRA_FULL_ERROR", None)  # set by an earlier call: errors would go to developers
            app.main()
        parser = argparse.ArgumentParser()
        sync.add_arguments(parser)
        if sync.run(parser.parse_args([str(folder), "--uri", self.uri])):
            raise SystemExit(1)

    def _records(self, folder: Path) -> list[Path]:
        """Trials that have ended; what is still in ``.running`` is run again."""
        found = [path.parent for path in (folder / self.FOLDER).rglob(RECORD_FILE)]
        return [place for place in found if RUNNING_FOLDER not in place.parts]

    def complete(self, folder: Path) -> dict[str, bytes]:
        whole = [place for place in self._records(folder) if read_record(place).status == COMPLETE]
        return {
            str(file.relative_to(folder)): file.read_bytes()
            for place in whole
            for file in place.rglob("*")
            if file.is_file()
        }

    def check(self, folder: Path) -> None:
        records = {str(place): read_record(place) for place in self._records(folder)}
        self.check_last(folder)
        ended = {name: one for name, one in records.items() if one.status in (COMPLETE, FAILED, STOPPED)}
        runs = [run for run in databases.runs(folder / DATABASE) if run.trial]
        here = [run for run in runs if run.tags["tamis.folder"].startswith(str(folder / self.FOLDER))]
        counts = Counter(run.tags["tamis.folder"] for run in here)
        assert counts == dict.fromkeys(ended, 1), f"runs {counts}, ended records {sorted(ended)}"
        for run in here:
            record = ended[run.tags["tamis.folder"]]
            assert databases.is_whole(run), "a run is half written"
            assert run.params["seed.split"] == str(record.config["seed"]["split"])
            assert run.metrics.get(ERROR) == record.metrics.get(ERROR)

    def check_last(self, folder: Path) -> None:
        """What the start has left that no fault hit."""
        last = max((folder / self.FOLDER).glob("*"), key=lambda path: int(path.name))
        assert read_record(last).status == COMPLETE


class Sweep(Trial):
    """Two trials under one run; the same command goes on in the same folder until both are there."""

    FOLDER = "multirun"

    def __init__(self, has_failed: bool) -> None:
        self.has_failed = has_failed

    def prepare(self, folder: Path) -> None:
        super().prepare(folder)
        if self.has_failed:
            with contextlib.redirect_stdout(io.StringIO()):
                self.run(folder)
            for place in self._records(folder):
                record = read_record(place)
                record.status, record.reason = FAILED, "on purpose"
                record.save(place)
            client_of(self.uri)._tracking_client.store.engine.dispose()

    def command(self, place: Path) -> list[str]:
        more = (
            "hydra.sweeper.retry_failed=true",
            "hydra/launcher=basic",
            f"hydra.sweep.dir={place.parent / 'sweep'}",
        )
        return ["tamis", "-m", *TRIAL, "seed.split=0,1", *more]

    def check(self, folder: Path) -> None:
        super().check(folder)
        runs = databases.runs(folder / DATABASE)
        here = str(folder / self.FOLDER / "sweep")
        parents = [run for run in runs if not run.trial and run.tags.get("tamis.folder") == here]
        assert len(parents) == 1 and parents[0].status == "FINISHED", (
            f"parents: {[run.tags for run in parents]}"
        )
        trials = [run for run in runs if run.trial and run.tags["tamis.folder"].startswith(here)]
        assert {run.tags["mlflow.parentRunId"] for run in trials} == {parents[0].run_id}
        assert not (folder / self.FOLDER / "sweep" / ".running").exists()

    def check_last(self, folder: Path) -> None:
        records = [read_record(place) for place in self._records(folder)]
        assert [record.status for record in records] == [COMPLETE] * 2
