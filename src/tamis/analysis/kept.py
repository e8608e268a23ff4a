"""Groups of the structures that were kept, from the trials' ``kept.extxyz``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tamis.analysis.trials import Trial
from tamis.core.errors import TamisError
from tamis.core.trust import check_trusted
from tamis.records.record import RECORD_FILE

KEPT_FILE = "kept.extxyz"
VALUE = r'("(?:[^"\\]|\\.)*"|\S+)'
OWN = re.compile(rf"(?:^|\s)(group|id)={VALUE}")
"""Keys of a kept set in tamis' own form."""
ADDED = re.compile(rf"(?:^|\s)tamis_(group|id)(?:_\d+)?={VALUE}")
"""Keys that are added to a user's own; the last ones are of the trial that wrote the file."""


def groups_of(trials: Iterable[Trial]) -> dict[str, str]:
    """id -> group of the structures that any of the trials kept; files are read until all are known.

    Large studies write no structures: then the data set itself is asked, if it is where it was.
    """
    known: dict[str, str] = {}
    largest = sorted(trials, key=lambda t: -len(t.ids))  # a whole pool tells everything at once
    for trial in largest:
        if not known.keys() >= set(trial.ids):
            known |= _read(trial.folder / KEPT_FILE)
        if not known:
            break
    wanted = {i for trial in largest for i in trial.ids}
    if largest and not known.keys() >= wanted:
        known |= {i: group for i, group in _ask_source(largest[0].folder).items() if i in wanted}
    return {
        i: group for i, group in known.items() if i in wanted
    }  # free atoms are in the file, and not chosen


def _ask_source(folder: Path) -> dict[str, str]:
    """id -> group from the data set that a record names; empty where it is not there, or has changed."""
    try:
        record = json.loads((folder / RECORD_FILE).read_text())
        config = record["config"]["dataset"]
        if config.get("root", "") is None and not Path(config.get("cache", "")).is_dir():
            return {}  # a report downloads nothing
        check_trusted(config, folder / RECORD_FILE)
        dataset = instantiate(config, _convert_="all").load()
    except (OSError, ValueError, KeyError, TypeError, TamisError, InstantiationException):
        return {}
    same = dataset.fingerprint == record["dataset"].get("fingerprint")
    return dict(zip(dataset.ids, dataset.groups, strict=True)) if same else {}


def _read(path: Path) -> dict[str, str]:
    found = {}
    try:
        with path.open() as file:
            for line in file:
                if "Properties=" in line:
                    keys = dict(ADDED.findall(line) or OWN.findall(line))
                    if keys.keys() >= {"group", "id"}:
                        found[_unquoted(keys["id"])] = _unquoted(keys["group"])
    except (OSError, UnicodeDecodeError):
        pass  # a report without groups of this trial; the others may know them
    return found


def _unquoted(text: str) -> str:
    """A value of extended XYZ without its quotes and the backslashes before special signs."""
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
