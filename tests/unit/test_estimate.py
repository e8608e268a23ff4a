"""How long a sweep will take, from trials like its own."""

from collections.abc import Mapping
from typing import Any

import pytest

from tamis.records.record import COMPLETE, FAILED, TrialRecord
from tamis.sweeps.estimate import Estimate, TimedTrial, estimate, measurements, to_measure
from tamis.sweeps.job import Job


def record(status: str = COMPLETE, seconds: float = 1.0) -> TrialRecord:
    config = {"choices": {"model": "snap", "descriptor": "snap", "pruner": "fps"}, "seed": {"split": 0}}
    return TrialRecord(config=config, status=status, seconds={"fit": seconds, "setup": 9.0})


def ended(folder, one: TrialRecord):
    folder.mkdir(parents=True)
    one.save(folder)
    return folder


def like(**what) -> Mapping[str, Any]:
    """A configuration as far as its time depends on it."""
    about = {
        "model": "snap",
        "descriptor": "snap",
        "pruner": "fps",
        "element": "Si",
        "fractions": [0.1, 1.0],
    } | what
    choices = {name: about[name] for name in ("model", "descriptor", "pruner")} | {"evaluation": "errors"}
    return {
        "choices": choices,
        "seed": {"split": 0},
        "dataset": {"elements": [about["element"]], "split": about.get("split", "published")},
        "budget": {"fractions": about["fractions"]},
        "evaluation": {"properties": what.get("properties")},
    }


STAGES = dict.fromkeys(("setup", "dataset", "rows", "features", "selection", "fit", "errors"), 1.0)


def measured(fit: float = 1.0, **what) -> TimedTrial:
    return TimedTrial(like(**what), STAGES | {"fit": fit} | what.get("stages", {}), 1000)


def estimated(ran: list[TimedTrial], *left: Mapping[str, Any]) -> Estimate:
    return estimate([Job("x", (), config) for config in left], ran)


def test_estimates_take_the_mean_of_the_trials_most_alike():
    ran = [measured(1.0), measured(4.0), measured(99.0, model="ace"), measured(9.0, element="Mo")]
    assert estimated(ran, like()).seconds == pytest.approx(6.0 + 2.5)
    assert estimated(ran, like(pruner="cur")).unknown == {"selection of cur": 1}
    assert estimated(ran, like(element="Mo"), like(element="Li")).seconds == pytest.approx(
        6.0 + 9.0 + 6.0 + (1.0 + 4.0 + 9.0) / 3
    )


def test_what_one_trial_does_for_many_does_not_count():
    """The first of a process reads the data and makes the rows; the median is that of the others."""
    ran = [measured(stages={"rows": 500.0}), measured(), measured()]
    assert estimated(ran, like(), like()).seconds == pytest.approx(2 * 7.0)


def test_a_shorter_curve_takes_its_points():
    one = estimated([measured(8.0)], like(fractions=[0.3]))
    assert one.seconds == pytest.approx(5.0 + 8.0 / 2 + 1.0 / 2) and not one.unknown


def test_parts_that_were_never_run_are_named_and_the_others_counted():
    ran = [measured(), measured(3.0, model="nnp_quick")]
    found = estimated(ran, like(), like(model="gap"), like(properties={"elastic": {}}))
    assert found.unknown == {"fit of gap": 1, "errors of gap": 1, "properties of snap": 1}
    # of gap: no time of its rows, its fit and its errors
    assert found.seconds == pytest.approx(7.0 + 4.0 + 7.0) and found.size == pytest.approx(3000)


def test_only_complete_trials_are_measured(tmp_path):
    ended(tmp_path / "one", record(seconds=2.0))
    ended(tmp_path / "failed", record(FAILED, seconds=1000.0))
    (one,) = measurements([tmp_path])
    assert one.seconds == {"fit": 2.0, "setup": 9.0}
    assert one.size == (tmp_path / "one" / "record.json").stat().st_size


def test_nothing_measured_gives_no_estimate():
    found = estimated([], like())
    assert (found.seconds, found.size) == (0.0, 0.0) and "fit of snap" in found.unknown


def test_a_few_trials_measure_what_is_not_known():
    left = [
        Job(str(i), (), like(model=model)) for i, model in enumerate(("snap", "snap", "ace", "gap", "ace"))
    ]
    assert [job.name for job in to_measure(left, [measured()])] == ["2", "3"]
    assert [job.name for job in to_measure(left, [])] == ["0", "2", "3"]
