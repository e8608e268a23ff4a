"""Descriptors of whole structures: their distances, who can use them, and what a trial makes of them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from tests.composing import composed
from tests.labelled import alloy

from tamis.bases.chimes.fingerprint import ChimesFingerprint
from tamis.core.errors import TamisError
from tamis.evaluation.dynamics.extrapolation import Extrapolation
from tamis.parts import build_part
from tamis.selection.base import Limit
from tamis.selection.keep_all import KeepAll
from tamis.selection.pool_features import features_of_pool
from tamis.selection.whole_structures import coordinates
from tamis.store import Store
from tamis.trial import run_trial

BASIS = ChimesFingerprint(
    ("Au", "Cu"), 5.0, 4.2, 3.4, s_min=1.8, morse_lambda=3.0, n_bins=50, most_pairs=10**6
)
LATENT, FPS, KMEANS = (
    build_part(name, composed(*more)[name])
    for name, more in (("latent", ()), ("pruner", ("pruner=fps",)), ("pruner", ("pruner=kmeans",)))
)


def histograms(n: int = 30, width: int = 40, seed: int = 0) -> np.ndarray:
    rows = np.random.default_rng(seed).exponential(size=(n, width)) ** 3
    return rows / rows.sum(axis=1, keepdims=True)


def l1(rows: np.ndarray) -> np.ndarray:
    return np.abs(rows[:, None] - rows).sum(axis=2)


@pytest.mark.parametrize(
    "rows",
    [
        histograms(),
        histograms(40, 3),
        np.repeat(histograms(8), 3, axis=0),
        histograms(1),
        np.tile(histograms(1), (5, 1)),
    ],
    ids=["ordinary", "few columns", "copies", "one", "all equal"],
)
def test_squared_distances_of_the_coordinates_are_those_of_l1(rows):
    points = coordinates(rows)
    np.testing.assert_allclose(cdist(points, points, "sqeuclidean"), l1(rows), atol=1e-12)
    assert points.shape[1] >= 1


def test_rounding_makes_no_distance_between_copies():
    rows = np.repeat(histograms(8), 2, axis=0)
    rows[1::2] += 1e-16 * np.random.default_rng(0).normal(size=(8, 40))
    points = coordinates(rows)
    assert np.array_equal(points[::2], points[1::2])


@pytest.fixture(scope="module")
def pool():
    return alloy(16)


@pytest.fixture(scope="module")
def features(pool, tmp_path_factory):
    return features_of_pool(BASIS, LATENT, pool, FPS, Store(tmp_path_factory.mktemp("store"), 1))


def chosen(pruner, features, n: int) -> list[int]:
    return pruner.select(features, Limit(structures=n), np.random.default_rng(0)).indices.tolist()


def test_a_pool_keeps_its_atoms_and_groups(pool, features):
    rows = np.concatenate([BASIS.values(atoms) for atoms in pool.structures])
    np.testing.assert_allclose(cdist(features.vectors, features.vectors, "sqeuclidean"), l1(rows), atol=1e-12)
    assert features.n_atoms.tolist() == pool.n_atoms.tolist() and features.groups == tuple(pool.groups)
    assert features.of_structures and "no sampling" in features.notes[0]


def test_fps_takes_the_farthest_in_l1(pool, features):
    """The first is the structure of smallest mean distance."""
    distances = l1(np.concatenate([BASIS.values(atoms) for atoms in pool.structures]))
    order = [int(distances.mean(axis=0).argmin())]
    while len(order) < len(pool):
        order.append(int(distances[order].min(axis=0).argmax()))
    assert chosen(FPS, features, len(pool)) == order


def test_kmeans_keeps_structures_of_small_mean_l1_distance(pool, features):
    """Of groups that are far from each other, one structure each: that of smallest mean distance in its group."""
    rows = np.concatenate([0.01 * histograms(6, 9, seed) + 5.0 * (np.arange(9) == seed) for seed in range(3)])
    of_groups = replace(
        features, vectors=coordinates(rows), n_atoms=np.ones(18, dtype=np.intp), groups=("a",) * 18
    )
    expected = {6 * g + int(l1(rows[6 * g : 6 * g + 6]).mean(axis=0).argmin()) for g in range(3)}
    assert set(chosen(KMEANS, of_groups, 3)) == expected


def test_the_order_of_the_pool_does_not_decide(pool, features, store):
    shuffled = np.random.default_rng(1).permutation(len(pool))
    again = features_of_pool(BASIS, LATENT, pool.subset(shuffled), FPS, store)
    assert shuffled[chosen(FPS, again, 9)].tolist() == chosen(FPS, features, 9)


def test_the_latent_space_is_not_looked_at(pool, features, store):
    other = replace(LATENT, pooling="mean_std", scaling="none", pca_variance=0.5)
    np.testing.assert_array_equal(
        features_of_pool(BASIS, other, pool, KeepAll(), store).vectors, features.vectors
    )


def test_a_pool_beyond_the_memory_is_refused(pool, tmp_path):
    store = Store(tmp_path, 1, memory_gib=1e-5)
    with pytest.raises(TamisError, match="distances between 16 whole structures"):
        features_of_pool(BASIS, LATENT, pool, FPS, store)


def test_extrapolation_needs_atoms():
    with pytest.raises(TamisError, match="describes whole structures"):
        Extrapolation(space=BASIS, percentile=99, frames=1, pool_environments=1)


@pytest.mark.parametrize("pruner", ["cur", "optimal"])
def test_a_trial_whose_pruner_cannot_use_it_is_skipped(pruner, tmp_path):
    config = composed(f"pruner={pruner}", "descriptor=chimes_fingerprint")
    record = run_trial(config, {}, tmp_path)
    assert record.status == "skipped" and "pruner=fps, kmeans or anti" in record.reason
