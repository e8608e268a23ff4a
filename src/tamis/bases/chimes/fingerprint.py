"""The ChIMES cluster fingerprint: how far the clusters of atoms in one structure are from each other.

Source: the prototype ``chimes_CGD`` of the ChIMES group (github.com/LindseyLab-umich/chimes_CGD), which treats one
element in a rectangular cell.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, NamedTuple

import numpy as np
from ase import Atoms
from numba import njit
from numpy.typing import NDArray

from tamis.bases.base import Array, StructureBasis
from tamis.bases.chimes.clusters import ClusterType, check_limits, clusters_by_kind
from tamis.bases.neighbours import neighbours_of
from tamis.core.elements import species_of
from tamis.core.fields import Elements, Whole

SIZES = (2, 3, 4)
DIGITS = 9
"""Decimals of the transformed distances by which clusters are ordered before a sample is drawn."""
SEED = 0
"""Of the samples. What is drawn follows from the sorted clusters, not from the order of atoms."""


class Histogram(NamedTuple):
    """Distances between the clusters of one kind.

    n_clusters: in the structure. share: (n_bins,) part of all pairs in each bin; the sum is 1, or 0 without clusters.
    error: expected sum of the absolute errors of ``share``; 0 where all pairs are counted.
    """

    n_clusters: int
    share: Array
    error: float


@dataclass(frozen=True)
class ChimesFingerprint(StructureBasis):
    """Histograms of the distances between all pairs of clusters of a structure.

    A cluster is 2, 3 or 4 atoms whose distances are all within the cutoff of that size, images included. It becomes
    the vector of its Morse-transformed distances s (linear in exp(-r / morse_lambda), +1 at s_min and below, -1 at the
    cutoff), sorted. With several elements, distances are sorted within each kind of pair, and each kind of cluster
    (which elements, how many of each) has a histogram of its own. The Euclidean distance of two clusters lies between 0
    and 2 sqrt(number of distances), which is cut into ``n_bins`` equal bins. A histogram holds the parts of all ordered
    pairs of clusters of its kind, times the part that this kind has of the clusters of its size. So the columns of one
    size add up to 1 (0 where there is no such cluster).

    Structures are compared by the sum of the absolute differences of the columns: between 0 and 6.

    A pair of a cluster with itself counts, as it does not in the prototype. So a cell and its supercell have the same
    numbers; n clusters put 1 / n more into the first bin. The prototype sees only the nearest image of each atom.

    More than ``most_pairs`` pairs are sampled: in a random order, each cluster is compared with as many others, those
    that follow at random intervals (a balanced incomplete U-statistic: Blom, Biometrika 63, 573 (1976)). No cluster
    counts more than another, and the mean over samples is the full histogram.

    elements: chemical symbols.
    r_cut, r_cut_3b, r_cut_4b: Å, cutoffs of the distances in pairs, triplets and quadruplets.
    s_min: Å; shorter distances count as this one.
    morse_lambda: Å, length of the Morse transform.
    n_bins: of each histogram; 100 in the prototype.
    most_pairs: of clusters of one kind that are compared.

    Raises
    ------
    TamisError : limits that do not fit together.
    """

    elements: Elements
    r_cut: float
    r_cut_3b: float
    r_cut_4b: float
    s_min: float
    morse_lambda: float
    n_bins: Annotated[int, Whole(2, say=100)]
    most_pairs: Annotated[int, Whole(10_000, say=10_000_000)]

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in self.kinds:
            check_limits(kind.atoms, kind.limits, self.r_cut)

    @property
    def n_features(self) -> int:
        """``n_bins`` for each kind of cluster: 3 kinds for one element, 12 for two, 31 for three."""
        return self.n_bins * len(self.kinds)

    @cached_property
    def kinds(self) -> tuple[ClusterType, ...]:
        """Kinds of clusters, in the order of their histograms."""
        found: list[ClusterType] = []
        for size, r_cut in zip(SIZES, (self.r_cut, self.r_cut_3b, self.r_cut_4b), strict=True):
            limits = np.tile([self.s_min, r_cut, self.morse_lambda], (math.comb(size, 2), 1))
            for atoms in itertools.combinations_with_replacement(sorted(self.elements), size):
                found.append(ClusterType(atoms, limits, 0, (), self.n_bins * len(found)))
        return tuple(found)

    def values(self, atoms: Atoms) -> Array:
        """The fingerprint, (1, n_features), dimensionless."""
        row = np.zeros((1, self.n_features))
        for kind, part, histogram in self._histograms(atoms):
            row[0, kind.column : kind.column + self.n_bins] = part * histogram.share
        return row

    def sampling_error(self, atoms: Atoms) -> float:
        """Expected sum of the absolute errors of ``values``, from two halves of each sample; 0 where all is counted."""
        return sum(part * histogram.error for _, part, histogram in self._histograms(atoms))

    def notes(self, structures: Sequence[Atoms]) -> tuple[str, ...]:
        """The error of sampling, of the structure with most atoms."""
        largest = max(structures, key=len)
        error = self.sampling_error(largest)
        told = f"sampling changes it by {error:.2g} (L1)" if error else "no sampling"
        return (f"cluster fingerprint of the largest structure, {len(largest)} atoms: {told}",)

    def _histograms(self, atoms: Atoms) -> list[tuple[ClusterType, float, Histogram]]:
        """Each kind of cluster, its part of the clusters of its size, its histogram."""
        self.check(atoms)
        near = neighbours_of(atoms, self.r_cut, half=True)
        species = species_of(atoms, self.elements)
        found = [
            (kind, histogram_of(transformed(kind, places), self.n_bins, self.most_pairs))
            for kind, _, places in clusters_by_kind(species, near, self.kinds, self.elements)
        ]
        of_size = dict.fromkeys(SIZES, 0)
        for kind, histogram in found:
            of_size[len(kind.atoms)] += histogram.n_clusters
        return [
            (kind, histogram.n_clusters / max(1, of_size[len(kind.atoms)]), histogram)
            for kind, histogram in found
        ]


def transformed(kind: ClusterType, places: Array) -> Array:
    """Morse-transformed distances of clusters, between -1 and 1, sorted within each kind of pair.

    Parameters
    ----------
    places : (n_clusters, size, 3) Å, in the order of the atoms of ``kind``.

    Returns
    -------
    (n_slots, n_clusters)
    """
    slots = list(itertools.combinations(range(len(kind.atoms)), 2))
    found = np.empty((len(slots), len(places)))
    for row, (first, second), (s_min, s_max, morse) in zip(found, slots, kind.limits, strict=True):
        r = np.linalg.norm(places[:, second] - places[:, first], axis=1)
        # divided by the value at s_min, so that a short Morse length cannot underflow
        outer = math.exp((s_min - s_max) / morse)
        row[:] = 2.0 * (np.exp((s_min - np.maximum(r, s_min)) / morse) - outer) / (1.0 - outer) - 1.0
    names = np.array(["-".join(kind.atoms[place] for place in slot) for slot in slots])
    for name in np.unique(names):
        mine = names == name
        found[mine] = np.sort(found[mine], axis=0)
    return found


def histogram_of(vectors: Array, n_bins: int, most_pairs: int) -> Histogram:
    """Distances between all pairs of columns of ``vectors`` (n_slots, n), each between -1 and 1."""
    n_slots, n = vectors.shape
    share = np.zeros(n_bins)
    if n == 0:
        return Histogram(0, share, 0.0)
    share[0] = 1.0
    if n == 1:
        return Histogram(1, share, 0.0)
    per_unit = n_bins / (2.0 * math.sqrt(n_slots))
    intervals = np.arange(1, n // 2 + 1)
    if n * (n - 1) // 2 <= most_pairs:
        counts = count_pairs(vectors, intervals, per_unit, n_bins)
        others, error = counts / counts.sum(), 0.0
    else:
        rng = np.random.default_rng(SEED)
        order = np.lexsort(np.round(vectors, DIGITS))[rng.permutation(n)]
        vectors = np.take(vectors, order, axis=1)
        # an even number, for two halves of one size; n / 2 is left out, which gives each pair twice
        drawn = rng.choice(intervals[: (n - 1) // 2], 2 * max(1, most_pairs // (2 * n)), replace=False)
        halves = [count_pairs(vectors, half, per_unit, n_bins) for half in np.split(drawn, 2)]
        first, second = (half / half.sum() for half in halves)
        others, error = (first + second) / 2.0, float(np.abs(first - second).sum()) / 2.0
    return Histogram(n, share / n + (1.0 - 1.0 / n) * others, error)


@njit(cache=True)
def count_pairs(
    vectors: Array, intervals: NDArray[np.int64], per_unit: float, n_bins: int
) -> NDArray[np.int64]:
    """How many of the pairs of columns (i, i + interval), round and round, are at a distance in each bin, (n_bins,).

    Parameters
    ----------
    vectors : (m, n). intervals : from 1 to n / 2; that of n / 2 gives each pair once. per_unit : bins per distance.
    """
    m, n = vectors.shape
    counts = np.zeros(n_bins + 1, dtype=np.int64)
    squares, bins = np.empty(n), np.empty(n, dtype=np.int32)
    for interval in intervals:
        n_pairs = n // 2 if 2 * interval == n else n
        for i in range(n_pairs):
            squares[i] = 0.0
        for k in range(m):
            for i in range(min(n_pairs, n - interval)):
                squares[i] += (vectors[k, i] - vectors[k, i + interval]) ** 2
            for i in range(n - interval, n_pairs):
                squares[i] += (vectors[k, i] - vectors[k, i + interval - n]) ** 2
        for i in range(n_pairs):  # a loop of its own, which becomes vector operations
            bins[i] = np.int32(math.sqrt(squares[i]) * per_unit)
        for i in range(n_pairs):
            counts[bins[i]] += 1
    counts[n_bins - 1] += counts[n_bins]  # the largest distance of all belongs to the last bin
    return counts[:n_bins]
