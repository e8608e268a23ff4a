"""Descriptors with many more columns than there are rows: nothing is as large as the square of the columns."""

import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from hydra.utils import instantiate
from tests.composing import choices, composed

from tamis.analysis.coverage import CommonSpace
from tamis.bases.base import Array, DesignRows, LinearBasis
from tamis.core.errors import TamisError
from tamis.core.memory import Memory
from tamis.evaluation.dynamics.extrapolation import axes
from tamis.models.linear import LinearModel
from tamis.selection.base import Limit
from tamis.selection.components import PrincipalAxes
from tamis.selection.latent import LatentSpace
from tamis.store import Store

IN_SPACES = [c for c in choices("pruner") if c not in ("keep_all", "random", "stratified", "optimal")]


def pool(n=30, width=5, n_atoms=3, seed=0):
    """Values of structures; columns of falling spread."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n_atoms, width)) * 1.3 ** -np.arange(width) for _ in range(n)]


def widened(values, width):
    """The same angles and distances in more columns than there are environments: turned into a large space."""
    rng = np.random.default_rng(1)
    turn = np.linalg.qr(rng.normal(size=(width, values[0].shape[1])))[0].T
    return [block @ turn for block in values]


def seen(values, scaling="none", pca_variance=None):
    return LatentSpace("mean", scaling, pca_variance).features(values, ["a"] * len(values))


def by_name(choice):
    return instantiate(composed(f"pruner={choice}").pruner)


# --- the same numbers


@pytest.mark.parametrize("shape", [(12, 40), (40, 12), (9, 9)])
def test_axes_are_those_of_the_singular_values(shape):
    rng = np.random.default_rng(0)
    rows, origin, scale = rng.normal(size=shape), rng.normal(size=shape[1]), rng.uniform(0.5, 2, shape[1])
    found = PrincipalAxes.of(rows, origin, scale)
    left, sizes, right = np.linalg.svd((rows - origin) * scale, full_matrices=False)
    np.testing.assert_allclose(found.squares, sizes**2, rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.components(5)), np.abs(left[:, :5] * sizes[:5]), atol=1e-9)
    np.testing.assert_allclose(np.abs(found.turn(5)), np.abs(scale[:, None] * right[:5].T), atol=1e-9)


def test_directions_that_the_rows_have_not_are_no_axes():
    rows = np.outer([1.0, 2.0, -1.0], np.arange(50.0)) + np.outer([1.0, 0.0, 1.0], np.ones(50))
    assert len(PrincipalAxes.of(rows, np.zeros(50)).squares) == 2


@pytest.mark.parametrize("choice", IN_SPACES)
def test_choices_do_not_depend_on_how_many_columns_hold_the_same_distances(choice):
    narrow = pool()
    if choice == "direct":  # it scales columns, which a turn mixes: columns that are constant change nothing
        wide = [np.hstack([block, np.ones((len(block), 195))]) for block in narrow]
    else:
        wide = widened(narrow, 200)
    pruner = by_name(choice)
    wide_pruner = (
        instantiate(composed("pruner=maxvol", "pruner.ridge=4.0").pruner) if choice == "maxvol" else pruner
    )
    found, expected = (
        p.select(seen(values), Limit(structures=8), np.random.default_rng(0)).indices
        for p, values in ((wide_pruner, wide), (pruner, narrow))  # maxvol's prior is a mean over the columns
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("scaling", ["none", "global"])
def test_pca_of_more_columns_than_environments(scaling):
    narrow = pool()
    few, many = (seen(values, scaling, 0.9) for values in (narrow, widened(narrow, 200)))
    assert many.environments.shape == few.environments.shape
    np.testing.assert_allclose(np.abs(many.environments), np.abs(few.environments), atol=1e-10)


def test_the_common_space_of_many_columns():
    narrow = pool()
    wide = [np.hstack([block, np.ones((len(block), 195))]) for block in narrow]
    (mean, turn), (wide_mean, wide_turn) = axes(np.concatenate(narrow)), axes(np.concatenate(wide))
    found, expected = (wide[3] - wide_mean) @ wide_turn, (narrow[3] - mean) @ turn
    np.testing.assert_allclose(np.abs(found), np.abs(expected), atol=1e-10)
    spaces = [CommonSpace.of(values, 99.0) for values in (narrow, wide)]
    np.testing.assert_allclose(spaces[1].distances, spaces[0].distances, atol=1e-10)


# --- in little memory


@pytest.mark.parametrize("scaling, pca_variance", [("standard", None), ("global", None), ("standard", 0.9)])
@pytest.mark.parametrize("choice", IN_SPACES)
def test_choosing_among_wide_vectors_is_linear_in_columns(choice, scaling, pca_variance):
    """8 cells of 4 atoms and 20,000 columns are 5 MB; their square would be 3.2 GB."""
    if pca_variance is not None and choice not in ("fps", "maxvol"):
        pytest.skip("one that looks at structures, and one that looks at environments, will do")
    values, pruner = pool(8, 20_000, 4), by_name(choice)
    space = LatentSpace("mean", scaling, pca_variance)
    n_bytes = sum(block.nbytes for block in values)
    tracemalloc.start()
    features = space.features(values, ["a"] * 8, pruner, Memory(20 * n_bytes, False))
    pruner.select(features, Limit(structures=4), np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * n_bytes


def test_squares_that_are_needed_are_refused_in_a_sentence():
    """With more environments than columns the axes need the square of the columns."""
    values = pool(60, 600, 11)
    space = LatentSpace("mean", "standard", 0.9)
    with pytest.raises(
        TamisError, match=r"principal axes of 600 columns \(latent.pca_variance\) take .*memory_gib"
    ):
        space.features(values, ["a"] * 60, by_name("fps"), Memory(8 * 2 * 600**2, False))
    features = seen(values)
    needed = 8 * by_name("maxvol").working(features.vectors.shape, features.environments.shape)
    assert needed > 8 * 5 * 600**2
    with pytest.raises(TamisError, match="that the pruner works with, take .*memory_gib"):
        LatentSpace("mean", "none", None).features(
            values, ["a"] * 60, by_name("maxvol"), Memory(needed, False)
        )


@dataclass(frozen=True)
class Wide(LinearBasis):
    """A basis that must not be asked for its rows."""

    elements: tuple[str, ...] = ("Si",)
    r_cut: float = 5.0

    @property
    def n_features(self) -> int:
        return 29_990

    def evaluate(self, atoms: object) -> tuple[Array, DesignRows]:
        raise NotImplementedError

    calculator = write = evaluate


def test_a_linear_fit_of_too_many_columns_is_refused_before_its_rows_are_made(tmp_path, rattled):
    model = LinearModel(
        Wide(),
        energy_weights=(1.0,),
        stress_weights=(1.0,),
        ridges=(1e-7,),
        widenings=0,
        tuning="kept",
        n_folds=5,
    )
    said = (
        r"normal equations of 29991 coefficients take 1\d\d GiB of memory at once, and store.memory_gib is 4"
    )
    with pytest.raises(TamisError, match=said):
        model.prepare(rattled, Store(tmp_path, 1))
    with pytest.raises(TamisError, match=said):
        model.fit(rattled, rattled, Store(tmp_path, 1), np.random.default_rng(0))
