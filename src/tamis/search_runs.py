"""A search in MLflow: one parent run for its study, one run a trial, made from the records."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tamis.records.record import COMPLETE, FAILED, RECORD_FILE, Point, TrialRecord, read_record
from tamis.search_plots import PAGE, draw_search
from tamis.tracking import NoTracker, Tracker
from tamis.tracking.parents import Parent, read_parent

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

log = logging.getLogger(__name__)
PARENT, PARENT_ID = "mlflow_parent", "mlflow_id"
"""Attributes of the study: id of its run, and its tag ``tamis.id``, which is the same on every server."""
DRAWN = "trials_drawn"
"""Attribute of the study: how many ended trials its plots show."""
BEST = "search.best"
"""Tag of the best trials' runs."""
NUMBER = "search.trial"
"""Tag of a trial's run: its number in the study, which is the name of its folder, too."""
LATE_S = 60
"""Age in seconds at which a trial that another process ended should have its run."""
PLOTS = "plots"
"""Folder of the plots, in the search's folder and among the parent's artifacts."""


@dataclass(frozen=True)
class SearchRuns:
    """Observer of a study sweeper (hydra.sweeper.observer) that writes to MLflow.

    The parent's id is kept in the study, so that a search that is started again goes on under the same parent. Runs
    that are missing or half written, because a process was killed or MLflow away, are made up at the start, at the
    end, and by ``tamis-sync``.

    tracker: where to write; None (``tracking=null``) for nowhere. plots: draw Optuna's plots at the end, into
    ``plots/`` of the search's folder, and attach them to the parent.
    """

    tracker: Tracker | None
    plots: bool = True

    @property
    def _runs(self) -> Tracker | NoTracker:
        return self.tracker or NoTracker()

    def study_started(self, study: Study, folder: Path, n_others: int) -> None:
        """Make or reopen the parent; write what is missing under it."""
        self._make_up(study, folder, self._open(study, folder), n_others)

    def trial_ended(self, study: Study, trial: FrozenTrial, folder: Path) -> None:
        """Write the run of a trial that this process has told."""
        if (parent := self._opened(folder)) is not None:
            self._write(trial, folder, parent)

    def study_ended(self, study: Study, folder: Path, n_others: int, is_full: bool) -> None:
        """The last process writes what is missing, tags the best, ends the parent, and draws the plots."""
        if n_others:
            return
        try:
            parent = self._opened(folder) or self._open(study, folder)
            self._make_up(study, folder, parent, n_others)
            self._tag_best(study, folder, parent)
            self._runs.end_parent(parent.run_id, "FINISHED" if is_full else "KILLED")
        finally:  # MLflow may be away; the plots are in the folder, too
            if self.plots:
                self._draw(study, folder)
        if self.plots:
            self._attach_plots(folder, parent)

    def _attach_plots(self, folder: Path, parent: Parent) -> None:
        if (folder / PLOTS).is_dir():
            self._runs.attach(parent.run_id, folder / PLOTS)

    def bring_up_to_date(self, study: Study, folder: Path, n_others: int) -> tuple[int, int]:
        """Write what another server than the search's own misses; returns how many runs are new, and were there."""
        parent = parent_of(study)
        found = self._runs.find_parent(parent)
        parent = parent.at(self._runs, self._runs.open_parent(parent, _tags(study, folder)))
        counts = self._make_up(study, folder, parent, n_others)
        self._tag_best(study, folder, parent)
        self._attach_plots(folder, parent)
        if not n_others:
            status = "FINISHED" if found is None or found.status == "RUNNING" else found.status
            self._runs.end_parent(parent.run_id, status)
        return counts

    def _open(self, study: Study, folder: Path) -> Parent:
        known = parent_of(study)
        known.write(folder)  # MLflow may be away; tamis-sync finds it
        run_id = self._runs.open_parent(known, _tags(study, folder))
        parent = known.at(self._runs, run_id)
        parent.write(folder)
        if study.user_attrs.get(PARENT) != run_id:
            study.set_user_attr(PARENT, run_id)
        return parent

    def _opened(self, folder: Path) -> Parent | None:
        """The parent, if a process of this folder has found or made its run."""
        parent = read_parent(folder)
        return parent if parent is not None and parent.is_at(self._runs) else None

    def _draw(self, study: Study, folder: Path) -> None:
        """Draw, unless no trial has ended since that was done."""
        n = len(ended(study))
        if study.user_attrs.get(DRAWN) != n or not (folder / PLOTS / PAGE).is_file():
            draw_search(study, objective_names(study, folder), folder / PLOTS)
            study.set_user_attr(DRAWN, n)

    def _write(self, trial: FrozenTrial, folder: Path, parent: Parent) -> bool:
        """Write a trial's run; returns whether it was not there before."""
        own = folder / str(trial.number)
        tags = {NUMBER: str(trial.number), "search.state": trial.state.name.lower()}
        record = replace(record_of(trial, own), id=f"{parent.id}-{trial.number}")
        return self._runs.write(record, own, parent.run_id, tags).is_new

    def _make_up(self, study: Study, folder: Path, parent: Parent, n_others: int) -> tuple[int, int]:
        """One whole run for each ended trial; none for others, unless a process lives that may be writing it.

        Returns how many were written, and how many were there.
        """
        trials = {str(trial.number): trial for trial in ended(study)}
        mine = {
            number: trial
            for number, trial in trials.items()
            if (n_others == 0 or _age(trial) > LATE_S) and not _is_elsewhere(trial, folder / number)
        }
        there: set[str] = set()
        for child in self._runs.children(parent.run_id):
            number = child.tags.get(NUMBER, "")
            wrong = (number in mine and not child.is_whole) or number in there
            if wrong or (n_others == 0 and number not in trials):
                self._runs.discard(child.run_id)
            else:
                there.add(number)
        missing = [trial for number, trial in mine.items() if number not in there]
        n_new = 0
        for trial in missing:
            if self._write(trial, folder, parent):
                log.info("the run of trial %s was missing in MLflow and is written", trial.number)
                n_new += 1
        return n_new, len(there) + len(missing) - n_new

    def _tag_best(self, study: Study, folder: Path, parent: Parent) -> None:
        """The best trial, or those of the Pareto front, and no other."""
        best = set(map(str, best_numbers(study)))
        for child in self._runs.children(parent.run_id):
            if (is_best := child.tags.get(NUMBER) in best) != (child.tags.get(BEST) == "true"):
                self._runs.tag(child.run_id, {BEST: str(is_best).lower()})
        self._runs.tag(parent.run_id, {BEST: ", ".join(map(str, best_numbers(study)))})


