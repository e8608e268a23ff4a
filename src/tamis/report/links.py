"""Addresses of MLflow runs, so that every number of a report can be traced to the runs that it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tamis.tracking.runs import runs_by_folder

UI = "http://127.0.0.1:5000"
"""Where ``mlflow ui`` is, if not told otherwise."""


@dataclass(frozen=True)
class Links:
    """ui: address of the MLflow page. runs: folder of a trial -> (experiment id, run id)."""

    ui: str = UI
    runs: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def run(self, folder: Path) -> str:
        """Address of a trial's run; empty where it has none."""
        found = self.runs.get(str(folder))
        return f"{self.ui}/#/experiments/{found[0]}/runs/{found[1]}" if found else ""

    def search(self, folder: Path, params: Mapping[str, str]) -> str:
        """Address of the list of runs with these parameters, in the experiment of the trial in ``folder``."""
        found = self.runs.get(str(folder))
        if not found:
            return ""
        query = " and ".join(f'params.`{key}` = "{value}"' for key, value in params.items())
        return f"{self.ui}/#/experiments/{found[0]}/runs?searchFilter={quote(query)}"


def read_links(uri: str, ui: str) -> Links:
    """The runs of a tracking database or server; none where there is no database.

    Raises
    ------
    TamisError : a server that does not answer.
    """
    return Links(ui, runs_by_folder(uri))
