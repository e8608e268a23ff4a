"""What each pruner means: compared with brute force, with other people's code, or with chance."""

import tracemalloc
from collections import Counter
from itertools import combinations

import numpy as np
import pytest

from tamis.core.errors import TamisError
from tamis.selection import msc as msc_module
from tamis.selection.anti import Anti
from tamis.selection.base import Features, Limit
from tamis.selection.cur import Cur
from tamis.selection.direct import Direct, birch_strata, weighted_components
from tamis.selection.distance import by_distance
from tamis.selection.fps import FarthestPointSampling
from tamis.selection.kmeans import KMeansMedoids
from tamis.selection.latent import LatentSpace
from tamis.selection.maxvol import MaxVol, greedy_log_det, informative_rows
from tamis.selection.msc import MinimumSetCover
from tamis.selection.random_choice import RandomChoice
from tamis.selection.stratified import Stratified

FPS = FarthestPointSampling(start="center")


def space(values, groups=None, scaling="none"):
    groups = ["a"] * len(values) if groups is None else groups
    return LatentSpace(pooling="mean", scaling=scaling, pca_variance=None).features(values, groups)


def points(array):
    """Structures of one atom: vectors and environments are the same."""
    return space([row[None] for row in np.asarray(array, dtype=float)])


def pick(pruner, features, n, seed=0):
    return pruner.select(features, Limit(structures=n), np.random.default_rng(seed)).indices


def random_sets(n_pool, n, count=30):
    return [np.random.default_rng(seed).permutation(n_pool)[:n] for seed in range(count)]


def covering_radius(vectors, kept):
    return np.linalg.norm(vectors[:, None] - vectors[kept][None], axis=2).min(axis=1).max()


@pytest.fixture
def cloud():
    return np.random.default_rng(0).normal(size=(60, 4))


@pytest.fixture
def rare():
    """40 structures of 6 atoms near one environment, of which four have one odd atom, each odd in another way."""
    rng = np.random.default_rng(0)
    values = [0.1 * rng.normal(size=(6, 5)) for _ in range(40)]
    for k, i in enumerate((7, 19, 23, 38)):
        values[i][2, k] += 4.0
    return space(values)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: FarthestPointSampling(start="first"), "start is 'first'.*center, random"),
        (lambda: Cur(n_vectors=0), "n_vectors is 0"),
        (lambda: KMeansMedoids(n_init=0), "n_init is 0"),
        (lambda: Direct(threshold=0.0), "threshold is 0"),
        (lambda: MaxVol(ridge=0.0), "ridge is 0"),
        (lambda: MinimumSetCover(bandwidth=0.0, variance=1.0), "bandwidth is 0"),
        (lambda: MinimumSetCover(bandwidth=None, variance=0.0), "variance is 0"),
        (lambda: MinimumSetCover(bandwidth=None, variance=1.1), "variance is 1.1"),
    ],
)
def test_fields_are_checked(build, said):
    with pytest.raises(TamisError, match=said):
        build()


# --- random and stratified


def test_random_is_fair():
    features = Features(np.empty((10, 0)), np.empty((10, 0)), np.arange(10), np.ones(10, int), ("a",) * 10)
    counts = Counter(i for seed in range(2000) for i in pick(RandomChoice(), features, 3, seed))
    # 600 expected, standard deviation 20.5
    assert all(abs(counts[i] - 600) < 100 for i in range(10))


@pytest.mark.parametrize(
    "sizes", [(17,), (5, 5), (1, 30), (1, 1, 1, 20), (80, 48, 11, 54), (7, 6, 5, 4, 3, 2, 1)]
)
@pytest.mark.parametrize("seed", range(5))
def test_stratified_keeps_proportions_at_every_size(sizes, seed):
    groups = np.random.default_rng(seed).permutation(np.repeat([f"g{i}" for i in range(len(sizes))], sizes))
    n = len(groups)
    features = Features(np.empty((n, 0)), np.empty((n, 0)), np.arange(n), np.ones(n, int), tuple(groups))
    order = groups[pick(Stratified(), features, n, seed)]
    t = np.arange(1, n + 1)
    for i, size in enumerate(sizes):
        assert np.abs(np.cumsum(order == f"g{i}") - t * size / n).max() < 1.0


def test_stratified_is_random_within_groups():
    groups = tuple("aaaabbbb")
    features = Features(np.empty((8, 0)), np.empty((8, 0)), np.arange(8), np.ones(8, int), groups)
    assert {i for seed in range(60) for i in pick(Stratified(), features, 2, seed)} == set(range(8))


