"""Large pools: choices are those of the plain loops, whatever the size of the pieces, and few things are computed."""

import numpy as np
import pytest

from tamis.selection import components, distance, greedy, maxvol, msc, rows
from tamis.selection.base import Features, Limit
from tamis.selection.cur import Cur
from tamis.selection.distance import by_distance
from tamis.selection.greedy import TIE, first_largest, first_of_equals, lazy_largest, spread
from tamis.selection.maxvol import greedy_log_det
from tamis.selection.msc import greedy_cover, nearest_distance

RNG = np.random.default_rng


def plain_by_distance(vectors, start, n, farthest):
    """Every distance at every step, from differences."""
    order, scale = list(start), spread(vectors)
    while len(order) < n:
        nearest = np.min([np.linalg.norm(vectors - vectors[i], axis=1) for i in order], axis=0)
        scores = nearest if farthest else -nearest
        scores[order] = -np.inf
        order.append(first_largest(scores, scale))
    return order


def islands(n, d, seed=0):
    rng = RNG(seed)
    return 5.0 * rng.normal(size=(7, d))[rng.integers(7, size=n)] + rng.normal(
        size=(n, d)
    ) * 1.5 ** -np.arange(d)


CLOUDS = {
    "normal": lambda: RNG(0).normal(size=(200, 6)),
    "one column": lambda: RNG(0).uniform(size=(200, 1)),
    "islands": lambda: islands(200, 5),
    "more columns than rows": lambda: islands(60, 90),
    "a lattice, all tied": lambda: np.argwhere(np.ones((5, 6, 6))).astype(float),
    "each four times": lambda: np.tile(islands(80, 4), (4, 1)),
    "two different": lambda: np.tile([[0.0, 1.0], [1.0, 0.0]], (60, 1)),
    "all equal": lambda: np.full((50, 3), 0.1),
    "far from zero": lambda: 1e7 + islands(200, 4),
    "tiny": lambda: 1e-150 * islands(200, 4),
    "huge": lambda: 1e150 * islands(200, 4),
    "one far away": lambda: np.vstack([islands(200, 4), np.full((1, 4), 1e6)]),
    "one very far away": lambda: np.vstack([islands(100, 4), np.full((1, 4), 3e8)]),
}
SIZES = {
    "as it is": {},
    "tiny pieces": {"ROWS_AT_ONCE": 7, "CENTRES_AT_ONCE": 3, "FEWEST_FOLLOWED": 5},
    "nearly none followed": {"FEWEST_FOLLOWED": 1},
    "some followed": {"FEWEST_FOLLOWED": 40, "ROWS_AT_ONCE": 50},
}


@pytest.fixture(params=SIZES.values(), ids=SIZES.keys())
def any_size(request, monkeypatch):
    for name, value in request.param.items():
        monkeypatch.setattr(distance, name, value)
    if request.param:
        monkeypatch.setattr(distance, "FOLLOWED", 10**9)
        monkeypatch.setattr(rows, "PIECE", 150)


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS.keys())
@pytest.mark.parametrize("start", [1, 9])
def test_farthest_first_is_the_plain_loop(any_size, cloud, start):
    vectors = cloud()
    begin, n = list(range(3, 3 + start)), min(len(vectors), 60)
    expected = plain_by_distance(vectors, begin, n, farthest=True)
    assert by_distance(vectors, begin, n, farthest=True).tolist() == expected


@pytest.mark.parametrize("name", ["islands", "a lattice, all tied", "each four times", "all equal"])
def test_a_whole_pool_is_ordered_like_in_the_plain_loop(any_size, name):
    vectors = CLOUDS[name]()[:80]
    expected = plain_by_distance(vectors, [0], len(vectors), farthest=True)
    assert by_distance(vectors, [0], len(vectors), farthest=True).tolist() == expected


def test_nearest_first_is_the_plain_loop(any_size):
    vectors = islands(120, 4)
    assert by_distance(vectors, [5, 7], 60, farthest=False).tolist() == plain_by_distance(
        vectors, [5, 7], 60, False
    )


