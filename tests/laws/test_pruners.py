"""Laws that every conf/pruner/*.yaml obeys, also on pools that hold nothing to choose by."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf
from tests.composing import choices, composed

from tamis.core.errors import NotApplicableError, TamisError
from tamis.selection.base import Features, Limit, Pruner
from tamis.selection.budget import select_all
from tamis.selection.information import AtomRows, Information
from tamis.selection.latent import LatentSpace

FILES = sorted((Path(__file__).parents[2] / "conf" / "pruner").glob("*.yaml"))
PRUNERS = {choice: instantiate(composed(f"pruner={choice}").pruner) for choice in choices("pruner")}
GREEDY = ("fps", "anti", "cur", "maxvol", "msc", "optimal")
every_pruner = pytest.mark.parametrize("pruner", PRUNERS.values(), ids=PRUNERS.keys())
pytestmark = pytest.mark.filterwarnings("error")


def space(values: list, scaling: str = "standard", pooling: str = "mean") -> Features:
    groups = ["abbccc"[i % 6] for i in range(len(values))]
    features = LatentSpace(pooling=pooling, scaling=scaling, pca_variance=None).features(values, groups)
    return replace(features, information=Information.of([design_rows(block) for block in values]))


def design_rows(values: np.ndarray) -> AtomRows:
    """Rows with forces that sum to zero, from the differences of the atoms."""
    forces = (
        np.repeat(values - values.mean(axis=0), 3, axis=0) * np.tile([1.0, 2.0, -3.0], len(values))[:, None]
    )
    return AtomRows(values, forces, np.zeros(len(values), dtype=np.int64))


def clouds(n_structures: int = 24, n_columns: int = 5, seed: int = 0) -> list:
    """Per-atom values of structures of 1 to 5 atoms around three centres."""
    rng = np.random.default_rng(seed)
    centres = 5.0 * rng.normal(size=(3, n_columns))
    return [centres[i % 3] + rng.normal(size=(1 + i % 5, n_columns)) for i in range(n_structures)]


def grid() -> list:
    """Every score is tied many times: structures of one atom on the corners, edges and centre of a cube."""
    return [np.array([[x, y, z]], dtype=float) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]


def seen_by(pruner: Pruner, features: Features) -> Features:
    """The features, or none for a pruner that looks at none."""
    if pruner.needs_descriptor:
        return features
    return Features(
        features.vectors[:, :0],
        features.environments[:, :0],
        features.owners,
        features.n_atoms,
        features.groups,
    )


def sizes(pruner: Pruner, n: int) -> list[int]:
    """Numbers of structures to ask for: keep_all gives nothing but all."""
    return (
        [n] if pruner is PRUNERS["keep_all"] else sorted({1, min(2, n), (n + 1) // 3 or 1, max(1, n - 1), n})
    )


def within_atoms(order, n_atoms, limit: int) -> list[int]:
    """The longest prefix of ``order`` with at most ``limit`` atoms, by trying."""
    return max(
        (order[:k].tolist() for k in range(len(order) + 1) if n_atoms[order[:k]].sum() <= limit), key=len
    )


def whole_order(pruner: Pruner, features: Features, seed: int = 0) -> np.ndarray:
    """The order of the whole pool where atoms are counted; a pruner may ask for more per atom."""
    limit = Limit(atoms=int(features.n_atoms.sum()))
    return pruner.select(seen_by(pruner, features), limit, np.random.default_rng(seed)).indices


def chosen(pruner: Pruner, features: Features, n: int, seed: int = 0) -> list[int]:
    selection = pruner.select(seen_by(pruner, features), Limit(structures=n), np.random.default_rng(seed))
    return selection.indices.tolist()


def test_the_documented_choices_are_there():
    expected = {"keep_all", "random", "stratified", "fps", "cur", "kmeans", "direct", "maxvol", "msc", "anti"}
    expected |= {"optimal"}
    assert expected <= set(PRUNERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_yaml_names_every_argument(path):
    keys = set(OmegaConf.load(path)) - {"_target_", "defaults"}
    assert keys == {field.name for field in fields(PRUNERS[path.stem])}


POOLS = {
    "ordinary": lambda: space(clouds()),
    "not scaled": lambda: space(clouds(), scaling="none"),
    "mean and deviation": lambda: space(clouds(), pooling="mean_std"),
    "more columns than environments": lambda: space(clouds(6, 90)),
    "fewer columns than structures": lambda: space(clouds(24, 2)),
    "one column": lambda: space(clouds(n_columns=1)),
    "one structure": lambda: space(clouds(n_structures=1)),
    "one structure of one atom": lambda: space([np.ones((1, 3))]),
    "two structures": lambda: space(clouds(n_structures=2)),
    "each three times": lambda: space([v for v in clouds(8) for _ in range(3)]),
    "two different, many times": lambda: space([v for v in clouds(2) for _ in range(9)]),
    "one odd among equals": lambda: space([*[np.zeros((2, 3))] * 11, np.ones((2, 3))]),
    "all equal": lambda: space([np.full((2, 3), 0.1)] * 12),
    "all equal, not scaled": lambda: space([np.full((2, 3), 0.1)] * 12, scaling="none"),
    "all zero": lambda: space([np.zeros((2, 3))] * 12, scaling="none"),
    "equal up to rounding": lambda: space(
        [np.full((2, 3), 0.1) + 1e-17 * i for i in range(12)], scaling="none"
    ),
    "tied": lambda: space(grid()),
    "tiny numbers": lambda: space([1e-9 * v for v in clouds()], scaling="none"),
    "far from zero": lambda: space([1e6 + v for v in clouds()], scaling="none"),
}


SMALL_POOLS = {
    "ordinary": lambda: space(clouds(12)),
    "mean and deviation": lambda: space(clouds(12), pooling="mean_std"),
    "fewer columns than structures": lambda: space(clouds(12, 2)),
    "each three times": lambda: space([v for v in clouds(4) for _ in range(3)]),
    "tied": lambda: space(grid()[9:18]),
}
"""Where every budget is asked for."""


@every_pruner
@pytest.mark.parametrize("pool", POOLS.values(), ids=POOLS.keys())
def test_exactly_n_different_structures(pruner, pool):
    features = pool()
    for n in sizes(pruner, len(features)):
        indices = chosen(pruner, features, n)
        assert len(indices) == n == len(set(indices))
        assert set(indices) <= set(range(len(features)))


@pytest.mark.parametrize("name", [name for name, pruner in PRUNERS.items() if pruner.nested])
@pytest.mark.parametrize("pool", ["ordinary", "each three times", "tied", "fewer columns than structures"])
def test_nested_choices_are_prefixes(name, pool):
    pruner, features = PRUNERS[name], SMALL_POOLS[pool]()
    order = chosen(pruner, features, len(features))
    for n in range(1, len(features)):
        assert chosen(pruner, features, n) == order[:n]


@every_pruner
def test_same_seed_same_choice(pruner):
    features = space(clouds())
    for n in sizes(pruner, len(features)):
        assert chosen(pruner, features, n, seed=3) == chosen(pruner, features, n, seed=3)


def test_seed_matters_where_chance_is_promised():
    features = space(clouds())
    for name in ("random", "stratified"):
        assert len({tuple(chosen(PRUNERS[name], features, 6, seed)) for seed in range(5)}) > 1


@every_pruner
@pytest.mark.parametrize("fraction", [0.2, 0.5, 0.99])
def test_never_more_atoms_than_allowed(pruner, fraction):
    features = seen_by(pruner, space(clouds()))
    limit = Limit(atoms=int(fraction * features.n_atoms.sum()))
    if pruner is PRUNERS["keep_all"]:
        with pytest.raises(TamisError, match="budget=all"):
            pruner.select(features, limit, np.random.default_rng(0))
        return
    kept = pruner.select(features, limit, np.random.default_rng(0)).indices
    assert 0 < features.n_atoms[kept].sum() <= limit.atoms
    if pruner.nested:
        # The longest prefix of the full order that fits: one structure more would be too many.
        order = whole_order(pruner, features)
        assert kept.tolist() == within_atoms(order, features.n_atoms, limit.atoms)
        assert features.n_atoms[order[: len(kept) + 1]].sum() > limit.atoms


@pytest.mark.parametrize("name", [name for name, pruner in PRUNERS.items() if pruner.nested])
@pytest.mark.parametrize("pool", SMALL_POOLS.values(), ids=SMALL_POOLS.keys())
def test_an_atom_limit_cuts_the_order_of_the_whole_pool(name, pool):
    """Whatever is left unasked: structures of 1 to 5 atoms, the small ones first, last, and mixed."""
    pruner, features = PRUNERS[name], seen_by(PRUNERS[name], pool())
    order = whole_order(pruner, features, seed=4)
    if name != "optimal":  # which has another order where structures are counted
        assert order.tolist() == chosen(pruner, features, len(features), seed=4)
    for atoms in range(1, int(features.n_atoms.sum()) + 1):
        expected = within_atoms(order, features.n_atoms, atoms)
        if expected:
            kept = pruner.select(features, Limit(atoms=atoms), np.random.default_rng(4)).indices
            assert kept.tolist() == expected
        else:
            with pytest.raises(TamisError, match="keeps no structure"):
                pruner.select(features, Limit(atoms=atoms), np.random.default_rng(4))


@pytest.mark.parametrize("name", [n for n, p in PRUNERS.items() if not p.nested and n != "keep_all"])
def test_an_atom_limit_is_bisected_as_if_every_size_were_chosen(name):
    pruner, features = PRUNERS[name], space(clouds())
    n_atoms, most = features.n_atoms, len(features)
    choices_of = {n: np.array(chosen(pruner, features, n)) for n in range(1, most + 1)}
    for atoms in range(1, int(n_atoms.sum()), 3):
        fits, too_many = 0, most
        while too_many - fits > 1:
            n = (fits + too_many) // 2
            fits, too_many = (n, too_many) if n_atoms[choices_of[n]].sum() <= atoms else (fits, n)
        if fits:
            kept = pruner.select(features, Limit(atoms=atoms), np.random.default_rng(0)).indices
            assert kept.tolist() == choices_of[fits].tolist()


@every_pruner
def test_an_atom_limit_asks_for_no_more_structures_than_could_fit(pruner, monkeypatch):
    if pruner is PRUNERS["keep_all"]:
        return
    features, asked = seen_by(pruner, space(clouds())), []
    choose = type(pruner)._choose
    monkeypatch.setattr(
        type(pruner), "_choose", lambda self, f, n, rng: asked.append(n) or choose(self, f, n, rng)
    )
    pruner.select(features, Limit(atoms=9), np.random.default_rng(0))
    assert 1 <= max(asked) <= 7  # five structures of 1 atom and two of 2 are the most that 9 atoms make


@every_pruner
def test_all_atoms_allowed_keeps_all(pruner):
    features = seen_by(pruner, space(clouds()))
    limit = Limit(atoms=int(features.n_atoms.sum()))
    assert len(pruner.select(features, limit, np.random.default_rng(0)).indices) == len(features)


@every_pruner
def test_inputs_stay_as_they_are(pruner):
    features = seen_by(pruner, space(clouds()))
    arrays = [features.vectors, features.environments, features.owners, features.n_atoms]
    before = [a.copy() for a in arrays]
    for array in arrays:
        array.flags.writeable = False
    for n in sizes(pruner, len(features)):
        pruner.select(features, Limit(structures=n), np.random.default_rng(0))
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


@every_pruner
def test_descriptor_rule(pruner):
    features = space(clouds())
    wrong = seen_by(PRUNERS["random"], features) if pruner.needs_descriptor else features
    with pytest.raises(NotApplicableError, match="descriptor"):
        pruner.select(wrong, Limit(structures=len(features)), np.random.default_rng(0))


@every_pruner
def test_whole_structures_have_distances_alone(pruner):
    """Points at the same distances from each other give the same choice; who looks at more says so."""
    features = replace(space(clouds()), of_structures=True)
    if pruner.needs_descriptor and not pruner.uses_distances_alone:
        with pytest.raises(NotApplicableError, match="whole structures"):
            chosen(pruner, features, 8)
        return
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    moved = replace(features, vectors=features.vectors @ turn + 3.0)
    for n in sizes(pruner, len(features)):
        one, other = chosen(pruner, features, n), chosen(pruner, moved, n)
        assert one == other if pruner.nested else set(one) == set(other)


@pytest.mark.parametrize("name", GREEDY)
@pytest.mark.parametrize(
    "pool", [grid, lambda: [v for v in clouds(8) for _ in range(3)]], ids=["tied", "repeated"]
)
def test_rounding_does_not_decide(name, pool):
    values = pool()
    rng = np.random.default_rng(1)
    noisy = [v + 1e-14 * rng.normal(size=v.shape) for v in values]
    n = len(values)
    assert chosen(PRUNERS[name], space(values), n) == chosen(PRUNERS[name], space(noisy), n)


@pytest.mark.parametrize("name", [*GREEDY, "kmeans", "direct"])
def test_unit_of_the_descriptor_does_not_decide(name):
    small = space([1e-10 * v for v in clouds()], scaling="none")
    assert chosen(PRUNERS[name], small, 12) == chosen(PRUNERS[name], space(clouds(), scaling="none"), 12)


@pytest.mark.parametrize("name", GREEDY)
def test_order_of_the_pool_does_not_decide(name):
    values = clouds()
    shuffled = np.random.default_rng(1).permutation(len(values))
    order = chosen(PRUNERS[name], space(values), len(values))
    # Structures of one atom have no entropy and no spread of their own, but here no two of them are alike.
    assert (
        shuffled[chosen(PRUNERS[name], space([values[i] for i in shuffled]), len(values))].tolist() == order
    )


@every_pruner
@pytest.mark.parametrize("unit", ["structures", "atoms"])
def test_several_limits_at_once_equal_each_alone(pruner, unit):
    features = seen_by(pruner, space(clouds()))
    total = len(features) if unit == "structures" else int(features.n_atoms.sum())
    counts = [total] if pruner is PRUNERS["keep_all"] else [total // 4, total // 3, total // 2, total]
    limits = [Limit(**{unit: count}) for count in counts]
    together = select_all(pruner, features, limits, seed=5)
    alone = [pruner.select(features, limit, np.random.default_rng(5)) for limit in limits]
    assert [s.indices.tolist() for s in together] == [s.indices.tolist() for s in alone]
    assert [s.limit for s in together] == limits