# --- distances: fps and anti


def test_fps_is_the_farthest_by_brute_force(cloud):
    order = pick(FPS, points(cloud), 20)
    assert order[0] == np.argmin(np.linalg.norm(cloud - cloud.mean(axis=0), axis=1))
    for n in range(1, 20):
        distances = np.linalg.norm(cloud[:, None] - cloud[order[:n]][None], axis=2).min(axis=1)
        assert order[n] == np.argmax(distances)


def test_fps_equals_scikit_matter(cloud):
    from skmatter import sample_selection

    order = pick(FPS, points(cloud), 40)
    np.testing.assert_array_equal(
        sample_selection.FPS(initialize=int(order[0]), n_to_select=40).fit(cloud).selected_idx_, order
    )


def test_fps_covers_better_than_random(cloud):
    radius = covering_radius(cloud, pick(FPS, points(cloud), 15))
    assert radius < min(covering_radius(cloud, kept) for kept in random_sets(60, 15))


def test_fps_radius_is_within_twice_the_best():
    small = np.random.default_rng(3).normal(size=(11, 2))
    best = min(covering_radius(small, list(kept)) for kept in combinations(range(11), 4))
    assert covering_radius(small, pick(FPS, points(small), 4)) <= 2.0 * best


def test_fps_leaves_duplicates_to_the_end(cloud):
    doubled = np.concatenate([cloud[:10], cloud[:10]])
    assert {i % 10 for i in pick(FPS, points(doubled), 10)} == set(range(10))


def test_fps_started_at_random_depends_on_the_seed(cloud):
    starts = {pick(FarthestPointSampling(start="random"), points(cloud), 1, seed)[0] for seed in range(10)}
    assert len(starts) > 3


def test_anti_covers_worse_than_random(cloud):
    radius = covering_radius(cloud, pick(Anti(), points(cloud), 15))
    assert radius > np.mean([covering_radius(cloud, kept) for kept in random_sets(60, 15)])


def test_anti_exhausts_duplicates_first():
    vectors = np.concatenate([np.zeros((9, 2)), [[1.0, 0.0], [0.0, 1.0], [5.0, 5.0]]])
    order = pick(Anti(), points(np.concatenate([vectors, -vectors])), 18)
    np.testing.assert_array_equal(np.concatenate([vectors, -vectors])[order], 0.0)


def test_a_start_longer_than_the_choice_is_cut(cloud):
    assert by_distance(cloud, [4, 2, 9], 2, farthest=True).tolist() == [4, 2]


# --- cur


def test_cur_equals_scikit_matter(cloud):
    from skmatter import sample_selection

    wide = np.random.default_rng(5).normal(size=(30, 12)) * 1.5 ** -np.arange(12)
    for n_vectors in (1, 3):
        expected = sample_selection.CUR(n_to_select=9, k=n_vectors, recompute_every=1).fit(wide).selected_idx_
        np.testing.assert_array_equal(pick(Cur(n_vectors), points(wide), 9), expected)


def test_cur_takes_high_leverage_first():
    rng = np.random.default_rng(0)
    vectors = 0.1 * rng.normal(size=(50, 3))
    vectors[[11, 29, 42]] = [[9.0, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 2.0]]
    assert pick(Cur(1), points(vectors), 3).tolist() == [11, 29, 42]


def test_cur_does_not_take_the_same_direction_twice():
    vectors = [[9.0, 0.0], [8.9, 0.0], [8.8, 0.0], [0.0, 1.0]]
    assert pick(Cur(1), points(vectors), 2).tolist() == [0, 3]


def test_cur_ranks_anew_when_all_directions_are_spanned():
    # Two spans of the plane, the second shorter: it must come second as a whole, before the rest.
    vectors = [[0.1, 0.0], [0.0, 4.0], [5.0, 0.0], [0.0, 0.1], [3.0, 0.0], [0.0, 2.0]]
    order = pick(Cur(1), points(vectors), 6).tolist()
    assert set(order[:2]) == {1, 2} and set(order[2:4]) == {4, 5}


def test_cur_approximates_better_than_random():
    rng = np.random.default_rng(1)
    low_rank = rng.normal(size=(40, 6)) * 2.0 ** -np.arange(6) @ rng.normal(size=(6, 15))

    def residual(kept):
        basis = np.linalg.qr(low_rank[kept].T)[0]
        return np.linalg.norm(low_rank - low_rank @ basis @ basis.T)

    assert residual(pick(Cur(1), points(low_rank), 4)) < np.quantile(
        [residual(k) for k in random_sets(40, 4)], 0.2
    )


