"""Where the configuration files are, the few functions that they may call, and what is wrong with a configuration."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from hydra.errors import (
    HydraException,
    InstantiationException,
    MissingConfigException,
    OverrideParseException,
)
from hydra.utils import get_class, instantiate
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from tamis.core.elements import mapping_to_type
from tamis.core.errors import DataError, TamisError
from tamis.core.names import folder_name, printable

NOT_OF_DATA = ("elements", "atom_spacing", "crystal", "reference", "reference_source")
"""Keys of a data set on which its structures do not depend."""
EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a finite number",
    str: "a text",
    Path: "a path",
    NoneType: "null",
}
"""What the types of constructor arguments are called in messages; other types are not checked."""


def config_folder() -> Path:
    """``tamis/conf`` of an installed package, ``conf`` on top of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"


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
    """``elements`` or ``atom_spacing`` of the structures themselves, for a data set that was not told.

    The structures are read when the first value is asked for, and shared with the trial that reads them.
    ``_parent_`` is OmegaConf's name for the node that the value stands in: the data set.
    """
    nodes = {key: _parent_[key] for key in map(str, _parent_) if key not in NOT_OF_DATA}
    plain = {
        key: OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig | ListConfig) else node
        for key, node in nodes.items()
    }
    try:
        named = {key: value for key, value in plain.items() if key != "_convert_"}  # instantiate adds it
        check_config(OmegaConf.create(named), "dataset.")  # what is misspelt is told in its own words
        source = instantiate(plain, _convert_="all")
        found = source.elements_of_data() if what == "elements" else source.spacing_of_data()
    except TamisError as error:
        raise DataError(str(error)) from error
    except InstantiationException as error:  # Hydra wraps what a constructor raises
        raise DataError(str(error.__cause__ or error)) from error
    return OmegaConf.create(list(found)) if isinstance(found, tuple) else found


def check_config(config: DictConfig, prefix: str = "") -> None:
    """Compare every value with the type of the constructor argument that it goes to.

    Text where a number is meant, ``no`` for ``false`` (which would count as true) and NaN would otherwise surface
    late, as another error, or not at all.

    Raises
    ------
    TamisError : names the key, its value and what is needed. OmegaConfBaseException : see ``explain``.
    """
    arguments = _arguments(config, prefix) if "_target_" in config else None
    for key in map(str, config):
        name, value = f"{prefix}{key}", config[key]
        if arguments is not None and key != "_target_" and key not in arguments:
            raise TamisError(_unknown_key(name, arguments))
        if isinstance(value, DictConfig):
            check_config(value, f"{name}.")
        if arguments is not None and key in arguments and not _fits(value, arguments[key]):
            expected = f"{_expected(arguments[key])} is needed"
            if isinstance(value, ListConfig) and any(
                get_origin(one) is Mapping for one in get_args(arguments[key])
            ):
                expected = mapping_to_type(name, list(value), _elements_of(config))
            raise TamisError(f"{name} is {_shown(value)}; {expected}")


def _elements_of(node: DictConfig) -> list[str]:
    """Elements of a part, or of its basis, as they were typed; none where they are not known yet."""
    given = node.get("elements") or OmegaConf.select(node, "basis.elements")
    return list(map(str, given)) if isinstance(given, ListConfig) else []


def _arguments(node: DictConfig, prefix: str) -> dict[Any, Any] | None:
    """Name and type of each constructor argument; None for classes that are no dataclasses."""
    try:
        target = get_class(node["_target_"])
    except Exception as error:  # whatever the import of a mistyped name leads to
        raise TamisError(
            f"{prefix}_target_ is {node._target_}, which cannot be imported ({error})"
        ) from error
    if not is_dataclass(target):
        return None
    hints = get_type_hints(target)
    return {field.name: hints[field.name] for field in fields(target) if field.init}


def _fits(value: Any, kind: Any) -> bool:
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if isinstance(value, DictConfig):
        return _fits_mapping(value, origin or kind)
    if origin is Literal:  # which words there are is told by who knows what they mean
        return any(type(value) is type(word) for word in inner)
    if origin is tuple:
        if isinstance(value, str):
            return inner[0] is str  # one file stands for a list of one
        return isinstance(value, ListConfig) and all(_fits(item, inner[0]) for item in value)
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


def flatten(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of a nested mapping under their Hydra names (``model.basis.r_cut``)."""
    for key, value in config.items():
        if not prefix and key == "choices":  # called as on the command line: descriptor=soap
            yield from value.items()
            continue
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            yield from flatten(value, f"{name}.")
        else:
            yield name, value


def explain(error: Exception) -> str:
    """What Hydra or OmegaConf found wrong, in a sentence that says what is allowed and what to do."""
    if data := _data_error(error):
        return str(data)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        options = ", ".join(error.options)
        return f"{group}={choice} is not a choice; {suggest(choice, error.options)}choose one of {options}"
    if isinstance(cause, ConfigKeyError | AttributeError) and isinstance(cause, OmegaConfBaseException):
        parent = cause.parent_node
        return _unknown_key(str(cause.full_key), parent if isinstance(parent, DictConfig) else ())
    if missing := re.search(r"Missing mandatory value: (\S+)", str(cause)):
        return f"{missing[1]} has no value; give it, as {missing[1]}=..."
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        reason = str(cause).splitlines()[0].split("while resolving interpolation: ")[-1]
        return f"{cause.full_key} cannot be worked out: {reason}"
    if isinstance(error, OverrideParseException) and printable(error.override) != error.override:
        return (
            f"{printable(error.override)} is no UTF-8, which Hydra takes between quotes only: write "
            """'key="value"', or give the file another name"""
        )
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} is not understood; write key=value, and double quotes inside single ones around values "
            """with # : { } and the like, such as 'dataset.drop=["train.xyz#12"]'"""
        )
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return (
            f"cannot write {error.filename or 'a file'} ({error.strerror or error}); make room or rights there, or "
            "choose another folder with hydra.run.dir=... (a single run) or hydra.sweep.dir=... (a sweep)"
        )
    return (
        str(error)
        or f"what was typed is not understood ({type(error).__name__}); write group=choice and key=value"
    )


def _data_error(error: BaseException | None) -> DataError | None:
    """The one that a resolver raised, within what OmegaConf and Hydra wrap around it."""
    while error is not None and not isinstance(error, DataError):
        error = error.__cause__ or error.__context__
    return error


def raised_by_hydra(error: Exception) -> bool:
    """Whether Hydra or OmegaConf stumbled over what was typed, such as ``model=1.5`` or ``model=[1]``."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = "" if place is None else str(place.tb_frame.f_globals.get("__name__", ""))
    return name.split(".")[0] in ("hydra", "omegaconf")


def _unknown_key(name: str, known: Iterable[Any]) -> str:
    parent, _, key = name.rpartition(".")
    keys = [str(k) for k in known if k not in ("_target_", "hydra")]
    return f"{name} is no setting; {suggest(key, keys)}{parent or 'the configuration'} has {', '.join(keys)}"


def suggest(word: str, known: Iterable[str]) -> str:
    """``did you mean x? `` for the most similar of the ``known`` words; nothing where none is similar."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}? " if close else ""
