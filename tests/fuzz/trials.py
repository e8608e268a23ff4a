"""Whole trials with odd numbers: they end complete, or with a reason that is a sentence of ours."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from tests.composing import choices
from tests.fuzz.configs import a_value, leaves
from tests.fuzz.data_files import made
from tests.fuzz.kinds import Kind, WrongAnswer, as_told
from tests.fuzz.mutate import Rng, pick

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.parts import NO_TRIAL
from tamis.records.record import COMPLETE, FAILED, SKIPPED, read_record
from tamis.trial import run_trial

DATA = ("dataset=file", "dataset.train=good.xyz", "dataset.elements=[Si]", "dataset.atom_spacing=2.7")
SMALL = ("store.n_jobs=1", "descriptor.twojmax=2", "model.basis.twojmax=2", "model.ridges=[1e-6]")
PLACES = ("root", "cache", "train", "test", "format", "program", "scratch", "n_jobs", "_target_")
"""Keys that are left alone: they lead out of the folder, or start processes."""
WHOLE = ("0", "1", "2", "-1", "3", "5", "7", "100000", "2147483648")
REAL = ("0.0", "1.0", "-1.0", "0.5", "0.99", "1e-9", "1e-300", "1e9", "1e300", "4.2", "0.1", "3.0", "30.0")
BLIND = ("pruner=random", "pruner=stratified", "pruner=keep_all")
"""Pruners that see no descriptor."""
Keys = list[tuple[str, Any]]
"""Names with their usual values."""
PRUNERS = ("fps", "random", "stratified", "cur", "kmeans", "maxvol", "direct", "keep_all", "anti")


def prepare(folder: Path) -> Keys:
    """The keys of a trial."""
    register_resolvers()
    ase.io.write(folder / "good.xyz", made(14), format="extxyz")
    return keys_of(composed([*SMALL]))


def composed(more: list[str]) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("config", [*DATA, *more])


def keys_of(config: DictConfig) -> Keys:
    from omegaconf import OmegaConf

    plain = {
        k: v for k, v in dict(OmegaConf.to_container(config, resolve=False)).items() if k not in NO_TRIAL
    }
    names = [key for key in leaves(plain, "") if not key.endswith(PLACES)]
    return [(name, OmegaConf.select(config, name)) for name in names]


def run_whole(rng: Rng, keys: Keys, folder: Path) -> None:
    """One or two settings of a small trial are odd."""
    overrides = [f"pruner={pick(rng, PRUNERS)}", f"budget={pick(rng, choices('budget'))}"]
    for _ in range(int(rng.integers(1, 3))):
        key, before = pick(rng, keys)
        overrides.append(f"{key}={another(rng, before)}")
    if overrides[0] in BLIND:
        overrides = [one for one in overrides if not one.startswith("descriptor.")]
    try:
        config = composed(
            [one for one in SMALL if overrides[0] not in BLIND or "descriptor" not in one] + overrides
        )
    except Exception as error:
        raise as_told(error) from error
    place = folder / "trial"
    shutil.rmtree(place, ignore_errors=True)
    config = config.copy()
    check(run(config, place), place)


def another(rng: Rng, before: Any) -> str:
    """A value in place of ``before``, mostly of the same kind."""
    if rng.random() < 0.15:
        return a_value(rng)
    if isinstance(before, bool):
        return str(not before).lower()
    if isinstance(before, int):
        return pick(rng, WHOLE)
    if isinstance(before, float):
        return pick(rng, REAL)
    if isinstance(before, list) and before and isinstance(before[0], int | float):
        return f"[{','.join(pick(rng, REAL) for _ in range(int(rng.integers(0, 4))))}]"
    return pick(rng, (*WHOLE, *REAL, "null", "[]"))


def run(config: DictConfig, place: Path) -> Any:
    from omegaconf import OmegaConf

    return run_trial(OmegaConf.masked_copy(config, [k for k in config if k != "tracking"]), {}, place)


def check(record: Any, place: Path) -> None:
    saved = read_record(place)
    if (saved.status, saved.reason) != (record.status, record.reason):
        raise WrongAnswer("the saved record says something else")
    if (place / "traceback.txt").exists():
        raise WrongAnswer((place / "traceback.txt").read_text()[-1500:])
    if record.status == COMPLETE:
        if not all(np.isfinite(value) for value in record.metrics.values()):
            raise WrongAnswer("a metric is not finite")
        if not 0 < record.metrics["kept/structures"] <= len(record.dataset.pool):
            raise WrongAnswer(f"{record.metrics['kept/structures']} structures were kept")
    elif record.status not in (FAILED, SKIPPED) or not record.reason:
        raise WrongAnswer(f"{record.status}: {record.reason!r}")
    else:
        raise TamisError(record.reason)


KINDS = (Kind("trial", prepare, run_whole, 2.5),)
