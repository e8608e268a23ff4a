"""Coverage and entropy of kept sets, in one space that is the same for all of them, and maps of latent spaces."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamis.analysis.trials import Trial
from tamis.evaluation.dynamics.extrapolation import axes

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

MOST_ENVIRONMENTS = 20_000
"""Larger data sets are thinned to every second, third, ... atom of each structure, since all pairs are needed."""
ROWS_AT_ONCE = 500
ROUNDING = 1e-14
"""Squared distances below this part of the squared sizes are rounding."""


@dataclass(frozen=True, eq=False)
class CommonSpace:
    """Environments of a data set, and how near each structure comes to each of them.

    Scale, axes and both lengths come from the whole data set, so that the ruler is the same for every kept set.

    owners : structure of each environment, (n,).
    distances : from environment e to the nearest one of structure s, (n_structures, n).
    kernels : sum over the environments of s of exp(-d^2 / 2 spacing^2), (n_structures, n).
    reach : a percentile of the distances from environments to the nearest in another structure.
    spacing : the mean of these distances; 1 where all environments are equal.
    """

    owners: Indices
    distances: Array
    kernels: Array
    reach: float
    spacing: float

    @classmethod
    def of(cls, values: Sequence[Array], percentile: float) -> CommonSpace:
        """From the values of each structure, (n_atoms, K), two structures at least."""
        step = max(1, -(-sum(map(len, values)) // MOST_ENVIRONMENTS))
        thinned = [block[::step] for block in values]  # at least one environment of each structure
        n_atoms = np.array([len(block) for block in thinned])
        owners = np.repeat(np.arange(len(values)), n_atoms)
        mean, turn = axes(np.concatenate(values))
        points = np.concatenate([(block - mean) @ turn for block in thinned])
        distances = np.sqrt(_gathered(points, owners, np.minimum, lambda squares: squares))
        others = np.where(owners == np.arange(len(values))[:, None], np.inf, distances).min(axis=0)
        spacing = float(others.mean()) or 1.0
        reach = float(np.percentile(others, percentile))
        kernels = _gathered(points, owners, np.add, lambda squares: np.exp(squares * (-0.5 / spacing**2)))
        return cls(owners, distances, kernels, reach, spacing)

    def measure(self, points: Sequence[Indices], pool: Indices) -> Mapping[str, list[float]]:
        """Coverage, distance and entropy of the structures kept at each point of a curve.

        Returns
        -------
        ``coverage`` : share of the pool's environments whose nearest kept one is within reach.
        ``distance`` : mean distance of the pool's environments to the nearest kept one, in spacings.
        ``entropy`` : of the kept environments, nats: -mean log of the mean kernel between them (Schwalbe-Koda et al.,
        Nat. Commun. 16, 4014 (2025), with the spacing as bandwidth). exp(entropy) counts different environments.
        """
        asked = np.isin(self.owners, pool)
        found: dict[str, list[float]] = {"coverage": [], "distance": [], "entropy": []}
        before: set[int] = set()
        nearest, density = self._nothing()
        for kept in points:
            now = {int(i) for i in kept}
            if not before <= now:  # not nested: begin again
                before, (nearest, density) = set(), self._nothing()
            new = sorted(now - before)
            nearest = np.minimum(nearest, self.distances[new].min(axis=0, initial=np.inf))
            density = density + self.kernels[new].sum(axis=0)
            before = now
            mine = np.isin(self.owners, kept)
            found["coverage"].append(float((nearest[asked] <= self.reach).mean()))
            found["distance"].append(float(nearest[asked].mean() / self.spacing))
            found["entropy"].append(float(-np.log(density[mine] / mine.sum()).mean()))
        return found

    def _nothing(self) -> tuple[Array, Array]:
        return np.full(len(self.owners), np.inf), np.zeros(len(self.owners))


def _squares(points: Array, rows: slice) -> Array:
    """Squared distances of some points to all, (rows, n)."""
    lengths = np.einsum("ij,ij->i", points, points)
    sums = lengths[rows, None] + lengths
    squares = sums - 2.0 * points[rows] @ points.T
    squares[squares <= ROUNDING * sums] = 0.0  # what cancellation leaves of equal environments
    return squares


def _gathered(points: Array, owners: Indices, gather: np.ufunc, of: Callable[[Array], Array]) -> Array:
    """``of`` the squared distances to each environment, gathered over those of a structure, (n_structures, n)."""
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    found = np.empty((len(starts), len(points)))
    for begin in range(0, len(points), ROWS_AT_ONCE):
        rows = slice(begin, begin + ROWS_AT_ONCE)
        found[:, rows] = gather.reduceat(of(_squares(points, rows)), starts, axis=1).T
    return found


@dataclass(frozen=True)
class Map:
    """The structures of one pool in two dimensions of one descriptor's latent space.

    ids : of the structures, (n,). x, y : along the two principal axes, (n,). variance : part that these axes hold.
    """

    ids: Sequence[str]
    x: Sequence[float]
    y: Sequence[float]
    variance: float


@dataclass(frozen=True)
class KeptSets:
    """Made by ``tamis.commands.selections``.

    measures : folder of a trial -> name -> value at each point. maps : see ``map_key``. spaces : fingerprint of a data
    set -> the common space's name. problems : what could not be described, in words.
    """

    measures: dict[Path, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    maps: dict[tuple[str, ...], Map] = field(default_factory=dict)
    spaces: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def map_key(trial: Trial) -> tuple[str, ...]:
    """Equal for trials that chose in one latent space of one pool."""
    split = f"{trial.seeds[0]} {trial.validation_fraction} {len(trial.dataset.tuning)}"
    parts = trial.parts
    # ids begin with the names of files, and sets of equal content may be in two
    return (trial.dataset.fingerprint, parts["dataset"], split, parts["descriptor"], parts["latent"])
