"""Composing the real configuration in tests."""

import os
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from tamis.core.conf_folder import config_folder
from tamis.core.resolvers import register_resolvers

MORE = os.environ.get("TAMIS_LAWS_CONFIG_DIR", "")
"""A folder with choices of your own, which the laws are then for, too (docs/extending.md)."""


def composed(*overrides: str) -> DictConfig:
    """The configuration that ``tamis <overrides>`` would run."""
    register_resolvers()
    added = [f"hydra.searchpath=['file://{Path(MORE).absolute()}']"] if MORE else []
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides=[*added, *overrides])


def choices(group: str) -> list[str]:
    """The files of a group."""
    return sorted(path.stem for folder in _folders() for path in (folder / group).glob("*.yaml"))


def file_of(group: str, choice: str) -> Path:
    """The file of a choice."""
    return next(path for folder in _folders() if (path := folder / group / f"{choice}.yaml").exists())


def _folders() -> list[Path]:
    return [config_folder(), *([Path(MORE)] if MORE else [])]
