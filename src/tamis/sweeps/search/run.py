"""A search from its settings to its plots: the checks, the study, the trials, the files at the end."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

import optuna
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from omegaconf import DictConfig
from optuna import Study
from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.trial import TrialState
from rich.console import Console
from sqlalchemy.exc import SQLAlchemyError

from tamis.core.errors import TamisError
from tamis.core.secrets import redacted
from tamis.parts import build_part
from tamis.sweeps.composing import Composer
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.grid import BASE
from tamis.sweeps.job import identity
from tamis.sweeps.publish import Publisher
from tamis.sweeps.search.best import TABLE_FILE, best_numbers, leave_table
from tamis.sweeps.search.methods import check_methods, make_sampler, make_stopper
from tamis.sweeps.search.outcome import Rule
from tamis.sweeps.search.plots import PAGE, leave_plots
from tamis.sweeps.search.search import Search
from tamis.sweeps.search.settings import SearchSettings
from tamis.sweeps.search.space import Space
from tamis.sweeps.search.studies import address_of, open_storage, open_study
from tamis.sweeps.workers import workers_of
from tamis.tracking import tracker_of


def run_search(
    settings: SearchSettings,
    typed: Sequence[str],
    parser: OverridesParser,
    config: DictConfig,
    launcher: Launcher,
) -> None:
    """Run what is left of a search, and leave its plots and a table of its best trials.

    Parameters
    ----------
    typed : overrides of the command line, without Hydra's own. config : of the whole command.

    Raises
    ------
    TamisError : the settings make no search, or it did not come to its end.
    """
    space = Space.parse(settings.params or {}, settings.conditional or (), typed, parser)
    for start in settings.enqueue or ():
        space.check_start(start)
    for text in settings.constraints or ():
        Rule.parse(text)
    check_methods(settings, space)
    composer = Composer([*BASE, *(f"{key}={value}" for key, value in space.fixed.items())])
    for job in space.kinds(set(config.hydra.runtime.choices)):
        composer.config(_pairs([*job, *settings.repeats[-1]]))
    definition = definition_of(settings, space, composer)
    folder = SweepFolder(Path(config.hydra.sweep.dir).absolute())
    with folder.alone(), warnings.catch_warnings(), workers_of(launcher) as workers:
        warnings.simplefilter("ignore", ExperimentalWarning)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if workers is None:
            raise TamisError("a search needs hydra/launcher=basic, dask or dask_*, which have workers")
        study = _open(settings, space, definition, folder.path)
        about = Sweep(f"search {settings.study_name}", redacted(list(typed)), settings.study_name)
        with Publisher(tracker_of(config), folder, folder.begin(about, None)) as publisher:
            search = Search(
                study=study,
                settings=settings,
                space=space,
                folder=folder,
                workers=workers,
                compose=lambda overrides: composer.config(_pairs(overrides)),
                publish=publisher.publish,
                objectives=definition["objective"],
            )
            try:
                search.run()
            except (StorageInternalError, SQLAlchemyError) as error:
                reason = str(error.__cause__ or error).splitlines()[0]
                raise TamisError(
                    f"the storage of study {settings.study_name} failed ({redacted(reason)}); the records are kept: when "
                    "that is mended, the same command goes on with them"
                ) from error
            search.mark(best_numbers(study))
            leave_table(study, folder.path)
            if settings.plots:
                leave_plots(study, folder.path)
        _say_end(search)


def definition_of(settings: SearchSettings, space: Space, composer: Composer) -> dict[str, Any]:
    """All that makes a study the same one.

    It has the space, what a trial's values are, the fingerprint of the data, and what else decides a trial's result.
    """
    config = composer.config(())
    named = config["objective"]
    objectives = [named] if isinstance(named, str) else list(named)
    if len(objectives) != len(settings.directions):
        raise TamisError(
            f"objective is {', '.join(objectives)}, and hydra.sweeper.direction has {len(settings.directions)} values; "
            "give one direction for each metric"
        )
    by_trial = [*(one.name for one in space.parameters if not one.when), *(settings.repeat or ())]
    same = identity(config)
    for key in by_trial:
        *path, last = key.split(".")
        node = same
        for name in path:
            node = node.get(name, {})
        node.pop(last, None)
    if not any(key.startswith("dataset") for key in by_trial):
        same["data"] = build_part("dataset", config["dataset"]).load().fingerprint
    definition = {
        "objective": objectives,
        "direction": settings.directions,
        "space": space.describe(),
        "repeat": settings.repeat or {},
        "constraints": settings.constraints or (),
        "config": same,
    }
    found: dict[str, Any] = json.loads(json.dumps(redacted(definition)))
    return found


def _open(settings: SearchSettings, space: Space, definition: dict[str, Any], folder: Path) -> Study:
    """The study with its sampler and its stopper."""
    storage = open_storage(address_of(settings.storage, folder), settings.retries)
    study = open_study(settings, space, definition, storage, folder)
    n_begun = sum(one.state != TrialState.WAITING for one in study.get_trials(deepcopy=False))
    stream = [n_begun] if n_begun else []
    if (
        settings.storage is not None
    ):  # commands that begin together on one study must not draw the same points
        stream.append(crc32(str(folder).encode()))
    study.sampler = make_sampler(settings.sampler, space, stream)
    study.pruner = make_stopper(settings.stopper)
    return study


def _pairs(overrides: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((key, value) for key, _, value in (one.partition("=") for one in overrides))


def _say_end(search: Search) -> None:
    """How the trials ended, the best one, the files, and the next command."""
    console, folder = Console(highlight=False, soft_wrap=True), search.folder.path
    best = sorted(best_numbers(search.study))
    console.print(f"{search.tally()}; best: trial {', '.join(map(str, best)) or 'none'}", markup=False)
    console.print(
        f"files:  {', '.join(str(folder / name) for name in (TABLE_FILE, PAGE) if (folder / name).exists())}"
    )
    console.print(
        f"next:   tamis best {folder}    a table, and a trial run again with its files", markup=False
    )
