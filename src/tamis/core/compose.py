"""The configuration that ``tamis <overrides>`` would run, for programs that may use Hydra themselves."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from hydra.version import VersionBase, setbase
from omegaconf import DictConfig, open_dict

from tamis.core.conf_folder import config_folder
from tamis.core.resolvers import register_resolvers

HYDRA_VERSION = "1.3"
"""Whose rules the files in ``conf/`` follow."""
LOCK = Lock()


def composed(*overrides: str) -> DictConfig:
    """A new copy of the configuration, not worked out.

    Hydra's ``compose`` needs ``initialize``, which replaces the one Hydra of the process. This asks the loader behind
    it, so that any thread may call it, within a program of Hydra's, too.

    Raises
    ------
    HydraException : see ``tamis.core.config_errors.explain``.
    """
    register_resolvers()
    return copy.deepcopy(_composed(overrides))


@lru_cache(maxsize=64)
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    with LOCK, _rules_of_our_files():
        loader = ConfigLoaderImpl(create_config_search_path(str(config_folder())))
        config = loader.load_configuration("config", list(overrides), RunMode.RUN, from_shell=False)
    with open_dict(config):
        del config["hydra"]
    return config


@contextmanager
def _rules_of_our_files() -> Iterator[None]:
    """Hydra keeps the version whose rules it follows for the whole process."""
    of_process = VersionBase.instance()
    before = of_process.version_base
    setbase(HYDRA_VERSION)
    try:
        yield
    finally:
        of_process.version_base = before
