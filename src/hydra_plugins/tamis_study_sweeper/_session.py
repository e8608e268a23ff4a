"""One command's work on a study, from the checks to the last trial."""

from __future__ import annotations

import logging
import zlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.plugins.launcher import Launcher
from omegaconf import OmegaConf

from hydra_plugins.tamis_study_sweeper._definition import check_definition, check_folder, clashes_of
from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._loop import Loop, constraints_of
from hydra_plugins.tamis_study_sweeper._methods import (
    check_directions,
    check_pairs,
    make_sampler,
    make_stopper,
)
from hydra_plugins.tamis_study_sweeper._observer import Observer, make_observer
from hydra_plugins.tamis_study_sweeper._outcome import Rule
from hydra_plugins.tamis_study_sweeper._patience import reason_of
from hydra_plugins.tamis_study_sweeper._presence import FOLDER as PRESENT
from hydra_plugins.tamis_study_sweeper._presence import Presence
from hydra_plugins.tamis_study_sweeper._processes import is_worker, parent_lives, run_workers
from hydra_plugins.tamis_study_sweeper._progress import progress, why_nothing
from hydra_plugins.tamis_study_sweeper._shared import RETRY_OF, SharedStudy
from hydra_plugins.tamis_study_sweeper._space import Space
from hydra_plugins.tamis_study_sweeper._storage import is_server, open_storage, storage_address
from hydra_plugins.tamis_study_sweeper._turns import Turns, usable_cores
from tamis.core.names import printable, quoted
from tamis.core.secrets import redacted

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

    from hydra_plugins.tamis_study_sweeper.sweeper import StudySweeper

log = logging.getLogger(__name__)
NOT_THERE = "<not there>"


