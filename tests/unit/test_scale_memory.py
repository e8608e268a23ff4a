"""Data beyond memory: the same features however little there is, an error where it is too little, and kept peaks."""

import subprocess
import sys
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from hydra.utils import instantiate
from tests.composing import choices, composed

from tamis.core.errors import TamisError
from tamis.core.memory import GIB, Memory
from tamis.models.normal_equations import Terms
from tamis.selection import latent as latent_module
from tamis.selection.base import Features, Limit
from tamis.selection.fps import FarthestPointSampling
from tamis.selection.latent import LatentSpace
from tamis.selection.msc import MinimumSetCover
from tamis.store import Store

FPS, MSC = FarthestPointSampling(start="center"), MinimumSetCover(bandwidth=None, variance=1.0)
ARRAYS = ("vectors", "environments", "owners", "n_atoms")


def pool(n=300, width=6):
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-3, 3, size=width)
    return [scales * (3.0 + rng.normal(size=(1 + i % 9, width))) for i in range(n)]


def memory(n_bytes):
    return Memory(limit=n_bytes, remember=False)


class Counted(list):
    """A list that counts how often it is gone through."""

    times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


@pytest.mark.parametrize("pooling", ["mean", "mean_std"])
@pytest.mark.parametrize("scaling", ["none", "standard", "global"])
@pytest.mark.parametrize("pca_variance", [None, 0.9])
def test_features_are_the_same_to_the_last_bit_in_little_memory(monkeypatch, pooling, scaling, pca_variance):
    monkeypatch.setattr(latent_module, "ROWS_AT_ONCE", 64)
    space, values = LatentSpace(pooling, scaling, pca_variance), Counted(pool())
    groups = ["a"] * len(values)
    plenty = space.features(values, groups)
    assert values.times == (2 if pca_variance is None else 3)  # for the scale, for the axes, to be projected
    needed = sum(getattr(plenty, name).nbytes for name in ARRAYS[:2])
    account = memory(needed)
    little = space.features(values, groups, memory=account)
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(little, name), getattr(plenty, name))
    assert account.reserved == 0
    with pytest.raises(TamisError, match="300 structures and 1491 environments take .* store.memory_gib is"):
        space.features(values, groups, memory=memory(needed - 1))


def test_pieces_change_nothing_but_rounding(monkeypatch):
    space, values = LatentSpace("mean_std", "standard", 0.9), pool()
    whole = space.features(values, ["a"] * 300)
    monkeypatch.setattr(latent_module, "ROWS_AT_ONCE", 5)
    parts = space.features(values, ["a"] * 300)
    np.testing.assert_allclose(np.abs(parts.environments), np.abs(whole.environments), atol=1e-10)
    np.testing.assert_array_equal(FPS_choice(parts), FPS_choice(whole))


def FPS_choice(features):  # noqa: N802
    return FPS.select(features, Limit(structures=30), np.random.default_rng(0)).indices


def test_environments_are_left_out_for_those_who_do_not_look_at_them():
    space, values, groups = LatentSpace("mean", "standard", None), pool(), ["a"] * 300
    whole, less = space.features(values, groups), space.features(values, groups, FPS)
    np.testing.assert_array_equal(less.vectors, whole.vectors)
    np.testing.assert_array_equal(less.n_atoms, whole.n_atoms)
    assert less.environments.shape == (0, 6) and len(less.owners) == 0 and less.has_descriptor
    np.testing.assert_array_equal(FPS_choice(less), FPS_choice(whole))
    with pytest.raises(TamisError, match="MinimumSetCover needs environments"):
        MSC.select(less, Limit(structures=3), np.random.default_rng(0))
    seen = space.features(values, groups, MSC)
    np.testing.assert_array_equal(seen.environments, whole.environments)


def test_the_working_memory_of_a_pruner_counts():
    space, values, groups = LatentSpace("mean", "standard", None), pool(), ["a"] * 300
    features = space.features(values, groups)
    needed = sum(getattr(features, name).nbytes for name in ARRAYS[:2])
    needed += 8 * MSC.working(features.vectors.shape, features.environments.shape)
    with pytest.raises(TamisError, match="GiB that the pruner works with, take"):
        space.features(values, groups, MSC, memory(needed - 1))
    space.features(values, groups, MSC, memory(needed))


