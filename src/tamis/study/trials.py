"""From a plan to trials: composed configurations, and the names under which their results are kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from tamis.core import configuration
from tamis.core.configuration import config_folder
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.trust import check_trusted
from tamis.sweeps.composing import Composer
from tamis.sweeps.plan import Job, Plan, seeds_of

NO_RESULT = ("store", "objective", "artifacts", "choices")
"""Nodes of a configuration that change no result: where things are kept, and what names the choices had."""
PATHS = ("root", "cache", "base_url", "verify", "scratch", "n_jobs", "parity_plot", "plots")
"""Keys, at any depth, of which the same holds."""
OF_PROPERTIES = ("crystal", "reference", "reference_source")
"""Of the data set: what properties and dynamics are measured on and compared with; errors need none of them."""
DIGITS = 12
SEEDED = re.compile(r"\$\{.*\bseed\b")
"""An interpolation that names a seed: its configuration is another for each."""

Composed = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Trial:
    """A trial of a study.

    name: of its folder; the last part is a hash of all that decides the result. block: of the plan.
    config: resolved configuration with the choices; overrides: what would be typed behind ``tamis``.
    """

    name: str
    block: str
    config: Mapping[str, Any]
    overrides: tuple[str, ...]

    @property
    def shares(self) -> str:
        """Trials for which this is equal have the data set, its split and the latent space in common."""
        parts = ("dataset", "descriptor", "pruner", "seed", "validation_fraction")
        return json.dumps([self.config[part] for part in parts], sort_keys=True)


def plan_of(config: DictConfig) -> Plan:
    """The plan of a composed configuration; interpolations in it are worked out by each trial, not here."""
    if config.get("study") is None:
        raise TamisError("there is no plan; name an experiment that has one, such as experiment=study")
    node = dict(OmegaConf.to_container(config.study, resolve=False))  # type: ignore[arg-type] # a mapping
    node.pop("_target_")
    return Plan(**{str(key): value for key, value in node.items()})


def trials_of(
    jobs: Iterable[Job], base: Sequence[str], typed: Sequence[str], kept: Composed | None = None
) -> Iterator[Trial]:
    """The trials of ``jobs``, each once; to be called where Hydra is initialised.

    Jobs that differ in their seeds only are composed once, unless an override names a seed.

    Parameters
    ----------
    base : overrides that every trial has and no record need tell. typed : those that the user gave.
    kept : what was composed for an earlier start; what is composed now is added.
    """
    # where trials run and are logged decides none of them, and an address may hold a password: it is kept nowhere
    typed = [line for line in typed if not line.lstrip("+").startswith(("tracking.", "hydra.", "hydra/"))]
    kept = {} if kept is None else kept
    composer = Composer([*base, *typed])
    met: set[str] = set()
    for job in jobs:
        seeds = dict.fromkeys(("split", "select", "fit"), job.seed)
        lines = [*base, *typed, *(f"{key}={value}" for key, value in job.overrides)]
        if any(SEEDED.search(line) for line in lines):
            lines += seeds_of(job.seed)
        kind = "\n".join(lines)
        if kind not in kept:
            kept[kind] = composer.config((*job.overrides, *((f"seed.{n}", str(s)) for n, s in seeds.items())))
        config = {**kept[kind], "seed": seeds}
        name = name_of(config)
        if name not in met:
            met.add(name)
            yield Trial(name, job.block, config, (*typed, *job.arguments))


def read_composed(path: Path) -> Composed:
    """What an earlier start has composed; nothing where the configuration files are no longer the same."""
    try:
        found = json.loads(path.read_bytes())
        kinds = found["kinds"].items() if found["files"] == _files_hash() else ()
        return {
            str(kind): config for kind, config in kinds if _is_whole(config) and _is_trusted(config, path)
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}  # none yet, or damaged: it is made again


def _is_whole(config: Any) -> bool:
    return isinstance(config, dict) and isinstance(config.get("choices"), dict)


def _is_trusted(config: Mapping[str, Any], path: Path) -> bool:
    """What names classes of others is composed again from what was typed, which says the same if nobody changed it."""
    try:
        check_trusted(config, path)
    except TamisError:
        return False
    return True


def write_composed(path: Path, kept: Composed) -> None:
    """Keep what was composed for the next start."""
    write_atomically(path, json.dumps({"files": _files_hash(), "kinds": kept}).encode())


def _files_hash() -> str:
    """Of all that a composed configuration depends on besides the overrides."""
    digest = hashlib.sha256(Path(configuration.__file__).read_bytes())
    for path in sorted(config_folder().rglob("*.yaml")):
        digest.update(str(path.relative_to(config_folder())).encode() + path.read_bytes())
    return digest.hexdigest()


def name_of(config: Mapping[str, Any]) -> str:
    """Name of a trial's folder: what a person looks for, and a hash of all that decides the result."""
    choices = config["choices"]
    words = [choices["model"], choices["pruner"], choices["descriptor"], f"s{config['seed']['split']}"]
    text = json.dumps(identity(config), sort_keys=True)
    digits = hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
    return "-".join([*(word for word in words if word != "none"), digits])


def identity(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The part of a resolved configuration that decides a trial's result."""
    left = {key: _without_paths(value) for key, value in config.items() if key not in NO_RESULT}
    if config["evaluation"]["properties"] is None and config["evaluation"]["dynamics"] is None:
        left["dataset"] = {key: value for key, value in left["dataset"].items() if key not in OF_PROPERTIES}
    return left


def _without_paths(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_paths(item) for key, item in value.items() if key not in PATHS}
    if isinstance(value, list | tuple):
        return [_without_paths(item) for item in value]
    return value
