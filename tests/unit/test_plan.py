"""What a grid or a plan lists, in which order, and under which names its trials are kept."""

from functools import cache
from itertools import groupby, pairwise
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from tests.composing import choices, composed
from tests.searches import settings

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.parts import resolved
from tamis.sweeps.grid import Grid, plan_of
from tamis.sweeps.grid import composed as composed_jobs
from tamis.sweeps.job import Job, differences, identity, name_of, sweep_name
from tamis.sweeps.overrides import lines_of
from tamis.sweeps.plan import Plan, typed

SETS = {"two": [{"pruner": "random", "descriptor": "none"}, {"pruner": "fps", "descriptor": "snap"}]}
LARGE = {"seeds": 5, "product": {"model": ["snap", "ace"], "dataset.element": ["Si", "Mo"]}, "sets": ["two"]}
SMALL = {"seeds": 2, "product": {"model": ["gap"]}, "sets": []}
PLAN = Plan(sets=SETS, blocks={"large": LARGE, "small": SMALL}, chunk=2)


def listed(plan: Plan, *arguments) -> list[tuple[str, dict[str, str]]]:
    """Block and overrides of every trial; the seed under its own name."""
    found = []
    for block, lines in plan.trials(*arguments):
        pairs = dict(line.partition("=")[::2] for line in lines)
        seeds = {pairs.pop(f"seed.{name}") for name in ("split", "select", "fit")}
        (pairs["seed"],) = seeds
        found.append((block, pairs))
    return found


def test_every_combination_comes_once():
    trials = listed(PLAN)
    assert len(trials) == len({str(one) for one in trials}) == 5 * 2 * 2 * 2 + 2
    large = {(p["model"], p["descriptor"], int(p["seed"])) for block, p in trials if block == "large"}
    assert large == {(m, d, s) for m in ("snap", "ace") for d in ("none", "snap") for s in range(5)}