@pytest.mark.parametrize("cloud", CLOUDS.values(), ids=CLOUDS.keys())
def test_products_are_wrong_by_less_than_is_said(cloud):
    vectors = cloud()
    if not (scale := spread(vectors)) > TIE:
        vectors = vectors / max(scale, 1e-300)
        scale = spread(vectors)
    if scale == 0.0:
        return
    search = distance._Search(vectors, scale, [0])
    every = np.arange(len(vectors))
    products = search._left_side(every) @ search._right_side(every)
    exact = (np.linalg.norm((vectors[:, None] - vectors[None]) / scale, axis=2)) ** 2
    assert np.abs(products - exact).max() < search.error < 1e-12


def test_few_distances_are_asked_for(monkeypatch):
    vectors, asked = islands(20_000, 8), []
    ask = distance._Search._ask
    monkeypatch.setattr(
        distance._Search, "_ask", lambda self, rows: asked.append(len(rows)) or ask(self, rows)
    )
    by_distance(vectors, [0], 300, farthest=True)
    # every row once, and then a few times each: the plain loop asks every row 300 times
    assert len(vectors) <= sum(asked) < 20 * len(vectors)


def test_farthest_first_equals_fpsample():
    fpsample = pytest.importorskip("fpsample")
    vectors = islands(5000, 8).astype(np.float32)
    expected = fpsample.fps_sampling(vectors, 200, start_idx=0)
    np.testing.assert_array_equal(by_distance(vectors.astype(np.float64), [0], 200, farthest=True), expected)


# --- scores that only fall


@pytest.mark.parametrize("fewest", [1, 3, 1000])
def test_lazy_largest_is_the_largest_of_all(monkeypatch, fewest):
    monkeypatch.setattr(greedy, "FEWEST_ASKED", fewest)
    rng = RNG(0)
    for _ in range(50):
        true = np.round(rng.normal(size=30), 1)  # rounded, so that some are equal
        bounds = true + rng.exponential(size=30) * rng.integers(2, size=30)
        chosen = rng.integers(5, size=30) == 0
        true[chosen] = bounds[chosen] = -np.inf
        fresh = bounds == true
        found = lazy_largest(bounds, fresh, lambda which, true=true: true[which], lambda best: 1.0)
        assert found == first_largest(true, 1.0)


def molecules(n, d=4, seed=0):
    rng = RNG(seed)
    return [rng.normal(size=(1 + i % 4, d)) + 3.0 * rng.normal(size=d) for i in range(n)]


def plain_cover(blocks, n):
    """Every score at every step."""
    sums = msc.log_kernel_sums
    entropies = np.array([np.log(len(b)) - sums(b, b).mean() for b in blocks])
    order = [first_largest(entropies, 1.0)]
    while len(order) < n:
        kept = np.concatenate([blocks[i] for i in order])
        scores = np.array([(-sums(b, kept)).max() for b in blocks]) + entropies
        scores[order] = -np.inf
        order.append(first_largest(scores, max(1.0, scores.max())))
    return order


@pytest.mark.parametrize(("fewest", "piece"), [(16, 2**18), (1, 2**18), (2, 13)])
def test_covers_do_not_depend_on_pieces(monkeypatch, fewest, piece):
    monkeypatch.setattr(greedy, "FEWEST_ASKED", fewest)
    for module in (rows, msc):
        monkeypatch.setattr(module, "PIECE", piece)
    blocks = molecules(60)
    assert greedy_cover(blocks, 60).tolist() == plain_cover(blocks, 60)
    assert greedy_log_det(blocks, 40).tolist() == plain_log_det(blocks, 40)


def plain_log_det(blocks, n):
    information, order = np.eye(blocks[0].shape[1]), []
    while len(order) < n:
        gains = [np.linalg.slogdet(information + b.T @ b)[1] for b in blocks]
        order.append(max((i for i in range(len(blocks)) if i not in order), key=gains.__getitem__))
        information = information + blocks[order[-1]].T @ blocks[order[-1]]
    return order


