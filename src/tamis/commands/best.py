"""The best trials of a search, and one of them run again from its record alone.

tamis best multirun/data_efficiency                       a table
tamis best multirun/data_efficiency --rerun 7 --out best  trial 7 again, with its kept set and potential
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tamis.core.errors import TamisError
from tamis.core.messages import print_failure
from tamis.core.metrics import MEMORY
from tamis.core.trust import check_trusted
from tamis.parts import Parts
from tamis.records.record import COMPLETE, RECORD_FILE, DatasetFacts, TrialRecord, read_record
from tamis.sweeps.folder import SweepFolder
from tamis.sweeps.search.settings import require_optuna
from tamis.trial import run_resolved

if TYPE_CHECKING:
    from optuna import Study

SAME = 1e-6
"""Relative difference up to which a metric counts as the same."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``tamis best`` takes."""
    parser.add_argument("folder", type=Path, help="of the search, such as multirun/data_efficiency")
    parser.add_argument("--study", metavar="NAME", help="the study's name, if the folder does not say it")
    parser.add_argument(
        "--storage", metavar="URL", help="where the study is, if not in the folder; or a journal file"
    )
    parser.add_argument("-n", type=int, default=10, help="rows of the table (10)")
    parser.add_argument(
        "--rerun", type=int, metavar="TRIAL", help="run this trial again, with the potential's files"
    )
    parser.add_argument("--out", type=Path, help="new folder of that run (best_<study>_<trial>)")


def run(arguments: argparse.Namespace) -> int:
    """Print the table, and run a trial again; 1 where that gives other metrics."""
    require_optuna()
    from tamis.sweeps.search.studies import address_of, find_study, open_storage

    folder: Path = arguments.folder
    sweep = SweepFolder(folder).sweep()
    name = arguments.study or (sweep.study if sweep else "")
    if not name:
        raise TamisError(f"{folder} does not say which study it belongs to; give --study")
    if not arguments.storage and not Path(address_of(None, folder).removeprefix("sqlite:///")).exists():
        raise TamisError(f"{folder} has no study of its own; give the --storage of the search")
    if arguments.storage and "://" not in arguments.storage and not Path(arguments.storage).exists():
        raise TamisError(f"--storage {arguments.storage} is not there")
    address = address_of(arguments.storage, folder)
    study = find_study(name, open_storage(address), address)
    console = Console(soft_wrap=True, highlight=False)
    console.print(table_of(study, folder, arguments.n))
    if arguments.rerun is None:
        return 0
    out: Path = arguments.out or Path(f"best_{folder.name}_{arguments.rerun}")
    differences = run_again(folder / str(arguments.rerun), out)
    for line in differences:
        print_failure(line, "different")
    same = "" if differences else f"; every metric is the same to {SAME:g}"
    console.print(f"trial {arguments.rerun} was run again in {out.absolute()}{same}", markup=False)
    return 1 if differences else 0


def table_of(study: Study, folder: Path, n: int) -> Table:
    """The best trials: objectives, with the standard deviation over a trial's jobs, and the keys that were searched.

    Raises
    ------
    TamisError : no trial is complete.
    """
    from tamis.sweeps.search.best import best_trials, objective_names, searched_keys
    from tamis.sweeps.search.studies import ended

    trials, n_ended = best_trials(study), len(ended(study))
    if not trials:
        raise TamisError(f"no trial of study {study.study_name} is complete; {n_ended} have ended")
    names, keys, shown = objective_names(study), searched_keys(trials[:n]), trials[:n]
    what = "on the Pareto front" if len(names) > 1 else "complete"
    title = f"{study.study_name}: {len(shown)} of {len(trials)} trials {what}, {n_ended} ended"
    table = Table(title=escape(title), box=box.SIMPLE_HEAD)
    table.add_column("trial", justify="right")
    for name, direction in zip(names, study.directions, strict=True):
        table.add_column(escape(f"{name.replace('/', '/ ')}\n({direction.name.lower()})"), justify="right")
    for key in keys:
        table.add_column(escape(key.replace(".", ". ")))
    for trial in shown:
        records = records_of(folder / str(trial.number))
        values = [
            f"{value:.5g}{_spread(records, name)}" for name, value in zip(names, trial.values, strict=True)
        ]
        params = [trial.params.get(key, "") for key in keys]
        texts = [f"{value:.4g}" if isinstance(value, float) else str(value) for value in params]
        table.add_row(str(trial.number), *values, *map(escape, texts))
        if any("±" in value for value in values):
            table.caption = "mean ± standard deviation over the jobs of a trial (splits of the same data)"
    return table


def _spread(records: Sequence[TrialRecord], name: str) -> str:
    values = [record.measured[name] for record in records if name in record.measured]
    return f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 and len(values) == len(records) else ""


def records_of(folder: Path) -> list[TrialRecord]:
    """The records of a trial's jobs, in their order."""
    paths = sorted(folder.glob(f"*/{RECORD_FILE}"), key=lambda path: (len(path.parent.name), path))
    return [read_record(path.parent) for path in paths or folder.glob(RECORD_FILE)]


def run_again(trial: Path, out: Path) -> list[str]:
    """Run the jobs of a trial again from their records, with the potential's files; returns the differences.

    Raises
    ------
    TamisError : there are no records, the trial is not complete, or ``out`` is there already.
    """
    records = records_of(trial)
    if not records:
        raise TamisError(f"there is no record in {trial}; give the number of a trial that ran in this folder")
    for record in records:
        if record.status != COMPLETE:
            raise TamisError(
                f"trial {trial.name} is {record.status} ({record.reason}); choose one that is complete"
            )
        check_trusted(record.config, trial / RECORD_FILE)
    if out.exists():
        raise TamisError(f"{out} is there already; choose another --out")
    found: list[str] = []
    for i, record in enumerate(records):
        several = len(records) > 1
        folder = out / str(i) if several else out
        folder.mkdir(parents=True)
        after = run_resolved({**record.config, "artifacts": True}, folder, record.overrides, Parts.of)
        found += [f"{line} (job {i})" if several else line for line in differences_between(record, after)]
    return found


def differences_between(before: TrialRecord, after: TrialRecord) -> list[str]:
    """What is not the same in two records, in words; versions are named only where numbers differ."""
    if after.status != COMPLETE:
        return [f"the trial was complete and is {after.status} now: {after.reason}"]
    found = []
    changed = [
        one.name
        for one in fields(DatasetFacts)
        if getattr(before.dataset, one.name) != getattr(after.dataset, one.name)
    ]
    if changed:
        found.append(f"the data set has changed ({', '.join(changed)})")
    if before.selection != after.selection:
        found.append("other structures were kept")
    found += different_metrics(before.metrics, after.metrics)
    versions = [
        f"{name} {version} before, {after.versions.get(name, 'none')} now"
        for name, version in before.versions.items()
        if after.versions.get(name) != version
    ]
    return [*found, f"versions: {'; '.join(versions)}"] if found and versions else found


def different_metrics(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    """Metrics that differ by more than ``SAME``, or that only one side has; memory is not compared."""
    return [
        f"{name} was {before.get(name)} and is {after.get(name)}"
        for name in {**before, **after}
        if not name.startswith(MEMORY)
        and not math.isclose(
            before.get(name, math.nan), after.get(name, math.nan), rel_tol=SAME, abs_tol=SAME * SAME
        )
    ]
