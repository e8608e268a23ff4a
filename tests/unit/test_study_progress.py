"""The line that says how far a search is."""

import optuna
import pytest
from optuna.trial import TrialState

from hydra_plugins.tamis_study_sweeper._progress import best_so_far
from hydra_plugins.tamis_study_sweeper._shared import CONSTRAINTS


def ended(study: optuna.Study, value: float | None, broken: list[float] | None = None) -> None:
    trial = study.ask()
    if broken is not None:
        trial.set_user_attr(CONSTRAINTS, broken)
    study.tell(trial, value, TrialState.FAIL if value is None else TrialState.COMPLETE)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_the_best_is_optunas(direction):
    study = optuna.create_study(direction=direction)
    assert best_so_far(study, study.trials) == "none is complete"
    ended(study, None)
    assert best_so_far(study, study.trials) == "none is complete"
    for value in (3.0, 1.0, 2.0, 1.0, 3.0):
        ended(study, value)
        said = best_so_far(study, study.trials)
        assert said == f"best {study.best_value:.6g} (trial {study.best_trial.number})"


def test_what_breaks_a_constraint_is_not_the_best():
    study = optuna.create_study()
    ended(study, 1.0, [0.0, 0.5])
    assert best_so_far(study, study.trials) == "none keeps to the constraints"
    ended(study, 2.0, [0.0, -1.0])
    assert best_so_far(study, study.trials) == "best 2 (trial 1)"