def test_covers_ask_few_blocks(monkeypatch):
    asked, ask = [], msc._Cover._ask
    monkeypatch.setattr(msc._Cover, "_ask", lambda self, which: asked.extend(which) or ask(self, which))
    greedy_cover(molecules(1000), 100)
    assert 1000 <= len(asked) < 10_000  # of 100 000
    asked, gains = [], maxvol._gains
    monkeypatch.setattr(maxvol, "_gains", lambda b, w, which: asked.extend(which) or gains(b, w, which))
    greedy_log_det(molecules(1000), 100)
    assert 1000 <= len(asked) < 50_000


def test_the_bandwidth_does_not_depend_on_pieces(monkeypatch):
    environments = islands(2000, 3)
    whole = nearest_distance(environments)
    monkeypatch.setattr(rows, "PIECE", 12345)
    assert nearest_distance(environments) == pytest.approx(whole, rel=1e-12)


# --- equal rows


def test_first_of_equals_is_that_of_sorted_rows():
    rng = RNG(0)
    vectors = np.argwhere(np.ones((3, 3, 3))).astype(float)[rng.integers(27, size=300)]
    vectors[7] += 1e-13
    expected = np.sort(np.unique(np.round(vectors), axis=0, return_index=True)[1])
    np.testing.assert_array_equal(first_of_equals(vectors), expected)


# --- cur


def of_one_atom(vectors):
    n = len(vectors)
    return Features(vectors, vectors, np.arange(n), np.ones(n, int), ("a",) * n)


def cur_by_svd(vectors, n, n_vectors):
    """Singular vectors of all rows at every step; rows are made orthogonal to those chosen."""
    rest, order = vectors.copy(), []
    while len(order) < n:
        left, sizes, _ = np.linalg.svd(rest, full_matrices=False)
        n_counted = min(n_vectors, int(np.sum(sizes > 1e-6 * sizes[0])))
        scores = np.sum(left[:, :n_counted] ** 2, axis=1)
        scores[order] = -np.inf
        order.append(int(np.argmax(scores)))
        direction = rest[order[-1]] / np.linalg.norm(rest[order[-1]])
        rest = rest - np.outer(rest @ direction, direction)
    return order


@pytest.mark.parametrize("n_vectors", [1, 2, 5])
@pytest.mark.parametrize("shape", [(200, 9), (12, 40)])
def test_cur_is_that_of_the_singular_vectors(monkeypatch, shape, n_vectors):
    monkeypatch.setattr(rows, "PIECE", 50)
    vectors = islands(*shape) * 1.1 ** -np.arange(shape[1])
    n = min(8, shape[0] - n_vectors)  # of as many rows as vectors, all count the same, and rounding chooses
    found = Cur(n_vectors).select(of_one_atom(vectors), Limit(structures=n), RNG(0)).indices
    assert found.tolist() == cur_by_svd(vectors, n, n_vectors)


def test_cur_counts_no_directions_that_are_not_there():
    """On a line there is one singular vector: asking for three gives no weight to what rounding makes of the others."""
    vectors = np.outer(RNG(0).normal(size=50), [1.0, 2.0, -1.0])
    one, three = (Cur(n).select(of_one_atom(vectors), Limit(structures=50), RNG(0)).indices for n in (1, 3))
    np.testing.assert_array_equal(three, one)
    np.testing.assert_array_equal(one, np.argsort(-np.linalg.norm(vectors, axis=1)))


def test_axes_are_turned_so_that_their_largest_entry_is_positive():
    data = islands(300, 6)
    variances, axes = components.axes_of(np.cov(data.T))
    assert (np.take_along_axis(axes, np.abs(axes).argmax(axis=0)[None], axis=0) > 0).all()
    np.testing.assert_allclose(rows.project(data, data.mean(axis=0), axes).var(axis=0, ddof=1), variances)
    assert (np.diff(variances) <= 0).all()


@pytest.mark.parametrize("part", [0.3, 0.9, 0.9999])
def test_as_many_axes_are_kept_as_scikit_learn_keeps(part):
    from sklearn.decomposition import PCA

    data = islands(300, 6)
    found = components.PrincipalAxes.of(data, data.mean(axis=0))
    expected = PCA(n_components=part, svd_solver="covariance_eigh").fit(data)
    assert found.number_for(part) == expected.n_components_
