"""The best trials of a study, and a table of them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from optuna import Study
from optuna.trial import FrozenTrial, TrialState

from tamis.core.files import write_atomically
from tamis.sweeps.search.studies import ended

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
