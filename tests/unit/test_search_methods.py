"""Samplers, stoppers, directions, constraints and what jobs return."""

import math

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._methods import (
    check_directions,
    check_pairs,
    make_sampler,
    make_stopper,
)
from hydra_plugins.tamis_study_sweeper._outcome import Outcome, Rule, mean_of, outcome_of
from hydra_plugins.tamis_study_sweeper._space import Space

NUMBERS = ["x=interval(0, 1)", "y=int(interval(1, 9))"]
CHOICES = ["x=interval(0, 1)", "kind=choice(a, b)"]
STEPS = ["x=range(0, 1, step=0.25)", "kind=choice(a, b)"]


def space(typed, conditional=()) -> Space:
    return Space.parse({}, list(conditional), typed, OverridesParser.create())


CONDITIONAL = space(CHOICES, [{"when": {"kind": "a"}, "params": {"z": "range(1, 5)"}}])


def of(name: str, **arguments):
    return OmegaConf.create({"_target_": f"optuna.{name}", **arguments})


SAMPLERS = {
    "TPESampler": CHOICES,
    "RandomSampler": CHOICES,
    "NSGAIISampler": CHOICES,
    "NSGAIIISampler": CHOICES,
    "BruteForceSampler": STEPS,
    "GridSampler": STEPS,
    "QMCSampler": NUMBERS,
    "CmaEsSampler": NUMBERS,
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_points_of_the_space(name):
    if name == "CmaEsSampler":
        pytest.importorskip("cmaes")
    searched = space(SAMPLERS[name])
    config = of(f"samplers.{name}", seed=1)
    check_pairs(config, None, searched, 1, 1)

    def points() -> list[list[str]]:
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=make_sampler(config, searched, [], None))
        found = []
        for i in range(8):
            trial = study.ask()
            found.append(searched.suggest(trial))
            if name not in ("GridSampler", "BruteForceSampler") or i < 7:
                study.tell(trial, float(i))
        return found

    first = points()
    assert first == points(), "the same seed gives other trials"
    assert len({tuple(one) for one in first}) > 4


def test_a_restarted_sampler_does_not_repeat_itself():
    searched, config = space(NUMBERS), of("samplers.RandomSampler", seed=1)
    samplers = [make_sampler(config, searched, stream, None) for stream in ([], [5], [5, 7], [5])]
    first = [searched.suggest(optuna.create_study(sampler=sampler).ask()) for sampler in samplers]
    assert len({tuple(one) for one in first}) == 3
    assert first[1] == first[3]


def test_the_grid_is_the_whole_product_and_ends():
    searched, config = space(STEPS), of("samplers.GridSampler", seed=0)
    study = optuna.create_study(sampler=make_sampler(config, searched, [], None))
    assert study.sampler._n_min_trials == 4 * 2


@pytest.mark.parametrize("name", ["CmaEsSampler", "GPSampler", "QMCSampler", "GridSampler"])
def test_samplers_without_conditions(name):
    with pytest.raises(StudyError, match=r"cannot search conditional keys \(z\)"):
        check_pairs(of(f"samplers.{name}"), None, CONDITIONAL, 1, 1)


@pytest.mark.parametrize(
    ("sampler", "stopper", "searched", "objectives", "repeats", "words"),
    [
        ("samplers.CmaEsSampler", None, CHOICES, 1, 1, "cannot search choices (kind)"),
        ("samplers.CmaEsSampler", None, NUMBERS, 2, 1, "cannot search 2 objectives"),
        ("samplers.GridSampler", None, CHOICES, 1, 1, "interval has no list of values"),
        ("samplers.TPESampler", "pruners.MedianPruner", CHOICES, 2, 1, "there are 2 objectives"),
        ("samplers.TPESampler", "pruners.WilcoxonPruner", CHOICES, 1, 1, "compares repeated runs"),
        ("samplers.TPESampeler", None, CHOICES, 1, 1, "did you mean optuna.samplers.TPESampler?"),
        ("pruners.MedianPruner", None, CHOICES, 1, 1, "no sampler of Optuna"),
        (
            "samplers.TPESampler",
            "pruners.MedianPrunr",
            CHOICES,
            1,
            1,
            "did you mean optuna.pruners.MedianPruner?",
        ),
    ],
)
def test_pairs_that_optuna_cannot_do(sampler, stopper, searched, objectives, repeats, words):
    stopper = None if stopper is None else of(stopper)
    with pytest.raises(StudyError) as caught:
        check_pairs(of(sampler), stopper, space(searched), objectives, repeats)
    assert words in str(caught.value)


