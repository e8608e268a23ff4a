"""Resolved configurations of many sets of overrides, from few compositions.

Hydra takes a third of a second to compose a configuration and OmegaConf half of that to work out its values; a study
has hundreds that differ in a few nodes. Each choice is therefore composed once, beside the study's own overrides, and
a configuration is put together from the nodes (``dataset``, ``model``, ...) that its choices change. Choices that
change the same node are composed together. Values are then set. A node is resolved only if an identical node, with
identical nodes behind its interpolations, has not been resolved before. What does not fit this is composed as a whole.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hydra import compose
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tamis.core.conf_folder import config_folder
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.core.irrelevant import NO_TRIAL
from tamis.parts import GROUPS, check_settings, effective, plain, resolved
from tamis.sweeps.overrides import Pairs

KEY = re.compile(r"\w+(\.\w+)*")
"""What a plain override sets: no package, no list index, nothing added or deleted."""
WHOLE = re.compile(r"0|-?[1-9]\d*")
"""What Hydra reads as a whole number, at least."""
UNPREDICTABLE = re.compile(r"\$\{(?!tamis\.(?:times|by|of_data):)[^:{}]*(?::|\$\{)")
"""An interpolation whose target cannot be read off its text: an unknown resolver, or a nested interpolation."""
SPECIAL = re.compile(r"\$\{|\?\?\?|_target_")
"""In a node as JSON: it has to be worked out, to be given, or to be checked."""
OVERRIDE = re.compile(r"^\s*-\s*override\s+/?(\w+)", re.MULTILINE)
"""In a choice's defaults list: it chooses in another group."""


class CannotAssembleError(Exception):
    """This configuration cannot be assembled from separately composed parts."""


@dataclass(frozen=True)
class Fragment:
    """What some choices make of the configuration without them.

    nodes: top-level nodes, not worked out; choices: group -> name of its choice; touched: the nodes that these choices
    decide.
    """

    nodes: Mapping[str, Any]
    choices: Mapping[str, str]
    touched: frozenset[str]


class Composer:
    """Composes; to be used where Hydra is initialised.

    fixed: overrides that all configurations have.
    """

    def __init__(self, fixed: Sequence[str]) -> None:
        self.fixed = fixed
        self._parser = OverridesParser.create()
        self._parts: dict[Pairs, Fragment] = {}
        self._values: dict[tuple[str, str], Any] = {}
        self._nodes: dict[str, Any] = {}

    def config(self, overrides: Pairs) -> dict[str, Any]:
        """The resolved configuration with the choices, as ``composed_whole`` has it.

        Raises
        ------
        HydraException, OmegaConfBaseException, TamisError : what is wrong with it.
        """
        try:
            return effective(self._from_parts(overrides))
        except (CannotAssembleError, HydraException, OmegaConfBaseException, TamisError):
            # the error may be an artefact of assembling; compose the whole and let its error stand
            return composed_whole([*self.fixed, *_lines(overrides)])

    def _from_parts(self, overrides: Pairs) -> dict[str, Any]:
        chosen = tuple(one for one in overrides if self._is_choice(*one))
        nodes, choices = dict(self._base.nodes), dict(self._base.choices)
        for part in self._disjoint(chosen):
            for name in part.touched & part.nodes.keys():
                nodes[name] = part.nodes[name]
            choices |= {group: part.choices[group] for group in part.touched & part.choices.keys()}
        for one in overrides:
            if one not in chosen:
                self._set(nodes, *one)
        return {
            "choices": {group: choices[group] for group in GROUPS if group in choices}
        } | self._worked_out(nodes)

    @cached_property
    def _base(self) -> Fragment:
        return _part(self.fixed, None, ())

    def _part(self, chosen: Pairs) -> Fragment:
        if chosen not in self._parts:
            self._parts[chosen] = _part([*self.fixed, *_lines(chosen)], self._base, chosen)
        return self._parts[chosen]

    def _disjoint(self, chosen: Pairs) -> list[Fragment]:
        """Parts that touch different nodes and hold every choice."""
        groups: list[Pairs] = [(one,) for one in chosen]
        while True:
            parts = [self._part(group) for group in groups]
            clash = next(
                ((i, j) for j in range(len(parts)) for i in range(j) if parts[i].touched & parts[j].touched),
                None,
            )
            if clash is None:
                return parts
            together = groups[clash[0]] + groups.pop(clash[1])
            groups[clash[0]] = tuple(one for one in chosen if one in together)

    def _is_choice(self, key: str, text: str) -> bool:
        if not KEY.fullmatch(key):
            raise CannotAssembleError(key)
        if not (config_folder() / key).is_dir():
            return False
        if not isinstance(self._value(key, text), str):
            raise CannotAssembleError(key)
        return True

    def _value(self, key: str, text: str) -> Any:
        if WHOLE.fullmatch(text):  # a seed, say: Hydra's parser takes a millisecond
            return int(text)
        if (key, text) not in self._values:
            (override,) = self._parser.parse_overrides([f"{key}={text}"])
            if override.is_sweep_override():
                raise CannotAssembleError(key)
            self._values[key, text] = override.value()
        return self._values[key, text]

    def _set(self, nodes: dict[str, Any], key: str, text: str) -> None:
        """Set a value that is there already; ``nodes`` gets a copy of the node that it is in."""
        first, *names = key.split(".")
        value = self._value(key, text)
        if isinstance(value, dict) or not names:  # merged, and the few values outside of nodes
            raise CannotAssembleError(key)
        nodes[first] = place = copy.deepcopy(nodes.get(first))
        for name in names[:-1]:
            place = place.get(name) if isinstance(place, dict) else None
        if not isinstance(place, dict) or names[-1] not in place or isinstance(place[names[-1]], dict):
            raise CannotAssembleError(key)
        place[names[-1]] = value

    def _worked_out(self, nodes: Mapping[str, Any]) -> dict[str, Any]:
        """``resolved``, with nodes from earlier ones that stood in the same surroundings."""
        texts = {name: json.dumps(node, sort_keys=True) for name, node in nodes.items()}
        named = {name: _named(node, nodes) for name, node in nodes.items()}
        around = {name: _closure(name, named) for name in nodes}
        keys = {name: json.dumps([name, *(texts[one] for one in around[name])]) for name in nodes}
        for name, key in keys.items():
            if key not in self._nodes and not SPECIAL.search(texts[name]):
                self._nodes[key] = nodes[name]
            elif key not in self._nodes:
                config = OmegaConf.create({one: nodes[one] for one in around[name]})
                if isinstance(config[name], DictConfig):
                    check_config(config[name], f"{name}.")
                self._nodes[key] = plain(config, resolve=True)[name]
        found = {name: self._nodes[key] for name, key in keys.items()}
        check_settings(found)
        return found


