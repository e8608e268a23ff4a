"""Search spaces: Hydra's syntax, conditions, and what is refused."""

import optuna
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from tamis.core.errors import TamisError
from tamis.sweeps.search.space import Parameter, Space, domain_of

PARSER = OverridesParser.create()


def domain(text: str):
    return domain_of(PARSER.parse_override(f"x={text}"))


def space(params=(), conditional=(), typed=()) -> Space:
    return Space.parse(dict(params), list(conditional), list(typed), PARSER)


@pytest.mark.parametrize(
    ("text", "kind", "low", "high", "step", "log"),
    [
        ("interval(-5.5, 5.5)", "float", -5.5, 5.5, None, False),
        ("interval(0, 1)", "float", 0, 1, None, False),
        ("int(interval(1, 10))", "int", 1, 10, 1, False),
        ("tag(log, interval(0.001, 10))", "float", 0.001, 10, None, True),
        ("tag(log, int(interval(1, 64)))", "int", 1, 64, 1, True),
        ("int(tag(log, interval(1, 64)))", "int", 1, 64, 1, True),
        ("range(1, 10)", "int", 1, 9, 1, False),
        ("range(0, 10, step=3)", "int", 0, 9, 3, False),
        ("range(10, 0, step=-3)", "int", 1, 10, 3, False),
        ("range(-5.5, 5.5, step=0.5)", "float", -5.5, 5.0, 0.5, False),
    ],
)
def test_numbers(text, kind, low, high, step, log):
    found = domain(text)
    assert type(found).__name__ == f"{kind.title()}Distribution"
    assert (found.low, found.high, found.step, found.log) == (low, high, step, log)


@pytest.mark.parametrize(
    "text", ["range(1, 10)", "range(0, 10, step=3)", "range(10, 0, step=-3)", "range(0, 1, step=0.25)"]
)
def test_a_range_has_the_values_that_hydra_would_run(text):
    listed = list(PARSER.parse_override(f"x={text}").sweep_iterator())
    assert Parameter("x", domain(text)).values() == sorted(listed)


@pytest.mark.parametrize(
    "text", ["choice(-5, 0, 5)", "a,b", "choice(a, b)", "true,false", "null,1", "[1,2],[3]", "'a b','c'"]
)
def test_a_choice_is_typed_as_it_was_meant(text):
    """What a trial sets is the same as what the basic sweeper would set."""
    listed = PARSER.parse_override(f"x={text}")
    overrides = space(typed=[f"x={text}"])
    found = [overrides.overrides(lambda _, one=one: one)[0] for one in overrides.parameters[0].values()]
    again = [PARSER.parse_override(one).value() for one in found]
    assert again == [PARSER.parse_override(f"x={one}").value() for one in listed.sweep_string_iterator()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("interval(2, 1)", "x=interval(2, 1): an interval needs two finite numbers, the smaller one first"),
        ("interval(1, 1)", "the smaller one first"),
        ("interval(0, inf)", "finite"),
        ("tag(log, interval(-1, 1))", "log=True"),
        ("tag(log, interval(0, 1))", "log=True"),
        ("tag(log, range(-1, 5))", "log=True"),
        ("tag(log, range(1, 5, step=2))", "step"),
        ("range(5, 1)", "is empty"),
        ("tag(lgo, interval(1, 2))", "lgo means nothing here"),
        ("tag(log, choice(1, 2))", "log means nothing here"),
        ("choice(a, b, a)", "a is there more than once"),
    ],
)
def test_domains_that_make_no_sense(text, words):
    with pytest.raises(TamisError) as caught:
        domain(text)
    assert words in str(caught.value)


def test_a_range_without_a_step_is_refused_by_someone():
    with pytest.raises(TamisError):
        domain("range(1, 5, step=0)")


def test_an_empty_space():
    with pytest.raises(TamisError, match="search space is empty"):
        space({"x": 1}, typed=["y=2"])


CONDITIONAL = [
    {"when": {"kind": "a"}, "params": {"a.n": "range(1, 4)"}},
    {
        "when": {"kind": ["b", "c"]},
        "params": {"b.log": "tag(log, interval(1e-3, 1))", "deep": "choice(x, y)"},
    },
    {"when": {"deep": "y"}, "params": {"deeper": "interval(0, 1)", "fixed_there": 4}},
]


