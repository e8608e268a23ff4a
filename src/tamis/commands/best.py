"""``tamis-best``: the best trials of a search, and one of them run again from its record alone."""

from __future__ import annotations

if __name__ == "__main__":  # python -m: before the first numerical library is loaded
    from tamis.core.threads import decide

    decide()

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tamis.commands.arguments import new_name
from tamis.commands.endings import in_a_sentence
from tamis.core.errors import TamisError
from tamis.core.messages import print_failure
from tamis.core.metrics import MEMORY, SECONDS
from tamis.core.names import folder_name
from tamis.core.suggestions import suggest
from tamis.core.trust import check_trusted
from tamis.parts import Parts
from tamis.records.record import COMPLETE, RECORD_FILE, DatasetFacts, TrialRecord
from tamis.search_runs import best_numbers, ended, objective_names, records_of
from tamis.trial import run_resolved

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

OPTIONS = {
    "study": "",  # its name
    "folder": "",  # of the search; multirun/<study>, if empty
    "storage": "",  # URL or journal file; what is in the folder, if empty
    "n": "10",  # rows of the table
    "rerun": "",  # number of the trial to run again, or best
    "out": "",  # folder of that run; best_<study>_<number>, if empty
}
USAGE = (
    "usage: tamis-best study=<name> [folder=multirun/<name>] [storage=<URL or journal file>] [n=10] "
    "[rerun=best|<number of a trial>] [out=<new folder>]"
)
SAME = 1e-6
"""Relative difference up to which a metric counts as the same."""
NOT_COMPARED = (SECONDS, MEMORY)
"""What the names of metrics begin with that no two runs have in common."""


def main() -> None:
    """Entry point of the console script."""
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console = Console(width=160, highlight=False)
    with in_a_sentence():
        options = read_options(sys.argv[1:])
        folder = Path(options["folder"] or Path("multirun") / folder_name(options["study"]))
        study = open_study(options["study"], options["storage"] or storage_in(folder))
        console.print(table_of(study, folder, int(options["n"])))
        if options["rerun"]:
            number = _number(study, options["rerun"])
            out = new_name(Path(options["out"] or folder_name(f"best_{options['study']}_{number}")))
            differences = run_again(folder / str(number), out)
            for line in differences:
                print_failure(line, "different")
            console.print(f"trial {number} was run again in {out.absolute()}", markup=False)
            if differences:
                sys.exit(1)
            console.print(f"every metric is the same to {SAME:g}", markup=False)


def read_options(arguments: Sequence[str]) -> dict[str, str]:
    """The options that were typed as key=value, and the defaults of the others.

    Raises
    ------
    TamisError : no study is named, an option is unknown or no number.
    """
    found = dict(OPTIONS)
    for argument in arguments:
        key, sign, value = argument.partition("=")
        if not sign or key not in OPTIONS:
            raise TamisError(f"{argument} is unknown; {suggest(key, OPTIONS)}{USAGE}")
        found[key] = value
    if not found["study"]:
        raise TamisError(f"no study is named; {USAGE}")
    if not found["n"].isdecimal() or int(found["n"]) < 1:
        raise TamisError(f"n={found['n']}; a whole number from 1 on is needed")
    return found


def storage_in(folder: Path) -> str:
    """Where the study of a search is kept, if that is in its folder; raises TamisError where it is not."""
    from hydra_plugins.tamis_study_sweeper._storage import JOURNAL, SQLITE

    if (folder / SQLITE).exists():
        return f"sqlite:///{(folder / SQLITE).absolute()}"
    if (folder / JOURNAL).exists():
        return str(folder / JOURNAL)
    raise TamisError(
        f"there is no {SQLITE} and no {JOURNAL} in {folder}; give the folder of the search (folder=...), or its "
        "storage (storage=...)"
    )


def open_study(name: str, storage: str) -> Study:
    """A study that is there; nothing is made.

    Raises
    ------
    TamisError : there is none of that name. StudyError : the storage cannot be read.
    """
    try:
        import optuna
    except ImportError as error:
        raise TamisError("Optuna is not installed; pip install 'tamis[search]'") from error
    from hydra_plugins.tamis_study_sweeper._storage import open_storage

    path = Path(storage.removeprefix("sqlite:///"))
    if ("://" not in storage or storage.startswith("sqlite:///")) and not path.exists():
        raise TamisError(f"storage={storage} is not there")
    opened = open_storage(storage)
    names = optuna.get_all_study_names(opened)
    if name not in names:
        raise TamisError(
            f"study={name} is not in {path.name}; {suggest(name, names)}there are: {', '.join(names) or 'none'}"
        )
    return optuna.load_study(study_name=name, storage=opened)


