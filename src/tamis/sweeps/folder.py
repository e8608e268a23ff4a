"""The folder of a sweep: one command works in it at a time, and a trial that has a record is not run again."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tamis.analysis.protocol import PROTOCOL_FILE, protocol_of
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.locks import LOCK_FILE, exclusive
from tamis.core.messages import listed
from tamis.core.secrets import redacted
from tamis.parts import build_part
from tamis.records.record import FAILED, RECORD_FILE, TrialRecord, read_record, read_record_file
from tamis.sweeps.job import Job, differences, identity
from tamis.sweeps.running import EARLIER_FILES, RUNNING_FOLDER

SWEEP_FILE = "sweep.json"


@dataclass(frozen=True)
class Sweep:
    """What a sweep is called.

    name: of its run in MLflow; command: what was typed; study: name of its Optuna study, if it is a search;
    best: metric -> best value of its trials, known at its end; id: by which its run is found on any MLflow server.
    """

    name: str
    command: Sequence[str] = field(default_factory=list)
    study: str = ""
    best: Mapping[str, float] = field(default_factory=dict)
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


@dataclass(frozen=True)
class SweepFolder:
    """A folder with a folder for each trial."""

    path: Path

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other commands out of the folder while the block runs; what a killed one left half done is removed.

        Raises
        ------
        TamisError : another command works there, or the folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                stack.enter_context(exclusive(self.path / LOCK_FILE, wait=False))
            except BlockingIOError:
                raise TamisError(
                    f"another command runs the sweep in {self.path}; wait for it, or choose another hydra.sweep.dir"
                ) from None
            except OSError as error:
                raise TamisError(
                    f"cannot write {self.path} ({error.strerror}); choose another hydra.sweep.dir"
                ) from error
            running = self.path / RUNNING_FOLDER
            shutil.rmtree(running, ignore_errors=True)  # of a command that was killed
            yield
            shutil.rmtree(running, ignore_errors=True)

    def sweep(self) -> Sweep | None:
        """What the sweep is called; None in a folder that has none."""
        try:
            return Sweep(**json.loads((self.path / SWEEP_FILE).read_text()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            raise TamisError(f"{self.path / SWEEP_FILE} is damaged ({error}); remove it") from error

    def begin(self, sweep: Sweep, protocol: Mapping[str, Any] | None) -> Sweep:
        """Write what was typed beside the name that the sweep got at its first start, and leave the protocol there.

        Raises
        ------
        TamisError : something in the protocol is not allowed, or the folder has another one already: it is fixed
        before the first trial.
        """
        if protocol is not None:
            protocol_of(protocol, "protocol")
            path, text = self.path / PROTOCOL_FILE, yaml.safe_dump(dict(protocol), sort_keys=False)
            if path.exists() and path.read_text() != text:
                raise TamisError(
                    f"{path} is another protocol than this command's; a protocol is fixed before the first trial. "
                    "Choose another hydra.sweep.dir"
                )
            write_atomically(path, text.encode())
        if (known := self.sweep()) is not None:
            sweep = replace(known, command=sweep.command)
        self.write(sweep)
        return sweep

    def write(self, sweep: Sweep) -> None:
        """Write ``sweep.json``, without secrets."""
        write_atomically(self.path / SWEEP_FILE, json.dumps(redacted(asdict(sweep)), indent=1).encode())

    def record(self, name: str) -> TrialRecord | None:
        """The record of a trial; None where it has none."""
        folder = self.path / name
        return read_record(folder) if (folder / RECORD_FILE).exists() else None

    def known(self, job: Job) -> Job:
        """The job under the name that it has in this folder; an earlier command may have had other overrides."""
        there = [name for name in (job.name, *job.other_names) if (self.path / name).exists()]
        return replace(job, name=there[0]) if there else job

    def done(self, jobs: Iterable[Job], retry_failed: bool = False) -> dict[str, str]:
        """Name -> record id of the jobs that need not be run.

        Raises
        ------
        TamisError : the record of a job was made with another configuration or other data; names the difference.
        """
        found, data = {}, dict[str, tuple[Job, str]]()
        for job in jobs:
            if (record := self.record(job.name)) is None:
                continue
            if not record.status.has_ended or (retry_failed and record.status == FAILED):
                continue
            before = identity(record.config)
            if unlike := differences(before, json.loads(json.dumps(identity(job.config)))):
                raise TamisError(
                    f"{self.path / job.name} was run with other settings than this command gives "
                    f"({listed(unlike)}); choose another hydra.sweep.dir, or set them back"
                )
            found[job.name] = record.id
            if record.dataset.fingerprint:
                data[json.dumps(job.config["dataset"], sort_keys=True)] = job, record.dataset.fingerprint
        for job, fingerprint in data.values():
            self._check_data(job, fingerprint)
        return found

    def _check_data(self, job: Job, fingerprint: str) -> None:
        try:
            now = build_part("dataset", job.config["dataset"]).load().fingerprint
        except TamisError:  # data that cannot be read now are told by the trials that need them
            return
        if now != fingerprint:
            raise TamisError(
                f"the data of {self.path / job.name} have changed since (fingerprint {fingerprint[:12]}, now "
                f"{now[:12]}); choose another hydra.sweep.dir, or set them back"
            )

    def names(self) -> list[str]:
        """Trials that have a record, 2 before 10; those of repeats as ``7/0``."""
        found = [path.parent.relative_to(self.path).as_posix() for path in self._files(RECORD_FILE)]
        return sorted(found, key=lambda name: [(len(part), part) for part in name.split("/")])

    def earlier_ids(self) -> set[str]:
        """Ids of the records that were set aside (``running.set_aside``), since their trials are run again."""
        found = set()
        for path in self._files(EARLIER_FILES):
            with suppress(TamisError):
                found.add(read_record_file(path).id)
        return found

    def _files(self, name: str) -> Iterator[Path]:
        """Files of trials, and of repeats."""
        yield from self.path.glob(f"[!.]*/{name}")
        yield from self.path.glob(f"[!.]*/[!.]*/{name}")