@pytest.mark.parametrize(
    "choice", [c for c in choices("pruner") if c not in ("keep_all", "direct", "optimal")]
)
@pytest.mark.parametrize("n, n_atoms, width", [(1000, 50, 40), (60, 4, 8000)])
def test_a_pruner_works_in_the_memory_that_it_declares(choice, n, n_atoms, width):
    """Of numpy's arrays; ``direct`` is mostly a tree of Python objects, see docs/scale.md."""
    pruner = instantiate(composed(f"pruner={choice}").pruner)
    rng = np.random.default_rng(0)
    environments = rng.normal(size=(n * n_atoms, width)) * 1.1 ** -np.minimum(np.arange(width), 40)
    vectors = environments.reshape(n, n_atoms, width).mean(axis=1)
    seen = width if pruner.needs_descriptor else 0
    owners, sizes = np.repeat(np.arange(n), n_atoms), np.full(n, n_atoms)
    features = Features(vectors[:, :seen], environments[:, :seen], owners, sizes, ("a", "b") * (n // 2))
    few = Features(
        features.vectors[:20],
        features.environments[: 20 * n_atoms],
        owners[: 20 * n_atoms],
        sizes[:20],
        ("a",) * 20,
    )
    pruner.select(few, Limit(structures=5), np.random.default_rng(0))  # what is imported does not count
    tracemalloc.start()
    pruner.select(features, Limit(structures=10), np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    looked_at = features.environments.shape if pruner.needs_environments else (0, seen)
    numbers_a_row = 8 * 12 * len(environments)  # bounds, scores, places
    assert peak < 8 * pruner.working(features.vectors.shape, looked_at) + numbers_a_row + 8 * 2**20


def test_peak_memory_of_features_beyond_memory():
    """Values of 128 MiB become vectors of 1 MiB in a process that may take 16 MiB for them."""
    program = """
import resource
import numpy as np
from tamis.selection.latent import LatentSpace
from tamis.core.memory import Memory
from tamis.selection.base import Limit
from tamis.selection.fps import FarthestPointSampling

some = np.random.default_rng(0).normal(size=(128, 64))

class Made:  # never all in memory
    def __len__(self): return 2048
    def __iter__(self):
        for i in range(2048):
            yield some * (1.0 + 0.001 * i)

pruner, space = FarthestPointSampling("center"), LatentSpace("mean", "standard", None)
def go(values, limit):
    features = space.features(values, ["a"] * len(values), pruner, Memory(limit, False))
    pruner.select(features, Limit(structures=10), np.random.default_rng(0))
go([np.ones((128, 64))] * 32, 2**40)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
go(Made(), 16 * 2**20)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    assert float(output) < 16 + 12  # MiB; one piece and its projection are 2 MiB each


# --- the store


def cells(n):
    for seed in range(n):
        atoms = bulk("Si", "diamond", a=5.43, cubic=seed % 2 == 0)
        atoms.rattle(0.1, seed=seed)
        yield atoms


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr("tamis.store.store.STRUCTURES_AT_ONCE", 3)


def test_lazy_values_are_the_stored_ones(store, snap_basis, at_once):
    structures = list(cells(8))
    store.design(snap_basis, structures[:3])  # of some there are rows, which hold the values
    lazy = store.lazy_values(snap_basis, iter(structures))
    expected = [snap_basis.values(atoms) for atoms in structures]
    for _ in range(2):
        for found, value in zip(lazy, expected, strict=True):
            np.testing.assert_allclose(found, value, rtol=1e-12, atol=1e-12)
    assert len(lazy) == 8
    kinds = [path.parent.parent.name for path in store.root.glob("*/*/*/*.npy")]
    assert sorted(kinds) == ["design"] * 3 + ["values"] * 5
    held = list(lazy)
    assert not np.array_equal(held[0], held[2])  # arrays of their own, not one buffer


def test_a_stream_of_structures_is_not_held(store, snap_basis, at_once):
    import gc
    import weakref

    alive, most = [], 0

    def watched():
        nonlocal most
        for atoms in cells(12):
            alive.append(weakref.ref(atoms))
            if len(alive) in (7, 12):  # it takes long
                gc.collect()
                most = max(most, sum(ref() is not None for ref in alive))
            yield atoms
            del atoms

    store.prepare(snap_basis, watched())
    store.lazy_values(snap_basis, watched())
    assert 0 < most <= 2 * 3 + 1  # the batch at work, and the one that is gathered
    assert len(list(store.root.glob("*/design/*/*.npy"))) == 12


def test_a_damaged_file_is_made_again_where_the_structures_are_at_hand(store, snap_basis):
    structures = list(cells(3))
    kept, streamed = (
        store.lazy_values(snap_basis, structures),
        store.lazy_values(snap_basis, iter(structures)),
    )
    path = kept.items[1][0]
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TamisError, match="was damaged or removed .* same command again"):
        list(streamed)
    np.testing.assert_allclose(list(kept)[1], snap_basis.values(structures[1]), rtol=1e-12, atol=1e-12)
    assert len(list(streamed)) == 3


def test_rows_that_do_not_fit_are_refused(store, snap_basis, rattled):
    needed = sum(block.nbytes for block in store._blocks(snap_basis, rattled.structures, "design"))
    tight = replace(store, memory_gib=needed / GIB)
    assert len(tight.design(snap_basis, rattled.structures)) == len(rattled)
    assert tight.memory.reserved == 0
    small = replace(store, memory_gib=(needed - 8) / GIB)
    with pytest.raises(TamisError, match="design of SnapBasis for 24 structures take .* store.memory_gib"):
        small.design(snap_basis, rattled.structures)
    assert len(list(small.stream(snap_basis, rattled.structures))) == len(rattled)  # one at a time they do


def test_rows_stay_reserved_as_long_as_their_reader_is_holding(store, snap_basis, rattled):
    needed = sum(block.nbytes for block in store._blocks(snap_basis, rattled.structures, "design"))
    tight = replace(store, memory_gib=(2 * needed - 8) / GIB)
    with tight.memory.holding():
        tight.design(snap_basis, rattled.structures)
        assert tight.memory.reserved == needed
        with pytest.raises(TamisError, match="at once"):  # a second set beside the first
            tight.design(snap_basis, rattled.structures)
    assert tight.memory.reserved == 0
    for _ in range(2):  # one set after the other
        with tight.memory.holding():
            tight.design(snap_basis, rattled.structures)


def test_the_rows_of_a_tuning_set_give_way_to_those_that_are_fitted(store, snap_basis, rattled):
    """Both together would be refused."""
    model = replace(instantiate(composed("model=snap").model), basis=snap_basis, tuning="pool_validation")
    needed = sum(block.nbytes for block in store._blocks(snap_basis, rattled.structures, "design"))
    size = snap_basis.n_features + 1
    copied = 8 * 14 * size * len(rattled) + Terms.n_bytes(size, model.n_folds + 1)
    tight = replace(store, memory_gib=(needed + copied) / GIB)
    found, expected = (
        model.fit(rattled, rattled, place, np.random.default_rng(0)) for place in (tight, store)
    )
    np.testing.assert_array_equal(found.coefficients, expected.coefficients)
    assert tight.memory.reserved == 0
    small = replace(store, memory_gib=(needed + copied - 8) / GIB)
    with pytest.raises(TamisError, match="energy and stress rows of 24 structures take"):
        model.fit(rattled, rattled, small, np.random.default_rng(0))


def test_remembered_values_and_features_share_the_memory(tmp_path, snap_basis):
    structures = list(cells(40))
    Store(tmp_path, 1).lazy_values(snap_basis, structures)
    store = Store(tmp_path, 1, memory_gib=200_000 / GIB, remember=True)
    space = LatentSpace("mean", "standard", None)
    most = 0
    keep = Memory.keep

    def watched(self, path, block):
        nonlocal most
        keep(self, path, block)
        most = max(most, self.n_bytes + self.reserved)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Memory, "keep", watched)
        patch.setattr("tamis.core.memory.N_PARTS", 2)
        space.features(store.lazy_values(snap_basis, structures), ["a"] * 40, FPS, store.memory)
    assert 0 < most <= store.memory.limit


def test_no_descriptor_reads_and_makes_nothing(store):
    none = instantiate(composed("descriptor=none").descriptor)
    lazy = store.lazy_values(none, iter(list(cells(4))))
    assert [value.shape for value in lazy] == [(8, 0), (2, 0), (8, 0), (2, 0)]
    features = LatentSpace("mean", "standard", None).features(lazy, ["a"] * 4)
    assert not features.has_descriptor and not store.root.exists()
