"""One trial: from a configuration to a record. The whole story is ``run_trial``."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from tamis.bases.base import Basis, StructureBasis
from tamis.bases.none import NoDescriptor
from tamis.core import metrics as names
from tamis.core.config_errors import explain
from tamis.core.errors import NotApplicableError, StoppedError, TamisError
from tamis.core.interrupts import heeding_interrupts
from tamis.core.names import said_of
from tamis.core.secrets import redacted
from tamis.core.threads import limited
from tamis.data.dataset import Dataset, Indices, Split, split_dataset, with_isolated
from tamis.data.kept_set import write_kept
from tamis.data.reach import cutoff_doubts
from tamis.data.sources.transfer import transfer_sets
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.base import Subject
from tamis.evaluation.evaluation import Evaluation
from tamis.models.base import Model, Potential
from tamis.models.files import write_potential
from tamis.models.judging import FEW
from tamis.parts import Parts, Seeds, check_trial, effective, plain, trial_part
from tamis.records.record import BudgetFacts, CurvePoint, DatasetFacts, SelectionFacts, Status, TrialRecord
from tamis.records.versions import versions
from tamis.selection.base import Limit, Selection
from tamis.selection.budget import select_all
from tamis.selection.pool_features import features_of_pool
from tamis.store.keys import basis_key

AfterStage = Callable[[TrialRecord], None]
Known = Callable[[TrialRecord, Sequence[Sequence[str]]], TrialRecord | None]
"""Gets a record and the ids kept at each point; gives the record of a trial that fitted the same, if there is one."""


def run_trial(
    config: DictConfig,
    choices: Mapping[str, str],
    folder: Path,
    overrides: Sequence[str] = (),
    watch: AfterStage = lambda record: None,
) -> TrialRecord:
    """Prune, retrain, measure. Whatever goes wrong becomes the record's status and reason.

    Parameters
    ----------
    config : composed configuration. choices : which file of each group it was composed from.
    folder : where the record, the kept structures and the potential's files go.
    overrides : what was typed, for tables that show what was varied.
    watch : sees the record after each point and each stage behind it, and may end the trial with StoppedError.
    """
    record = TrialRecord(config={"choices": dict(choices)}, overrides=list(overrides), versions=versions())
    config = trial_part(config)

    def story() -> None:
        record.config |= plain(config, resolve=False)
        check_trial(config)
        record.config = effective(record.config | plain(config, resolve=True))
        record.save(folder)
        _run(Parts.of, record, folder, watch)

    return _to_its_end(record, folder, story)


def run_resolved(
    config: Mapping[str, Any],
    folder: Path,
    overrides: Sequence[str],
    parts: Callable[[Mapping[str, Any]], Parts],
    watch: AfterStage = lambda record: None,
    labels: Mapping[str, str] | None = None,
    known: Known = lambda record, kept: None,
) -> TrialRecord:
    """The same for a plain configuration that ``resolved`` has made: for many trials that share their parts.

    Parameters
    ----------
    config : what is to be in the record, ``choices`` among it.
    parts : gives the objects that a configuration names; they may be those of an earlier trial.
    watch : as for ``run_trial``. labels : of the sweep, for the record. known : where it gives the record of an equal
    trial, nothing is fitted: the numbers are taken from there, with its labels.
    """
    record = TrialRecord(dict(config), list(overrides), dict(labels or {}), versions())
    return _to_its_end(record, folder, lambda: _run(parts, record, folder, watch, known))


def _to_its_end(record: TrialRecord, folder: Path, story: Callable[[], None]) -> TrialRecord:
    """Run the story; how it ended is the record's status and reason."""
    try:
        with limited(), heeding_interrupts():
            story()
        record.status = Status.COMPLETE
    except NotApplicableError as error:
        record.status, record.reason = Status.SKIPPED, str(error)
    except StoppedError as error:
        record.status, record.reason = Status.STOPPED, str(error)
    except TamisError as error:
        record.status, record.reason = Status.FAILED, str(error)
    except OmegaConfBaseException as error:
        record.status, record.reason = Status.FAILED, explain(error)
    except KeyboardInterrupt:
        record.status, record.reason = Status.INTERRUPTED, "interrupted"
        record.save(folder)
        raise
    except Exception as error:  # a sweep does not die of one trial
        record.status, record.reason = Status.FAILED, said_of(error) or f"{type(error).__name__}: {error}"
        with suppress(OSError):  # where nothing can be written, the record says so
            (folder / "traceback.txt").write_text(redacted(traceback.format_exc()))
    record.save(folder)
    return record


