"""Optimal designs: the choice beside the criterion itself, and the rows beside finite differences and other code."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from tests.composing import composed
from tests.families import rattled_silicon

from tamis.core.errors import TamisError
from tamis.core.memory import Memory
from tamis.parts import build_part
from tamis.selection import information, optimal
from tamis.selection.base import Features, Limit
from tamis.selection.budget import select_all
from tamis.selection.information import (
    FLOOR,
    MISFIT,
    PRIOR,
    SPREAD,
    UNIFORM,
    AtomRows,
    Information,
    misfit_factor,
    products,
)
from tamis.selection.optimal import DETERMINANT, VARIANCE, Optimal
from tamis.selection.row_sources import StoredRows, features_of_rows, kernel_values, points_of

CRITERIA = (VARIANCE, DETERMINANT)


def cells(n, width=6, seed=0, forces=True, steep=1.0):
    """Structures of 1 to 5 atoms of two elements, more and less rattled, with rows that have nothing in common.

    steep: size of the forces, about the weight of an energy; misfits count where it is well above 20.
    """
    rng = np.random.default_rng(seed)
    scale = 3.0 ** -np.arange(width)
    found = []
    for i in range(n):
        n_atoms, size = 1 + i % 5, rng.uniform(0.1, 3.0)
        values = 2.0 + size * rng.normal(size=(n_atoms, width)) * scale
        n_rows = 3 * n_atoms if forces else 0
        rows = steep * size * rng.normal(size=(n_rows, width)) * scale
        found.append(AtomRows(values, rows, np.arange(n_atoms) % 2))
    return found


def features_of(rows, noise=UNIFORM):
    n_atoms = np.array([len(one.species) for one in rows])
    nothing = np.empty((len(rows), 0)), np.empty((0, 0)), np.empty(0, dtype=np.intp)
    return Features(*nothing, n_atoms, ("a",) * len(rows), Information.of(rows, noise=noise))


def pick(features, criterion=VARIANCE, exchanges=0, **limit):
    pruner = Optimal(criterion, exchanges)
    return pruner.select(features, Limit(**limit), np.random.default_rng(0)).indices.tolist()


class Direct:
    """The criterion as its definition has it, with all misfits and the inverse of the whole matrix."""

    def __init__(self, rows, noise=UNIFORM):
        composition = np.array([np.bincount(one.species, minlength=2) / len(one.species) for one in rows])
        energies = np.array([one.values.mean(axis=0) for one in rows])
        energies = energies - composition @ np.linalg.pinv(composition) @ energies
        atoms, species = (
            np.concatenate([getattr(one, name) for one in rows]) for name in ("values", "species")
        )
        spread = sum(np.sum(species == e) * atoms[species == e].var(axis=0) for e in set(species)) / len(
            atoms
        )
        force = np.mean([np.sum(one.forces**2, axis=0) for one in rows], axis=0)
        missed = spread * np.mean([1 / len(one.species) for one in rows])
        self.weight = np.mean(missed / force) ** -0.5 if force.any() else 1.0
        blocks = [np.vstack([self.weight * e, one.forces]) for e, one in zip(energies, rows, strict=True)]
        scale = np.mean([np.sum(b**2, axis=0) for b in blocks], axis=0) ** -0.5
        traces = np.array([np.sum((b * scale) ** 2) for b in blocks])
        self.prior = np.full(len(scale), PRIOR)
        blocks = [b * scale for b in blocks]
        if force.any():
            places = energies * scale
            squares = np.sum((places[:, None] - places[None]) ** 2, axis=2)
            values, axes = np.linalg.eigh(np.exp(-squares / (2 * np.mean(np.sum(places**2, axis=1)))))
            misfits = self.weight * MISFIT * axes * np.sqrt(np.maximum(values, 0.0))
            blocks = [
                np.hstack([b, np.vstack([u, np.zeros((len(b) - 1, len(u)))])])
                for b, u in zip(blocks, misfits, strict=True)
            ]
            self.prior = np.concatenate([self.prior, np.ones(len(misfits))])
        self.grams = [b.T @ b for b in blocks]
        self.mean = np.mean(self.grams, axis=0)
        if noise == SPREAD:
            means = np.array([atoms[species == e].mean(axis=0) for e in range(2)])
            away = [np.mean((one.values - means[one.species]) ** 2 / spread) for one in rows]
            expected = FLOOR + (1 - FLOOR) * np.array(away)
            for_mean, for_rows = (traces.sum() / (w @ traces) * w for w in (expected**-0.5, 1 / expected))
            self.mean = np.mean([w * g for w, g in zip(for_mean, self.grams, strict=True)], axis=0)
            self.grams = [w * g for w, g in zip(for_rows, self.grams, strict=True)]

        # what the pool tells less of than the prior does is left out
        unit = np.diag(self.prior**-0.5)
        squares, axes = np.linalg.eigh(unit @ self.mean @ unit)
        told = unit @ axes[:, len(rows) * squares > 1.0]
        self.grams = [told.T @ g @ told for g in self.grams]
        self.mean = told.T @ self.mean @ told

    def score(self, kept, criterion):
        precision = np.eye(len(self.mean)) + sum(self.grams[i] for i in kept)
        if criterion == DETERMINANT:
            return np.linalg.slogdet(precision)[1]
        return -np.trace(self.mean @ np.linalg.inv(precision))

    def order(self, criterion, costs):
        kept = []
        while len(kept) < len(self.grams):
            before = self.score(kept, criterion)
            left = [i for i in range(len(self.grams)) if i not in kept]
            kept.append(max(left, key=lambda i: (self.score([*kept, i], criterion) - before) / costs[i]))
        return kept


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("noise", [UNIFORM, SPREAD])
@pytest.mark.parametrize(("forces", "steep"), [(True, 1.0), (True, 200.0), (False, 1.0)])
def test_the_greedy_choice_is_that_of_the_criterion(criterion, forces, steep, noise, monkeypatch):
    monkeypatch.setattr(information, "LEFT", 1e-9)
    for seed in range(3):
        rows = cells(16, seed=seed, forces=forces, steep=steep)
        features, direct = features_of(rows, noise), Direct(rows, noise)
        np.testing.assert_allclose(features.information.energy_weight, direct.weight)
        n_atoms = features.n_atoms
        assert pick(features, criterion, structures=16) == direct.order(criterion, np.ones(16))
        assert pick(features, criterion, atoms=int(n_atoms.sum())) == direct.order(criterion, n_atoms)


@pytest.mark.parametrize("n", [1, 5, 40])
def test_the_factor_of_misfits_gives_their_covariances(n):
    places = np.random.default_rng(n).normal(size=(n, 3))
    factor = misfit_factor(places)
    squares = np.sum((places[:, None] - places[None]) ** 2, axis=2)
    expected = np.exp(-squares / (2 * np.mean(np.sum(places**2, axis=1))))
    np.testing.assert_allclose(factor @ factor.T, expected, atol=1.1e-3)
    assert misfit_factor(np.zeros((n, 3))).shape == (n, 0)


@pytest.mark.parametrize("criterion", CRITERIA)
def test_old_gains_bound_new_ones(criterion, monkeypatch):
    """Proven for the determinant; for the variance up to the growth that is allowed for, and computed anew if not."""
    features = features_of(cells(60, width=12))
    seen: list = []
    change = optimal._Choice._change
    monkeypatch.setattr(
        optimal._Choice, "_change", lambda self, i, sign: seen.append(1) or change(self, i, sign)
    )
    lazy = pick(features, criterion, structures=60)
    n_lazy = len(seen)
    monkeypatch.setattr(optimal._Choice, "_bounds", lambda self: np.full(60, np.inf))
    assert pick(features, criterion, structures=60) == lazy
    assert len(seen) - n_lazy >= 60 * 61 / 2 - 60 > 2 * n_lazy


def test_gains_of_the_determinant_only_fall():
    choice = optimal._Choice(features_of(cells(20, width=8)).information, np.ones(20), DETERMINANT)
    last = np.full(20, np.inf)
    for _ in range(20):
        gains = np.array([choice._change(i, 1.0) for i in range(20)])
        assert np.all(gains <= last * (1 + 1e-12))
        last = gains
        choice.take_next()


def test_gains_of_the_variance_may_grow_and_the_choice_is_still_that_of_the_criterion():
    grew = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        common = rng.normal(size=4)
        energies = [common * rng.normal() + 0.3 * rng.normal(size=4) for _ in range(12)]
        rows = [AtomRows(row[None], np.empty((0, 4)), np.zeros(1, dtype=np.int64)) for row in energies]
        features, order = features_of(rows), pick(features_of(rows), structures=12)
        assert order == Direct(rows).order(VARIANCE, np.ones(12))
        choice = optimal._Choice(features.information, np.ones(12), VARIANCE)
        last = np.full(12, np.inf)
        for i in order:
            gains = np.array([choice._change(k, 1.0) for k in range(12)])
            grew += np.any(gains[choice.left] > 1.003 * last[choice.left])
            last = gains
            choice.take(i)
    assert grew > 0


def test_a_bound_that_fails_is_no_longer_trusted(monkeypatch):
    monkeypatch.setattr(optimal, "GROWTH", -0.5)  # bounds far below what gains are
    rows = cells(30, width=8)
    assert pick(features_of(rows), structures=30) == Direct(rows).order(VARIANCE, np.ones(30))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_greedy_is_within_reach_of_the_best(criterion):
    rows = cells(9)
    direct = Direct(rows)
    nothing = direct.score([], criterion)
    best = max(direct.score(kept, criterion) for kept in combinations(range(9), 3)) - nothing
    found = direct.score(pick(features_of(rows), criterion, structures=3), criterion) - nothing
    assert found > 0.9 * best


# --- exchanges


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("unit", ["structures", "atoms"])
def test_exchanges_never_lower_the_criterion(criterion, unit):
    raised = 0
    for seed in range(12):
        rows = cells(24, width=8, seed=seed)
        features, direct = features_of(rows), Direct(rows)
        amount = 6 if unit == "structures" else 18
        scores = []
        for exchanges in (0, 1, 8):
            kept = pick(features, criterion, exchanges, **{unit: amount})
            assert len(set(kept)) == len(kept)
            assert (len(kept) if unit == "structures" else features.n_atoms[kept].sum()) <= amount
            scores.append(direct.score(kept, criterion))
        assert np.all(np.diff(scores) >= -1e-9 * np.abs(scores[0]))
        raised += scores[-1] > scores[0] + 1e-6
    assert raised > 0 or criterion == DETERMINANT  # where greedy is often at an optimum


def test_with_exchanges_each_size_is_chosen_alone():
    features = features_of(cells(24, width=8))
    limits = [Limit(structures=n) for n in (3, 6, 12)]
    pruner = Optimal(VARIANCE, 3)
    together = [s.indices.tolist() for s in select_all(pruner, features, limits, 0)]
    assert together == [pick(features, exchanges=3, structures=n) for n in (3, 6, 12)]
    assert not pruner.keeps_prefixes and Optimal(VARIANCE, 0).keeps_prefixes


# --- what must not matter


@pytest.mark.parametrize("noise", [UNIFORM, SPREAD])
def test_constants_of_elements_and_units_of_columns_do_not_matter(noise):
    rows = cells(24)
    features = features_of(rows, noise)
    factors = 10.0 ** np.arange(-3, 3)
    changed = [
        AtomRows(
            (one.values + np.where(one.species == 0, 3.0, -1.0)[:, None]) * factors,
            one.forces * factors,
            one.species,
        )
        for one in rows
    ]
    other = features_of(changed, noise)
    np.testing.assert_allclose(other.information.mean, features.information.mean, rtol=1e-9)
    assert pick(other, structures=24) == pick(features, structures=24)


def test_an_energy_weighs_as_much_as_the_spread_of_its_atoms_says():
    """Values of variance s^2 and n force rows of variance f^2 per atom: w^2 = 3 n f^2 / (s^2 / n)."""
    rng = np.random.default_rng(0)
    n_atoms, spread, force = 20, 0.3, 2.0
    rows = [
        AtomRows(
            5.0 + spread * rng.normal(size=(n_atoms, 3)),
            force * rng.normal(size=(3 * n_atoms, 3)),
            np.zeros(n_atoms, dtype=np.int64),
        )
        for _ in range(300)
    ]
    expected = np.sqrt(3 * n_atoms) * force / (spread / np.sqrt(n_atoms))
    assert Information.of(rows).energy_weight == pytest.approx(expected, rel=0.02)


def test_structures_far_from_the_mean_count_less_where_larger_errors_are_expected_there():
    """Two sets of cells with the same forces: atoms of the first have three times the deviations of the second's."""
    rows = cells(20)
    wide = [replace(one, values=2.0 + 3.0 * (one.values - 2.0)) for one in rows]
    kinds = {noise: Information.of([*wide, *rows], noise=noise) for noise in (UNIFORM, SPREAD)}
    hot, cold = (
        [sum(np.trace(products(b, len(kinds[n].mean))) for b in kinds[n].blocks[part]) for n in kinds]
        for part in (slice(20), slice(20, 40))
    )
    assert hot[1] < 0.9 * hot[0] and cold[1] > 1.1 * cold[0]
    assert hot[1] + cold[1] == pytest.approx(hot[0] + cold[0], rel=0.02)
    assert "larger errors" in kinds[SPREAD].said[-1] and "larger errors" not in kinds[UNIFORM].said[-1]


