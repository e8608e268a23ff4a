"""Objects of choices and settings, composed as the command line composes them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import OmegaConf

from tamis.core.compose import composed
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.core.names import quoted
from tamis.data.dataset import Dataset
from tamis.data.sources.spacing import spacing_of
from tamis.parts import Seeds, build_part, effective, plain
from tamis.store import Store

Choice = str | Mapping[str, Any]
"""Name of a file in ``conf/<group>``; or a mapping with it as ``name``, and with the settings that differ."""
StoreChoice = Store | str | Path | Mapping[str, Any] | None
"""A folder, or settings of the store; None: as on the command line."""


def build(data: Dataset, store: StoreChoice, **choices: Choice) -> dict[str, Any]:
    """The objects of choices by their groups, and ``store``, as the command line would build them for ``data``.

    Raises
    ------
    TamisError, HydraException, OmegaConfBaseException : what is wrong with them.
    """
    asked = {group: named(group, choice) for group, choice in choices.items()}
    overrides = [f"{group}={quoted(name)}" for group, (name, _) in asked.items()]
    config = plain(composed(*overrides), resolve=False)
    nodes = {group: changed(config[group], settings) for group, (_, settings) in asked.items()}
    if not isinstance(store, Store):
        given = store if isinstance(store, Mapping) else {} if store is None else {"root": str(store)}
        nodes["store"] = changed(config["store"], given)
    nodes["dataset"] = {"elements": list(data.whole_elements or data.elements)}
    if "dataset.atom_spacing" in str(nodes):
        nodes["dataset"]["atom_spacing"] = data.atom_spacing or spacing_of(data)
    whole = OmegaConf.create(nodes)
    check_config(whole)
    found = plain(whole, resolve=True)
    if "pruner" in found:
        found = effective(found)
    built = {group: build_part(group, found[group]) for group in choices}
    return built | {"store": store if isinstance(store, Store) else build_part("store", found["store"])}


def seeds(split: int = 0, select: int = 0, fit: int = 0) -> Seeds:
    """Seeds that are whole numbers.

    Raises
    ------
    TamisError : one is none.
    """
    for seed in (split, select, fit):
        if not isinstance(seed, int | np.integer) or seed < 0:
            raise TamisError(f"the seed is {seed!r}; it must be a whole number from 0 on")
    return Seeds(int(split), int(select), int(fit))


def named(group: str, choice: Choice) -> tuple[str, Mapping[str, Any]]:
    """The name of a choice and its settings."""
    if isinstance(choice, str):
        return choice, {}
    if isinstance(choice, Mapping) and isinstance(choice.get("name"), str):
        return choice["name"], {key: value for key, value in choice.items() if key != "name"}
    raise TamisError(
        f"{group} is {choice!r}; give the name of a choice, or a mapping with its name and settings, such as "
        '{"name": "soap", "r_cut": 5.0}'
    )


def changed(node: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """A node of the configuration with other values; mappings are merged."""
    found = dict(node)
    for key, value in settings.items():
        inner = found.get(key)
        if isinstance(value, Mapping) and isinstance(inner, Mapping):
            value = changed(inner, value)
        found[key] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    return found
