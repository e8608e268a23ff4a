"""What Optuna is told of a trial, from the records of its jobs."""

import math

import pytest
from optuna.trial import TrialState

from tamis.core.errors import TamisError
from tamis.records.record import COMPLETE, FAILED, INTERRUPTED, SKIPPED, STOPPED, TrialRecord
from tamis.sweeps.search.outcome import Constraint, outcome_of

NAMES = ("a", "b")


def record(status=COMPLETE, reason="", **metrics) -> TrialRecord:
    return TrialRecord(config={}, status=status, reason=reason, metrics=metrics)


def test_jobs_count_by_their_mean():
    found = outcome_of([record(a=1.0, b=10.0, c=0.0), record(a=3.0, b=20.0)], NAMES, 2)
    assert (found.state, found.values) == (TrialState.COMPLETE, (2.0, 15.0))
    assert found.metrics == {"a": 2.0, "b": 15.0}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (SKIPPED, TrialState.PRUNED),
        (STOPPED, TrialState.PRUNED),
        (FAILED, TrialState.FAIL),
        (INTERRUPTED, TrialState.FAIL),
    ],
)
def test_the_first_job_that_is_not_complete_decides(status, state):
    found = outcome_of([record(a=1.0, b=1.0), record(status, "why")], NAMES, 3)
    assert (found.state, found.values, found.reason) == (state, (), "why")


def test_jobs_that_are_left_to_run_leave_it_open():
    assert outcome_of([record(a=1.0, b=1.0)], NAMES, 2) is None
    assert outcome_of([], NAMES, 1) is None


def test_a_missing_metric_is_a_failure_that_advises_no_test_error():
    found = outcome_of([record(**{"validation/force": 1.0, "test/forces": 1.0})], ["validation/forces"], 1)
    assert found.state == TrialState.FAIL
    assert "objective=validation/forces is none of the trial's metrics" in found.reason
    assert "did you mean test" not in found.reason


@pytest.mark.parametrize(
    ("text", "x", "sign"),
    [("x <= 2", 1, -1), ("x <= 2", 3, 1), ("x >= 2", 1, 1), ("x>=2e0", 3, -1), ("y <= 1", 0, 1)],
)
def test_constraints(text, x, sign):
    assert math.copysign(1, Constraint.parse(text).broken_by({"x": x})) == sign


@pytest.mark.parametrize("text", ["x < 2", "x", "<= 2", "x <= much", 3])
def test_constraints_that_are_none(text):
    with pytest.raises(TamisError, match="a constraint is"):
        Constraint.parse(text)