def composed_whole(overrides: Sequence[str]) -> dict[str, Any]:
    """The resolved configuration of a trial with the choices that it was composed from."""
    config = compose("config", list(overrides), return_hydra_config=True)
    return effective({"choices": _choices(config), **resolved(config)})


def _choices(config: DictConfig) -> dict[str, str]:
    chosen = config.hydra.runtime.choices
    return {group: chosen[group] for group in GROUPS if chosen.get(group) is not None}


def _part(overrides: Sequence[str], base: Fragment | None, chosen: Pairs) -> Fragment:
    config = compose("config", list(overrides), return_hydra_config=True)
    plain = OmegaConf.to_container(config, resolve=False)
    nodes = {str(name): node for name, node in dict(plain).items() if name not in NO_TRIAL}  # type: ignore[arg-type]
    before = base.nodes if base else {}
    if base and nodes.keys() != before.keys():
        raise CannotAssembleError(", ".join(nodes.keys() ^ before.keys()))
    differing = {name for name in nodes if base and json.dumps(nodes[name]) != json.dumps(before[name])}
    touched = differing.union(*({group, *_chooses_in(group, name)} for group, name in chosen))
    return Fragment(nodes, _choices(config), frozenset(touched))


def _chooses_in(group: str, name: str) -> set[str]:
    """Other groups in which a choice with a defaults list may choose: those in which any of its group does."""
    folder = config_folder() / group
    path = folder / f"{name}.yaml"
    if not path.exists():  # it comes from a folder of the user's
        raise CannotAssembleError(f"{group}={name}")
    if "defaults:" not in path.read_text():
        return set()
    return {other for file in folder.glob("*.yaml") for other in OVERRIDE.findall(file.read_text())}


def _named(node: Any, nodes: Mapping[str, Any]) -> frozenset[str]:
    """The nodes that interpolations in ``node`` name, and perhaps more."""
    texts = [text for text in _texts(node) if "${" in text]
    if any(UNPREDICTABLE.search(text) for text in texts):
        return frozenset(nodes)
    return frozenset(word for text in texts for word in re.findall(r"\w+", text)) & nodes.keys()


def _texts(node: Any) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping | list):
        for item in node.values() if isinstance(node, Mapping) else node:
            yield from _texts(item)


def _closure(name: str, named: Mapping[str, frozenset[str]]) -> list[str]:
    """``name``, and in the order of the alphabet all that it names, and what these name."""
    found, new = {name}, {name}
    while new:
        new = {one for name in new for one in named[name]} - found
        found |= new
    return [name, *sorted(found - {name})]


def _lines(overrides: Pairs) -> list[str]:
    return [f"{key}={text}" for key, text in overrides]