# --- clusters: kmeans and direct


@pytest.fixture
def islands():
    """Five well separated islands of 2, 4, 6, 8 and 10 points; with the island of each.

    Each direction fills two columns: DIRECT drops components of less variance than one column has.
    """
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(5), [2, 4, 6, 8, 10])
    centres = 30.0 * np.array([[0, 0], [2, 2], [2, 0], [0, 2], [1, 1]])
    shuffled = rng.permutation(len(names))
    return (np.repeat(centres, 2, axis=1)[names] + rng.normal(size=(len(names), 4)))[shuffled], names[
        shuffled
    ]


@pytest.mark.parametrize("pruner", [KMeansMedoids(n_init=4), Direct(threshold=0.5)], ids=["kmeans", "direct"])
def test_clusters_give_one_structure_per_island_large_first(pruner, islands):
    vectors, names = islands
    assert names[pick(pruner, points(vectors), 5)].tolist() == [4, 3, 2, 1, 0]


@pytest.mark.parametrize("pruner", [KMeansMedoids(n_init=4), Direct(threshold=0.5)], ids=["kmeans", "direct"])
def test_clusters_take_every_different_vector_before_a_duplicate(pruner, islands):
    vectors = islands[0][:7]
    assert {i % 7 for i in pick(pruner, points(np.concatenate([vectors] * 3)), 7)} == set(range(7))


def test_kmeans_counts_equal_vectors_once(cloud):
    pruner = KMeansMedoids(n_init=4)
    flooded = np.concatenate([cloud, np.tile(cloud[3], (100, 1))])
    np.testing.assert_array_equal(pick(pruner, points(flooded), 12), pick(pruner, points(cloud), 12))


def test_kmeans_takes_the_member_nearest_to_the_mean(islands):
    vectors, names = islands
    for i in pick(KMeansMedoids(n_init=4), points(vectors), 5):
        members = np.flatnonzero(names == names[i])
        offsets = np.linalg.norm(vectors[members] - vectors[members].mean(axis=0), axis=1)
        assert i == members[np.argmin(offsets)]


def test_kmeans_quantises_better_than_random(cloud):
    def error(kept):
        return np.mean(np.linalg.norm(cloud[:, None] - cloud[kept][None], axis=2).min(axis=1) ** 2)

    assert error(pick(KMeansMedoids(n_init=4), points(cloud), 12)) < min(
        error(k) for k in random_sets(60, 12)
    )


def test_direct_components_follow_kaiser_and_are_weighted():
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(200, 2))
    vectors = np.hstack(
        [hidden[:, :1] + 0.1 * rng.normal(size=(200, 5)), hidden[:, 1:] + 0.1 * rng.normal(size=(200, 3))]
    )
    components = weighted_components(vectors)
    assert components.shape == (200, 2)
    scaled = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    variances = np.linalg.eigvalsh(np.cov(scaled.T))[::-1]
    weights = variances[:2] / variances.sum()
    np.testing.assert_allclose(components.var(axis=0, ddof=1), variances[:2] * weights**2, rtol=1e-10)


@pytest.mark.parametrize("n_strata", [2, 7, 20, 59])
def test_direct_strata_are_those_of_birch(cloud, n_strata):
    from sklearn.cluster import Birch

    labels = birch_strata(cloud, n_strata, threshold=1e-3)
    expected = Birch(threshold=1e-3, n_clusters=n_strata).fit(cloud).labels_
    assert len(set(labels)) == n_strata == len(set(zip(labels, expected, strict=True)))


def test_direct_lowers_a_threshold_that_is_too_large(cloud):
    assert len(set(birch_strata(cloud, 30, threshold=1e6))) == 30


# --- maxvol


def log_det(features, kept, ridge):
    x = features.environments[np.isin(features.owners, kept)]
    prior = ridge * np.mean(features.environments**2)
    return np.linalg.slogdet(prior * np.eye(x.shape[1]) + x.T @ x)[1]


def molecules(n_structures, n_columns=4, seed=0):
    rng = np.random.default_rng(seed)
    return space(
        [rng.normal(size=(1 + i % 4, n_columns)) * 2.0 ** -np.arange(n_columns) for i in range(n_structures)]
    )


def test_maxvol_is_the_plain_greedy_choice():
    features = molecules(14)
    kept: list = []
    for i in pick(MaxVol(ridge=0.1), features, 14):
        left = [j for j in range(14) if j not in kept]
        assert i == max(left, key=lambda j: log_det(features, [*kept, j], 0.1))
        kept.append(i)


