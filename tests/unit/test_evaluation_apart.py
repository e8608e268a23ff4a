"""What hangs, crashes or fails in a process of its own leaves what it had found."""

import pytest
from tests import sampling

from tamis.evaluation.base import Findings
from tamis.evaluation.isolate import StoppedError, gather, run_apart


def collected(function, argument, limit_s, each=False):
    found = []
    try:
        for result in run_apart(function, argument, limit_s, each):
            found.append(result)
    except StoppedError as error:
        return found, str(error)
    return found, ""


def test_results_come_in_order():
    assert collected(sampling.count, 4, 60.0) == ([0, 1, 2, 3], "")


def test_results_come_before_the_end():
    results = run_apart(sampling.hang, 7, 60.0)
    assert next(results) == 7  # the rest would take a quarter of an hour
    results.close()


@pytest.mark.parametrize(
    ("function", "limit_s", "reason"),
    [
        (sampling.hang, 0.5, "not done after 0.5 s"),
        (sampling.crash_later, 60.0, "SIGSEGV"),
        (sampling.fail, 60.0, "ZeroDivisionError: nothing to divide by"),
    ],
)
def test_what_was_found_before_the_end_is_kept_with_the_reason(function, limit_s, reason):
    found, why = collected(function, 3, limit_s)
    assert found == [3]
    assert reason in why


def test_a_limit_may_be_for_each_result():
    assert collected(sampling.slowly, 0.3, 1.0)[1] == "not done after 1 s"
    # 4 results within 1.2 s and more, each well within its own time
    assert collected(sampling.slowly, 0.3, 5.0, each=True) == ([0.3] * 4, "")


def test_findings_are_gathered_with_the_problem_of_the_stage():
    def stopped():
        yield Findings({"a": 1.0}, {"x": "why"})
        yield Findings({"b": 2.0})
        raise StoppedError("no more")

    assert gather("md", stopped()) == Findings({"a": 1.0, "b": 2.0}, {"x": "why", "md": "no more"})