def test_a_part_of_a_plan_has_a_little_of_everything():
    """The first seeds of each block come before later seeds of any."""
    runs = [
        (block, {int(pairs["seed"]) // 2 for _, pairs in trials})
        for block, trials in groupby(listed(PLAN), lambda one: one[0])
    ]
    assert runs == [("large", {0}), ("small", {0}), ("large", {1, 2})]


def test_neighbours_share_what_is_read():
    """Of all that varies the data set changes least often, the model most often."""
    trials = [pairs for block, pairs in listed(PLAN) if block == "large"]

    def changes(key: str) -> int:
        return sum(a[key] != b[key] for a, b in pairwise(trials))

    assert changes("dataset.element") < changes("seed") < changes("descriptor") < changes("model")


WRONG = [
    ({"chunk": 0}, "plan.chunk is 0"),
    ({"blocks": {}}, "plan.blocks is empty"),
    ({"sets": {"two": []}}, "plan.sets.two must be a list"),
    ({"blocks": {"a": SMALL | {"sed": 1}}}, "did you mean seeds?"),
    ({"blocks": {"a": {"seeds": 1, "product": {}}}}, "plan.blocks.a has no sets"),
    ({"blocks": {"a": SMALL | {"seeds": 0}}}, "seeds is 0"),
    ({"blocks": {"a": SMALL | {"seeds": True}}}, "seeds is True"),
    ({"blocks": {"a": SMALL | {"product": {"model": "snap"}}}}, "product.model is 'snap'"),
    ({"blocks": {"a": SMALL | {"product": {"model": []}}}}, "product.model is \\[\\]"),
    ({"blocks": {"a": SMALL | {"sets": ["tow"]}}}, "did you mean two?"),
    ({"blocks": {"a": SMALL | {"product": {"pruner": ["fps"]}, "sets": ["two"]}}}, "sets pruner twice"),
    ({"blocks": {"a": SMALL | {"product": {"seed.split": [1]}}}}, "sets seed.split"),
]


@pytest.mark.parametrize(("change", "words"), WRONG, ids=[words for _, words in WRONG])
def test_a_wrong_plan_is_refused(change, words):
    given = {"sets": SETS, "blocks": {"small": SMALL}, "chunk": 1} | change
    with pytest.raises(TamisError, match=words):
        Plan(**given)


@pytest.mark.parametrize(
    "value", ["fps", 3, 0.25, 1e-10, True, None, [1, 2.5, "a"], {"a": [1, None]}, "it's a, b: #2"]
)
def test_hydra_reads_what_a_plan_writes(value):
    (override,) = OverridesParser.create().parse_overrides([f"key={typed(value)}"])
    assert override.value() == value


def test_interpolations_stay_what_they_are():
    (override,) = OverridesParser.create().parse_overrides([f"key={typed('${a:1,${b.c}}')}"])
    assert override.value() == "${a:1,${b.c}}"


def test_none_is_typed_as_null():
    (job,) = jobs_of(None, together=[{"dataset.crystal": None}])
    assert job.config["dataset"]["crystal"] is None
    assert settings(repeat={"dataset.crystal": [None]}).repeats == [("dataset.crystal=null",)]


FEW = Plan(sets=SETS, blocks={"a": {"seeds": 2, "product": {"model": ["snap"]}, "sets": ["two"]}}, chunk=5)
PLAIN = {"params": {}, "together": (), "blocks": (), "retry_failed": False, "dry_run": False, "measured": ()}


def jobs_of(plan: Plan | None, *overrides: str, **more) -> list[Job]:
    register_resolvers()
    grid, parser = Grid(**PLAIN | more), OverridesParser.create()
    given = parser.parse_overrides(lines_of(grid.params))
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        trials = grid.trials(plan, given, parser.parse_overrides(list(overrides)))
        return composed_jobs(trials, grid.blocks)


def test_a_trial_is_what_the_command_line_would_run():
    for job in jobs_of(FEW, "latent.scaling=global", "artifacts=false"):
        alone = resolved(composed(*job.overrides, "store.remember=true"))
        assert {key: value for key, value in job.config.items() if key != "choices"} == alone
        assert job.config["choices"]["descriptor"] in ("none", "snap")


def test_a_trial_of_two_blocks_is_run_once():
    one = {"seeds": 2, "product": {"model": ["snap"]}, "sets": []}
    plan = Plan(sets={}, blocks={"a": one, "b": one | {"seeds": 3}}, chunk=5)
    found = [(job.labels["block"], job.config["seed"]["split"]) for job in jobs_of(plan)]
    assert found == [("a", 0), ("a", 1), ("b", 2)]


TOGETHER = [{"pruner": "random", "descriptor": "none"}, {"pruner": "fps", "descriptor": "ace"}]


def overrides_of(*typed_too: str, **more) -> list[tuple[str, ...]]:
    return [job.overrides for job in jobs_of(None, *typed_too, **more)]


def test_a_grid_is_the_product_of_what_was_typed():
    assert overrides_of("model=ace,snap", "seed.split=range(2)") == [
        (f"model={model}", f"seed.split={split}") for model in ("ace", "snap") for split in (0, 1)
    ]


def test_what_belongs_together_stays_together():
    assert overrides_of("model=ace,snap", together=TOGETHER) == [
        (f"model={model}", *more)
        for model in ("ace", "snap")
        for more in (("pruner=random", "descriptor=none"), ("pruner=fps", "descriptor=ace"))
    ]
    assert overrides_of("descriptor=soap,snap", together=TOGETHER) == [
        ("descriptor=soap",),
        ("descriptor=snap",),
    ]


def test_what_is_typed_overrules_the_parameters_of_an_experiment():
    assert overrides_of("model=gap", params={"model": "snap,ace", "seed.fit": 3}) == [
        ("model=gap", "seed.fit=3")
    ]


@pytest.mark.parametrize("wrong", ["pruner=cruz", "seed.spilt=2", "+seed.split=2"])
def test_what_cannot_be_composed_is_told_before_the_first_trial(wrong):
    with pytest.raises(HydraException):
        jobs_of(None, "model=snap,ace", wrong)


def test_a_range_is_for_a_search():
    with pytest.raises(HydraException, match="only a search draws values"):
        jobs_of(None, "budget.fraction=interval(0.1,0.5)")


def test_equal_trials_are_one():
    """Where structures are drawn at random no descriptor makes a difference: the baseline is one trial."""
    jobs = jobs_of(None, "pruner=random,fps", "descriptor=soap,snap")
    choices_of = [(job.config["choices"]["pruner"], job.config["choices"]["descriptor"]) for job in jobs]
    assert choices_of == [("random", "none"), ("fps", "soap"), ("fps", "snap")]
    assert jobs[0].config["descriptor"] == resolved(composed("descriptor=none"))["descriptor"]


@cache
def configuration(*overrides: str) -> dict[str, Any]:
    return resolved(composed("dataset=mlearn", *overrides))


def name(*overrides: str) -> str:
    chosen = {"model": "snap", "pruner": "fps", "descriptor": "snap"}
    return name_of({"choices": chosen, **configuration(*overrides)}, ("dataset=mlearn", *overrides))


ELSEWHERE = [
    "store.root=other",
    "store.memory_gib=0.01",
    "dataset.root=somewhere",
    "dataset.cache=somewhere",
    "dataset.base_url=http://there",
    "dataset.verify=false",
    "tracking.uri=http://user:word@there",
    "hydra.launcher.n_workers=3",
]


@pytest.mark.parametrize("override", ELSEWHERE)
def test_where_things_are_kept_makes_no_other_trial_and_no_other_sweep(override):
    if not override.startswith("hydra"):
        assert name(override) == name()
        assert differences(identity(configuration()), identity(configuration(override))) == []
    assert sweep_name(None, ["model=ace,snap", override]) == sweep_name(None, ["model=ace,snap"])


def test_a_difference_is_told_as_it_would_be_typed():
    before, now = (identity(resolved(composed(*more))) for more in ((), ("model.basis.r_cut=4.4",)))
    (one,) = differences(before, now)
    assert one.startswith("model.basis.r_cut: ") and one.endswith("-> 4.4")


OTHERS = [
    "seed.split=1",
    "seed.fit=1",
    "dataset.element=Mo",
    "dataset.split=grouped",
    "model.n_folds=4",
    "model.basis.r_cut=4.4",
    "latent.pooling=mean_std",
    "budget.fraction=0.3",
    "evaluation.errors.by_group=false",
    "validation_fraction=0.2",
]


@pytest.mark.parametrize("override", OTHERS)
def test_what_decides_a_result_makes_another_trial(override):
    assert name(override) != name()


@pytest.mark.parametrize("plan", choices("plan"))
def test_every_block_of_a_plan_composes(plan):
    experiment = f"experiment={ {'full': 'study', 'quick': 'study_quick'}.get(plan, plan) }"
    whole = plan_of(composed(experiment))
    first = {name: dict(block) | {"seeds": 1} for name, block in whole.blocks.items()}
    for name in first:
        only = Plan(whole.sets, {name: first[name]}, whole.chunk)
        one = next(only.trials())
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            assert composed_jobs([(one[0], (experiment, *one[1]))])[0].labels == {"block": name}


def test_the_comparison_has_what_the_protocol_asks_for():
    config = composed("experiment=comparison")
    assert config.validation_fraction == 0.0 and config.dataset.split == "halves"
    assert list(config.budget.fractions) == [0.05, 0.08, 0.13, 0.2, 0.33, 0.5, 1.0]
    trials = [(block, pairs) for block, pairs in listed(plan_of(config))]
    data = {
        (p["dataset.element"], p["dataset.repetition"], p["dataset.half"]): 0
        for b, p in trials
        if b == "errors"
    }
    assert len(data) == 4 * 6 * 2
    spaces = {"ace", "soap", "acsf", "chimes", "snap", "quests"}
    for model in ("snap", "ace", "chimes", "gap", "nnp"):
        for where in data:
            of_pool = [
                p
                for _, p in trials
                if p["model"] == model
                and (p["dataset.element"], p["dataset.repetition"], p["dataset.half"]) == where
            ]
            assert {p["descriptor"] for p in of_pool if p["pruner"] == "fps"} == spaces
            assert {"random", "stratified"} <= {p["pruner"] for p in of_pool}
    # an unfinished run has some of every element and arm: a repetition is done before the next begins
    repetitions = [p["dataset.repetition"] for b, p in trials if b == "errors"]
    assert repetitions == sorted(repetitions)


def test_the_study_is_what_the_protocol_asks_for():
    config = composed("experiment=study")
    trials = listed(plan_of(config))
    fractions = list(config.budget.fractions)
    assert (
        len(fractions) >= 7 and fractions[0] == 0.03 and fractions[-1] == 1.0 and config.budget.of == "atoms"
    )
    primary = [pairs for block, pairs in trials if block.startswith("primary")]
    seeds = {
        model: {p["seed"] for p in primary if p["model"] == model} for model in {p["model"] for p in primary}
    }
    assert {model: len(numbers) for model, numbers in seeds.items()} == {
        "snap": 50,
        "ace": 50,
        "chimes": 50,
        "gap": 20,
        "nnp_quick": 5,
    }
    assert {p["descriptor"] for p in primary} == {"none", "ace", "soap", "acsf", "chimes", "snap", "quests"}
    assert {p["pruner"] for p in primary} == {"random", "stratified", "fps", "anti"}


def test_matched_cutoffs_are_equal():
    whole = plan_of(composed("experiment=study"))
    plan = Plan(whole.sets, {"matched_cutoffs": dict(whole.blocks["matched_cutoffs"]) | {"seeds": 1}}, 1)
    for job in jobs_of(plan, "experiment=study", "model=snap", "dataset.element=Mo"):
        assert job.config["model"]["basis"]["r_cut"] == 2 * job.config["dataset"]["atom_spacing"]
        if job.config["choices"]["descriptor"] != "none":
            assert job.config["descriptor"]["r_cut"] == job.config["model"]["basis"]["r_cut"]


def test_a_part_of_a_plan_is_chosen():
    part = listed(PLAN, {"model": ["ace", "gap"], "dataset.element": ["Mo"]})
    assert {pairs["model"] for _, pairs in part} == {"ace"} and len(part) == 10


def test_what_is_typed_chooses_a_part_of_a_plan():
    jobs = jobs_of(FEW, "pruner=random", "validation_fraction=0.1,0.2")
    assert {job.config["choices"]["pruner"] for job in jobs} == {"random"}
    assert {job.config["validation_fraction"] for job in jobs} == {0.1, 0.2} and len(jobs) == 4


@pytest.mark.parametrize(
    ("blocks", "typed_too", "words"),
    [
        (["big"], (), "no block big; it has a"),
        ([], ("pruner=cur",), "no pruner=cur; it varies pruner over fps, random"),
    ],
)
def test_a_part_that_is_not_there_is_told(blocks, typed_too, words):
    with pytest.raises(TamisError, match=words):
        jobs_of(FEW, *typed_too, blocks=blocks)


def test_identity_leaves_its_argument_alone():
    config = {"choices": {}, **resolved(composed())}
    before = str(config)
    identity(config)
    assert str(config) == before


def test_blocks_that_are_run_one_after_the_other_share_their_trials():
    """A trial of two blocks is the same trial, whichever is asked for, and however each says it."""
    sets = {"a": [{"pruner": "random", "descriptor": "soap"}], "b": [{"pruner": "random"}]}
    block = {"seeds": 2, "product": {"model": ["snap"]}}
    plan = Plan(sets, {"a": block | {"sets": ["a"]}, "b": block | {"seeds": 3, "sets": ["b"]}}, chunk=5)
    whole = {job.name: job for job in jobs_of(plan)}
    parts = {name: jobs_of(plan, blocks=[name]) for name in ("a", "b")}
    assert [job.name for job in parts["a"]] == [job.name for job in parts["b"]][:2]
    assert {job.name for one in parts.values() for job in one} == whole.keys() and len(whole) == 3
    assert all(job == whole[job.name] for one in parts.values() for job in one)
