"""How far a study is, in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra_plugins.tamis_study_sweeper._shared import CONSTRAINTS, ERROR, SharedStudy

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

WIDTH = 20
"""Characters of the bar."""


def progress(shared: SharedStudy, trials: Sequence[FrozenTrial]) -> str:
    """A bar, how many of the ``trials`` ended and how, and the best so far."""
    ended = [trial for trial in trials if trial.state.is_finished()]
    counts = Counter(trial.state.name.lower() for trial in ended)
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
    full = min(WIDTH, WIDTH * len(ended) // shared.n_trials)
    return (
        f"{'#' * full}{'.' * (WIDTH - full)} {len(ended)} of {shared.n_trials} trials ({kinds}); "
        f"{best_so_far(shared.study, trials)}"
    )


def best_so_far(study: Study, trials: Sequence[FrozenTrial]) -> str:
    """The best value among ``trials`` that break no constraint, and its trial, or the size of the Pareto front.

    Optuna's ``best_trial`` would read all trials again, a fiftieth of what a short trial costs on a server.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    if len(study.directions) > 1:
        return f"{len(study.best_trials)} on the Pareto front"
    values = {
        trial.number: trial.value
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and trial.value is not None
        and all(amount <= 0 for amount in amounts_of(trial))
    }
    if not values:
        return "none keeps to the constraints" if any(map(amounts_of, trials)) else "none is complete"
    pick = min if study.direction == StudyDirection.MINIMIZE else max
    best = pick(values, key=lambda number: values[number])
    return f"best {values[best]:.6g} (trial {best})"


def amounts_of(trial: FrozenTrial) -> Sequence[float]:
    """By how much a trial breaks each constraint; nothing where there are none."""
    found: Sequence[float] = trial.user_attrs.get(CONSTRAINTS, ())
    return found


def why_nothing(shared: SharedStudy) -> str:
    """Why no trial is complete: how they ended, and the last reason."""
    ended = shared.ended()
    counts = Counter(trial.state.name.lower() for trial in ended)
    reasons = [trial.user_attrs[ERROR] for trial in ended if ERROR in trial.user_attrs]
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none ended"
    last = f"; the last: {reasons[-1]}" if reasons else ""
    return f"no trial of study {shared.study.study_name!r} is complete ({kinds}){last}"
