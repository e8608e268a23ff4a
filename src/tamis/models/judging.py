"""How fits judge their settings: which structures they hold out, and which labels can tell one setting from another.

Some labels cannot judge. Every potential meets forces that are zero by symmetry, so that their error is rounding; a
label that only one structure has would be judged by fits that saw none of its kind. Folds are dealt so that each holds
forces to judge, as far as the data allow; labels that cannot judge are left out of the score, and ``Judges`` says what
the score rests on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tamis.data.dataset import Dataset
from tamis.data.dealing import ALWAYS_TRAINED, deal_into_folds
from tamis.data.signal import negligible_error, root_mean_squares, still_force

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

ENERGY, FORCE, STRESS = range(3)
FEW = 3
"""An error on fewer structures says little."""
AS_GOOD_AS_NONE = 1e-6
"""eV per atom; errors below it are rounding."""


@dataclass(frozen=True, eq=False)
class Judges:
    """The structures that judge a fit.

    folds: (n,) of the kept structures; ``ALWAYS_TRAINED`` where a structure is never held out: all of them where a
        tuning set judges, or nothing does.
    counts: (3,) distinct structures whose energies, forces and stresses tell settings apart.
    kinds: (3,) True for the labels that the score sums over.
    negligible_force: eV/Å, errors of forces below it are as good as none.
    doubts: reasons why the choice rests on too few structures.
    of_blocks: True for folds of whole blocks; else folds are of structures, with copies together.
    """

    folds: Indices
    counts: Indices
    kinds: Mask
    negligible_force: float
    doubts: tuple[str, ...]
    of_blocks: bool = False

    @property
    def n_folds(self) -> int:
        """Number of folds; 0 where nothing is held out."""
        return int(self.folds.max(initial=ALWAYS_TRAINED)) + 1

    def score(self, squares: Array, rows: Array) -> Array:
        """Sum of log root mean squares over the kinds that are judged, (...).

        The sum of logarithms asks for relative improvements of each, so it has no unit to choose.

        Parameters
        ----------
        squares : (3, ...) sums of squared errors of energies (eV per atom), forces (eV/Å), strain derivatives (eV per
            atom). rows : (3,) how many errors these are.
        """
        least = np.array([AS_GOOD_AS_NONE, self.negligible_force, AS_GOOD_AS_NONE]) ** 2
        judged = np.flatnonzero(self.kinds & (rows > 0))
        per_row = np.array([squares[k] / rows[k] + least[k] for k in judged])
        return np.asarray(0.5 * np.log(per_row).sum(axis=0))

    def of_itself(self, kept: Dataset) -> Judges:
        """The kept structures as judges of when to stop, where nothing is held out; they choose no setting."""
        moving = _moving(kept, still_force(kept.forces))
        return replace(
            self, kinds=np.array([True, moving.any(), (kept.label_weights[:, STRESS] > 0.0).any()])
        )

    @property
    def report(self) -> Mapping[str, float]:
        """Numbers of distinct structures that judge each quantity, for a potential's diagnostics."""
        names = ("judged_structures", "judged_force_structures", "judged_stress_structures")
        counts = {name: float(count) for name, count in zip(names, self.counts, strict=True)}
        return counts | {"folds": float(self.n_folds), "folds_of_blocks": float(self.of_blocks)}

    @property
    def problem(self) -> str:
        """Why the choice rests on too few structures, in a sentence; "" where it does not."""
        return "; ".join(self.doubts)


