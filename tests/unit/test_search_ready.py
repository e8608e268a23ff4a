"""The ready spaces of conf/search compose, every key and choice of them; so do all samplers and stoppers."""

from types import SimpleNamespace

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from tests.composing import choices

from hydra_plugins.tamis_study_sweeper._methods import check_pairs
from hydra_plugins.tamis_study_sweeper._space import Space
from tamis.core.configuration import config_folder, register_resolvers
from tamis.parts import objectives

READY = [name for name in choices("search") if name not in ("none", "study_of_tamis")]


@pytest.fixture(params=READY)
def sweeper(request):
    register_resolvers()
    typed = [f"search={request.param}", "hydra.runtime.output_dir=x"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        master = compose("config", return_hydra_config=True, overrides=typed)
    loader = ConfigLoaderImpl(create_config_search_path(f"file://{config_folder()}"))
    assert loader.load_configuration("config", [], run_mode=RunMode.MULTIRUN)
    arguments = {name: value for name, value in master.hydra.sweeper.items() if not name.startswith("_")}
    made = get_class("hydra_plugins.tamis_study_sweeper.sweeper.StudySweeper")(**arguments)
    made.config, made.hydra_context = master, SimpleNamespace(config_loader=loader)
    return made, typed[:1]


def test_a_ready_space_composes(sweeper):
    made, typed = sweeper
    space = Space.parse(made.params, made.conditional, typed, OverridesParser.create())
    directions = [made.direction] if isinstance(made.direction, str) else made.direction
    check_pairs(made.sampler, made.stopper, space, len(directions), len(made.repeats()))
    for job in space.kinds(set(made.config.hydra.runtime.choices)):
        config = made.compose([*job, *made.repeats()[0]])
        assert len(objectives(config)) == len(directions)
        assert not any(name.startswith("test/") for name in objectives(config))
    assert made.identity is None
    for key in made.indifferent:
        assert key.split(".")[0] in config, key


@pytest.mark.parametrize("group", ["sampler", "stopper"])
def test_samplers_and_stoppers_have_the_arguments_of_their_files(group):
    for name in choices(f"hydra/sweeper/{group}"):
        config = OmegaConf.load(config_folder() / "hydra" / "sweeper" / group / f"{name}.yaml")
        if name in ("grid", "gp", "cmaes"):  # the grid needs a space; the others packages that may be missing
            continue
        assert type(instantiate(config)).__name__ == config._target_.rpartition(".")[2]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n_trials": 0}, "n_trials is 0; a whole number from 1 on"),
        ({"n_jobs": 1.5}, "n_jobs is 1.5"),
        ({"max_failure_rate": 2}, "it is from 0 to 1"),
        ({"study_name": ""}, "study_name is empty"),
    ],
)
def test_wrong_numbers(wrong, words):
    made = make_sweeper(**wrong)
    with pytest.raises(Exception) as caught:
        made._check_numbers()
    assert words in str(caught.value)


def test_repeats_are_walked_through_together():
    assert make_sweeper(repeat={"a": [1, 2], "b": [3, 4]}).repeats() == [["a=1", "b=3"], ["a=2", "b=4"]]
    assert make_sweeper().repeats() == [[]]
    for wrong in ({"a": [1, 2], "b": [3]}, {"a": []}):
        with pytest.raises(Exception) as caught:
            make_sweeper(repeat=wrong).repeats()
        assert "hydra.sweeper.repeat has lists of lengths" in str(caught.value)


def make_sweeper(**changes):
    config = OmegaConf.load(config_folder() / "hydra" / "sweeper" / "study.yaml")
    arguments = {str(k): v for k, v in config.items() if str(k)[0] != "_" and k != "defaults"}
    more = {"sampler": OmegaConf.create(), "stopper": None}
    return get_class("hydra_plugins.tamis_study_sweeper.sweeper.StudySweeper")(
        **{**arguments, **more, **changes}
    )
