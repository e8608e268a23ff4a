"""The functions that configuration files may call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf

from tamis.core.config_check import check_config
from tamis.core.errors import DataError, TamisError
from tamis.core.irrelevant import REFERENCES, TRANSFER
from tamis.core.names import folder_name

NOT_OF_DATA = ("elements", "atom_spacing", "crystal", *REFERENCES, *TRANSFER)
"""Keys of a data set that do not change its structures."""


def register_resolvers() -> None:
    """Make the resolvers ``tamis.times``, ``tamis.by``, ``tamis.folder`` and ``tamis.of_data`` known to OmegaConf."""
    OmegaConf.register_new_resolver("tamis.times", _times, replace=True)
    OmegaConf.register_new_resolver("tamis.by", _by, replace=True)
    OmegaConf.register_new_resolver("tamis.folder", _folder, replace=True)
    OmegaConf.register_new_resolver("tamis.of_data", _of_data, replace=True)


def _times(a: float, b: float) -> float:
    return round(float(a) * float(b), 6)  # a config is read by people, and hashed


def _folder(text: Any) -> str:
    return folder_name(str(text))


def _by(key: str, table: Mapping[str, Any]) -> Any:
    if key not in table:
        raise TamisError(f"{key!r} is unknown; choose one of {', '.join(map(str, table))}")
    return table[key]


def _of_data(what: str, *, _parent_: DictConfig) -> Any:
    """``elements`` or ``atom_spacing``, measured on the structures of a data set that does not give it.

    The structures are read when the first value is needed; the trial uses the same reading.
    OmegaConf passes the node that holds the value, here the data set, as ``_parent_``.
    """
    nodes = {key: _parent_[key] for key in map(str, _parent_) if key not in NOT_OF_DATA}
    plain = {
        key: OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig | ListConfig) else node
        for key, node in nodes.items()
    }
    try:
        named = {key: value for key, value in plain.items() if key != "_convert_"}  # instantiate adds it
        check_config(OmegaConf.create(named), "dataset.")  # explains misspelt keys better than Hydra
        source = instantiate(plain, _convert_="all")
        found = source.elements_of_data() if what == "elements" else source.spacing_of_data()
    except TamisError as error:
        raise DataError(str(error)) from error
    except InstantiationException as error:  # Hydra wraps what a constructor raises
        raise DataError(str(error.__cause__ or error)) from error
    return OmegaConf.create(list(found)) if isinstance(found, tuple) else found