def _run(
    build: Callable[[Mapping[str, Any]], Parts],
    record: TrialRecord,
    folder: Path,
    watch: AfterStage = lambda record: None,
    known: Known = lambda record, kept: None,
) -> None:
    config = record.config
    seed = Seeds(**config["seed"])
    with record.stage("setup"):
        parts = build(config)
        has_descriptor = not isinstance(parts.descriptor, NoDescriptor)
        parts.pruner.check_descriptor(has_descriptor, isinstance(parts.descriptor, StructureBasis))
        record.own = is_own(parts.descriptor, parts.model) if has_descriptor else None
    with record.stage("dataset"):
        dataset = parts.source.load()
        rng = np.random.default_rng(seed.of_split)
        split = split_dataset(dataset, config["validation_fraction"], rng, parts.model.needs_tuning_set)
        pool = dataset.subset(split.pool)
        crystal, whose = parts.source.crystal_in(dataset.training)
        transfer = transfer_sets(parts.source, dataset.elements)
        doubts = cutoff_doubts(dataset, {"model": parts.model, "descriptor": parts.descriptor})
        record.dataset = _describe(dataset, split, doubts, whose)
    with record.stage("rows"):  # before the features, which the rows of an own descriptor hold already
        parts.model.prepare(dataset, parts.store)
    with record.stage("features"):
        features = features_of_pool(parts.descriptor, parts.latent, pool, parts.pruner, parts.store)
    with record.stage("selection"):
        limits = parts.budget.limits(pool.n_atoms)
        record.budget = _budget(limits)
        selections = select_all(parts.pruner, features, limits, seed.of_choice)
        ids = tuple(pool.ids[i] for i in selections[-1].indices)
        record.selection = SelectionFacts(parts.pruner.keeps_prefixes, ids, features.notes)
        kept_ids = [tuple(pool.ids[i] for i in np.sort(one.indices)) for one in selections]
        del features  # what the fit needs takes its place
    if (equal := known(record, kept_ids)) is not None:
        _take_over(equal, record, kept_ids)
        return
    for selection in selections:
        is_last = selection is selections[-1]
        potential = _retrain(parts, seed, record, selection, dataset, split, transfer, folder, is_last)
        watch(record)
    if config["artifacts"]:
        with record.stage("artifacts"):
            write_kept(folder, with_isolated(pool.subset(selections[-1].indices)))
            write_potential(potential, parts.model.elements or dataset.elements, folder / "potential")
    kept = dataset.subset(split.pool[np.sort(selections[-1].indices)])
    _judge(parts.evaluation, _subject(parts, crystal, seed.fit, potential, pool, kept, folder), record, watch)


def _take_over(equal: TrialRecord, record: TrialRecord, kept: Sequence[tuple[str, ...]]) -> None:
    """Give a record the numbers of a trial that fitted the same sets, and its times of what is not done again."""
    nested = record.selection.nested
    record.curve = [
        replace(point, ids=None if nested else ids) for point, ids in zip(equal.curve, kept, strict=True)
    ]
    record.labels |= equal.labels
    record.metrics |= equal.metrics
    record.problems |= equal.problems
    record.seconds = {**equal.seconds, **record.seconds}


def _subject(
    parts: Parts,
    crystal: AnyCrystal | None,
    seed: int,
    potential: Potential,
    pool: Dataset,
    kept: Dataset,
    folder: Path,
) -> Subject:
    """The potential of the last point, and what it is measured against."""
    source = parts.source
    return Subject(
        potential=potential,
        pool=pool,
        kept=kept,
        crystal=crystal,
        reference=source.references,
        reference_source=source.reference_source,
        label_giver=source.label_giver(),
        label_giver_name=source.label_giver_name,
        cache=source.cache_folder,
        store=parts.store,
        folder=folder,
        seed=seed,
        own=parts.model.own_descriptor,
    )


def _judge(evaluation: Evaluation, subject: Subject, record: TrialRecord, watch: AfterStage) -> None:
    """The stages after the errors; what they could not measure is a problem of the record, not its failure."""
    for name, measure in evaluation.stages.items():
        if reason := evaluation.hopeless(record.metrics):
            record.problems[name] = reason
            continue
        record.save(subject.folder)  # what there is survives whatever happens here
        with record.stage(name):
            findings = measure(subject)
        finite = {metric: value for metric, value in findings.metrics.items() if np.isfinite(value)}
        record.metrics |= finite
        record.curve[-1].metrics.update(finite)  # measured on the potential of the last point
        record.problems |= findings.problems
        watch(record)
    if reason := evaluation.mistaken(record.metrics):
        record.problems["stop_if"] = reason