def test_noise_that_is_the_same_everywhere_is_uniform():
    """Every structure is the same cell with its forces turned, so all deviate alike."""
    one = cells(5)[-1]
    rng = np.random.default_rng(0)
    turned = [
        replace(one, forces=np.linalg.qr(rng.normal(size=(15, 15)))[0] @ one.forces * size)
        for size in (1, 2, 3)
    ]
    uniform, spread = (Information.of(turned, noise=noise) for noise in (UNIFORM, SPREAD))
    np.testing.assert_allclose(spread.mean, uniform.mean)
    for block, other in zip(spread.blocks, uniform.blocks, strict=True):
        np.testing.assert_allclose(np.abs(block), np.abs(other), atol=1e-9 * np.abs(other).max())


def test_directions_that_the_pool_cannot_tell_from_the_prior_are_left_out():
    rows = cells(30)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(40, 6)))[0].T
    wide = Information.of([AtomRows(r.values @ turn, r.forces @ turn, r.species) for r in rows])
    assert 3 <= len(wide.mean) <= 6 < wide.n_columns == 40
    few = Information.of([AtomRows(r.values, r.forces * [1, 1, 1, 1, 1, 0], r.species) for r in rows])
    assert len(few.mean) == 6  # energies alone tell of it


def test_a_pool_that_is_too_large_for_the_memory_is_refused():
    with pytest.raises(TamisError, match="of 24 structures take"):
        Information.of(cells(24, width=20), Memory(limit=40_000, remember=False))


