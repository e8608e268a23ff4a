"""What a study's plan lists, in which order, and under which names its trials are kept."""

import shutil
from itertools import groupby, pairwise

import pytest
from hydra import initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from tests.composing import choices, composed

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.parts import resolved
from tamis.study.cli import chosen
from tamis.study.crew import BATCH, batches_of
from tamis.study.trials import Trial, identity, name_of, plan_of, read_composed, trials_of, write_composed
from tamis.sweeps.plan import Plan, typed

SETS = {"two": [{"pruner": "random", "descriptor": "none"}, {"pruner": "fps", "descriptor": "snap"}]}
LARGE = {"seeds": 5, "product": {"model": ["snap", "ace"], "dataset.element": ["Si", "Mo"]}, "sets": ["two"]}
SMALL = {"seeds": 2, "product": {"model": ["gap"]}, "sets": []}
PLAN = Plan(sets=SETS, blocks={"large": LARGE, "small": SMALL}, chunk=2)


def test_every_combination_comes_once():
    jobs = list(PLAN.jobs())
    assert len(jobs) == len(set(jobs)) == 5 * 2 * 2 * 2 + 2
    large = {
        (dict(j.overrides)["model"], dict(j.overrides)["descriptor"], j.seed)
        for j in jobs
        if j.block == "large"
    }
    assert large == {(m, d, s) for m in ("snap", "ace") for d in ("none", "snap") for s in range(5)}


