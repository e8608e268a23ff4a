"""The protocol of a comparison: what is compared and how it is decided, written down before anything runs.

A sweep copies it to ``protocol.yaml`` in its folder. A report judges what stands there, and describes everything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import yaml
from omegaconf import OmegaConf

from tamis.analysis.arms import BASELINES, Curve
from tamis.analysis.endpoint import ENERGIES, FIRST, FORCES, LAST
from tamis.analysis.trials import Trial
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Between, Checked, OneOf
from tamis.core.trust import check_trusted

PROTOCOL_FILE = "protocol.yaml"
OTHERS = "others"
HOLM = "holm"


@dataclass(frozen=True)
class Question(Checked):
    """Do sets chosen with a model's own descriptor give it lower errors than sets of as many atoms chosen otherwise?

    against: ``others``, the mean of the other descriptors, or a baseline. endpoint: which errors.
    """

    against: Annotated[str, OneOf(OTHERS, *BASELINES)] = OTHERS
    endpoint: Annotated[str, OneOf(FORCES, ENERGIES)] = FORCES


@dataclass(frozen=True)
class Protocol(Checked):
    """A comparison that is judged.

    data: the data sets, each as the overrides that tell it, such as ``{dataset: mlearn, dataset.element: Si}``.
    models: judged together. pruner: chose the sets. descriptors: own and others; each model needs the sets of all.
    block: of the plan, whose trials count; None: the trials of every block.
    questions: entries are arguments of ``Question``. Each is asked of each data set. The next is asked only if every
    data set has an answer to the one before.
    first, last: ends of the endpoint's range, as parts of the pool's atoms. level: of confidence.
    correction: for the number of data sets. margin: a ratio of errors within 1 ± margin counts as equivalent, if the
    interval at the level 2 level - 1 lies within; None: nothing does.
    """

    data: tuple[Mapping[str, Any], ...]
    models: tuple[str, ...]
    pruner: str
    descriptors: tuple[str, ...]
    block: str | None = None
    questions: tuple[Mapping[str, Any], ...] = ({"against": OTHERS, "endpoint": FORCES},)
    first: Annotated[float, Between(0.0, 1.0, above=True)] = FIRST
    last: Annotated[float, Between(0.0, 1.0, above=True)] = LAST
    level: Annotated[float, Between(0.5, 1.0, above=True, below=True)] = 0.95
    correction: Annotated[str, OneOf(HOLM, "none")] = HOLM
    margin: Annotated[float | None, Above(0.0)] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("data", "models", "descriptors", "questions"):
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str) else tuple(value))
            if not value:
                raise TamisError(f"protocol.{name} is empty; give at least one")
        if self.first >= self.last:
            raise TamisError(f"protocol.first is {self.first}, not below protocol.last, {self.last}")
        self.asked  # noqa: B018 # refuses unknown words

    @property
    def asked(self) -> tuple[Question, ...]:
        """The questions, in their order.

        Raises
        ------
        TamisError : an entry has other keys than ``Question``.
        """
        for one in self.questions:
            if unknown := one.keys() - {"against", "endpoint"}:
                raise TamisError(
                    f"protocol.questions has {', '.join(unknown)}; a question has against and endpoint"
                )
        return tuple(Question(**one) for one in self.questions)

    @property
    def alpha(self) -> float:
        """The error rate."""
        return 1.0 - self.level

    def place(self, trial: Trial) -> int | None:
        """Which of the data sets a trial is of, by its number; None where it is of none."""
        for i, wanted in enumerate(self.data):
            if all(_has(trial, key, value) for key, value in wanted.items()):
                return i
        return None

    def counts(self, curve: Curve) -> bool:
        """Whether a curve is one of those that are judged, or of a baseline that these are compared with."""
        is_judged = curve.pruner == self.pruner and curve.descriptor in self.descriptors
        in_block = self.block in (None, curve.block)
        return curve.model in self.models and in_block and (is_judged or curve.arm in BASELINES)

    def name(self, i: int) -> str:
        """The name of a data set, by its number."""
        return " ".join(map(str, self.data[i].values()))


def _has(trial: Trial, key: str, value: Any) -> bool:
    group, _, names = key.partition(".")
    if not names:
        return trial.choices.get(group) == value
    node = json.loads(trial.parts.get(group, "null"))
    for name in names.split("."):
        node = node.get(name) if isinstance(node, dict) else None
    return bool(node == value)


def read_protocol(folders: Sequence[Path]) -> Protocol | None:
    """The protocol of the sweep that each folder is, or lies in; None where no folder has one.

    Raises
    ------
    TamisError : the folders have different ones, or it cannot be read.
    """
    found = {
        path.read_bytes(): path for folder in folders if (path := _nearest(folder.resolve())) is not None
    }
    if len(found) > 1:
        raise TamisError(
            f"{' and '.join(map(str, found.values()))} differ; report each comparison for itself"
        )
    return next((_parsed(data, path) for data, path in found.items()), None)


def _nearest(folder: Path) -> Path | None:
    places = (place / PROTOCOL_FILE for place in (folder, *folder.parents))
    return next((path for path in places if path.is_file()), None)


def protocol_of(content: Any, where: object) -> Protocol:
    """The protocol in a configuration or a file, which is plain dictionaries and lists. where : for messages.

    Raises
    ------
    TamisError : it is no protocol, or something in it is not allowed.
    """
    try:
        check_trusted(content, where)  # it may come from anybody
        target = {"_target_": f"{Protocol.__module__}.{Protocol.__name__}"}
        check_config(OmegaConf.create(content | target), "protocol.")
        return Protocol(**{key: value for key, value in content.items() if key != "_target_"})
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise TamisError(f"{where} is no protocol of a comparison: {error}") from error


def _parsed(data: bytes, path: Path) -> Protocol:
    try:
        return protocol_of(yaml.safe_load(data), path)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise TamisError(f"{path} cannot be read: {error}") from error
