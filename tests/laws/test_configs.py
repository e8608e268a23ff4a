"""Every file of every group names one class and all of its arguments, and composes into a trial."""

import inspect

import pytest
from hydra.errors import InstantiationException
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, OmegaConf
from tests.composing import MORE, choices, composed, file_of

from tamis.core.errors import MissingEngineError

GROUPS = ("dataset", "descriptor", "latent", "pruner", "budget", "model", "evaluation")
FILES = [(group, choice) for group in GROUPS for choice in choices(group)]
OWN_FILES = ["dataset.train=some.xyz", "dataset.elements=[Si]", "dataset.atom_spacing=2.7"]
MANDATORY = {"dataset=file": OWN_FILES, "dataset=extxyz": OWN_FILES}


def test_every_group_has_choices():
    assert all(choices(group) for group in GROUPS)


@pytest.mark.parametrize(("group", "choice"), FILES)
def test_a_choice_composes_and_builds(group, choice):
    override = f"{group}={choice}"
    config = composed(override, *MANDATORY.get(override, []))
    try:
        built = instantiate(config[group])
    except InstantiationException as error:
        if not isinstance(error.__cause__, MissingEngineError):
            raise
        pytest.skip(str(error.__cause__))
    assert MORE or type(built).__module__.startswith("tamis.")


def written(group: str, choice: str) -> DictConfig:
    """What the file says, and the one of the same group that it builds on."""
    config = OmegaConf.load(file_of(group, choice))
    built_on = [entry for entry in config.get("defaults", []) if isinstance(entry, str) and entry != "_self_"]
    for name in built_on:
        config = OmegaConf.merge(
            config, written(group, name), {k: v for k, v in config.items() if k != "defaults"}
        )
    return config


@pytest.mark.parametrize(("group", "choice"), FILES)
def test_a_choice_lists_every_argument(group, choice):
    """What can be set is in the file: a reader needs no source, an override needs no plus sign."""
    config = written(group, choice)
    wanted = set(inspect.signature(get_class(config._target_)).parameters)
    given = set(config) - {"_target_", "defaults"}
    composed_in = {str(d).split("@")[-1].split("'")[0] for d in config.get("defaults", []) if "@" in str(d)}
    nested = {name.split(":")[0].split(".")[0] for name in composed_in if "_global_" not in name}
    assert given | nested == wanted


def test_extxyz_is_another_name_of_file():
    assert composed("dataset=extxyz", *OWN_FILES) == composed("dataset=file", *OWN_FILES)


def test_own_descriptor_is_the_models_basis():
    for model in choices("model"):
        defaults = written("model", model).defaults
        own = next(entry["/descriptor@basis"] for entry in defaults if "/descriptor@basis" in entry)
        config = composed(f"model={model}", f"descriptor={own}")
        assert instantiate(config.descriptor) == instantiate(config.model.basis)


@pytest.mark.parametrize("pruner", ["random", "stratified", "keep_all"])
def test_pruners_that_look_at_no_descriptor_bring_none(pruner):
    assert composed(f"pruner={pruner}").descriptor._target_ == "tamis.bases.none.NoDescriptor"
