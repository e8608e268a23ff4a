"""Comparing ways to choose: retrained on several splits, and paired."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from tamis.analysis.averages import geometric_mean
from tamis.analysis.contrasts import Effect, mean_effect
from tamis.api.building import Choice, StoreChoice, build
from tamis.api.building import seeds as of_numbers
from tamis.api.potentials import model_of
from tamis.api.pruning import budget_of, choose
from tamis.api.structures import Structures, read
from tamis.api.work import at_work
from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest
from tamis.data.dataset import Dataset, split_dataset
from tamis.data.reach import cutoff_doubts
from tamis.data.signal import still_force
from tamis.evaluation.errors import Residuals, metrics_of
from tamis.report.document import Table, number
from tamis.report.terminal import show

Array = NDArray[np.float64]
SHOWN = (names.ENERGY_MAE, names.FORCE_MAE)
"""The errors that are printed."""


def compare(
    structures: Structures,
    /,
    arms: Mapping[str, Mapping[str, Choice]],
    model: Choice = "snap",
    *,
    atoms: float | None = None,
    seeds: Iterable[int] = range(5),
    validation_fraction: float = 0.1,
    store: StoreChoice = None,
) -> Comparison:
    """Retrain on sets that were chosen in several ways, and pair their validation errors by split.

    For each seed a validation set is set aside, as ``seed.split`` does on the command line; each arm chooses from the
    same pool, and is judged on the same validation set. Structures that a ``Dataset`` marks for testing are left out.

    Parameters
    ----------
    structures : with labels.
    arms : name -> arguments of ``prune``: descriptor, pruner, latent.
    model : as for ``fit``.
    atoms : as for ``prune``; a part is one of the pool.
    seeds : of the splits, which are the units of the intervals. Random arms draw anew in each.
    validation_fraction : part of the structures, between 0 and 1.
    store : as for ``prune``.

    Raises
    ------
    TamisError : as for ``prune`` and ``fit``.
    """
    budget, some = budget_of(atoms, None), tuple(seeds)
    if not arms or not some:
        raise TamisError(f"there are {len(arms)} arms and {len(some)} seeds; give at least one of each")
    with at_work():
        data = read(structures).training
        trained, rows = model_of(data, model, store)
        ways = {name: build(data, rows, **_asked(name, arm)) for name, arm in arms.items()}
        for built in ways.values():
            cutoff_doubts(data, {"descriptor": built["descriptor"]})
        found: dict[str, list[dict[str, float]]] = {name: [] for name in ways}
        for seed in some:
            of_seed = of_numbers(split=seed)
            rng = np.random.default_rng(of_seed.of_split)
            split = split_dataset(data, validation_fraction, rng, trained.needs_tuning_set)
            pool, validation = data.subset(split.pool), data.subset(split.validation)
            for name, built in ways.items():
                kept = pool.subset(np.sort(choose(pool, built, budget, of_seed)))
                rng = np.random.default_rng(of_seed.of_fit)
                potential = trained.fit(kept, data.subset(split.tuning), rows, rng)
                residuals = Residuals.of(
                    potential.predict(validation, rows), validation, still_force(kept.forces)
                )
                found[name].append(metrics_of(residuals, validation, False) | _sizes(kept))
    return Comparison({name: _columns(of_splits) for name, of_splits in found.items()}, some)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Validation errors of arms; ``print`` shows ratios to the last arm.

    metrics : arm -> name -> (n_seeds,), errors by their names with unit, and kept/atoms. seeds : of the splits.
    """

    metrics: Mapping[str, Mapping[str, Array]]
    seeds: tuple[int, ...]

    def ratio(self, arm: str, against: str, metric: str = names.FORCE_MAE) -> Effect:
        """The ratio of one arm's error to another's, paired by split: ``ratio``, ``ratio_interval()``, ``p``.

        Geometric mean with a t interval over the splits, which share structures: it says how sure the ratio is for
        this data set, and nothing of other materials.

        Raises
        ------
        TamisError : there is no such arm or metric.
        """
        one, other = (np.log(self._of(name, metric)) for name in (arm, against))
        return mean_effect((one - other).tolist())

    def _of(self, arm: str, metric: str) -> Array:
        for what, word, known in (("arm", arm, self.metrics), ("metric", metric, self.metrics.get(arm, {}))):
            if word not in known:
                raise TamisError(f"{word} is no {what}; {suggest(word, known)}there are {', '.join(known)}")
        return self.metrics[arm][metric]

    @property
    def table(self) -> Table:
        """A row for each arm: geometric mean over splits, and its ratio to the last arm with the 95 % interval."""
        last = list(self.metrics)[-1]
        shown = [name for name in SHOWN if all(name in found for found in self.metrics.values())]
        rows = []
        for arm, found in self.metrics.items():
            row = [arm, f"{np.mean(found[names.KEPT_ATOMS]):.0f}"]
            for name in shown:
                row += [
                    number(geometric_mean(found[name])),
                    "" if arm == last else self._ratio(arm, last, name),
                ]
            rows.append(row)
        heads = [head for name in shown for head in (name, f"ratio to {last}")]
        return Table(
            "comparison", f"validation errors over {len(self.seeds)} splits", ["arm", "atoms", *heads], rows
        )

    def _ratio(self, arm: str, against: str, metric: str) -> str:
        effect = self.ratio(arm, against, metric)
        low, high = effect.ratio_interval()
        return f"{effect.ratio:.2f} ({low:.2f} to {high:.2f})" if np.isfinite(low) else f"{effect.ratio:.2f}"

    def __str__(self) -> str:
        text = io.StringIO()
        show(self.table, Console(file=text, width=160))
        return text.getvalue()

    __repr__ = __str__


def _asked(name: str, arm: Mapping[str, Any]) -> dict[str, Choice]:
    """The choices of an arm; those that it does not name are the defaults of ``prune``."""
    defaults = {"descriptor": "snap", "pruner": "fps", "latent": "standard"}
    if unknown := [key for key in arm if key not in defaults]:
        raise TamisError(
            f"arm {name!r} has {unknown[0]}; {suggest(unknown[0], defaults)}it may have {', '.join(defaults)}"
        )
    return defaults | dict(arm)


def _sizes(kept: Dataset) -> dict[str, float]:
    return {names.KEPT_ATOMS: float(kept.n_atoms.sum())}


def _columns(rows: list[dict[str, float]]) -> dict[str, Array]:
    """By name what all splits have."""
    return {
        name: np.array([row[name] for row in rows]) for name in rows[0] if all(name in row for row in rows)
    }
