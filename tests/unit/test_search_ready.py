"""The ready spaces of conf/search compose, every key and choice of them; so do all samplers and stoppers."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from tests.composing import choices

from tamis.core.conf_folder import config_folder
from tamis.core.resolvers import register_resolvers
from tamis.sweeps.composing import Composer
from tamis.sweeps.search.methods import check_methods
from tamis.sweeps.search.run import definition_of
from tamis.sweeps.search.space import Space

READY = [name for name in choices("search") if name not in ("none", "study_of_tamis")]


@pytest.mark.parametrize("name", READY)
def test_a_ready_space_composes(name):
    register_resolvers()
    typed = [f"search={name}"]
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        config = compose("config", return_hydra_config=True, overrides=[*typed, "hydra.runtime.output_dir=x"])
        given = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
        kind = get_class(given["_target_"])
        settings = kind(**{key: value for key, value in given.items() if key[0] != "_"})
        space = Space.parse(settings.params, settings.conditional or (), typed, OverridesParser.create())
        check_methods(settings, space)
        composer = Composer([f"{key}={value}" for key, value in space.fixed.items()])
        for job in space.covering_jobs(set(config.hydra.runtime.choices)):
            pairs = (one.partition("=") for one in (*job, *settings.repeats[0]))
            composer.config(tuple((key, value) for key, _, value in pairs))
        definition = definition_of(settings, space, composer.config(()))
    assert not any(one.startswith("test/") for one in definition["objective"])
    assert set(definition["space"]) == {one.name for one in space.parameters}
    assert definition["repeat"] == {"seed.split": [0, 1, 2]}
    assert "split" not in definition["config"]["seed"] and "store" not in definition["config"]
    assert len(definition["config"]["data"]) > 10, "the fingerprint of the data is missing"


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
@pytest.mark.parametrize("group", ["sampler", "stopper"])
def test_samplers_and_stoppers_have_the_arguments_of_their_files(group):
    for name in choices(f"hydra/sweeper/{group}"):
        config = OmegaConf.load(config_folder() / "hydra" / "sweeper" / group / f"{name}.yaml")
        if name in ("grid", "gp", "cmaes"):  # the grid needs a space; the others packages that may be missing
            continue
        assert type(instantiate(config)).__name__ == config._target_.rpartition(".")[2]