def trials(spaced: Space, n: int = 60) -> list[list[str]]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(n):
        trial = study.ask()
        found.append(spaced.overrides(lambda one, trial=trial: one.suggest(trial)))
        study.tell(trial, 0.0)
    return found


def test_conditional_keys_are_there_under_their_conditions_and_only_there():
    needs = {"a.n": "kind=a", "deeper": "deep=y", "fixed_there": "deep=y"}
    seen = set()
    for job in trials(space({"kind": "choice(a, b, c, d)"}, CONDITIONAL)):
        keys = {override.split("=")[0] for override in job}
        seen |= keys
        for key, condition in needs.items():
            assert (key in keys) == (condition in job)
        assert ("b.log" in keys) == ("kind=b" in job or "kind=c" in job) == ("deep" in keys)
    assert seen == {"kind", "a.n", "b.log", "deep", "deeper", "fixed_there"}


def test_a_fixed_condition_decides_for_all():
    spaced = space({"kind": "choice(a, b)"}, CONDITIONAL, ["kind=a"])
    assert [parameter.name for parameter in spaced.parameters] == ["a.n"]
    assert spaced.fixed == {"kind": "a"}


def test_what_is_typed_keeps_the_condition():
    spaced = space({"kind": "choice(a, b)"}, CONDITIONAL, ["a.n=7"])
    assert all(("a.n=7" in job) == ("kind=a" in job) for job in trials(spaced))


def test_what_is_typed_comes_instead():
    spaced = space({"x": "interval(0, 1)", "y": "choice(a, b)"}, typed=["x=3", "y=range(0, 4)", "+z=5"])
    assert spaced.fixed == {"x": "3", "+z": "5"}
    assert spaced.describe() == {"y": "int 0 to 3 by 1"}


@pytest.mark.parametrize(
    ("conditional", "words"),
    [
        ([{"when": {"knid": "a"}, "params": {"y": "a,b"}}], "did you mean kind?"),
        ([{"if": {"kind": "a"}, "params": {"y": "a,b"}}], "it needs when"),
        ([{"when": {"kind": "a"}, "params": {"x": "interval(0, 1)"}}], "under a condition as well"),
        (
            [
                {"when": {"kind": "a"}, "params": {"y": "choice(1, 2)"}},
                {"when": {"kind": "b"}, "params": {"y": "choice(1, 3)"}},
            ],
            "only the limits of a key may differ",
        ),
    ],
)
def test_conditions_that_make_no_sense(conditional, words):
    with pytest.raises(TamisError) as caught:
        space({"kind": "choice(a, b)", "x": "interval(0, 1)"}, conditional)
    assert words in str(caught.value)


def test_limits_may_differ_by_condition():
    spaced = space(
        {"kind": "choice(a, b)"},
        [
            {"when": {"kind": "a"}, "params": {"y": "interval(0, 1)"}},
            {"when": {"kind": "b"}, "params": {"y": "interval(5, 6)"}},
        ],
    )
    for job in trials(spaced):
        low = 0 if "kind=a" in job else 5
        assert low <= float(job[-1].split("=")[1]) <= low + 1


def test_kinds_hold_every_key_and_every_choice_of_a_group():
    spaced = space({"kind": "choice(a, b, c, d)", "other": "choice(1, 2, 3)"}, CONDITIONAL)
    jobs = list(spaced.covering_jobs({"kind"}))
    said = {override for job in jobs for override in job}
    assert {"kind=a", "kind=b", "kind=c", "kind=d"} <= said
    assert {override.split("=")[0] for override in said} == {
        parameter.name for parameter in spaced.parameters
    }
    assert len(jobs) < 12


@pytest.mark.parametrize(
    ("start", "words"),
    [({"knd": "a"}, "did you mean kind?"), ({"kind": "z"}, "one of a, b"), ({"x": 2.0}, "float 0.0 to 1.0")],
)
def test_trials_to_begin_with_are_in_the_space(start, words):
    spaced = space({"kind": "choice(a, b)", "x": "interval(0, 1)"})
    spaced.check_start({"kind": "b", "x": 0.5})
    with pytest.raises(TamisError) as caught:
        spaced.check_start(start)
    assert words in str(caught.value)
