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
from hydra.utils import instantiate
from omegaconf import DictConfig
from optuna.trial import TrialState

from tamis.core.errors import TamisError
from tamis.core.messages import plain_console
from tamis.core.secrets import redacted
from tamis.parts import build_part
from tamis.sweeps.composing import Composer
from tamis.sweeps.ending import refuse_failures, say_page
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.grid import BASE
from tamis.sweeps.job import identity
from tamis.sweeps.overrides import lines_of, pairs_of
from tamis.sweeps.publish import Publisher
from tamis.sweeps.search.best import TABLE_FILE, best_numbers, leave_table, summarise_search
from tamis.sweeps.search.methods import check_methods, make_sampler, make_stopper
from tamis.sweeps.search.outcome import Constraint
from tamis.sweeps.search.plots import PAGE, leave_plots
from tamis.sweeps.search.search import Search
from tamis.sweeps.search.settings import SearchSettings
from tamis.sweeps.search.space import Space
from tamis.sweeps.search.studies import address_of, ended, open_storage, open_study, storage_failure
from tamis.sweeps.workers import Workers, workers_of


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
    TamisError : the settings make no search, it did not come to its end, or trials failed.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    space = Space.parse(settings.params or {}, settings.conditional or (), typed, parser)
    for start in settings.enqueue or ():
        space.check_start(start)
    for text in settings.constraints or ():
        Constraint.parse(text)
    check_methods(settings, space)
    composer = Composer([*BASE, *lines_of(space.fixed)])
    for job in space.covering_jobs(set(config.hydra.runtime.choices)):
        composer.config(pairs_of([*job, *settings.repeats[-1]]))
    definition = definition_of(settings, space, composer.config(()))
    folder = SweepFolder(Path(config.hydra.sweep.dir).absolute())
    about = Sweep(f"search {settings.study_name}", list(typed), settings.study_name)
    with folder.alone(), workers_of(launcher) as workers:
        if workers is None:
            raise TamisError("a search needs hydra/launcher=basic, dask or dask_*, which have workers")
        publisher = Publisher(instantiate(config.tracking), folder, folder.begin(about, None))
        try:
            search = _open(settings, space, definition, workers, composer, publisher)
            search.settle()
            with publisher:
                try:
                    search.run()
                finally:  # after Ctrl-C, too
                    leave_table(search.study, folder.path)
                    summarise_search(search.study, folder)
                if settings.plots:
                    leave_plots(search.study, folder.path)
        except Exception as error:
            if isinstance(error, TamisError) or not (reason := storage_failure(error)):
                raise
            raise TamisError(
                f"the storage of study {settings.study_name} failed ({reason}); the records are kept: when that is "
                "fixed, the same command resumes with them"
            ) from error
    _say_end(search)
    say_page(publisher.page)
    refuse_failures(search.n_failed, len(ended(search.study)))


def definition_of(settings: SearchSettings, space: Space, config: dict[str, Any]) -> dict[str, Any]:
    """All that makes a study the same one; ``config`` is that of a job in which nothing searched is set.

    It is the space, what the values of a trial are, the fingerprint of the data, and what else decides a result.
    """
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


def _open(
    settings: SearchSettings,
    space: Space,
    definition: dict[str, Any],
    workers: Workers,
    composer: Composer,
    publisher: Publisher,
) -> Search:
    """Open the study, and give it its sampler and its stopper."""
    folder = publisher.folder
    storage = open_storage(address_of(settings.storage, folder.path), settings.retries)
    study = open_study(settings, space, definition, storage, folder.path)
    n_begun = sum(one.state != TrialState.WAITING for one in study.get_trials(deepcopy=False))
    stream = [n_begun] if n_begun else []
    if settings.storage is not None:  # commands that begin together must not draw the same points
        stream.append(crc32(str(folder.path).encode()))
    study.sampler = make_sampler(settings.sampler, space, stream)
    study.pruner = make_stopper(settings.stopper)
    return Search(
        study=study,
        settings=settings,
        space=space,
        folder=folder,
        sweep=publisher.sweep,
        workers=workers,
        compose=lambda overrides: composer.config(pairs_of(overrides)),
        publish=publisher.publish,
        objectives=definition["objective"],
    )


def _say_end(search: Search) -> None:
    """Say how the trials ended, which is the best, where the files are, and what to type next."""
    out, folder = plain_console(), search.folder.path
    best = ", ".join(map(str, sorted(best_numbers(search.study)))) or "none"
    files = ", ".join(str(folder / name) for name in (TABLE_FILE, PAGE) if (folder / name).exists())
    out.print(f"{search.tally()}\nbest:   trial {best}\nfiles:  {files}", markup=False)
    out.print(
        f"next:   tamis best {folder}    a table; --rerun runs a trial again with its files", markup=False
    )