def judges_by_folds(
    kept: Dataset,
    n_folds: int,
    rng: np.random.Generator,
    at_least: int = 2,
    per_fold: int = 1,
    n_used: int | None = None,
) -> Judges:
    """Deal ``kept`` into folds of whole bundles, by group.

    Where a fold would hold no forces, or no stress labels, though there are enough of them, everything is dealt again
    so that they are spread over the folds. If only one bundle has forces, it is always trained on.

    Parameters
    ----------
    n_folds : most folds; fewer where there are fewer bundles. at_least : fewest folds, where there are as many bundles.
    per_fold : bundles that a fold should have. n_used : only the first n_used folds are ever held out, each judging a
        fit of its own, so that bundles with forces are counted; copies of one structure then judge themselves. None:
        all folds are held out, and the score sums over them.
    """
    bundles = kept.bundles
    still = still_force(kept.forces)
    moving = _any_of(bundles, _moving(kept, still))
    labelled = _any_of(bundles, kept.label_weights[:, STRESS] > 0.0)
    n_bundles, n_moving = _distinct(bundles), _distinct(bundles[moving])
    folds = np.full(len(kept), ALWAYS_TRAINED, dtype=np.intp)
    dealt = ~moving if n_moving == 1 else np.ones(len(kept), dtype=np.bool_)
    if n_bundles > 1:
        n = _distinct(bundles[dealt]) if n_used is None or n_moving < 2 else n_moving
        chosen = np.flatnonzero(dealt)
        folds[chosen] = _dealt(
            [kept.groups[i] for i in chosen],
            bundles[chosen],
            min(n, max(at_least, min(n_folds, n // per_fold))),
            rng,
            [moving[chosen], labelled[chosen]],
        )
    if _distinct(bundles[labelled]) < 2:  # fits that saw no stress would be judged by the only ones
        labelled = np.zeros(len(kept), dtype=np.bool_)
    used = (folds != ALWAYS_TRAINED) & (folds < (len(kept) if n_used is None else n_used))
    found = _judges(kept, folds, used, moving, labelled, still)
    found = replace(found, of_blocks=kept.deals_blocks)
    return found.of_itself(kept) if n_used is not None and found.n_folds == 0 else found


def judges_by_tuning(kept: Dataset, tuning: Dataset) -> Judges:
    """Judges that are a tuning set, for fits to all of ``kept``."""
    still = still_force(kept.forces)
    everything = np.ones(len(tuning), dtype=np.bool_)
    labelled = tuning.label_weights[:, STRESS] > 0.0
    found = _judges(tuning, everything.astype(np.intp), everything, _moving(tuning, still), labelled, still)
    return replace(found, folds=np.full(len(kept), ALWAYS_TRAINED, dtype=np.intp))


def parts_of(tuning: Dataset, n_folds: int, rng: np.random.Generator) -> list[Indices]:
    """A tuning set in at most ``n_folds`` parts of whole bundles, by group; they give the score a standard error."""
    bundles = tuning.bundles
    folds = deal_into_folds(tuning.groups, min(n_folds, _distinct(bundles)), rng, bundles)
    return [np.flatnonzero(folds == k) for k in np.unique(folds)]


def _moving(dataset: Dataset, still: float) -> Mask:
    """Structures with forces above ``still`` (eV/Å) whose weight is not 0, (n,)."""
    sizes = root_mean_squares(dataset.forces)  # NaN where there are none
    return (sizes > still) & (dataset.label_weights[:, FORCE] > 0.0)


def _dealt(
    groups: Sequence[str], bundles: Indices, n_folds: int, rng: np.random.Generator, signals: Sequence[Mask]
) -> Indices:
    folds = deal_into_folds(groups, n_folds, rng, bundles)
    for signal in signals:
        if _distinct(bundles[signal]) >= n_folds > len(np.unique(folds[signal])):
            # strata with a signal come first, so that turns go on from one to the next
            strata = ["".join("01"[not s[i]] for s in signals) + group for i, group in enumerate(groups)]
            return deal_into_folds(strata, n_folds, rng, bundles)
    return folds


def _judges(
    judging: Dataset, folds: Indices, used: Mask, moving: Mask, labelled: Mask, still: float
) -> Judges:
    signals = (used & (judging.label_weights[:, ENERGY] > 0.0), used & moving, used & labelled)
    counts = np.array([_distinct(judging.copies[signal]) for signal in signals])
    doubts = []
    if counts[ENERGY] < FEW:
        doubts.append(f"settings are chosen by {counts[ENERGY]} distinct structure(s)")
    given = np.count_nonzero(judging.label_weights, axis=0)
    if given[FORCE] and counts[FORCE] == 0:
        doubts.append(f"forces choose nothing: fewer than two structures have any above {still:.2g} eV/Å")
    elif given[FORCE] and counts[FORCE] < min(FEW, counts[ENERGY]):
        doubts.append(f"forces are judged by {counts[FORCE]} distinct structure(s)")
    if given[STRESS] and counts[STRESS] < min(FEW, counts[ENERGY]):
        doubts.append(f"stresses are judged by {counts[STRESS]} distinct structure(s)")
    return Judges(folds, counts, counts > 0, negligible_error(still), tuple(doubts))


def _any_of(bundles: Indices, signal: Mask) -> Mask:
    """True for all members of a bundle where it is for one, (n,)."""
    return np.isin(bundles, bundles[signal])


def _distinct(numbers: Indices) -> int:
    return len(np.unique(numbers))
