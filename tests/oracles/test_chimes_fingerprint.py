"""The cluster fingerprint against brute force, against an example worked by hand, and as its prototype defines it."""

import itertools
import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.distance import cdist
from scipy.spatial.transform import Rotation

from tamis.bases.chimes import fingerprint
from tamis.bases.chimes.fingerprint import ChimesFingerprint, histogram_of
from tamis.core.errors import TamisError

FIELDS = {"r_cut": 4.1, "r_cut_3b": 3.9, "r_cut_4b": 3.6, "s_min": 1.6, "morse_lambda": 2.0, "n_bins": 40}
BASIS = ChimesFingerprint(elements=("Si",), **FIELDS, most_pairs=10**9)


def alloy(*symbols: str) -> Atoms:
    """Three atoms in a skewed cell that is smaller than the cutoffs."""
    cell = [[3.3, 0.1, 0.2], [0.5, 4.4, -0.2], [-0.3, 0.4, 4.9]]
    return Atoms(symbols, [[0.1, 0.0, 0.2], [1.9, 1.9, 0.3], [0.7, 2.3, 2.6]], cell=cell, pbc=True)


def rattled(seed: int = 0, stdev: float = 0.15) -> Atoms:
    atoms = bulk("Si", cubic=True) * (2, 1, 1)
    atoms.rattle(stdev, seed=seed)
    return atoms


def by_hand(basis: ChimesFingerprint, atoms: Atoms) -> np.ndarray:
    """All sets of atoms and images, the smallest of which is in the cell; all ordered pairs of these clusters."""
    images = sorted(
        (atom, shift)
        for atom in range(len(atoms))
        for shift in itertools.product((-2, -1, 0, 1, 2), repeat=3)
    )
    place = {image: atoms.positions[image[0]] + image[1] @ atoms.cell.array for image in images}
    columns = []
    for size, r_cut in ((2, basis.r_cut), (3, basis.r_cut_3b), (4, basis.r_cut_4b)):
        found: dict[tuple, list] = {
            kind: [] for kind in itertools.combinations_with_replacement(sorted(basis.elements), size)
        }
        for first in range(len(atoms)):
            home = (first, (0, 0, 0))
            near = [i for i in images if i > home and np.linalg.norm(place[i] - place[home]) < r_cut]
            for others in itertools.combinations(near, size - 1):
                pairs = list(itertools.combinations((home, *others), 2))
                distances = [np.linalg.norm(place[a] - place[b]) for a, b in pairs]
                if max(distances) < r_cut:
                    names = ["".join(sorted(atoms.symbols[i[0]] for i in pair)) for pair in pairs]
                    kind = tuple(sorted(atoms.symbols[i[0]] for i in (home, *others)))
                    low, high, now = (
                        np.exp(-np.array(r) / basis.morse_lambda)
                        for r in (r_cut, basis.s_min, np.maximum(distances, basis.s_min))
                    )
                    found[kind].append(
                        [s for _, s in sorted(zip(names, 2 * (now - low) / (high - low) - 1, strict=True))]
                    )
        total = sum(map(len, found.values()))
        for vectors in found.values():
            columns.append(np.zeros(basis.n_bins))
            if vectors:
                every, reach = cdist(vectors, vectors), 2 * math.sqrt(len(vectors[0]))
                counts = np.histogram(every, basis.n_bins, (0, reach))[0]
                columns[-1] = counts / counts.sum() * len(vectors) / total
    return np.concatenate(columns)[None]


@pytest.mark.parametrize("symbols", [("Si", "Si", "Si"), ("Ge", "Si", "Si"), ("Si", "C", "Ge")])
def test_equals_brute_force(symbols):
    basis = replace(BASIS, elements=tuple(sorted(set(symbols))))
    found = basis.values(alloy(*symbols))
    np.testing.assert_allclose(found, by_hand(basis, alloy(*symbols)), atol=1e-12)
    for size in (2, 3, 4):
        mine = [kind.column for kind in basis.kinds if len(kind.atoms) == size]
        np.testing.assert_allclose(found[0, min(mine) : max(mine) + basis.n_bins].sum(), 1.0)


def test_three_atoms_in_a_row():
    """With 2^-r as the exponential, distances of 1, 2, 3 Å become 1, -1/15, -3/5: 16/15, 8/15, 8/5 from each other."""
    basis = ChimesFingerprint(
        ("Si",), 5.0, 5.0, 5.0, s_min=1.0, morse_lambda=1 / math.log(2), n_bins=7, most_pairs=10**6
    )
    pairs, triplets, quadruplets = basis.values(Atoms("Si3", [[0, 0, 0], [1, 0, 0], [3, 0, 0]])).reshape(3, 7)
    np.testing.assert_allclose(pairs * 9, [3, 2, 0, 2, 0, 2, 0], atol=1e-12)
    assert triplets.tolist() == [1, 0, 0, 0, 0, 0, 0] and not quadruplets.any()