def best_trials(study: Study) -> list[FrozenTrial]:
    """The Pareto front, along its first objective; of a study with one objective the complete trials, best first.

    Trials that break a constraint come last.
    """
    complete = [trial for trial in ended(study) if trial.state.name == "COMPLETE"]
    if len(study.directions) > 1:
        front = set(best_numbers(study))
        return sorted((t for t in complete if t.number in front), key=lambda trial: trial.values[0])
    sign = -1.0 if study.direction.name == "MAXIMIZE" else 1.0

    def place(trial: FrozenTrial) -> tuple[bool, float]:
        return any(amount > 0 for amount in trial.user_attrs.get("constraints", ())), sign * trial.values[0]

    return sorted(complete, key=place)


def table_of(study: Study, folder: Path, n: int) -> Table:
    """The best trials: objectives, with the standard deviation over a trial's jobs, and the keys that were searched.

    Raises
    ------
    TamisError : no trial is complete.
    """
    trials = best_trials(study)
    if not trials:
        raise TamisError(f"no trial of study {study.study_name} is complete; {len(ended(study))} have ended")
    keys = list(dict.fromkeys(key for trial in trials[:n] for key in trial.params))
    names = objective_names(study, folder)
    what = "on the Pareto front" if len(names) > 1 else "complete"
    title = (
        f"{study.study_name}: {min(n, len(trials))} of {len(trials)} trials {what}, {len(ended(study))} ended"
    )
    table = Table(title=escape(title), box=box.SIMPLE_HEAD)
    table.add_column("trial", justify="right")
    for name, direction in zip(names, study.directions, strict=True):
        table.add_column(escape(f"{name.replace('/', '/ ')}\n({direction.name.lower()})"), justify="right")
    for key in keys:
        table.add_column(escape(key.replace(".", ". ")))
    spread = False
    for trial in trials[:n]:
        records = records_of(folder / str(trial.number))
        values = [
            f"{value:.5g}{_spread(records, name)}" for name, value in zip(names, trial.values, strict=True)
        ]
        shown = [_shown(trial.params[key]) if key in trial.params else "" for key in keys]
        table.add_row(str(trial.number), *values, *map(escape, shown))
        spread = spread or any("±" in value for value in values)
    if spread:
        table.caption = "mean ± standard deviation over the jobs of a trial (splits of the same data)"
    return table


def _spread(records: Sequence[TrialRecord], name: str) -> str:
    values = [record.measured[name] for record in records if name in record.measured]
    return f" ± {np.std(values, ddof=1):.2g}" if len(values) > 1 and len(values) == len(records) else ""


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(study: Study, wanted: str) -> int:
    """The number of the trial to be run again."""
    if wanted == "best":
        numbers = best_numbers(study)
        if len(numbers) == 1:
            return numbers[0]
        raise TamisError(
            f"rerun=best: {len(numbers)} trials are on the Pareto front; choose one of {', '.join(map(str, numbers))}"
        )
    numbers = [trial.number for trial in ended(study)]
    if not wanted.isdecimal() or int(wanted) not in numbers:
        raise TamisError(
            f"rerun={wanted} is no trial of the study; it is best, or a number up to {max(numbers)}"
        )
    return int(wanted)


@dataclass(frozen=True)
class Rerun:
    """A record and what running it again gave."""

    before: TrialRecord
    after: TrialRecord

    def differences(self) -> list[str]:
        """What is not the same, in words; versions are named only where numbers differ."""
        before, after = self.before, self.after
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
    """Metrics that differ by more than ``SAME``, or that only one side has; times and memory are not compared."""
    names = [name for name in {**before, **after} if not name.startswith(NOT_COMPARED)]
    return [
        f"{name} was {before.get(name)} and is {after.get(name)}"
        for name in names
        if not math.isclose(
            before.get(name, math.nan), after.get(name, math.nan), rel_tol=SAME, abs_tol=SAME * SAME
        )
    ]


def run_again(trial: Path, out: Path) -> list[str]:
    """Run the jobs of a trial again from their records, with the potential's files; returns what differs.

    Raises
    ------
    TamisError : there are no records, or the trial did not come to its end.
    """
    records = records_of(trial)
    if not records:
        raise TamisError(f"there is no record in {trial}; give the folder of the search (folder=...)")
    found: list[str] = []
    for i, record in enumerate(records):
        if record.status != COMPLETE:
            raise TamisError(
                f"trial {trial.name} is {record.status} ({record.reason}); choose one that is complete"
            )
        check_trusted(record.config, trial / RECORD_FILE)
        folder = out / str(i) if len(records) > 1 else out
        folder.mkdir(parents=True)
        after = run_resolved({**record.config, "artifacts": True}, folder, record.overrides, Parts.of)
        found += [
            f"{line} (job {i})" if len(records) > 1 else line for line in Rerun(record, after).differences()
        ]
    return found


if __name__ == "__main__":
    main()
