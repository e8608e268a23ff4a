"""The sweeper: checks a study's configuration, opens or resumes it, and works on it."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._patience import reason_of
from hydra_plugins.tamis_study_sweeper._space import Space
from tamis.core.names import printable
from tamis.core.secrets import redacted

log = logging.getLogger(__name__)
LONGEST_NAME = 512
"""Characters that Optuna's databases take."""


class StudySweeper(Sweeper):
    """Searches a space with Optuna, in a study that resumes and that several processes may share (docs/search.md).

    Parameters
    ----------
    study_name : what the study is called; the same name on the same storage goes on with it.
    storage : URL of a database, or path of a journal file; None: in the sweep's folder, SQLite for one process and a
        journal for several.
    direction : minimize or maximize, or a list with one for each objective.
    n_trials : total of ended trials of the study.
    n_jobs : trials at a time: processes on this machine with Hydra's basic launcher, the size of a batch with others.
    at_once : trials at work at a time on the same cores of one machine, whatever n_jobs is; None: one a core.
    sampler, stopper : a class of Optuna and its arguments; stopper None: every trial runs to its end.
    params : key -> value or domain, in Hydra's syntax. conditional : list of {when: {key: value or values}, params}.
    repeat : key -> values; each trial runs a job for each, and its objective is the mean.
    enqueue : trials to begin with, each a mapping key -> value.
    constraints : rules such as 'seconds <= 10' on what jobs measured.
    identity : config keys whose values make the study this one; None: all but those in ``indifferent``, and Hydra's.
    indifferent : config keys that change no result, such as places of files.
    on_change : what to do where those, or the space, are other ones: refuse or continue.
    max_failure_rate : part of the trials that may fail.
    retries : how often a trial is run again whose process died.
    stale_after_s : seconds after which a trial is given up whose process is out of sight (another machine).
    patience_s : seconds for which a database server that goes away is waited for.
    observer : who is told how it goes, see ``_observer.Observer``; None: nobody.
    """

    def __init__(
        self,
        study_name: str,
        storage: str | None,
        direction: Any,
        n_trials: int,
        n_jobs: int,
        at_once: int | None,
        sampler: DictConfig,
        stopper: DictConfig | None,
        params: Mapping[str, Any] | None,
        conditional: Sequence[Mapping[str, Any]] | None,
        repeat: Mapping[str, Sequence[Any]] | None,
        enqueue: Sequence[Mapping[str, Any]] | None,
        constraints: Sequence[str] | None,
        identity: Sequence[str] | None,
        indifferent: Sequence[str] | None,
        on_change: str,
        max_failure_rate: float,
        retries: int,
        stale_after_s: float,
        patience_s: float,
        observer: DictConfig | None,
    ) -> None:
        self.study_name, self.storage, self.direction = study_name, storage, _plain(direction)
        self.n_trials, self.n_jobs, self.at_once = n_trials, n_jobs, at_once
        self.sampler, self.stopper = sampler, None if _stops_nothing(stopper) else stopper
        self.params, self.conditional = _plain(params) or {}, _plain(conditional) or []
        self.repeat, self.enqueue = _plain(repeat) or {}, _plain(enqueue) or []
        self.constraints = _plain(constraints) or []
        self.identity, self.indifferent = _plain(identity), _plain(indifferent) or []
        self.on_change, self.max_failure_rate = on_change, max_failure_rate
        self.retries, self.stale_after_s, self.patience_s = retries, stale_after_s, patience_s
        self.observer = observer
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None
        self.hydra_context: HydraContext | None = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before ``sweep``."""
        from hydra.core.plugins import Plugins

        self.hydra_context, self.config = hydra_context, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Work on the study until it has its trials; ``arguments`` are the overrides that were typed.

        Raises
        ------
        StudyError : the configuration makes no study, or no trial of it is complete in the end.
        """
        try:
            import optuna  # noqa: F401
        except ImportError as error:
            raise StudyError(
                "hydra/sweeper=study needs Optuna, which is not installed; pip install 'optuna>=4.9,<6'"
            ) from error
        from optuna.exceptions import StorageInternalError
        from sqlalchemy.exc import SQLAlchemyError

        from hydra_plugins.tamis_study_sweeper._session import Session

        parser = OverridesParser.create(config_loader=self._loader)
        self._check_numbers()
        space = Space.parse(self.params, self.conditional, arguments, parser)
        for start in self.enqueue:
            space.check_start(start)
        try:
            Session(self, space).run()
        except (StorageInternalError, SQLAlchemyError) as error:  # a full disk under SQLite, say
            raise StudyError(
                f"the storage of study {self.study_name!r} failed ({redacted(reason_of(error))}); what has ended is "
                "kept: the same command goes on when that is mended"
            ) from error

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration of a job."""
        return self._loader.load_sweep_config(cast(DictConfig, self.config), list(overrides))

    @property
    def _loader(self) -> ConfigLoader:
        return cast(HydraContext, self.hydra_context).config_loader  # set by setup

    @property
    def folder(self) -> Path:
        """Of the sweep."""
        return Path(cast(DictConfig, self.config).hydra.sweep.dir).absolute()

    def repeats(self) -> list[list[str]]:
        """Overrides of each job of a trial."""
        lengths = {len(values) for values in self.repeat.values()}
        if not lengths:
            return [[]]
        if len(lengths) > 1 or 0 in lengths:
            raise StudyError(
                "hydra.sweeper.repeat has lists of lengths "
                f"{', '.join(f'{key}: {len(values)}' for key, values in self.repeat.items())}; they are walked through "
                "together, so each needs as many values, and at least one"
            )
        return [[f"{key}={values[i]}" for key, values in self.repeat.items()] for i in range(lengths.pop())]

    def _check_numbers(self) -> None:
        for name in ("n_trials", "n_jobs", "at_once"):
            value = getattr(self, name)
            if name == "at_once" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise StudyError(f"hydra.sweeper.{name} is {value!r}; a whole number from 1 on is needed")
        if isinstance(self.max_failure_rate, bool) or not 0 <= self.max_failure_rate <= 1:
            raise StudyError(
                f"hydra.sweeper.max_failure_rate is {self.max_failure_rate!r}; it is from 0 to 1"
            )
        patience = self.patience_s
        if isinstance(patience, bool) or not isinstance(patience, int | float) or not patience >= 0:
            raise StudyError(
                f"hydra.sweeper.patience_s is {patience!r}; a number of seconds from 0 on is needed"
            )
        name = str(self.study_name or "")
        if not name:
            raise StudyError("hydra.sweeper.study_name is empty; a study needs a name to be found again")
        if len(name) > LONGEST_NAME or printable(name) != name:
            raise StudyError(
                f"hydra.sweeper.study_name is {printable(name)}; it may have {LONGEST_NAME} characters (it has "
                f"{len(name)}), in UTF-8"
            )


def _stops_nothing(stopper: DictConfig | None) -> bool:
    return stopper is None or str(stopper.get("_target_")).endswith(".NopPruner")


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
