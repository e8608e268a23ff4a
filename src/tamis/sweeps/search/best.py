"""The best trials of a study, and a table of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from tamis.core.files import write_atomically
from tamis.sweeps.folder import SweepFolder
from tamis.sweeps.same_sets import SAME_AS
from tamis.sweeps.search.studies import ended
from tamis.sweeps.summary import markdown_table, write_summary

TABLE_FILE = "best.csv"


def best_numbers(study: Study) -> frozenset[int]:
    """Numbers of the best trials: one, or a Pareto front; none where none is complete and keeps the constraints."""
    try:
        best = study.best_trials if len(study.directions) > 1 else [study.best_trial]
    except ValueError:
        return frozenset()
    return frozenset(trial.number for trial in best)


def best_trials(study: Study) -> list[FrozenTrial]:
    """The Pareto front along its first objective; of a study with one objective all complete trials, the best first.

    Trials that break a constraint come last.
    """
    complete = [trial for trial in ended(study) if trial.state == TrialState.COMPLETE]
    if len(study.directions) > 1:
        front = best_numbers(study)
        return sorted((t for t in complete if t.number in front), key=lambda trial: trial.values[0])
    sign = -1.0 if study.direction.name == "MAXIMIZE" else 1.0

    def place(trial: FrozenTrial) -> tuple[bool, float]:
        return any(amount > 0 for amount in trial.constraints.values()), sign * trial.values[0]

    return sorted(complete, key=place)


def objective_names(study: Study) -> list[str]:
    """Names of the metrics that the values of a trial are."""
    return study.metric_names or [f"objective {i}" for i in range(len(study.directions))]


def searched_keys(trials: list[FrozenTrial]) -> list[str]:
    """The keys that some of the trials have."""
    return list(dict.fromkeys(key for trial in trials for key in trial.params))


def rows_of(study: Study) -> tuple[list[str], list[list[str]]]:
    """Heading and rows of the best trials as people read them: number, objectives, the keys, and where one is equal."""
    trials = best_trials(study)
    keys = searched_keys(trials)
    head = ["trial", *objective_names(study), *keys, "same as"]
    rows = [
        [
            str(trial.number),
            *(f"{value:.4g}" for value in trial.values),
            *(_short(trial.params.get(key, "")) for key in keys),
            ", ".join(trial.user_attrs.get(SAME_AS, [])),
        ]
        for trial in trials
    ]
    if not any(row[-1] for row in rows):
        return head[:-1], [row[:-1] for row in rows]
    return head, rows


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def summarise_search(study: Study, folder: SweepFolder) -> None:
    """Write ``summary.md`` of a search: what is looked for, how its trials ended, and the best of them."""
    names, trials = objective_names(study), ended(study)
    asked = " and ".join(
        f"the {'smallest' if one.name == 'MINIMIZE' else 'largest'} {name}"
        for name, one in zip(names, study.directions, strict=True)
    )
    n = sum(trial.state == TrialState.COMPLETE for trial in trials)
    what = "The Pareto front" if len(names) > 1 else "The best trials"
    text = (
        f"**Question**\n\nWhich settings give {asked}?\n\n{len(trials)} trials have ended, {n} of them complete. "
        f"{what}:\n\n{markdown_table(*rows_of(study))}"
    )
    best = {
        name: (min if one.name == "MINIMIZE" else max)(values)
        for i, (name, one) in enumerate(zip(names, study.directions, strict=True))
        if (values := [trial.values[i] for trial in best_trials(study)])
    }
    write_summary(folder, text, best)


def leave_table(study: Study, folder: Path) -> None:
    """Write the best trials to ``best.csv``: number, objectives, and the keys that were searched."""
    trials = best_trials(study)
    keys, text = searched_keys(trials), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *objective_names(study), *keys])
    writer.writerows(
        [trial.number, *trial.values, *(trial.params.get(key, "") for key in keys)] for trial in trials
    )
    write_atomically(folder / TABLE_FILE, text.getvalue().encode())
