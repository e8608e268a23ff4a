"""``tamis-selections``: coverage and entropy of the kept sets of a folder of trials, and maps of its latent spaces.

A trial does not need these numbers, and a report computes nothing: so they are made once, after the trials, from
their records. The common space is that of ``evaluation.dynamics.extrapolation``.
"""

from __future__ import annotations

import json
import sys
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
from rich.console import Console

from tamis.analysis.coverage import CommonSpace
from tamis.analysis.kept_sets import SELECTIONS_FILE, KeptFile, Map, Measures, map_key, pool_key, read_file
from tamis.analysis.trials import Trial, find_trials, read_trials
from tamis.commands.arguments import read_arguments
from tamis.core.conf_folder import config_folder
from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.messages import print_failure
from tamis.core.progress import progress
from tamis.core.resolvers import register_resolvers
from tamis.core.threads import limited
from tamis.core.trust import check_trusted
from tamis.data.dataset import Dataset
from tamis.parts import build_part
from tamis.records.record import COMPLETE, RECORD_FILE, read_record
from tamis.selection.keep_all import KeepAll
from tamis.store import Store

USAGE = "usage: tamis-selections <folder of trials>..."
DIGITS = 5
"""Of the numbers in the file."""


def main() -> None:
    """Entry point of the console script."""
    register_resolvers()
    try:
        folders, _ = read_arguments(sys.argv[1:], {}, USAGE)
        for folder in folders:
            tell(folder)
    except (TamisError, OSError) as error:
        print_failure(str(error))
        sys.exit(1)


def tell(folder: Path) -> None:
    """Describe the kept sets of a folder, and say how that went."""
    problems = describe(folder)
    console = Console(soft_wrap=True, highlight=False)
    for problem in problems:
        console.print(f"kept sets: {problem}", markup=False)
    console.print(f"kept sets: {folder / SELECTIONS_FILE}", markup=False)


def describe(folder: Path) -> Sequence[str]:
    """Write ``selections.json`` into ``folder`` for the trials below it; returns what could not be described.

    Nothing is done where the file has all trials already.
    """
    folder = folder.resolve()
    trials = [t for t in read_trials(find_trials([folder])) if t.status == COMPLETE and t.points]
    names = {trial: trial.folder.relative_to(folder).as_posix() for trial in trials}
    found = read_file(folder)
    started = {name: one.started for name, one in found.trials.items()}
    if found.trials and started == {names[trial]: trial.started for trial in trials}:
        return found.problems
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
                # the trials are as good as before, and the report says what it has not
                content.problems.append(f"{_name(some[0])}: not described: {explain(error)}")
    write_atomically(folder / SELECTIONS_FILE, json.dumps(asdict(content)).encode())
    return content.problems


def _by_selection(trials: Sequence[Trial]) -> Iterator[list[Trial]]:
    """Trials that kept the same sets of the same pool: models differ, and what was chosen for them does not."""
    groups: dict[tuple[object, ...], list[Trial]] = defaultdict(list)
    for trial in trials:
        sets = tuple(trial.kept(i) for i in range(len(trial.points)))
        groups[pool_key(trial), sets].append(trial)
    yield from groups.values()


def _name(trial: Trial) -> str:
    return f"{trial.choices.get('dataset', '?')} {trial.element}"


@dataclass(frozen=True, eq=False)
class _Data:
    """One data set. structures: all that are not for testing; places: id -> number therein."""

    dataset: Dataset
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
        TamisError : it has changed since then.
        """
        config = _config_of(trials[0])
        dataset: Dataset = build_part("dataset", config["dataset"]).load()
        if dataset.fingerprint != trials[0].dataset.fingerprint:
            raise TamisError("the data set is no longer the one that the trials had")
        structures = dataset.subset(np.flatnonzero(~dataset.is_test))
        store = Store(
            config["store"]["root"], config["store"]["n_jobs"]
        )  # its other settings were the trials' own
        ruler = common_ruler(config["dataset"])
        space = CommonSpace.of(store.values(ruler.space, structures.structures), ruler.percentile)
        places = {name: i for i, name in enumerate(structures.ids)}
        return cls(dataset, structures, places, store, space, type(ruler.space).__module__.split(".")[-1])

    def measure(self, trial: Trial) -> dict[str, tuple[float, ...]]:
        """Coverage, distance and entropy at each point of a trial."""
        kept = [np.array([self.places[i] for i in trial.kept(k)]) for k in range(len(trial.points))]
        pool = np.array([self.places[i] for i in trial.dataset.pool])
        found = self.space.measure(kept, pool)
        return {
            name: tuple(float(f"{value:.{DIGITS}g}") for value in values) for name, values in found.items()
        }

    def maps(self, trials: Sequence[Trial]) -> Iterator[Map]:
        """A map of each latent space that a pruner saw, at the first split that it was run with."""
        first: dict[tuple[str, str], Trial] = {}
        for trial in sorted(trials, key=lambda trial: trial.seeds):
            first.setdefault((trial.parts["descriptor"], trial.parts["latent"]), trial)
        for trial in first.values():
            config = _config_of(trial)
            basis = build_part("descriptor", config["descriptor"])
            if basis.n_features:
                pool = self.structures.subset([self.places[i] for i in trial.dataset.pool])
                latent = build_part("latent", config["latent"])
                values = self.store.lazy_values(basis, pool.structures)
                vectors = latent.features(values, pool.groups, KeepAll(), self.store.memory).vectors
                yield flatten_to_map(map_key(trial), pool.ids, vectors)


def _config_of(trial: Trial) -> dict[str, Any]:
    """The configuration in a trial's record, from which only tamis' own classes may be built."""
    config = read_record(trial.folder).config
    check_trusted(config, trial.folder / RECORD_FILE)
    return config


def flatten_to_map(key: tuple[str, ...], ids: tuple[str, ...], vectors: NDArray[np.float64]) -> Map:
    """The two directions in which structures differ most. vectors : (n_structures, n_features)."""
    centred = vectors - vectors.mean(axis=0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    plane = np.zeros((len(vectors), 2))
    n = min(2, len(sizes))
    plane[:, :n] = left[:, :n] * sizes[:n]
    held = float(np.sum(sizes[:n] ** 2) / max(np.sum(sizes**2), 1e-300))
    x, y = (tuple(float(f"{value:.{DIGITS}g}") for value in column) for column in plane.T)
    return Map(key, ids, x, y, held)


def common_ruler(dataset: Mapping[str, Any]) -> Any:
    """The ``Extrapolation`` of ``evaluation=full`` for a data set's configuration, whatever the trials measured."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        composed = compose("config", ["evaluation=full"])
    node = OmegaConf.to_container(composed.evaluation.dynamics.extrapolation, resolve=False)
    whole = OmegaConf.create({"dataset": dict(dataset), "ruler": node})
    return build_part("evaluation.dynamics.extrapolation", OmegaConf.to_container(whole.ruler, resolve=True))


if __name__ == "__main__":
    main()