@pytest.mark.parametrize("seed", range(5))
def test_maxvol_is_within_reach_of_the_best(seed):
    features = molecules(10, seed=seed)
    nothing = log_det(features, [], 0.1)
    best = max(log_det(features, list(kept), 0.1) for kept in combinations(range(10), 4)) - nothing
    # The proven bound is 0.63; on such small cases greedy is far better.
    assert log_det(features, pick(MaxVol(ridge=0.1), features, 4), 0.1) - nothing > 0.95 * best


def test_maxvol_beats_random():
    features = molecules(60, n_columns=8)
    ours = log_det(features, pick(MaxVol(ridge=0.1), features, 10), 0.1)
    assert ours > max(log_det(features, kept, 0.1) for kept in random_sets(60, 10))


def test_maxvol_finds_rare_atoms(rare):
    assert set(pick(MaxVol(ridge=0.1), rare, 4)) == {7, 19, 23, 38}


def test_maxvol_leaves_out_what_the_pool_cannot_tell_from_the_prior():
    rng = np.random.default_rng(0)
    environments = rng.normal(size=(500, 3)) * [1.0, 1.0, 1e-4]
    assert informative_rows(environments, ridge=0.1).shape[1] == 2
    assert informative_rows(environments, ridge=1e-8).shape[1] == 3


def test_maxvol_renews_few_gains(monkeypatch):
    from tamis.selection import maxvol

    asked, gains = [], maxvol._gains
    monkeypatch.setattr(maxvol, "_gains", lambda b, w, which: asked.extend(which) or gains(b, w, which))
    features = molecules(60, n_columns=8)
    greedy_log_det(features.by_structure(informative_rows(features.environments, 0.1)), 60)
    assert len(asked) < 0.75 * 60 * 61 / 2


# --- msc


def test_msc_equals_quests():
    fps_of_quests = pytest.importorskip("quests.compression.fps", reason="needs the package quests")
    from quests.entropy import entropy

    rng = np.random.default_rng(2)
    values = [rng.normal(size=(3 + i % 3, 2)) for i in range(15)]
    entropies = np.array([entropy(v, h=0.8) for v in values])
    expected = fps_of_quests.msc(values, entropies, 15, h=0.8)
    assert pick(MinimumSetCover(bandwidth=0.8, variance=1.0), space(values), 15).tolist() == [
        int(i) for i in expected
    ]


def test_msc_finds_rare_atoms(rare):
    assert set(pick(MinimumSetCover(bandwidth=None, variance=1.0), rare, 4)) == {7, 19, 23, 38}


def test_msc_covers_more_environments_than_random():
    rng = np.random.default_rng(0)
    kinds = 10.0 * rng.normal(size=(25, 3))
    # Each structure has 4 kinds of environment, of which the first five are in most.
    pool = [np.r_[rng.integers(0, 5, 3), rng.integers(0, 25)] for _ in range(60)]
    features = space([kinds[k] + 0.1 * rng.normal(size=(4, 3)) for k in pool])

    def covered(kept):
        return len({k for i in kept for k in pool[i]})

    ours = covered(pick(MinimumSetCover(bandwidth=None, variance=1.0), features, 15))
    assert ours > max(covered(kept) for kept in random_sets(60, 15))


def test_msc_kernel_sums_do_not_underflow():
    rows, others = np.array([[0.0], [100.0]]), np.array([[0.0], [0.5]])
    sums = msc_module.log_kernel_sums(rows, others)
    np.testing.assert_allclose(sums[0], np.log(1 + np.exp(-0.125)), rtol=1e-12)
    np.testing.assert_allclose(sums[1], -(99.5**2) / 2, rtol=1e-12)


def test_msc_bandwidth_is_the_median_distance_between_different_neighbours():
    line = np.repeat(np.arange(10.0), 3)[:, None] * 2.5
    np.testing.assert_allclose(msc_module.nearest_distance(line), 2.5, rtol=1e-12)


def test_msc_takes_the_kernel_of_a_large_cell_in_pieces():
    """Of 4000 atoms all at once it would be 122 MiB."""
    rng = np.random.default_rng(0)
    blocks = [rng.normal(size=(4000, 3)), rng.normal(size=(2, 3))]
    tracemalloc.start()
    order = msc_module.greedy_cover(blocks, 2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert order.tolist() == [0, 1] and peak < 12 * 2**20
