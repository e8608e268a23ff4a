"""Configurations: any key of any group with any value, as typed behind ``tamis``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf
from tests.composing import choices
from tests.fuzz.kinds import Kind, WrongAnswer, as_told
from tests.fuzz.mutate import Rng, pick, word

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.parts import Parts, resolved

GROUPS = (
    "dataset",
    "descriptor",
    "latent",
    "pruner",
    "budget",
    "model",
    "evaluation",
    "search",
    "experiment",
)
SPECIAL = (
    *(
        "null",
        "true",
        "[]",
        "{}",
        "[1,2,3]",
        "[a]",
        "[[1]]",
        "[null]",
        "{a:1}",
        "{_target_:os.getcwd}",
        "''",
        "???",
    ),
    *(
        "${dataset}",
        "${seed.split}",
        "${nothing}",
        "${oc.env:HOME}",
        "${tamis.times:a,b}",
        "${tamis.by:x,{}}",
    ),
    *(
        "${.}",
        "${..}",
        "${model}",
        "${tamis.times:1e308,1e308}",
        "${oc.decode:x}",
        "${now:%Y}",
        "${hydra:job}",
    ),
    *(
        "1,2",
        "range(1,3)",
        "choice(1,2)",
        "glob(*)",
        "interval(0,1)",
        "-1",
        "0",
        "1e-300",
        "1e300",
        "nan",
        "inf",
        "10**9",
    ),
)
NOT_TYPED = ("_target_", "base_url", "uri")
"""Keys that are not spoiled: classes are the user's own, and nothing is asked of a network."""


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", overrides)


class Everything:
    """All keys of the configurations of all choices; each is composed once."""

    def __init__(self) -> None:
        self.choices = {group: choices(group) for group in GROUPS}
        self._configs: dict[tuple[str, str], DictConfig] = {}
        self._keys: dict[tuple[str, str], list[str]] = {}

    def usual(self, group: str, choice: str) -> list[str]:
        """What has to be typed for a choice."""
        needed = ["dataset.train=x.xyz", "dataset.elements=[Si]", "dataset.atom_spacing=2.7"]
        return [f"{group}={choice}", *(needed if choice in ("file", "extxyz") else [])]

    def config(self, group: str, choice: str) -> DictConfig:
        if (group, choice) not in self._configs:
            self._configs[group, choice] = composed(self.usual(group, choice))
        return self._configs[group, choice]

    def keys_of(self, group: str, choice: str) -> list[str]:
        if (group, choice) not in self._keys:
            plain = OmegaConf.to_container(self.config(group, choice), resolve=False)
            self._keys[group, choice] = [key for key in leaves(plain, "") if not key.endswith(NOT_TYPED)]
        return self._keys[group, choice]


def prepare(folder: Path) -> Everything:
    register_resolvers()
    return Everything()


def leaves(node: Any, name: str) -> list[str]:
    """Names of all values, and of the groups they are in."""
    if not isinstance(node, dict):
        return [name]
    inside = [
        leaf for key, value in node.items() for leaf in leaves(value, f"{name}.{key}" if name else str(key))
    ]
    return [*inside, *([name] if name else [])]


def a_value(rng: Rng) -> str:
    return pick(rng, SPECIAL) if rng.random() < 0.6 else word(rng)


def run_config(rng: Rng, everything: Everything, folder: Path) -> None:
    """Compose, check and build; a value that goes through is the one that was typed."""
    group = pick(rng, GROUPS)
    choice = pick(rng, everything.choices[group])
    usual = everything.usual(group, choice)
    key, value = pick(rng, everything.keys_of(group, choice)), a_value(rng)
    odd = rng.random() < 0.05
    if odd:
        key = pick(rng, (f"+{key}", f"~{key}", f"++{key}.x", key + word(rng), word(rng)))
    try:
        if odd or rng.random() < 0.1:
            config = composed([*usual, f"{key}={value}"])
        else:  # what compose does at its end, a hundred times faster
            (override,) = OverridesParser.create().parse_overrides([f"{key}={value}"])
            config = everything.config(group, choice).copy()
            OmegaConf.update(config, override.get_key_element(), override.value(), merge=True)
        plain = resolved(config)
        build(plain)
    except Exception as error:
        raise as_told(error) from error
    compare(plain, key, value)


def build(plain: dict[str, Any]) -> None:
    """The parts, as ``tamis.trial`` builds them: no reason may begin with ``cannot be built``."""
    try:
        Parts.of(plain)
    except TamisError as error:
        if "cannot be built: " in str(error):
            raise WrongAnswer(str(error)) from error
        raise


def compare(plain: dict[str, Any], key: str, value: str) -> None:
    """What Hydra's own grammar reads is what the trial has."""
    node: Any = plain
    for name in key.split("."):
        if not isinstance(node, dict) or name not in node:
            return  # added, deleted, or no part of a trial
        node = node[name]
    (override,) = OverridesParser.create().parse_overrides([f"{key}={value}"])
    typed = override.value()
    if "$" not in value and isinstance(typed, int | float | bool) and node != typed:
        raise WrongAnswer(f"{key}={value} became {node!r}")


PIECES = (
    "model",
    "=",
    ".",
    "budget",
    "{",
    "}",
    "'",
    "$",
    ",",
    "snap",
    "@",
    ":",
    " ",
    "seed",
    "[",
    "]",
    "+",
    "~",
)


def run_typed(rng: Rng, everything: Everything, folder: Path) -> None:
    """Whole command lines, most of which no grammar takes."""
    typed = []
    for _ in range(int(rng.integers(1, 3))):
        typed.append("".join(pick(rng, (*PIECES, word(rng))) for _ in range(int(rng.integers(1, 8)))))
    try:
        resolved(composed(typed))
    except Exception as error:
        raise as_told(error) from error


KINDS = (Kind("config", prepare, run_config, 2), Kind("command line", prepare, run_typed, 2.5))