def test_it_needs_rows():
    features = replace(features_of(cells(4)), information=None, vectors=np.ones((4, 2)))
    with pytest.raises(TamisError, match="features_of_rows"):
        pick(features, structures=2)


# --- rows of real bases


def two_elements():
    rng = np.random.default_rng(3)
    found = []
    for i in range(4):
        atoms = bulk("SiGe", "zincblende", a=5.5 + 0.05 * i, cubic=True)
        atoms.rattle(0.1, rng=rng)
        found.append(atoms if i else atoms[:5])
    return found


def basis_of(descriptor, *overrides):
    config = composed(
        "dataset=sw_silicon", f"descriptor={descriptor}", "dataset.elements=[Ge,Si]", *overrides
    )
    return build_part("descriptor", config.descriptor)


@pytest.mark.parametrize(
    ("descriptor", "overrides", "accuracy"),
    [
        ("snap", ["descriptor.twojmax=2"], 1e-6),
        ("acsf", [], 1e-5),  # its gradients are stored with four bytes
        ("soap", ["descriptor.n_max=3", "descriptor.l_max=2"], 1e-6),
    ],
)
def test_forces_are_derivatives_of_the_sum_of_the_values(descriptor, overrides, accuracy, store):
    if descriptor == "soap":
        pytest.importorskip("quippy")
    basis, structures = basis_of(descriptor, *overrides), two_elements()
    rows = [replace(one, forces=one.forces.copy()) for one in StoredRows.of(basis, structures, store)]
    points = points_of(basis, structures, store) if descriptor == "soap" else None

    def sums(atoms: Atoms):
        values = basis.values(atoms)
        if points is None:
            return values.sum(axis=0)
        from tamis.bases.gap.basis import GapBasis

        return kernel_values(GapBasis(basis, 3, None, points), values).sum(axis=0)

    step = 1e-4
    for atoms, found in zip(structures[:2], rows, strict=False):
        np.testing.assert_allclose(found.values.sum(axis=0), sums(atoms), rtol=1e-9, atol=1e-12)
        for atom, axis in ((0, 0), (3, 2)):
            moved = [atoms.copy(), atoms.copy()]
            moved[0].positions[atom, axis] += step
            moved[1].positions[atom, axis] -= step
            slope = (sums(moved[0]) - sums(moved[1])) / (2 * step)
            scale = np.abs(slope).max()
            np.testing.assert_allclose(found.forces[3 * atom + axis], -slope, atol=accuracy * scale)


