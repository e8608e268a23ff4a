"""Samplers and stoppers: what each can search, what is refused; the settings of a search."""

import optuna
import pytest
from tests.searches import settings, space_of

from tamis.core.errors import TamisError
from tamis.sweeps.search.methods import check_methods, make_sampler, make_stopper

NUMBERS = {"x": "interval(0, 1)", "y": "int(interval(1, 9))"}
CHOICES = {"x": "interval(0, 1)", "kind": "choice(a, b)"}
STEPS = {"x": "range(0, 1, step=0.25)", "kind": "choice(a, b)"}
CONDITIONAL = {"params": CHOICES, "conditional": [{"when": {"kind": "a"}, "params": {"z": "range(1, 5)"}}]}
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
pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def of(name: str, **arguments):
    return {"_target_": f"optuna.{name}", **arguments}


def check(**changes):
    given = settings(**changes)
    check_methods(given, space_of(given))


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_points_of_the_space(name):
    if name == "CmaEsSampler":
        pytest.importorskip("cmaes")
    given = settings(params=SAMPLERS[name], sampler=of(f"samplers.{name}", seed=1))
    searched = space_of(given)
    check_methods(given, searched)

    def points() -> list[list[str]]:
        study = optuna.create_study(sampler=make_sampler(given.sampler, searched, []))
        found = []
        for i in range(8):
            trial = study.ask()
            found.append(searched.overrides(lambda one, trial=trial: one.suggest(trial)))
            if name not in ("GridSampler", "BruteForceSampler") or i < 7:
                study.tell(trial, float(i))
        return found

    first = points()
    assert first == points(), "the same seed gives other trials"
    assert len({tuple(one) for one in first}) > 4


def test_a_restarted_sampler_does_not_repeat_itself():
    searched, config = space_of(settings(params=NUMBERS)), of("samplers.RandomSampler", seed=1)
    first = []
    for stream in ([], [5], [5, 7], [5]):
        trial = optuna.create_study(sampler=make_sampler(config, searched, stream)).ask()
        first.append(searched.overrides(lambda one, trial=trial: one.suggest(trial)))
    assert len({tuple(one) for one in first}) == 3
    assert first[1] == first[3]


@pytest.mark.parametrize("name", ["CmaEsSampler", "GPSampler", "QMCSampler", "GridSampler"])
def test_samplers_without_conditions(name):
    with pytest.raises(TamisError, match=r"cannot search conditional keys \(z\)"):
        check(**CONDITIONAL, sampler=of(f"samplers.{name}"))


TWO = ["minimize", "minimize"]
TPE = of("samplers.TPESampler")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"sampler": of("samplers.CmaEsSampler")}, "cannot search choices (kind)"),
        (
            {"sampler": of("samplers.CmaEsSampler"), "params": NUMBERS, "direction": TWO},
            "cannot search several objectives",
        ),
        ({"sampler": of("samplers.GridSampler")}, "an interval has no list of values"),
        ({"stopper": of("pruners.MedianPruner"), "direction": TWO}, "there are 2 objectives"),
        ({"stopper": of("pruners.WilcoxonPruner")}, "compares repeated runs"),
        ({"sampler": of("samplers.TPESampeler")}, "did you mean optuna.samplers.TPESampler?"),
        ({"sampler": of("pruners.MedianPruner")}, "no sampler of Optuna"),
        ({"stopper": of("pruners.MedianPrunr")}, "did you mean optuna.pruners.MedianPruner?"),
        ({"sampler": of("samplers.TPESampler", sede=1)}, "hydra.sweeper.sampler cannot be built"),
        (
            {"stopper": of("pruners.MedianPruner", n_startup_trials=-1)},
            "hydra.sweeper.stopper cannot be built",
        ),
    ],
)
def test_what_optuna_cannot_do(changes, words):
    with pytest.raises(TamisError) as caught:
        check(**{"params": CHOICES, "sampler": TPE, **changes})
    assert words in str(caught.value)


def test_no_stopper():
    for config in (None, of("pruners.NopPruner")):
        assert isinstance(make_stopper(config), optuna.pruners.NopPruner)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"direction": "minimise"}, "did you mean minimize?"),
        ({"direction": []}, "is empty"),
        ({"direction": ["minimize", "up"]}, "'up'"),
        ({"n_trials": 0}, "n_trials is 0; it must be a whole number from 1 on"),
        ({"n_trials": 1.5}, "n_trials is 1.5"),
        ({"max_failure_rate": 2}, "max_failure_rate is 2; it must be at least 0 and at most 1"),
        ({"on_change": "go"}, "choose one of refuse, continue"),
        ({"study_name": ""}, "study_name is ''"),
        ({"study_name": "a" * 600}, "1 to 512 characters"),
        ({"study_name": "a\udcfcb"}, r"study_name is 'a\\xfcb'"),
        ({"repeat": {"a": [1, 2], "b": [3]}}, "lists of lengths a: 2, b: 1"),
        ({"repeat": {"a": []}}, "lists of lengths a: 0"),
    ],
)
def test_wrong_settings(changes, words):
    with pytest.raises(TamisError) as caught:
        settings(**changes)
    assert words in str(caught.value)


def test_repeats_take_their_values_together():
    assert settings(repeat={"a": [1, 2], "b": [3, 4]}).repeats == [("a=1", "b=3"), ("a=2", "b=4")]
    assert settings().repeats == [()]
    assert settings(direction=TWO).directions == ("minimize", "minimize")
