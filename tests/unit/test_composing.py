"""Configurations that are put together from parts are those that Hydra composes."""

import random
import re

import pytest
from hydra import initialize_config_dir
from hydra.errors import HydraException

from tamis.core.conf_folder import config_folder
from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.sweeps import composing
from tamis.sweeps.composing import Composer, composed_whole
from tamis.sweeps.grid import plan_of
from tamis.sweeps.overrides import Pairs
from tamis.sweeps.plan import Planned

STUDY = ["store.remember=true", "experiment=study"]
USUAL = ["artifacts=false"]


@pytest.fixture(scope="module")
def hydra():
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        yield


@pytest.fixture(scope="module")
def plan(hydra) -> list[Planned]:
    return list(plan_of(composing.compose("config", STUDY)).trials())


def whole(fixed, overrides) -> dict:
    return composed_whole([*fixed, *(f"{key}={text}" for key, text in overrides)])


@pytest.fixture(scope="module")
def composer(hydra) -> Composer:
    """Of what ``tamis`` runs by itself; one for many tests, as one for many trials."""
    return Composer(USUAL)


@pytest.fixture
def counted(monkeypatch) -> dict[str, int]:
    """How often Hydra composes a part, and a whole."""
    calls = {"_part": 0, "composed_whole": 0}

    def watch(name: str) -> None:
        real = getattr(composing, name)

        def counting(*arguments):
            calls[name] += 1
            return real(*arguments)

        monkeypatch.setattr(composing, name, counting)

    for name in calls:
        watch(name)
    return calls


def kinds_of(jobs) -> dict[str, list[Pairs]]:
    """The different configurations of each block."""
    found: dict[str, dict[Pairs, None]] = {}
    for block, lines in jobs:
        pairs = tuple(line.partition("=")[::2] for line in lines if not line.startswith("seed."))
        found.setdefault(block, {})[pairs] = None
    return {block: list(kinds) for block, kinds in found.items()}


def check(sample, counted) -> None:
    composer = Composer(STUDY)
    for overrides in sample:
        assert composer.config(overrides) == whole(STUDY, overrides)
    assert counted["composed_whole"] == 0


def test_configurations_of_the_study_are_those_of_hydra(plan, counted):
    """Neighbours, of which the later take nodes that the earlier have left, and the last of a block."""
    kinds = kinds_of(plan)
    check([*kinds["primary"][:3], kinds["matched_cutoffs"][-1]], counted)


@pytest.mark.slow
def test_every_tenth_configuration_of_the_study_is_that_of_hydra(plan, counted):
    kinds = [one for of_block in kinds_of(plan).values() for one in of_block]
    check(random.Random(0).sample(kinds, len(kinds) // 10), counted)


def test_hydra_composes_each_choice_once(plan, counted):
    wanted = {
        "dataset.element": {"Si"},
        "model": {"snap", "ace"},
        "pruner": {"cur", "direct", "msc"},
        "descriptor": {"snap", "soap"},
    }
    kinds = [
        one
        for one in kinds_of(plan)["pruners"]
        if all(dict(one)[key] in values for key, values in wanted.items())
    ]
    composer = Composer(STUDY)
    for overrides in kinds:
        composer.config(overrides)
    assert len(kinds) == 2 * 3 * 2 and counted == {"_part": 1 + 2 + 3 + 2, "composed_whole": 0}


AWKWARD = {
    "whole numbers, as Hydra reads them": [("seed.split", "0"), ("seed.select", "-7"), ("seed.fit", "12")],
    "what only looks like one": [("model.n_folds", "3"), ("seed.fit", "0012")],
    "a choice that chooses in another group": [("pruner", "random")],
    "and is contradicted, by what would be chosen without it": [("pruner", "random"), ("descriptor", "snap")],
    "in two groups": [("budget", "curve"), ("pruner", "keep_all"), ("model", "ace")],
    "the later of two": [("model", "ace"), ("model", "snap"), ("model.n_folds", "3"), ("model.n_folds", "4")],
    "null and a list": [("model.stress_weights", "[0.5]"), ("evaluation.properties", "null")],
    "a mapping, which is merged": [("model.basis", "{twojmax:4}")],
    "outside of nodes": [("validation_fraction", "0.25")],
    "a new key": [("+model.basis.extra", "1"), ("~model.basis.extra", "1")],
    "a choice within a choice": [("evaluation", "quick"), ("evaluation.dynamics", "null")],
    "reaching over": [("model.basis.r_cut", "${dataset.atom_spacing}"), ("dataset.atom_spacing", "3.5")],
    "any node": [("model.basis.r_cut", "${oc.select:dataset.atom_spacing}"), ("dataset.atom_spacing", "3.5")],
    "a name worked out": [("model.basis.r_cut", "${${oc.select:x,dataset}.atom_spacing}")],
}


@pytest.mark.parametrize("overrides", AWKWARD.values(), ids=AWKWARD)
def test_awkward_overrides_are_what_hydra_makes_of_them(composer, overrides):
    quoted = tuple((key, f"'{text}'" if "$" in text else text) for key, text in overrides)
    try:
        expected = whole(USUAL, quoted)
    except (HydraException, TamisError) as error:
        with pytest.raises(type(error), match=re.escape(str(error)[:60])):
            composer.config(quoted)
    else:
        assert composer.config(quoted) == expected


def test_what_is_typed_need_not_fit_the_usual_model(hydra, counted):
    """Chosen alone, the pruner leaves a descriptor that has no such key."""
    fixed, overrides = ["descriptor.twojmax=4"], (("pruner", "random"), ("descriptor", "snap"))
    assert Composer(fixed).config(overrides) == whole(fixed, overrides)
    assert counted["composed_whole"] == 1


WRONG = [
    ("model", "snop", "model=snop is not a choice; did you mean snap"),
    ("model.basis.twojmax", "much", "model.basis.twojmax is 'much'; a whole number"),
    ("model.basis.tojmax", "4", "tojmax is no setting; did you mean twojmax"),
    ("model.basis.r_cut", "'${dataset.spacing}'", "spacing"),
    ("model", "snap,ace", "sweep"),
]


@pytest.mark.parametrize(("key", "text", "words"), WRONG, ids=[words for *_, words in WRONG])
def test_what_is_wrong_is_told_as_ever(composer, key, text, words):
    with pytest.raises(Exception) as caught:  # of several kinds, all of which explain knows
        composer.config(((key, text),))
    assert words in explain(caught.value)


def test_a_value_that_follows_a_seed_follows_each(hydra):
    composer = Composer(["dataset=sw_silicon", "dataset.seed=${seed.split}"])
    assert [composer.config((("seed.split", str(n)),))["dataset"]["seed"] for n in range(2)] == [0, 1]
