"""Checks the values of a configuration by the types and rules of the constructors of its parts."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.utils import get_class
from omegaconf import DictConfig, ListConfig, OmegaConf

from tamis.core.elements import mapping_to_type
from tamis.core.errors import TamisError
from tamis.core.fields import rules_of
from tamis.core.suggestions import unknown_setting

EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    Path: "a path",
    NoneType: "null",
}
"""Names of the checked types in messages; other types are not checked."""


def check_config(config: DictConfig, prefix: str = "") -> None:
    """Check every value by the type and the rules of the constructor argument that it goes to.

    Without this check, text in place of a number, ``no`` in place of ``false`` (it would count as true) and NaN would
    cause another error later, or none.

    Raises
    ------
    TamisError : names the key, its value and what is needed. OmegaConfBaseException : see ``config_errors.explain``.
    """
    target = _target(config, prefix) if "_target_" in config else None
    arguments = _arguments(target) if is_dataclass(target) else None
    for key in map(str, config):
        name, value = f"{prefix}{key}", config[key]
        if isinstance(value, DictConfig):
            check_config(value, f"{name}.")
        if arguments is None or key == "_target_":
            continue
        if key not in arguments:
            raise TamisError(unknown_setting(name, arguments))
        if not fits(value, arguments[key]):
            raise TamisError(f"{name} is {_shown(value)}; {_needed(name, value, arguments[key], config)}")
        for rule in rules_of(target).get(key, ()):  # the constructor does not know the key's full name
            rule.apply(name, OmegaConf.to_object(value) if isinstance(value, ListConfig) else value)


def _needed(name: str, value: Any, kind: Any, config: DictConfig) -> str:
    if isinstance(value, ListConfig) and any(get_origin(one) is Mapping for one in get_args(kind)):
        return mapping_to_type(name, list(value), _elements_of(config))
    return f"{_expected(kind)} is needed"


def _elements_of(node: DictConfig) -> list[str]:
    """Elements of a part or of its basis, as they were typed; empty if they are not known yet."""
    given = node.get("elements") or OmegaConf.select(node, "basis.elements")
    return list(map(str, given)) if isinstance(given, ListConfig) else []


def _target(node: DictConfig, prefix: str) -> type:
    try:
        return get_class(node["_target_"])
    except Exception as error:  # the import of a mistyped name may raise anything
        raise TamisError(
            f"{prefix}_target_ is {node._target_}, which cannot be imported ({error})"
        ) from error


def _arguments(target: type) -> dict[str, Any]:
    """Name and type of each constructor argument of a dataclass."""
    hints = get_type_hints(target)
    return {field.name: hints[field.name] for field in fields(target) if field.init}


def fits(value: Any, kind: Any) -> bool:
    """Whether a value of a configuration has the type of the argument that it goes to."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(fits(value, one) for one in inner)
    if isinstance(value, DictConfig):
        return _fits_mapping(value, origin or kind)
    if origin is Literal:  # the class itself checks the words, and explains them
        return any(type(value) is type(word) for word in inner)
    if origin is tuple:
        if isinstance(value, str):
            return inner[0] is str  # one file stands for a list of one
        return isinstance(value, ListConfig) and all(fits(item, inner[0]) for item in value)
    if kind is float:
        return (
            isinstance(value, int | float)
            and not isinstance(value, bool)
            and abs(value) <= sys.float_info.max
        )
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    if kind in EXPECTED:
        return isinstance(value, str if kind is Path else kind)
    return not _is_part(kind) and origin is not Mapping


def _fits_mapping(value: DictConfig, kind: Any) -> bool:
    """A part names a class of the right kind; anything else that takes keys names none."""
    if kind is Mapping:
        return "_target_" not in value
    if _is_part(kind):
        found = get_class(value["_target_"]) if "_target_" in value else None
        return found is not None and (getattr(kind, "_is_protocol", False) or issubclass(found, kind))
    return kind not in EXPECTED and kind is not tuple


def _is_part(kind: Any) -> bool:
    """A class of tamis, which a mapping with ``_target_`` stands for."""
    return isinstance(kind, type) and kind.__module__.startswith("tamis.")


def _expected(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(_expected(one) for one in inner)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple:
        return f"a list, each entry {_expected(inner[0])},"
    if _is_part(kind):
        return f"a mapping with the _target_ of a {kind.__name__}"
    return "a mapping" if origin is Mapping else EXPECTED.get(kind, "something else")


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, ListConfig | DictConfig) else repr(value)
