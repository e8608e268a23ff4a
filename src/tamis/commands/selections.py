"""Coverage and entropy of the kept sets of trials, and maps of their latent spaces.

A trial does not need these numbers, so ``tamis report`` works them out, from the trials' records and the store. The
common space is that of ``evaluation.dynamics.extrapolation``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from tamis.analysis.coverage import CommonSpace, KeptSets, Map, map_key
from tamis.analysis.trials import Trial
from tamis.core.compose import composed
from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.progress import progress
from tamis.core.resolvers import register_resolvers
from tamis.core.threads import limited
from tamis.core.trust import check_trusted
from tamis.data.dataset import Dataset
from tamis.parts import build_part
from tamis.records.record import COMPLETE, RECORD_FILE, read_record
from tamis.selection.keep_all import KeepAll
from tamis.selection.pool_features import features_of_pool
from tamis.store import Store


def describe(trials: Sequence[Trial]) -> KeptSets:
    """Measure the sets of all complete trials, and map the latent spaces that they were chosen in."""
    register_resolvers()
    complete = [trial for trial in trials if trial.status == COMPLETE and trial.points]
    found = KeptSets()
    by_data: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in complete:
        by_data[trial.dataset.fingerprint, trial.parts["dataset"]].append(trial)
    with limited(), progress("kept sets", len(complete)) as advance:  # as trials do
        for (fingerprint, _), some in by_data.items():
            try:
                data = _Data.of(some)
                found.spaces[fingerprint] = data.space_name
                for same in _by_selection(some):
                    measures = data.measure(same[0])
                    for trial in same:
                        found.measures[trial.folder] = measures
                        advance(1)
                found.maps.update(data.maps(some))
            except (TamisError, OSError, OmegaConfBaseException, KeyError, ValueError) as error:
                # the trials are as good as before, and the report says what it lacks
                what = f"{some[0].choices.get('dataset', '?')} {some[0].element}"
                found.problems.append(f"{what}: not described: {explain(error)}")
    return found


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

    def measure(self, trial: Trial) -> Mapping[str, list[float]]:
        """Coverage, distance and entropy at each point of a trial."""
        kept = [self._places(trial.kept(k)) for k in range(len(trial.points))]
        return self.space.measure(kept, self._places(trial.dataset.pool))

    def _places(self, ids: Sequence[str]) -> NDArray[np.intp]:
        return np.array([self.places[i] for i in ids], dtype=np.intp)

    def maps(self, trials: Sequence[Trial]) -> Iterator[tuple[tuple[str, ...], Map]]:
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
                vectors = features_of_pool(basis, latent, pool, KeepAll(), self.store).vectors
                yield map_key(trial), flatten_to_map(pool.ids, vectors)


def _config_of(trial: Trial) -> dict[str, Any]:
    """The configuration in a trial's record, from which only tamis' own classes may be built."""
    config = read_record(trial.folder).config
    check_trusted(config, trial.folder / RECORD_FILE)
    return config


def flatten_to_map(ids: Sequence[str], vectors: NDArray[np.float64]) -> Map:
    """The two directions in which structures differ most. vectors : (n_structures, n_features)."""
    left, sizes, _ = np.linalg.svd(vectors - vectors.mean(axis=0), full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    n = min(2, len(sizes))
    plane[:, :n] = left[:, :n] * sizes[:n]
    held = float(np.sum(sizes[:n] ** 2) / max(np.sum(sizes**2), 1e-300))
    return Map(ids, plane[:, 0].tolist(), plane[:, 1].tolist(), held)


def common_ruler(dataset: Mapping[str, Any]) -> Any:
    """The ``Extrapolation`` of ``evaluation=full`` for a data set's configuration, whatever the trials measured."""
    config = composed("evaluation=full")
    node = OmegaConf.to_container(config.evaluation.dynamics.extrapolation, resolve=False)
    whole = OmegaConf.create({"dataset": dict(dataset), "ruler": node})
    return build_part("evaluation.dynamics.extrapolation", OmegaConf.to_container(whole.ruler, resolve=True))