def test_arguments_that_a_sampler_does_not_have():
    with pytest.raises(StudyError, match=r"hydra\.sweeper\.sampler cannot be built.*sede"):
        make_sampler(of("samplers.TPESampler", sede=1), space(NUMBERS), [], None)
    with pytest.raises(StudyError, match=r"hydra\.sweeper\.stopper cannot be built"):
        make_stopper(of("pruners.MedianPruner", n_startup_trials=-1))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("minimise", "did you mean minimize?"),
        ([], "is empty"),
        (["minimize", "up"], "'up'"),
        (None, "is empty"),
    ],
)
def test_wrong_directions(given, words):
    with pytest.raises(StudyError) as caught:
        check_directions(given)
    assert words in str(caught.value)


def test_directions():
    assert check_directions("maximize") == ("maximize",)
    assert check_directions(["minimize", "maximize"]) == ("minimize", "maximize")


def returned(value, status=JobStatus.COMPLETED) -> JobReturn:
    job = JobReturn()
    job.return_value, job.status = value, status
    return job


@pytest.mark.parametrize(
    ("value", "n", "status", "values"),
    [
        (1.5, 1, "complete", (1.5,)),
        ([1, 2], 2, "complete", (1.0, 2.0)),
        ({"values": 3, "measured": {"s": 1}}, 1, "complete", (3.0,)),
        ({"status": "pruned", "reason": "no"}, 1, "pruned", ()),
        ({"status": "failed", "reason": "no"}, 2, "failed", ()),
        (None, 1, "failed", ()),
        ("1.5", 1, "failed", ()),
        (math.nan, 1, "failed", ()),
    ],
)
def test_what_a_job_returns(value, n, status, values):
    found = outcome_of(returned(value), n)
    assert (found.status, found.values) == (status, values)
    assert status == "complete" or found.reason


def test_an_exception_is_a_failure_with_its_text():
    found = outcome_of(returned(ValueError("too hot"), JobStatus.FAILED), 1)
    assert (found.status, found.reason) == ("failed", "ValueError: too hot")


def test_another_number_of_values_ends_the_search():
    with pytest.raises(StudyError, match="returned 1 values .* has 2"):
        outcome_of(returned(1.0), 2)


def test_repeats_count_by_their_mean():
    jobs = [
        Outcome("complete", (1.0, 10.0), measured={"a": 1.0, "b": 0.0}),
        Outcome("complete", (3.0, 20.0), measured={"a": 2.0}),
    ]
    assert mean_of(jobs) == Outcome("complete", (2.0, 15.0), measured={"a": 1.5})
    bad = Outcome("pruned", reason="no")
    assert mean_of([*jobs, bad]) == bad


@pytest.mark.parametrize(
    ("text", "x", "sign"),
    [("x <= 2", 1, -1), ("x <= 2", 3, 1), ("x >= 2", 1, 1), ("x>=2e0", 3, -1), ("y <= 1", 0, 1)],
)
def test_constraints(text, x, sign):
    assert math.copysign(1, Rule.parse(text).broken_by({"x": x})) == sign


@pytest.mark.parametrize("text", ["x < 2", "x", "<= 2", "x <= much", 3])
def test_constraints_that_are_none(text):
    with pytest.raises(StudyError, match="a constraint is"):
        Rule.parse(text)
