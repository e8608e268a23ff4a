"""How far a study is, in a line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hydra_plugins.tamis_study_sweeper._shared import ERROR, SharedStudy

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
        f"{best_so_far(shared.study)}"
    )


def best_so_far(study: Study) -> str:
    """The best value and its trial, or the size of the Pareto front."""
    if len(study.directions) > 1:
        return f"{len(study.best_trials)} on the Pareto front"
    try:
        best = study.best_trial
    except ValueError:
        return "none is complete"
    return f"best {best.value:.6g} (trial {best.number})"


def why_nothing(shared: SharedStudy) -> str:
    """Why no trial is complete: how they ended, and the last reason."""
    ended = shared.ended()
    counts = Counter(trial.state.name.lower() for trial in ended)
    reasons = [trial.user_attrs[ERROR] for trial in ended if ERROR in trial.user_attrs]
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items())) or "none ended"
    last = f"; the last: {reasons[-1]}" if reasons else ""
    return f"no trial of study {shared.study.study_name!r} is complete ({kinds}){last}"