def _retrain(
    parts: Parts,
    seed: Seeds,
    record: TrialRecord,
    selection: Selection,
    dataset: Dataset,
    split: Split,
    transfer: Mapping[str, Dataset],
    folder: Path,
    is_last: bool,
) -> Potential:
    """Fit on one selection and measure: one point of the learning curve."""
    # in the order of the pool: what a model makes of a set must not depend on the order of choice
    kept = dataset.subset(split.pool[np.sort(selection.indices)])
    with record.stage("fit"):
        potential = parts.model.fit(
            kept, dataset.subset(split.tuning), parts.store, np.random.default_rng(seed.of_fit)
        )
    with record.stage("errors"):
        metrics = parts.evaluation.errors.measure(
            lambda structures: potential.predict(structures, parts.store),
            {
                names.TRAIN: kept,
                names.VALIDATION: dataset.subset(split.validation),
                names.TEST: dataset.subset(split.test),
                **{names.transfer(name): structures for name, structures in transfer.items()},
            },
            folder,
            is_last,
        )
    _check_finite(metrics)
    record.problems |= _doubts(potential, metrics, record.dataset, len(kept))
    metrics |= {
        names.diagnostic(name): value for name, value in potential.diagnostics.items() if np.isfinite(value)
    }
    n_atoms = int(kept.n_atoms.sum())
    metrics |= {
        names.KEPT_STRUCTURES: float(len(kept)),
        names.KEPT_ATOMS: float(n_atoms),
        names.FRACTION_OF_STRUCTURES: len(kept) / len(split.pool),
        names.FRACTION_OF_ATOMS: n_atoms / record.dataset.n_pool_atoms,
    }
    record.metrics |= metrics
    ids = None if parts.pruner.keeps_prefixes else kept.ids
    record.curve.append(CurvePoint(len(kept), n_atoms, metrics, ids))
    return potential


def _doubts(
    potential: Potential, metrics: Mapping[str, float], dataset: DatasetFacts, n_kept: int
) -> dict[str, str]:
    """Results that rest on too little data."""
    doubts = {f"fit of {n_kept} structures": potential.problem} if potential.problem else {}
    if 0 < dataset.n_distinct_validation < FEW:
        doubts[names.VALIDATION] = (
            f"errors rest on {dataset.n_distinct_validation} distinct structure(s); take a larger "
            "validation_fraction before anything is chosen by them"
        )
    for part, ids in ((names.VALIDATION, dataset.validation), (names.TEST, dataset.test)):
        if ids and names.error(part, names.FORCE_MAE) not in metrics:
            doubts[part] = (
                f"no force error: forces of all {len(ids)} structures are missing or zero, in the labels and, by "
                "symmetry, in any potential; choose by energies, or hold out structures with forces"
            )
    return doubts


def _check_finite(metrics: Mapping[str, float]) -> None:
    """A potential that gives NaN is a failure, not a result."""
    for name, value in metrics.items():
        if not np.isfinite(value):
            raise TamisError(
                f"{name} is {value}: the fitted potential gives no finite numbers; try larger model.ridges or a "
                "larger budget"
            )


def _describe(dataset: Dataset, split: Split, doubts: Sequence[str], crystal: str) -> DatasetFacts:
    def ids(part: Indices) -> tuple[str, ...]:
        return tuple(dataset.ids[i] for i in part)

    return DatasetFacts(
        fingerprint=dataset.fingerprint,
        elements=dataset.elements,
        pool=ids(split.pool),
        pool_groups=tuple(dataset.groups[i] for i in split.pool),
        tuning=ids(split.tuning),
        validation=ids(split.validation),
        test=ids(split.test),
        n_pool_atoms=int(dataset.n_atoms[split.pool].sum()),
        n_distinct_pool=len(np.unique(dataset.copies[split.pool])),
        n_distinct_validation=len(np.unique(dataset.copies[split.validation])),
        test_kind=dataset.test_kind,
        validation_kind="blocks" if dataset.subset(split.trained).deals_blocks else "structures",
        notes=(*dataset.notes, *doubts),
        read_as="\n".join(filter(None, (dataset.read_as, crystal))),
    )


def _budget(limits: Sequence[Limit]) -> BudgetFacts:
    """The limits of a budget, which are all in the same unit."""
    if any(limit.atoms is not None for limit in limits):
        return BudgetFacts("atoms", tuple(limit.atoms or 0 for limit in limits))
    return BudgetFacts("structures", tuple(limit.structures or 0 for limit in limits))


def is_own(descriptor: Basis, model: Model) -> bool:
    """Whether a descriptor gives the same numbers as the model's own."""
    own = model.own_descriptor
    # 4 and 4.0 are the same number, and make two keys
    return own is not None and (own == descriptor or basis_key(own) == basis_key(descriptor))
