"""Trials of a search that would fit what another one has fitted: they take over its numbers.

A search draws points that lead to the same structures: another seed of a pruner without chance, two budgets between
which no structure fits, the same point twice. What a fit and its evaluation give depends on the kept structures and on
the settings of model, data, split and evaluation, not on how the structures were chosen. So once they are chosen, a
trial with an equal one before it is at its end.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.records.record import COMPLETE, TrialRecord, read_record
from tamis.sweeps.job import identity

INDEX_FOLDER = ".same_sets"
"""Below a sweep's folder: a file for each set and setting, which names the trial that has the numbers."""
SAME_AS = "same_as"
"""Label of a record: the trial whose numbers it has."""
CHOICE = ("descriptor", "latent", "pruner", "budget")
"""Nodes of a configuration that say how structures are chosen."""


@dataclass(frozen=True)
class SameSets:
    """The complete trials of the sweep in ``folder``, by what they fitted.

    A file that is lost, or names a trial without a complete record, costs one fit and nothing else.
    """

    folder: Path

    def find(self, record: TrialRecord, kept: Sequence[Sequence[str]]) -> TrialRecord | None:
        """The record of an equal trial, labelled with its name; None where there is none.

        kept : ids of the structures at each point of the curve.
        """
        try:
            name = self._path(record, kept).read_text()
            found = read_record(self.folder / name)
        except (OSError, TamisError):
            return None
        if found.status != COMPLETE:
            return None
        return replace(found, labels={SAME_AS: name})

    def add(self, name: str) -> None:
        """Note a trial, which others may take for theirs if it is complete."""
        record = read_record(self.folder / name)
        if record.status == COMPLETE and SAME_AS not in record.labels:
            path = self._path(record, [record.kept(i) for i in range(len(record.curve))])
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, name.encode())

    def _path(self, record: TrialRecord, kept: Sequence[Sequence[str]]) -> Path:
        seed = {key: value for key, value in record.config["seed"].items() if key != "select"}
        config = {key: value for key, value in identity(record.config).items() if key not in CHOICE}
        what: list[Any] = [config | {"seed": seed}, record.dataset.fingerprint, [sorted(ids) for ids in kept]]
        text = json.dumps(what, sort_keys=True)
        return self.folder / INDEX_FOLDER / hashlib.sha256(text.encode()).hexdigest()
