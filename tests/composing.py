"""Composing the real configuration in tests."""

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from tamis.core.conf_folder import config_folder
from tamis.core.resolvers import register_resolvers


def composed(*overrides: str) -> DictConfig:
    """The configuration that ``tamis <overrides>`` would run."""
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def choices(group: str) -> list[str]:
    """The files of a group."""
    return sorted(path.stem for path in (config_folder() / group).glob("*.yaml"))
