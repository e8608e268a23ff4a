"""Coverage and entropy of the kept sets of a folder of trials, and maps of its latent spaces: ``selections.json``.

A trial does not need these numbers, so ``tamis report`` works them out once, from the trials' records. The common
space is that of ``evaluation.dynamics.extrapolation``.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tamis.analysis.coverage import CommonSpace
from tamis.analysis.kept_sets import SELECTIONS_FILE, KeptFile, Map, Measures, map_key, read_file
from tamis.analysis.trials import Trial, find_trials, read_trials
from tamis.core.configuration import config_folder, explain, register_resolvers
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.progress import progress
from tamis.core.threads import limited
from tamis.core.trust import check_trusted
from tamis.data.dataset import Dataset
from tamis.parts import build_part
from tamis.records.record import COMPLETE, RECORD_FILE, read_record
from tamis.selection.keep_all import KeepAll
from tamis.store import Store

DIGITS = 5
"""Of the numbers in the file."""


def describe(folder: Path) -> Sequence[str]:
    """Write ``selections.json`` into ``folder`` for the trials below it; returns what could not be described.

    Nothing is done where the file has all trials already.
    """
    folder = folder.resolve()
    trials = [t for t in read_trials(find_trials([folder])) if t.status == COMPLETE and t.points]
    names = {trial: trial.folder.relative_to(folder).as_posix() for trial in trials}
    found = read_file(folder)
    started = {name: one.started for name, one in found.trials.items()}
    if started == {names[trial]: trial.started for trial in trials}:
        return found.problems
    register_resolvers()
    content = KeptFile()
    by_data: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in trials:
        by_data[trial.dataset.fingerprint, trial.parts["dataset"]].append(trial)
    with limited(), progress("kept sets", len(trials)) as advance:  # as trials do
        for (fingerprint, _), some in by_data.items():
            try:
                data = _Data.of(some)
                content.spaces[fingerprint] = data.space_name
                for same in _by_selection(some):
                    measures = data.measure(same[0])
                    for trial in same:
                        content.trials[names[trial]] = Measures(trial.started, measures)
                        advance(1)
                content.maps.extend(data.maps(some))
            except (TamisError, OSError, OmegaConfBaseException, KeyError, ValueError) as error:
                # the trials are as good as before, and the report says what it lacks
                what = f"{some[0].choices.get('dataset', '?')} {some[0].element}"
                content.problems.append(f"{what}: not described: {explain(error)}")
    write_atomically(folder / SELECTIONS_FILE, json.dumps(asdict(content)).encode())
    return content.problems


def _by_selection(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    """Trials that kept the same sets of the same pool: models differ, and what was chosen for them does not."""
    groups: dict[tuple[object, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        sets = tuple(trial.kept(i) for i in range(len(trial.points)))
        groups[trial.dataset.pool, sets].append(trial)
    yield from groups.values()


@dataclass(frozen=True, eq=False)
class _Data:
    """One data set. structures: all that are not for testing; places: id -> number therein."""

    structures: Dataset
    places: Mapping[str, int]
    store: Store
    space: CommonSpace
    space_name: str

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> _Data:
        """Read it again from where the first of its trials had it.

        Raises
        ------
        TamisError : it has changed since then, or would have to be downloaded.
        """
        config = _config_of(trials[0])
        source = config["dataset"]
        if source.get("root", "") is None and not Path(source["cache"]).is_dir():
            raise TamisError("the data set is not on this machine, and a report downloads nothing")
        dataset: Dataset = build_part("dataset", source).load()
        if dataset.fingerprint != trials[0].dataset.fingerprint:
            raise TamisError("the data set is no longer the one that the trials had")
        structures = dataset.subset(np.flatnonzero(~dataset.is_test))
        # the other settings of the store were the trials' own
        store = Store(config["store"]["root"], config["store"]["n_jobs"])
        ruler = common_ruler(source)
        space = CommonSpace.of(store.values(ruler.space, structures.structures), ruler.percentile)
        places = {name: i for i, name in enumerate(structures.ids)}
        return cls(structures, places, store, space, type(ruler.space).__module__.split(".")[-1])

    def measure(self, trial: Trial) -> dict[str, tuple[float, ...]]:
        """Coverage, distance and entropy at each point of a trial."""
        kept = [self._places(trial.kept(k)) for k in range(len(trial.points))]
        found = self.space.measure(kept, self._places(trial.dataset.pool))
        return {name: tuple(map(_rounded, values)) for name, values in found.items()}

    def _places(self, ids: Sequence[str]) -> NDArray[np.intp]:
        return np.array([self.places[i] for i in ids], dtype=np.intp)

    def maps(self, trials: Sequence[Trial]) -> Iterator[Map]:
        """A map of each latent space that a pruner saw, at the first split that it was run with."""
        first: dict[tuple[str, str], Trial] = {}
        for trial in sorted(trials, key=lambda trial: trial.seeds):
            first.setdefault((trial.parts["descriptor"], trial.parts["latent"]), trial)
        for trial in first.values():
            config = _config_of(trial)
            basis = build_part("descriptor", config["descriptor"])
            if basis.n_features:
                pool = self.structures.subset(self._places(trial.dataset.pool))
                latent = build_part("latent", config["latent"])
                values = self.store.lazy_values(basis, pool.structures)
                vectors = latent.features(values, pool.groups, KeepAll(), self.store.memory).vectors
                yield flatten_to_map(map_key(trial), pool.ids, vectors)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _config_of(trial: Trial) -> dict[str, Any]:
    """The configuration in a trial's record, from which only tamis' own classes may be built."""
    config = read_record(trial.folder).config
    check_trusted(config, trial.folder / RECORD_FILE)
    return config


def flatten_to_map(key: tuple[str, ...], ids: tuple[str, ...], vectors: NDArray[np.float64]) -> Map:
    """The two directions in which structures differ most. vectors : (n_structures, n_features)."""
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    n = min(2, len(sizes))
    plane[:, :n] = left[:, :n] * sizes[:n]
    held = float(np.sum(sizes[:n] ** 2) / max(np.sum(sizes**2), 1e-300))
    return Map(key, tuple(ids), tuple(map(_rounded, plane[:, 0])), tuple(map(_rounded, plane[:, 1])), held)


def common_ruler(dataset: Mapping[str, Any]) -> Any:
    """The ``Extrapolation`` of ``evaluation=full`` for a data set's configuration, whatever the trials measured."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("config", ["evaluation=full"])
    node = OmegaConf.to_container(composed.evaluation.dynamics.extrapolation, resolve=False)
    whole = OmegaConf.create({"dataset": dict(dataset), "ruler": node})
    return build_part("evaluation.dynamics.extrapolation", OmegaConf.to_container(whole.ruler, resolve=True))
