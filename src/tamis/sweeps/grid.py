"""Sweeps whose trials are known before the first one runs: the product of what was typed, or the blocks of a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from tamis.core.errors import TamisError
from tamis.core.messages import plain_console
from tamis.records.record import FAILED
from tamis.sweeps.composing import Composer
from tamis.sweeps.dry_run import print_dry_run
from tamis.sweeps.ending import print_end, refuse_failures, say_page
from tamis.sweeps.execute import run_jobs
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.job import Job, identity, name_of
from tamis.sweeps.overrides import lines_of, pairs_of
from tamis.sweeps.plan import Plan, Planned
from tamis.sweeps.publish import Publisher
from tamis.sweeps.running import set_aside

BASE = ("store.remember=true",)
"""Overrides of every trial of a sweep: trials of one process share what they read."""


@dataclass(frozen=True)
class Grid:
    """Settings of a grid (``hydra.sweeper``).

    params: overrides that every trial has, key -> values as on the command line.
    together: each entry (key -> value) is one set of overrides; the product is taken with the list.
    blocks: names of the blocks of a plan that are run; none: all.
    retry_failed: run failed trials again. dry_run: say what would run, and how long it would take.
    measured: more folders of trials to estimate the time from.
    """

    params: Mapping[str, Any]
    together: Sequence[Mapping[str, Any]]
    blocks: Sequence[str]
    retry_failed: bool
    dry_run: bool
    measured: Sequence[str]

    def run(
        self, config: DictConfig, launcher: Launcher, given: Sequence[Override], typed: Sequence[Override]
    ) -> None:
        """Run what is not done yet, and print what came out.

        Parameters
        ----------
        given : ``params`` as overrides. typed : those of the command line.

        Raises
        ------
        TamisError : the sweep is not understood, or trials of it failed. HydraException : from Hydra, the same.
        """
        folder = SweepFolder(Path(config.hydra.sweep.dir).absolute())
        trials = self.trials(plan_of(config), given, typed)
        jobs = [folder.known(job) for job in composed(trials, self.blocks)]
        about = Sweep(title_of(config, folder.path), [str(one.input_line) for one in typed])
        protocol = _plain(config.get("protocol"))
        if self.dry_run:
            print_dry_run(jobs, folder, about, protocol, self.measured, launcher)
            return
        with folder.alone():
            sweep = folder.begin(about, protocol)
            done = folder.done(jobs, self.retry_failed)
            left = [job for job in jobs if job.name not in done]
            already = f", {len(done)} of them done already" if done else ""
            plain_console().print(f"{len(jobs)} trials{already}; {folder.path}", markup=False)
            for job in left:
                set_aside(folder.path / job.name)
            with Publisher(instantiate(config.tracking), folder, sweep, done) as publisher:
                run_jobs(left, folder, launcher, publisher.publish)
                statuses = print_end(folder, config)
            say_page(publisher.page)
        refuse_failures(sum(statuses.get(job.name) == FAILED for job in jobs), len(jobs))

    def trials(
        self, plan: Plan | None, given: Sequence[Override], typed: Sequence[Override]
    ) -> list[Planned]:
        """Block and overrides of every trial, also of blocks that are not run: they may share trials.

        Raises
        ------
        HydraException : a range, from which only a search can draw. TamisError : see ``Plan.trials``.
        """
        values = _values([*given, *typed])
        lines = {key: [f"{key}={text}" for text in texts] for key, texts in values.items()}
        if plan is None:
            keys = {key for entry in self.together for key in entry}
            together = [] if keys & _values(typed).keys() else self.together
            sets = [*map(lines_of, together)] or [[]]
            return [("", (*one, *more)) for one in product(*lines.values()) for more in sets]
        if unknown := [name for name in self.blocks if name not in plan.blocks]:
            raise TamisError(f"the plan has no block {unknown[0]}; it has {', '.join(plan.blocks)}")
        varied = plan.varied()
        only = {key: values[key] for key in values if key in varied}
        rest = list(product(*(texts for key, texts in lines.items() if key not in varied)))
        return [(block, (*one, *more)) for block, more in plan.trials(only) for one in rest]


def _values(overrides: Sequence[Override]) -> dict[str, list[str]]:
    """Key -> the values that it takes in turn; of overrides of one key the last one counts."""
    found = {}
    for one in overrides:
        if one.is_interval_sweep():
            raise HydraException(
                f"{one.input_line} is a range, from which only a search draws values; add search=fraction or "
                f"hydra/sweeper=study, or list values: {one.get_key_element()}=<value>,<value>"
            )
        is_list = one.is_sweep_override()
        texts = list(one.sweep_string_iterator()) if is_list else [one.get_value_element_as_str()]
        found[one.get_key_element()] = texts
    return found


def composed(trials: Sequence[Planned], blocks: Sequence[str] = ()) -> list[Job]:
    """The trials with their configurations; those that would be the same trial are one.

    Parameters
    ----------
    blocks : whose trials are wanted; none: all. A trial of several blocks is labelled as one of the first, always.

    Raises
    ------
    HydraException, OmegaConfBaseException, TamisError : what is wrong with one, before the first runs.
    """
    if not trials:
        return []
    common = set(trials[0][1]).intersection(*(lines for _, lines in trials))
    fixed = [line for line in trials[0][1] if line in common]
    composer = Composer([*BASE, *fixed])
    jobs: dict[str, Job] = {}
    wanted: dict[str, None] = {}
    for block, lines in trials:
        config = composer.config(pairs_of(line for line in lines if line not in common))
        same = json.dumps(identity(config), sort_keys=True)
        name = name_of(config, lines)
        if same in jobs:
            jobs[same] = replace(jobs[same], other_names=(*jobs[same].other_names, name))
        else:
            jobs[same] = Job(name, tuple(lines), config, {"block": block} if block else {})
        if not blocks or block in blocks:
            wanted[same] = None
    return [jobs[same] for same in wanted]


def plan_of(config: DictConfig) -> Plan | None:
    """The plan of a composed configuration; interpolations in it are worked out by each trial, not here."""
    if config.get("plan") is None:
        return None
    node = OmegaConf.to_container(config.plan, resolve=False)
    return Plan(**{str(key): value for key, value in dict(node).items()})  # type: ignore[arg-type] # a mapping


def title_of(config: DictConfig, folder: Path) -> str:
    """Name of the sweep's run in MLflow."""
    return f"{config.hydra.runtime.choices.get('experiment') or 'sweep'} {folder.name}"


def _plain(node: Any) -> Any:
    return None if node is None else OmegaConf.to_container(node, resolve=True)
