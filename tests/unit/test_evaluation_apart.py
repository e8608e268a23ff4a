"""What hangs, crashes or fails in a process of its own leaves what it had found."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from ase.calculators.emt import EMT
from tests import sampling

from tamis.evaluation.isolate import IsolatedError, TimeUpError, run_isolated
from tamis.evaluation.properties.collect import measure_isolated


def collected(function, argument, limit_s):
    found = []
    try:
        for result in run_isolated(function, argument, limit_s):
            found.append(result)
    except IsolatedError as error:
        return found, str(error)
    return found, ""


def test_results_come_in_order():
    assert collected(sampling.count, 4, 60.0) == ([0, 1, 2, 3], "")


def test_results_come_before_the_end():
    results = run_isolated(sampling.hang, 7, 60.0)
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


def test_the_limit_is_for_each_result():
    with pytest.raises(TimeUpError, match="not done after 0.5 s"):
        list(run_isolated(sampling.slowly, 2.0, 0.5))
    # 4 results within 1.2 s and more, each well within its own time
    assert collected(sampling.slowly, 0.3, 5.0) == ([0.3] * 4, "")


def test_a_process_is_used_again_unless_something_went_wrong_in_it():
    first = list(run_isolated(sampling.process_id, None, 60.0))
    assert first == list(run_isolated(sampling.process_id, None, 60.0)) != [os.getpid()]
    for function, limit_s in ((sampling.hang, 0.5), (sampling.crash_later, 60.0), (sampling.fail, 60.0)):
        before = list(run_isolated(sampling.process_id, None, 60.0))
        collected(function, 3, limit_s)
        assert list(run_isolated(sampling.process_id, None, 60.0)) != before
        assert not psutil.pid_exists(before[0])


def test_properties_share_a_process_and_a_calculator_until_one_takes_it_down():
    chosen = {
        "first": sampling.InProcess(),
        "failing": sampling.InProcess(fails=True),
        "second": sampling.InProcess(),
        "crashing": sampling.Crashing(),
        "third": sampling.InProcess(),
    }
    found = measure_isolated(chosen, sampling.COPPER, EMT(), 60.0)
    assert list(found) == list(chosen)
    problems = {name: problem for name, (_, problem) in found.items() if problem}
    assert problems.keys() == {"failing", "crashing"}
    assert problems["failing"] == "as asked for" and "SIGSEGV" in problems["crashing"]
    values = {name: measured.values for name, (measured, _) in found.items()}
    assert values["first"] == values["failing"] == values["second"] and values["crashing"] == {
        "before_eV": 1.0
    }
    assert values["third"]["process_eV"] != values["first"]["process_eV"]
    again, _ = measure_isolated({"third": chosen["third"]}, sampling.COPPER, EMT(), 60.0)["third"]
    assert again.values["process_eV"] == values["third"]["process_eV"], "of the trial before"


def test_an_idle_process_that_was_killed_is_replaced():
    (pid,) = run_isolated(sampling.process_id, None, 60.0)
    os.kill(pid, signal.SIGKILL)
    while psutil.pid_exists(pid):
        time.sleep(0.01)
    assert collected(sampling.count, 2, 60.0) == ([0, 1], "")


def test_an_idle_process_ends_with_its_parent():
    code = "from tamis.evaluation.isolate import run_isolated; from tests import sampling; import os; "
    code += "print(*run_isolated(sampling.process_id, None, 60.0), flush=True); os.kill(os.getpid(), 9)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    deadline = time.monotonic() + 10
    while psutil.pid_exists(int(done.stdout)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(done.stdout))