def parent_of(study: Study) -> Parent:
    """What a study is called in MLflow; its id is chosen once and kept in the study."""
    parent = Parent(f"search {study.study_name}", study.study_name)
    known = study.user_attrs.get(PARENT_ID)
    if known is None:
        known = study.user_attrs.get(PARENT, parent.id)  # of a study that was begun before there were ids
        study.set_user_attr(PARENT_ID, known)
    return replace(parent, id=known)


def _tags(study: Study, folder: Path) -> dict[str, str]:
    return {"search.study": study.study_name, "tamis.folder": str(folder)}


def ended(study: Study) -> list[FrozenTrial]:
    """The trials that count: ended, and not given up for another that repeats them."""
    trials = study.get_trials(deepcopy=False)
    return [trial for trial in trials if trial.state.is_finished() and "void" not in trial.user_attrs]


def objective_names(study: Study, folder: Path) -> list[str]:
    """What the values of a trial are called: as in the record of one that is complete, else by their numbers."""
    n = len(study.directions)
    for trial in ended(study):
        if trial.state.name == "COMPLETE" and (records := records_of(folder / str(trial.number))):
            named = records[0].config.get("objective")
            names = [named] if isinstance(named, str) else [str(name) for name in named or ()]
            if len(names) == n:
                return names
    return ["objective"] if n == 1 else [f"objective {i}" for i in range(n)]


def records_of(folder: Path) -> list[TrialRecord]:
    """The records of a trial's jobs, in their order."""
    paths = sorted(folder.glob(f"*/{RECORD_FILE}"), key=lambda path: (len(path.parent.name), path))
    return [read_record(path.parent) for path in paths or folder.glob(RECORD_FILE)]


def best_numbers(study: Study) -> list[int]:
    """Numbers of the best trials: one, or a Pareto front; none where none is complete."""
    try:
        best = study.best_trials if len(study.directions) > 1 else [study.best_trial]
    except ValueError:
        return []
    return sorted(trial.number for trial in best)


def record_of(trial: FrozenTrial, folder: Path) -> TrialRecord:
    """What a trial's jobs left in ``folder``, as one record; of a trial without files what Optuna knows of it."""
    records = records_of(folder)
    reason = str(trial.user_attrs.get("error", ""))
    if not records:
        config = {"choices": {key: value for key, value in trial.params.items() if "." not in key}}
        config |= {key: value for key, value in trial.params.items() if "." in key}
        started = trial.datetime_start or datetime.now()
        return TrialRecord(config, status=FAILED, reason=reason, started=started.timestamp())
    record = merged(records)
    if record.status == COMPLETE and trial.state.name == "FAIL":  # complete, but not what the search wanted
        return replace(record, status=FAILED, reason=reason)
    return record


def merged(records: Sequence[TrialRecord]) -> TrialRecord:
    """Trials that differ in their seeds as one: means of the metrics; the first that is not complete decides."""
    first = next((record for record in records if record.status != COMPLETE), records[0])
    if len(records) == 1:
        return first
    lengths = {len(record.curve) for record in records}
    points = zip(*(record.curve for record in records), strict=True) if len(lengths) == 1 else ()
    return replace(
        first,
        config=_joined([record.config for record in records]),
        metrics=_means([record.metrics for record in records]),
        seconds=_means([record.seconds for record in records]),
        curve=[
            Point(
                round(sum(point.n_structures for point in column) / len(column)),
                round(sum(point.n_atoms for point in column) / len(column)),
                _means([point.metrics for point in column]),
            )
            for column in points
        ],
        problems={name: text for record in records for name, text in record.problems.items()},
        started=min(record.started for record in records),
    )


def _means(metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = [name for name in metrics[0] if all(name in others for others in metrics)]
    return {name: sum(one[name] for one in metrics) / len(metrics) for name in names}


def _joined(configs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The first configuration; where the others differ, all their values."""
    found: dict[str, Any] = {}
    for key, value in configs[0].items():
        values = [config.get(key) for config in configs]
        if isinstance(value, Mapping):
            found[key] = _joined([one for one in values if isinstance(one, Mapping)])
        else:
            found[key] = value if all(one == value for one in values) else ",".join(map(str, values))
    return found


def _is_elsewhere(trial: FrozenTrial, folder: Path) -> bool:
    """Whether the files of a trial are on another machine, which writes its run."""
    worker = str(trial.user_attrs.get("worker", ""))
    return bool(worker) and worker.split(":")[0] != socket.gethostname() and not folder.exists()


def _age(trial: FrozenTrial) -> float:
    """Seconds since its end."""
    end = trial.datetime_complete
    return 0.0 if end is None else (datetime.now(end.tzinfo) - end).total_seconds()
