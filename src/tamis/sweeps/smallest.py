"""The search for the smallest training set: learning curves in rounds, each narrower than the one before.

The first round fits the whole pool of each split, the second a coarse curve for each way of choosing, the next ones
curves within the bracket in which the errors come within the limit. A round is a few trials of a sweep, so that a kill
costs what was running, and the same command finds the same rounds again.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from hydra.core.override_parser.types import Override
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from omegaconf import DictConfig

from tamis.analysis.arms import results_of
from tamis.analysis.smallest import Answer, RatioCurve, chosen, middle
from tamis.analysis.trials import Shared, trial_of
from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.fields import Whole
from tamis.core.files import write_atomically
from tamis.core.messages import in_one_line, plain_console
from tamis.core.plugins import files_of
from tamis.core.suggestions import suggest
from tamis.parts import build_part
from tamis.records.record import COMPLETE, TrialRecord
from tamis.report.html import to_html
from tamis.report.smallest import facts_of, lines_of, page_of
from tamis.selection.budget import FractionBudget
from tamis.sweeps.dry_run import print_dry_run
from tamis.sweeps.ending import leave_tables
from tamis.sweeps.execute import run_jobs_on
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.grid import composed
from tamis.sweeps.job import Job, name_of
from tamis.sweeps.overrides import written
from tamis.sweeps.plan import seeds_of
from tamis.sweeps.point_files import retrain
from tamis.sweeps.publish import Publisher
from tamis.sweeps.running import RUNNING_FOLDER, set_aside
from tamis.sweeps.workers import workers_of

COARSE = (0.05, 0.1, 0.2, 0.35, 0.6)
"""Fractions of the pool's atoms that are tried first."""
FEWEST = 3
"""Structures of mean size in the smallest set that is tried."""
ERRORS = {"forces": names.FORCE_MAE, "energies": names.ENERGY_MAE}
OURS = ("pruner", "budget", "seed", "experiment", "plan", "search")
"""Keys that the search sets, or that would make another sweep."""
OWN = "model.basis."
FRACTIONS = "budget.fractions="
ANSWER_FILE, PAGE = "smallest.json", "smallest.html"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A potential of a trial. name: of the trial's folder. number: of the point on its curve."""

    name: str
    record: TrialRecord
    number: int

    @property
    def metrics(self) -> Mapping[str, float]:
        """What was measured of it."""
        return self.record.curve[self.number].metrics

    @property
    def split(self) -> int:
        """Seed of the split."""
        return int(self.record.config["seed"]["split"])