def test_the_prototype_leaves_out_the_pair_of_a_cluster_with_itself():
    rng = np.random.default_rng(0)
    vectors = np.sort(rng.uniform(-1, 1, (50, 3)))
    first, second = np.triu_indices(50, 1)
    of_prototype = np.histogram(
        np.linalg.norm(vectors[first] - vectors[second], axis=1), 100, (0, 2 * 3**0.5)
    )[0]
    found = histogram_of(vectors.T.copy(), 100, 10**6).share
    found[0] -= 1 / 50
    np.testing.assert_allclose(found, of_prototype / len(first) * (1 - 1 / 50), atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 8, 9])
def test_every_pair_counts_once(n):
    vectors = np.linspace(-1, 1, n)[None]
    found = histogram_of(vectors, 1000, 10**6).share
    expected = np.histogram(np.abs(vectors - vectors.T), 1000, (0, 2))[0] / n**2
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_distances_shorter_than_s_min_count_as_s_min():
    near, at = (Atoms("Si3", [[0, 0, 0], [r, 0, 0], [0, 2.5, 0]]) for r in (1.3, 1.6))
    far = replace(BASIS, r_cut=2.75, r_cut_3b=2.7, r_cut_4b=2.6)  # the third side is left out
    assert not np.array_equal(BASIS.values(near), BASIS.values(at))
    np.testing.assert_allclose(far.values(near)[0, :40], far.values(at)[0, :40], atol=1e-12)


@pytest.mark.parametrize("change", ["turned", "renumbered", "repeated"])
def test_a_sample_follows_from_the_structure(change):
    """Not from the order of its atoms, nor from where it lies."""
    basis = replace(BASIS, r_cut=5.5, r_cut_3b=5.5, most_pairs=20_000)
    atoms = rattled()
    changed = rattled()
    if change == "turned":
        turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
        changed.set_cell(changed.cell.array @ turn.T, scale_atoms=True)
    if change == "renumbered":
        changed = changed[np.random.default_rng(1).permutation(len(changed))]
    if change == "repeated":  # more clusters, so another sample
        changed = changed * (1, 2, 1)
    assert (error := basis.sampling_error(atoms)) > 0
    difference = np.abs(basis.values(changed) - basis.values(atoms)).sum()
    assert difference < (3 * error if change == "repeated" else 1e-9)
    assert change != "repeated" or difference > 0


def test_the_sampling_error_is_told():
    """As large as it is on average, within a quarter; and none where all pairs are counted."""
    basis = replace(BASIS, r_cut=5.5, r_cut_3b=5.5)
    sampled = replace(basis, most_pairs=20_000)
    structures = [rattled(seed) for seed in range(12)]
    told = [sampled.sampling_error(atoms) for atoms in structures]
    true = [np.abs(sampled.values(atoms) - basis.values(atoms)).sum() for atoms in structures]
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.25)
    assert all(basis.sampling_error(atoms) == 0 for atoms in structures[:2])
    assert "no sampling" in basis.notes(structures)[0]
    assert f"changes it by {sampled.sampling_error(structures[0]):.2g}" in sampled.notes(structures[:1])[0]


def test_a_sample_is_right_on_average(monkeypatch):
    vectors = np.sort(np.random.default_rng(3).normal(0.0, 0.4, (3, 400)).clip(-1, 1), axis=0)
    samples = []
    for seed in range(100):
        monkeypatch.setattr(fingerprint, "SEED", seed)
        samples.append(histogram_of(vectors, 20, 10_000))
    bias = np.mean([sample.share for sample in samples], axis=0) - histogram_of(vectors, 20, 10**6).share
    assert np.abs(bias).sum() < 1.5 * np.mean([sample.error for sample in samples]) / 100**0.5


def test_a_structure_without_clusters_has_zeros():
    assert not BASIS.values(Atoms("Si")).any()


def test_elements_count_by_what_they_form():
    """A and B exchanged in a compound: the same histograms at other kinds; another order of atoms: other histograms."""
    basis = replace(BASIS, elements=("Ge", "Si"))
    one, other = (
        basis.values(alloy(*symbols)).reshape(12, -1) for symbols in (["Ge", "Si", "Si"], ["Si", "Ge", "Ge"])
    )
    names = {"Ge": "Si", "Si": "Ge"}
    places = [
        [Counter(k.atoms) for k in basis.kinds].index(Counter(names[a] for a in kind.atoms))
        for kind in basis.kinds
    ]
    np.testing.assert_allclose(one[places], other, atol=1e-12)
    assert np.abs(one - other).sum() > 0.1


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("r_cut_3b", 4.2, "s_max"),
        ("s_min", 3.7, "smaller than"),
        ("morse_lambda", 0.0, "morse_lambda"),
        ("n_bins", 1, "n_bins"),
    ],
)
def test_refuses(field, value, message):
    with pytest.raises(TamisError, match=message):
        replace(BASIS, **{field: value})
