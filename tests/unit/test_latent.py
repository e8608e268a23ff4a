"""What the latent space makes of per-atom values."""

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tamis.core.errors import TamisError
from tamis.selection.latent import LatentSpace

pytestmark = pytest.mark.filterwarnings("error")


@pytest.fixture
def values():
    rng = np.random.default_rng(0)
    scales = np.array([1.0, 100.0, 1e-3, 5.0])
    return [scales * (3.0 + rng.normal(size=(n, 4))) for n in (1, 4, 2, 7, 3)]


GROUPS = ["a", "b", "a", "c", "b"]


def space(pooling="mean", scaling="none", pca_variance=None):
    return LatentSpace(pooling=pooling, scaling=scaling, pca_variance=pca_variance)


def distances(vectors):
    return np.linalg.norm(vectors[:, None] - vectors[None], axis=2)


def test_yaml_is_a_latent_space():
    config = OmegaConf.load(Path(__file__).parents[2] / "conf" / "latent" / "standard.yaml")
    assert isinstance(instantiate(config), LatentSpace)
    assert set(config) == {"_target_", "pooling", "scaling", "pca_variance"}


def test_bookkeeping(values):
    features = space().features(values, GROUPS)
    assert features.n_atoms.tolist() == [1, 4, 2, 7, 3]
    assert features.owners.tolist() == [i for i, v in enumerate(values) for _ in v]
    assert features.groups == tuple(GROUPS)
    np.testing.assert_array_equal(features.environments, np.concatenate(values))


def test_mean_pooling_is_the_mean(values):
    vectors = space().features(values, GROUPS).vectors
    np.testing.assert_allclose(vectors, [v.mean(axis=0) for v in values], rtol=1e-14)


def test_mean_std_pooling_appends_the_deviation(values):
    vectors = space(pooling="mean_std").features(values, GROUPS).vectors
    np.testing.assert_allclose(
        vectors, [np.hstack([v.mean(axis=0), v.std(axis=0)]) for v in values], rtol=1e-12
    )


def test_standard_scaling_gives_each_column_unit_variance(values):
    environments = space(scaling="standard").features(values, GROUPS).environments
    np.testing.assert_allclose(environments.mean(axis=0), 0.0, atol=1e-13)
    np.testing.assert_allclose(environments.std(axis=0), 1.0, rtol=1e-12)


def test_global_scaling_keeps_ratios_and_makes_the_mean_square_distance_one(values):
    raw = np.concatenate(values)
    environments = space(scaling="global").features(values, GROUPS).environments
    np.testing.assert_allclose(np.sum(environments**2, axis=1).mean(), 1.0, rtol=1e-12)
    ratio = environments.std(axis=0) / raw.std(axis=0)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-12)


@pytest.mark.parametrize("scaling", ["standard", "global"])
@pytest.mark.parametrize("pca_variance", [None, 0.99])
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e8])
def test_constant_columns_become_zero(values, scaling, pca_variance, constant):
    wider = [np.hstack([v, np.full((len(v), 2), constant)]) for v in values]
    plain = space(scaling=scaling, pca_variance=pca_variance).features(values, GROUPS)
    padded = space(scaling=scaling, pca_variance=pca_variance).features(wider, GROUPS)
    assert np.isfinite(padded.environments).all()
    np.testing.assert_allclose(distances(padded.vectors), distances(plain.vectors), rtol=1e-6, atol=1e-7)


def test_rounding_in_a_column_is_not_blown_up(values):
    rng = np.random.default_rng(1)
    wider = [
        np.hstack([v, 1e-16 * rng.normal(size=(len(v), 1)), 7 + 1e-11 * rng.normal(size=(len(v), 1))])
        for v in values
    ]
    environments = space(scaling="standard").features(wider, GROUPS).environments
    np.testing.assert_array_equal(environments[:, 4:], 0.0)


def test_small_columns_that_vary_are_kept(values):
    small = [np.hstack([v, 1e-9 * v[:, :1] ** 2]) for v in values]
    environments = space(scaling="standard").features(small, GROUPS).environments
    np.testing.assert_allclose(environments[:, 4].std(), 1.0, rtol=1e-12)


@pytest.mark.parametrize("scaling", ["none", "standard", "global"])
@pytest.mark.parametrize("pca_variance", [None, 0.9])
def test_a_pool_that_does_not_vary(scaling, pca_variance):
    features = space(scaling=scaling, pca_variance=pca_variance).features(
        [np.full((2, 3), 0.1)] * 3, ["a"] * 3
    )
    assert features.vectors.shape[1] == 3 and features.has_descriptor
    np.testing.assert_allclose(distances(features.vectors), 0.0, atol=1e-15)


def test_pca_keeps_the_asked_part_of_the_variance_and_no_more():
    rng = np.random.default_rng(0)
    mixed = rng.normal(size=(300, 8)) * 2.0 ** -np.arange(8) @ np.linalg.qr(rng.normal(size=(8, 8)))[0]
    environments = space(pca_variance=0.95).features(np.split(mixed, 30), ["a"] * 30).environments
    part = np.cumsum(environments.var(axis=0)) / mixed.var(axis=0).sum()
    assert part[-1] >= 0.95 > part[-2]


def test_all_of_pca_preserves_distances(values):
    full = space(scaling="standard").features(values, GROUPS).environments
    turned = space(scaling="standard", pca_variance=1 - 1e-13).features(values, GROUPS).environments
    np.testing.assert_allclose(distances(turned), distances(full), rtol=1e-6)


@pytest.mark.parametrize("pca_variance", [None, 0.9])
def test_vectors_are_means_of_the_environments_that_pruners_see(values, pca_variance):
    f = space(scaling="standard", pca_variance=pca_variance).features(values, GROUPS)
    np.testing.assert_allclose(
        f.vectors, [f.environments[f.owners == i].mean(axis=0) for i in range(5)], atol=1e-13
    )


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@pytest.mark.parametrize("scaling", ["none", "standard", "global"])
@pytest.mark.parametrize("pca_variance", [None, 0.9])
def test_no_descriptor_gives_no_columns(values, pooling, scaling, pca_variance):
    features = space(pooling, scaling, pca_variance).features([v[:, :0] for v in values], GROUPS)
    assert features.vectors.shape == (5, 0) and features.environments.shape == (17, 0)
    assert not features.has_descriptor and features.n_atoms.tolist() == [1, 4, 2, 7, 3]


@pytest.mark.parametrize("copies", [1, 5])
def test_values_are_not_changed(values, copies):
    pool = values[1:2] * copies
    before = pool[0].copy()
    space(scaling="standard", pca_variance=0.9).features(pool, ["a"] * copies)
    np.testing.assert_array_equal(pool[0], before)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pooling", "max"),
        ("scaling", "minmax"),
        ("pca_variance", 0.0),
        ("pca_variance", 1.0),
        ("pca_variance", -1),
    ],
)
def test_bad_fields_are_named(field, value):
    with pytest.raises(TamisError, match=f"{field} is '?{value}"):
        space(**{field: value})


@pytest.mark.parametrize(
    ("pool", "groups", "message"),
    [
        ([], [], "empty"),
        ([np.ones((2, 3)), np.full((2, 3), np.nan)], ["a", "b"], "structure 1 .*NaN"),
        ([np.full((2, 3), np.inf)], ["a"], "structure 0 .*infinite"),
    ],
)
def test_bad_pools_are_refused(pool, groups, message):
    with pytest.raises(TamisError, match=message):
        space(scaling="standard").features(pool, groups)