def test_a_part_of_a_study_has_a_little_of_everything():
    """The first seeds of each block come before later seeds of any."""
    runs = [
        (block, {job.seed // 2 for job in jobs})
        for block, jobs in groupby(PLAN.jobs(), lambda job: job.block)
    ]
    assert runs == [("large", {0}), ("small", {0}), ("large", {1, 2})]


def test_neighbours_share_what_is_read():
    """Of all that varies the data set changes least often, the model most often."""
    jobs = [dict(job.overrides) | {"seed": job.seed} for job in PLAN.jobs() if job.block == "large"]

    def changes(key: str) -> int:
        return sum(a[key] != b[key] for a, b in pairwise(jobs))

    assert changes("dataset.element") < changes("seed") < changes("descriptor") < changes("model")


WRONG = [
    ({"chunk": 0}, "study.chunk is 0"),
    ({"blocks": {}}, "study.blocks is empty"),
    ({"sets": {"two": []}}, "study.sets.two must be a list"),
    ({"blocks": {"a": SMALL | {"sed": 1}}}, "did you mean seeds?"),
    ({"blocks": {"a": {"seeds": 1, "product": {}}}}, "study.blocks.a has no sets"),
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


def trials(jobs, *typed_too: str) -> list[Trial]:
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return list(trials_of(jobs, ["artifacts=false"], typed_too))


FEW = Plan(sets=SETS, blocks={"a": {"seeds": 2, "product": {"model": ["snap"]}, "sets": ["two"]}}, chunk=5)


def test_a_trial_is_what_the_command_line_would_run():
    for trial in trials(FEW.jobs(), "latent.scaling=global"):
        alone = resolved(composed(*trial.overrides, "artifacts=false"))
        assert {key: value for key, value in trial.config.items() if key != "choices"} == alone
        assert trial.config["choices"]["descriptor"] in ("none", "snap")


def test_what_was_composed_is_kept_until_a_configuration_file_changes(tmp_path, monkeypatch):
    register_resolvers()
    kept, path = {}, tmp_path / "composed.json"
    assert read_composed(path) == {}
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        made = list(trials_of(FEW.jobs(), [], [], kept))
    write_composed(path, kept)
    again = list(trials_of(FEW.jobs(), [], [], read_composed(path)))  # without Hydra: nothing is composed
    assert [trial.name for trial in again] == [trial.name for trial in made] and len(kept) == 2
    folder = shutil.copytree(config_folder(), tmp_path / "conf")
    monkeypatch.setattr("tamis.study.trials.config_folder", lambda: folder)
    assert len(read_composed(path)) == 2
    (folder / "latent" / "standard.yaml").write_text("another")
    assert read_composed(path) == {}
    path.write_text("damaged")
    assert read_composed(path) == {}


def test_a_trial_of_two_blocks_is_run_once():
    one = {"seeds": 2, "product": {"model": ["snap"]}, "sets": []}
    plan = Plan(sets={}, blocks={"a": one, "b": one | {"seeds": 3}}, chunk=5)
    assert [(t.block, t.config["seed"]["split"]) for t in trials(plan.jobs())] == [
        ("a", 0),
        ("a", 1),
        ("b", 2),
    ]


def name(*overrides: str) -> str:
    chosen_names = {"model": "snap", "pruner": "fps", "descriptor": "snap"}
    return name_of({"choices": chosen_names, **resolved(composed("dataset=mlearn", *overrides))})


ELSEWHERE = [
    "store.root=other",
    "store.n_jobs=1",
    "store.memory_gib=0.01",
    "dataset.root=somewhere",
    "dataset.cache=somewhere",
    "artifacts=false",
    "tracking.uri=http://there",
    "objective=validation/energy_mae_meV_per_atom",
    "evaluation.errors.parity_plot=true",
    "dataset.reference_source=elsewhere",
]


@pytest.mark.parametrize("override", ELSEWHERE)
def test_where_things_are_kept_makes_no_other_trial(override):
    assert name(override) == name()


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


def test_references_belong_to_a_trial_that_measures_properties():
    other = "dataset.reference_source=elsewhere"
    assert name("evaluation=quick", other) != name("evaluation=quick")


def test_no_plan_is_told():
    with pytest.raises(TamisError, match="experiment=study"):
        plan_of(composed())


@pytest.mark.parametrize("plan", choices("study"))
def test_every_block_of_a_plan_composes(plan):
    experiment = {"full": "study"}.get(plan, f"study_{plan}")
    jobs = {job.block: job for job in plan_of(composed(f"experiment={experiment}")).jobs()}
    assert {t.block for t in trials(jobs.values(), f"experiment={experiment}")} == set(jobs)


def test_the_study_is_what_the_protocol_asks_for():
    config = composed("experiment=study")
    jobs = list(plan_of(config).jobs())
    fractions = list(config.budget.fractions)
    assert (
        len(fractions) >= 7 and fractions[0] == 0.03 and fractions[-1] == 1.0 and config.budget.of == "atoms"
    )
    seeds, descriptors, pruners = {}, set(), set()
    for job in jobs:
        overrides = dict(job.overrides)
        if job.block.startswith("primary"):
            seeds.setdefault(overrides["model"], set()).add(job.seed)
            descriptors.add(overrides["descriptor"])
            pruners.add(overrides["pruner"])
    assert {model: len(numbers) for model, numbers in seeds.items()} == {
        "snap": 50,
        "ace": 50,
        "chimes": 50,
        "gap": 20,
        "nnp_quick": 5,
    }
    assert descriptors == {"none", "ace", "soap", "acsf", "chimes", "snap", "quests"}
    assert pruners == {"random", "stratified", "fps", "anti"}


def test_matched_cutoffs_are_equal():
    plan = list(plan_of(composed("experiment=study")).jobs())
    jobs = [j for j in chosen(plan, ["model=snap", "dataset.element=Mo"], ["matched_cutoffs"]) if j.seed == 0]
    for trial in trials(jobs, "experiment=study"):
        assert trial.config["model"]["basis"]["r_cut"] == 2 * trial.config["dataset"]["atom_spacing"]
        if trial.config["choices"]["descriptor"] != "none":
            assert trial.config["descriptor"]["r_cut"] == trial.config["model"]["basis"]["r_cut"]


def test_a_part_of_a_plan_is_chosen():
    jobs = list(PLAN.jobs())
    assert {job.block for job in chosen(jobs, [], ["small"])} == {"small"}
    part = list(chosen(jobs, ["model=ace,gap", "dataset.element=Mo"], []))
    assert {dict(job.overrides)["model"] for job in part} == {"ace"} and len(part) == 10


@pytest.mark.parametrize(
    ("only", "blocks", "words"),
    [
        ([], ["big"], "--block big"),
        (["model=cae"], [], "no model=cae; it varies model over ace, gap, snap"),
        (["latent=x"], [], "does not vary latent"),
    ],
)
def test_a_part_that_is_not_there_is_told(only, blocks, words):
    with pytest.raises(TamisError, match=words):
        list(chosen(list(PLAN.jobs()), only, blocks))


def test_batches_hold_what_shares_its_data():
    config = resolved(composed()) | {"choices": {}}
    made = [
        Trial(f"{split}-{i}", "a", config | {"seed": {"split": split}}, ())
        for split in (0, 1)
        for i in range(BATCH + 2)
    ]
    batches = batches_of(made)
    assert [trial for batch in batches for trial in batch] == made
    assert [len(batch) for batch in batches] == [BATCH, 2, BATCH, 2]


def test_identity_leaves_its_argument_alone():
    config = {"choices": {}, **resolved(composed())}
    before = str(config)
    identity(config)
    assert str(config) == before
