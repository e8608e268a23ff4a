"""Files alone: a record, an archive, a download."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from ase.build import bulk
from tests.faults.scenario import Scenario

from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.sources.archive import read_archive, write_archive
from tamis.data.sources.mlearn_files import download
from tamis.records.record import RECORD_FILE, TrialRecord, read_record


class GrowingRecord(Scenario):
    """A record that is saved again and again while its trial runs."""

    N_STAGES = 5

    def prepare(self, folder: Path) -> None:
        self.right = TrialRecord(config={"text": "x" * 20000}, started=1.0)

    def run(self, folder: Path) -> None:
        found = (folder / RECORD_FILE).exists()
        record = read_record(folder) if found else replace(self.right, metrics={})
        for stage in range(len(record.metrics), self.N_STAGES):
            record.metrics[f"stage {stage}"] = float(stage)
            record.save(folder)

    def complete(self, folder: Path) -> dict[str, bytes]:
        if not (folder / RECORD_FILE).exists():
            return {}
        record = read_record(folder)
        assert record.config == self.right.config
        return {name: str(value).encode() for name, value in record.metrics.items()}

    def check(self, folder: Path) -> None:
        assert len(self.complete(folder)) == self.N_STAGES


class KeptDataset(Scenario):
    """A data set that is kept where it was made, and made again where it is not whole."""

    def prepare(self, folder: Path) -> None:
        n = 6
        rng = np.random.default_rng(0)
        structures = tuple(bulk("Si", a=5.4 + 0.01 * i) for i in range(n))
        self.right = Dataset(
            structures=structures,
            energies=rng.normal(size=n),
            forces=tuple(rng.normal(size=(2, 3)) for _ in range(n)),
            stresses=rng.normal(size=(n, 6)),
            groups=("MD",) * n,
            blocks=("block",) * n,
            ids=tuple(f"made#{i}" for i in range(n)),
            is_test=np.arange(n) > 4,
        )

    def run(self, folder: Path) -> None:
        path = folder / "data" / "set.npz"
        try:
            read_archive(path)
        except FileNotFoundError:
            try:
                write_archive(path, self.right)
            except OSError as error:  # what the source makes of it: a warning
                raise TamisError(str(error)) from error

    def complete(self, folder: Path) -> dict[str, bytes]:
        path = folder / "data" / "set.npz"
        return {path.name: read_archive(path).fingerprint.encode()} if path.exists() else {}

    def check(self, folder: Path) -> None:
        assert self.complete(folder) == {"set.npz": self.right.fingerprint.encode()}


class Download(Scenario):
    """A file of mlearn's size from a server on this machine."""

    CONTENT = json.dumps([{"made": list(range(2000))}] * 2).encode()

    def prepare(self, folder: Path) -> None:
        place = folder.parent / "served"
        place.mkdir(exist_ok=True)
        (place / "training.json").write_bytes(self.CONTENT)
        command = [
            sys.executable,
            "-u",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            "--directory",
            place,
            "0",
        ]
        free = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
        self.server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=free)
        assert self.server.stdout is not None
        port = self.server.stdout.readline().split(b" port ")[1].split()[0].decode()
        self.url = f"http://127.0.0.1:{port}/training.json"
        self.sha256 = hashlib.sha256(self.CONTENT).hexdigest()
        self.run(folder.parent / "warm")

    def close(self) -> None:
        self.server.terminate()
        self.server.wait()

    def run(self, folder: Path) -> None:
        download(self.url, f"sha256:{self.sha256}", folder / "cache", "Si")

    def complete(self, folder: Path) -> dict[str, bytes]:
        # what is there is checked before it gives it out, so only whole files count
        found = {path.name: path.read_bytes() for path in (folder / "cache").rglob("training.json")}
        return {name: content for name, content in found.items() if content == self.CONTENT}

    def check(self, folder: Path) -> None:
        assert self.complete(folder) == {"training.json": self.CONTENT}


class Careless(GrowingRecord):
    """A record that is written over itself and appended to a list: the checks have to find what goes wrong with it."""

    def run(self, folder: Path) -> None:
        path, lines = folder / RECORD_FILE, folder / "stages.txt"
        record = read_record(folder) if path.exists() else replace(self.right, metrics={})
        for stage in range(len(record.metrics), self.N_STAGES):
            record.metrics[f"stage {stage}"] = float(stage)
            with lines.open("a") as file:
                file.write(f"stage {stage}\n")
            path.write_text(json.dumps(asdict(record)))

    def check(self, folder: Path) -> None:
        super().check(folder)
        told = (folder / "stages.txt").read_text().splitlines()
        assert len(told) == len(set(told)) == self.N_STAGES, "a stage is told twice"