class Session:
    """What a sweeper does with a space."""

    def __init__(self, sweeper: StudySweeper, space: Space) -> None:
        self.sweeper, self.space = sweeper, space
        self.directions = check_directions(sweeper.direction)
        self.repeats = sweeper.repeats()
        self.rules = [Rule.parse(text) for text in sweeper.constraints]
        self.run_elsewhere = getattr(sweeper.launcher, "run_workers", None)
        self.in_process = isinstance(sweeper.launcher, BasicLauncher) or self.run_elsewhere is not None
        check_pairs(sweeper.sampler, sweeper.stopper, space, len(self.directions), len(self.repeats))
        if sweeper.stopper is not None and not self.in_process and sweeper.n_jobs > 1:
            raise StudyError(
                "a stopper hears of trials while they run, and a batch of another launcher tells at its end; leave it "
                "out (hydra.sweeper.stopper=null) or take hydra/launcher=basic, which runs n_jobs processes"
            )

    def run(self) -> None:
        """Open the study, run what is left of it, and tell what came out."""
        self._compose_each_kind()
        with Presence(self.sweeper.folder) as presence:
            with presence.alone():
                shared = self._open(presence)
            shared.reap()
            with presence.alone():
                if not is_worker():
                    self.observer.study_started(shared.study, self.sweeper.folder, len(presence.others()))
            try:
                if self.run_elsewhere is not None or (self.sweeper.n_jobs > 1 and self.in_process):
                    self._run_workers(shared)
                else:
                    self._loop(shared).run()
            finally:
                with presence.alone():
                    if not is_worker():
                        n_others = len(presence.others())
                        self.observer.study_ended(shared.study, self.sweeper.folder, n_others, shared.is_full)
            self._conclude(shared)

    @cached_property
    def observer(self) -> Observer:
        """Built from the configuration of a job, which knows what was typed."""
        return make_observer(self._fixed.hydra.sweeper.get("observer"))

    @cached_property
    def _fixed(self) -> Any:
        """The configuration of a job in which nothing is searched."""
        return self.sweeper.compose([f"{key}={value}" for key, value in self.space.fixed.items()])

    def _compose_each_kind(self) -> None:
        """Raises Hydra's error for a key or a choice that is not there, before the first job."""
        if is_worker():
            return
        groups = set(self.sweeper.config.hydra.runtime.choices)  # type: ignore[union-attr]
        for job in self.space.kinds(groups):
            self.sweeper.compose([*job, *self.repeats[-1]])

    def _open(self, presence: Presence) -> SharedStudy:
        """The study, made or resumed; no other process of this folder starts meanwhile."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sweeper = self.sweeper
        address = storage_address(sweeper.storage, sweeper.folder, self._n_processes)
        others = presence.others()
        if address.startswith("sqlite:") and others:
            raise StudyError(
                f"another process works on {address}, which is for one; wait for it, or begin a study on a journal "
                "file (hydra.sweeper.storage=<file>.journal) or a database server"
            )
        definition = self._definition()  # what can be wrong is wrong before anything is written
        storage = open_storage(address, sweeper.patience_s)
        study = self._study(storage, address, definition)
        n_before = len(study.get_trials(deepcopy=False))
        stream = [
            *([n_before] if n_before else []),
            *([zlib.crc32(presence.token.encode())] if others else []),
        ]
        constraints = constraints_of if self.rules else None
        study.sampler = make_sampler(sweeper.sampler, self.space, stream, constraints)
        _enqueue_missing(study, sweeper.enqueue)
        return SharedStudy(
            study,
            storage,
            presence,
            sweeper.n_trials,
            sweeper.retries,
            sweeper.stale_after_s,
            on_server=is_server(address),
        )

    def _study(self, storage: BaseStorage, address: str, definition: Mapping[str, str]) -> Study:
        import optuna
        from optuna.study import StudyDirection

        sweeper = self.sweeper
        sampler = make_sampler(sweeper.sampler, self.space, [], constraints_of if self.rules else None)
        stopper = make_stopper(sweeper.stopper)
        shown = redacted(address)
        try:
            check_folder(storage, sweeper.study_name, sweeper.folder, shown)
            study = optuna.create_study(
                storage=storage,
                study_name=sweeper.study_name,
                directions=[StudyDirection[one.upper()] for one in self.directions],
                load_if_exists=True,
                sampler=sampler,
                pruner=stopper,
            )
        except StudyError:
            raise
        except Exception as error:
            raise StudyError(f"{shown} cannot be used: {redacted(reason_of(error))}") from error
        clashes = clashes_of(study, self.space, self.directions, [rule.text for rule in self.rules])
        check_definition(study, definition, clashes, sweeper.on_change, shown)
        return study

    def _definition(self) -> dict[str, str]:
        """All that makes the study this one, name -> text."""
        found = {f"space {key}": text for key, text in self.space.describe().items()}
        found["direction"] = ", ".join(self.directions)
        found |= {f"repeat {key}": str(list(values)) for key, values in self.sweeper.repeat.items()}
        found |= {f"constraint {number}": rule.text for number, rule in enumerate(self.rules)}
        found |= self._whole() if self.sweeper.identity is None else self._named(self.sweeper.identity)
        return {printable(name): printable(redacted(text)) for name, text in found.items()}

    def _named(self, keys: Sequence[str]) -> dict[str, str]:
        """What the base configuration has under these keys."""
        found: dict[str, str] = {}
        for key in keys:
            value = OmegaConf.select(self._fixed, key, default=NOT_THERE)
            if value is NOT_THERE:
                raise StudyError(f"hydra.sweeper.identity has {key}, which is no key of the configuration")
            found |= _flat(
                key, OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            )
        return found

    def _whole(self) -> dict[str, str]:
        """All of the base configuration but what changes no result, and what each trial sets."""
        set_by_trials = {one.name for one in self.space.parameters if not one.when} | set(self.sweeper.repeat)
        without = {"hydra", *self.sweeper.indifferent, *set_by_trials}
        kept = [str(key) for key in self._fixed if key not in without]
        return {
            name: text
            for name, text in self._named(kept).items()
            if not any(name == key or name.startswith(f"{key}.") for key in without)
        }

    def _loop(self, shared: SharedStudy) -> Loop:
        sweeper = self.sweeper
        return Loop(
            shared=shared,
            space=self.space,
            launcher=cast(Launcher, sweeper.launcher),  # set by setup
            observer=self.observer,
            folder=sweeper.folder,
            repeats=self.repeats,
            rules=self.rules,
            max_failure_rate=sweeper.max_failure_rate,
            batch_size=1 if self.in_process else sweeper.n_jobs,
            may_stop=sweeper.stopper is not None and len(self.directions) == 1,
            turns=self._turns() if self.in_process else None,
            wants_to_go_on=parent_lives,
        )

    def _turns(self) -> Turns:
        n = self.sweeper.at_once or len(usable_cores())
        return Turns(self.sweeper.folder / PRESENT, n)

    @property
    def _n_processes(self) -> int:
        """That work on the study for this command; on a cluster there is this one beside its workers."""
        if self.run_elsewhere is not None:
            return self.sweeper.n_jobs + 1
        return self.sweeper.n_jobs if self.in_process else 1

    def _run_workers(self, shared: SharedStudy) -> None:
        address = storage_address(self.sweeper.storage, self.sweeper.folder, self._n_processes)
        more = ["hydra.sweeper.n_jobs=1", f"hydra.sweep.dir={quoted(str(self.sweeper.folder))}"]
        if self.sweeper.storage is None:  # else it was typed or is in a file, as it is for the workers
            more.append(f"hydra.sweeper.storage={quoted(address)}")
        run = run_workers if self.run_elsewhere is None else self.run_elsewhere
        run(self.sweeper.n_jobs, more, lambda: shared.is_full, shared.reap)

    def _conclude(self, shared: SharedStudy) -> None:
        from optuna.trial import TrialState

        if is_worker():
            return
        trials = shared.trials()
        if not any(trial.state == TrialState.COMPLETE for trial in trials):
            raise StudyError(why_nothing(shared))
        log.info("study %r in %s: %s", shared.study.study_name, self.sweeper.folder, progress(shared, trials))


def _enqueue_missing(study: Study, starts: Sequence[Mapping[str, Any]]) -> None:
    """Enqueue the starts that are not among the trials: a kill may have come between two of them.

    Processes of other folders that begin at the same moment may enqueue one twice, which costs a trial.
    """
    trials = study.get_trials(deepcopy=False)
    there = [trial.system_attrs.get("fixed_params") for trial in trials if RETRY_OF not in trial.user_attrs]
    for start in map(dict, starts):
        if start in there:
            there.remove(start)  # equal starts are as many trials
        else:
            study.enqueue_trial(start)


def _flat(key: str, value: Any) -> dict[str, str]:
    """Leaves of a nested value, by their dotted names."""
    if isinstance(value, dict):
        return {name: text for k, v in value.items() for name, text in _flat(f"{key}.{k}", v).items()}
    return {key: str(value)}