def test_values_of_the_kernel_are_those_of_gap(store):
    pytest.importorskip("quippy")
    from tamis.bases.gap.basis import GapBasis

    soap, structures = basis_of("soap", "descriptor.n_max=3", "descriptor.l_max=2"), two_elements()
    kernel = GapBasis(soap, 3, None, points_of(soap, structures, store))
    for atoms in structures:
        expected = kernel.evaluate(atoms)[0]
        np.testing.assert_allclose(kernel_values(kernel, soap.values(atoms)), expected, atol=1e-12)


def test_a_pool_of_a_data_set(tmp_path, store, snap_basis):
    dataset = rattled_silicon(tmp_path)
    features = features_of_rows(snap_basis, dataset, store)
    assert features.n_atoms.tolist() == dataset.n_atoms.tolist()
    assert features.information.has_forces
    # labels are not looked at
    blind = replace(dataset, energies=np.zeros(len(dataset)))
    again = features_of_rows(snap_basis, blind, store)
    np.testing.assert_array_equal(again.information.mean, features.information.mean)


def test_a_descriptor_without_derivatives_gives_energies_alone(tmp_path, store):
    pytest.importorskip("dscribe")
    config = composed("dataset=sw_silicon", "descriptor=acsf_dscribe")
    basis = build_part("descriptor", config.descriptor)
    information = features_of_rows(basis, rattled_silicon(tmp_path), store).information
    assert not information.has_forces and "energies alone" in information.said[0]
    assert all(block.shape == (1, len(information.mean)) for block in information.blocks)