@dataclass(frozen=True)
class Measured:
    """What is known. whole: of each split. points: way -> fraction -> split -> potential; left_out: way -> why."""

    whole: dict[int, Fitted] = field(default_factory=dict)
    points: dict[str, dict[float, dict[int, Fitted]]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Smallest:
    """Settings of a search (``hydra.sweeper``): see ``conf/hydra/sweeper/smallest.yaml``."""

    within: float
    errors: Sequence[str]
    pruners: Sequence[str]
    splits: int
    resolution: float
    retry_failed: bool
    dry_run: bool
    measured: Sequence[str]

    def __post_init__(self) -> None:
        for name in ("within", "resolution"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 < value < 1000.0:
                raise TamisError(
                    f"{name} is {value!r}; a number of percent above 0 is needed, such as {name}=10"
                )
        Whole(1).apply("splits", self.splits)
        known = {
            "errors": list(ERRORS),
            "pruners": [path.stem for path in files_of("pruner")],
        }
        for name, allowed in known.items():
            given = getattr(self, name)
            if isinstance(given, str) or not given:
                raise TamisError(
                    f"{name} is {given!r}; a list is needed, such as {name}={','.join(allowed[:2])}"
                )
            for one in given:
                if one not in allowed:
                    raise TamisError(
                        f"{name} has {one}; {suggest(str(one), allowed)}there are {', '.join(allowed)}"
                    )

    @property
    def limit(self) -> float:
        """The largest allowed ratio of errors."""
        return 1.0 + self.within / 100

    def run(self, config: DictConfig, launcher: Launcher, typed: Sequence[Override]) -> None:
        """Search, print what was found, and leave the set, its potential and the page.

        Raises
        ------
        TamisError : something typed has no meaning here, the whole pool cannot be fitted, or no way of choosing works.
        HydraException : from Hydra, the same.
        """
        folder = SweepFolder(Path(config.hydra.sweep.dir).absolute())
        lines, descriptors = _typed(typed)
        if not any(line.startswith("artifacts=") for line in lines):
            lines.append("artifacts=false")  # the files of the answer are made at the end
        whole = self._of_splits([*lines, "pruner=keep_all", "budget=all"])
        coarse = {
            name: self._of_splits([*of_way, "budget=curve", f"{FRACTIONS}{written(list(COARSE))}"])
            for name, of_way in self._ways(lines, descriptors, whole[0].config).items()
        }
        about = Sweep(f"smallest {folder.path.name}", [str(one.input_line) for one in typed])
        if self.dry_run:
            jobs = [*whole, *(job for jobs in coarse.values() for job in jobs)]
            print_dry_run(jobs, folder, about, None, self.measured, launcher)
            plain_console().print("the rounds that narrow the size down take about as long again")
            return
        with folder.alone(), workers_of(launcher) as workers:
            sweep = folder.begin(about, None)
            with Publisher(instantiate(config.tracking), folder, sweep) as publisher:
                rounds = count(1)

                def run(jobs: Sequence[Job]) -> list[TrialRecord | None]:
                    done = folder.done(jobs, self.retry_failed)
                    left = [job for job in jobs if job.name not in done]
                    for job in left:
                        set_aside(folder.path / job.name)
                    number = next(rounds)
                    if left:
                        plain_console().print(f"round {number} of a few: {len(left)} trial(s)")
                        run_jobs_on(workers, left, folder, launcher, publisher.publish)
                    return [folder.record(job.name) for job in jobs]

                search = Search(self, run, whole, coarse)
                answer, fitted = search.answer(search.measured())
                out = leave(answer, fitted, folder.path, self._settings)
                leave_tables(folder)
        for line in [*lines_of(answer), f"files:      {out} ({PAGE}, kept.extxyz, potential/)"]:
            plain_console().print(line, markup=False)

    @property
    def _settings(self) -> dict[str, Any]:
        names = ("errors", "pruners", "splits", "resolution")
        return {name: getattr(self, name) for name in names}

    def _of_splits(self, lines: Sequence[str]) -> list[Job]:
        """A job for each split."""
        return composed([("", (*lines, *seeds_of(split))) for split in range(self.splits)])

    def _ways(
        self, lines: Sequence[str], descriptors: Sequence[str], config: Mapping[str, Any]
    ) -> dict[str, list[str]]:
        """Name -> overrides: pruners that look at a descriptor once for each of these, the others once."""
        more: list[str] = []
        if not descriptors and (own := own_descriptor(config)):
            descriptors = [own]
            more = [f"descriptor.{line.removeprefix(OWN)}" for line in lines if line.startswith(OWN)]
        wanted = [
            [*lines, *more, f"pruner={pruner}", f"descriptor={descriptor}"]
            for pruner in self.pruners
            for descriptor in descriptors or [config["choices"]["descriptor"]]
        ]
        found: dict[str, list[str]] = {}
        for overrides in wanted:
            (job,) = composed([("", tuple(overrides))])
            pruner, descriptor = (job.config["choices"][group] for group in ("pruner", "descriptor"))
            found.setdefault(pruner if descriptor == "none" else f"{pruner} in {descriptor}", overrides)
        return found


@dataclass(frozen=True, eq=False)
class Search:
    """Rounds of trials.

    run: runs jobs, and returns their records, None where there is none. whole_jobs: the whole pool of each split.
    coarse: way -> the job of each split's first curve.
    """

    settings: Smallest
    run: Callable[[Sequence[Job]], list[TrialRecord | None]]
    whole_jobs: Sequence[Job]
    coarse: Mapping[str, Sequence[Job]]

    def measured(self) -> Measured:
        """Fit the whole pools, then measure curves until the bracket of each way is narrow.

        Raises
        ------
        TamisError : a whole pool gives no potential, or no way of choosing works on these data.
        """
        found = Measured()
        for job, record in zip(self.whole_jobs, self.run(self.whole_jobs), strict=True):
            if why := _failure(record):
                raise TamisError(f"the whole pool gives no potential to compare with ({why})")
            fitted = Fitted(job.name, cast(TrialRecord, record), 0)
            found.whole[fitted.split] = fitted
        smallest = self.smallest(found)
        wanted = {way: [f for f in COARSE if f >= smallest] for way in self.coarse}
        while wanted:
            self._measure(found, wanted)
            if len(found.left_out) == len(self.coarse):
                reasons = "; ".join(f"{way}: {why}" for way, why in found.left_out.items())
                raise TamisError(f"no way of choosing works on these data ({reasons})")
            wanted = {
                way: new
                for way, curve in self.curves(found).items()
                if (
                    new := curve.next_fractions(self.settings.limit, smallest, self.settings.resolution / 100)
                )
            }
        return found

    def smallest(self, found: Measured) -> float:
        """The smallest fraction that is tried: of three structures, and of the largest structure at least."""
        parts = []
        for fitted in found.whole.values():
            largest = int(build_part("dataset", fitted.record.config["dataset"]).load().n_atoms.max())
            pool = fitted.record.dataset
            parts.append(max(FEWEST / len(pool.pool), (largest + 1) / pool.n_pool_atoms))
        return min(float(f"{max(parts):.4g}"), COARSE[-1])

    def _measure(self, found: Measured, wanted: Mapping[str, Sequence[float]]) -> None:
        """Run a curve of these fractions for each way and split; a way that fails once is left out from then on."""
        curves = [(way, _refined(job, wanted[way])) for way in wanted for job in self.coarse[way]]
        for (way, job), record in zip(curves, self.run([job for _, job in curves]), strict=True):
            if why := _failure(record):
                found.left_out.setdefault(way, why)
                found.points.pop(way, None)
            elif record is not None and way not in found.left_out:
                for fraction in wanted[way]:
                    (limit,) = FractionBudget(fraction, "atoms").limits(
                        np.array([record.dataset.n_pool_atoms])
                    )
                    fitted = Fitted(job.name, record, record.budget.limits.index(limit.atoms or 0))
                    found.points.setdefault(way, {}).setdefault(fraction, {})[fitted.split] = fitted

    def quantities(self, found: Measured) -> tuple[str, ...]:
        """The errors that are judged: those that were asked for, as far as the whole pools have them.

        Raises
        ------
        TamisError : there is none.
        """
        whole = [fitted.metrics for fitted in found.whole.values()]
        wanted = [ERRORS[name] for name in self.settings.errors]
        has = [
            one for one in wanted if all(m.get(names.error(names.VALIDATION, one), 0.0) > 0.0 for m in whole)
        ]
        if not has:
            raise TamisError(
                f"there is no validation error of {' or '.join(self.settings.errors)} to go by; the records of the "
                "trials say why, under problems"
            )
        return tuple(has)

    def curves(self, found: Measured) -> dict[str, RatioCurve]:
        """What was measured of each way."""
        quantities, curves = self.quantities(found), {}
        for way, points in found.points.items():
            fractions = sorted(points)
            rows = [[points[f][split] for split in sorted(found.whole)] for f in fractions]
            ratios = [[_ratios(one, found, quantities, names.VALIDATION) for one in row] for row in rows]
            sizes = [[[one.metrics[name] for name in names.SIZES] for one in row] for row in rows]
            structures, atoms, _, parts = np.moveaxis(np.array(sizes), -1, 0)
            curves[way] = RatioCurve(np.array(fractions), np.array(ratios), structures, atoms, parts)
        return curves

    def answer(self, found: Measured) -> tuple[Answer, Fitted]:
        """The answer, and the potential whose set is written: that of the split with the middle ratio."""
        quantities, curves, splits = self.quantities(found), self.curves(found), sorted(found.whole)
        taken = chosen(curves, self.settings.limit)
        fitted = found.whole
        if taken is not None:
            fitted = found.points[taken][curves[taken].bracket(self.settings.limit).high]
        ratios = [_ratios(fitted[split], found, quantities, names.VALIDATION) for split in splits]
        one = fitted[splits[middle([float(np.mean(np.log(of_split))) for of_split in ratios])]]
        answer = Answer(
            model=one.record.config["choices"]["model"],
            within=float(self.settings.within),
            quantities=quantities,
            curves=curves,
            left_out=found.left_out,
            smallest=self.smallest(found),
            taken=taken,
            split=one.split,
            n_splits=len(splits),
            n_pool=len(one.record.dataset.pool),
            n_pool_atoms=one.record.dataset.n_pool_atoms,
            kept=one.metrics,
            whole=found.whole[one.split].metrics,
            test_ratios=np.array([_ratios(fitted[split], found, quantities, names.TEST) for split in splits]),
            n_validation=min(whole.record.dataset.n_distinct_validation for whole in found.whole.values()),
            n_test=len(one.record.dataset.test),
            missing=tuple(name for name in self.settings.errors if ERRORS[name] not in quantities),
            n_retrains=len(splits) * (1 + sum(len(curve.fractions) for curve in curves.values())),
        )
        return answer, one


def leave(answer: Answer, fitted: Fitted, folder: Path, settings: Mapping[str, Any]) -> Path:
    """Write the set, its potential and the page below the sweep's folder; returns where.

    An answer that is there already is left as it is. ``settings``: of the search, for the file that says what was
    found.
    """
    text = json.dumps({**settings, **facts_of(answer)}, indent=1, allow_nan=False)
    name = f"within-{answer.within:g}"
    for path in sorted(folder.glob(f"{name}*/{ANSWER_FILE}")):
        if path.read_text() == text:
            return path.parent
    numbers = (f"-{n}" if n > 1 else "" for n in count(1))
    out = next(place for n in numbers if not (place := folder / f"{name}{n}").exists())
    trial = trial_of(fitted.record, folder / fitted.name, Shared())
    n_atoms = fitted.record.curve[fitted.number].n_atoms
    (point,) = (one for one in results_of([trial]).points if one.atoms == n_atoms)
    scratch = folder / RUNNING_FOLDER / name
    scratch.mkdir(parents=True)
    retrain(point, scratch)
    shutil.rmtree(scratch / "trial")  # a report on the sweep would count it as one more
    write_atomically(scratch / PAGE, to_html(page_of(answer, folder)).encode())
    write_atomically(scratch / ANSWER_FILE, text.encode())
    scratch.rename(out)
    return out


def own_descriptor(config: Mapping[str, Any]) -> str | None:
    """The choice of descriptor that is the basis of a configuration's model; None where the model has none."""
    own = build_part("model", config["model"]).own_descriptor
    target = f"{type(own).__module__}.{type(own).__qualname__}"
    for path in files_of("descriptor"):
        if yaml.safe_load(path.read_text()).get("_target_") == target:
            return path.stem
    return None


def _typed(typed: Sequence[Override]) -> tuple[list[str], list[str]]:
    """What was typed for every trial, and the descriptors.

    Raises
    ------
    TamisError : a key that the search sets itself, or a list of values of any but ``descriptor``.
    """
    lines, descriptors = list[str](), list[str]()
    for one in typed:
        key, line = one.get_key_element(), str(one.input_line)
        if key.partition(".")[0] in OURS:
            instead = {"pruner": "pruners=<a list>", "seed": "splits=<how many>"}.get(key.partition(".")[0])
            hint = f"type {instead} instead" if instead else "leave it out"
            raise TamisError(
                f"{line} has no place in a search for the smallest set, which sets it itself; {hint}"
            )
        values = (
            list(one.sweep_string_iterator()) if one.is_sweep_override() else [one.get_value_element_as_str()]
        )
        if key == "descriptor":
            descriptors = values
        elif len(values) > 1:
            raise TamisError(f"{line} has several values, and a search has one answer; give one value")
        else:
            lines.append(line)
    return lines, descriptors


def _refined(job: Job, fractions: Sequence[float]) -> Job:
    """The job with a curve of these fractions."""
    config = {**job.config, "budget": {**job.config["budget"], "fractions": list(fractions)}}
    lines = [line for line in job.overrides if not line.startswith(FRACTIONS)]
    lines.append(f"{FRACTIONS}{written(list(fractions))}")
    return Job(name_of(config, lines), tuple(lines), config)


def _failure(record: TrialRecord | None) -> str:
    """Why a trial gave no result; empty where it gave one."""
    if record is None:
        return "it left no record"
    return "" if record.status == COMPLETE else in_one_line(f"{record.status}: {record.reason}")


def _ratios(fitted: Fitted, found: Measured, quantities: Sequence[str], part: str) -> list[float]:
    """Errors by those of the whole pool of the same split; NaN where there is none."""
    whole, keys = found.whole[fitted.split].metrics, [names.error(part, one) for one in quantities]
    return [fitted.metrics.get(key, np.nan) / whole.get(key, np.nan) for key in keys]
