"""Descriptors of other packages against an independent reckoning of the same thing."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.stats import spearmanr

from tamis.bases.dscribe_soap import DscribeSoapBasis
from tamis.bases.quests import QuestsBasis
from tamis.bases.soap import SoapBasis


def environments() -> Atoms:
    """64 silicon atoms from nearly perfect to badly disordered places, one missing neighbour among them."""
    atoms = bulk("Si", cubic=True) * 2
    rng = np.random.default_rng(4)
    atoms.positions += rng.normal(size=(64, 3)) * np.linspace(0.01, 0.25, 64)[:, None]
    del atoms[20]
    return atoms


def distances(rows: np.ndarray) -> np.ndarray:
    """1 - cosine similarity of all pairs, what a SOAP kernel sees."""
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return (1.0 - unit @ unit.T)[np.triu_indices(len(unit), 1)]


def test_quip_and_dscribe_agree_on_which_environments_are_alike():
    """Fading over the whole range both weigh neighbours nearly alike, and 12 functions nearly exhaust the radial space.

    What is left is the difference of cos and 1 - 3 x^2 + 2 x^3; with 8 functions the radial bases differ (0.94).
    """
    shared = {"elements": ("Si",), "r_cut": 5.0, "n_max": 12, "l_max": 8, "atom_sigma": 0.5}
    quip = SoapBasis(cutoff_transition_width=5.0, **shared).values(environments())
    dscribe = DscribeSoapBasis(weight_power=1.0, **shared).values(environments())
    assert spearmanr(distances(quip), distances(dscribe)).statistic > 0.99
    assert spearmanr(distances(quip), distances(dscribe[::-1])).statistic < 0.2


@pytest.mark.parametrize("elements", [("Si",), ("Ge", "Si")])
def test_quip_vectors_have_length_one(elements):
    values = SoapBasis(elements, 5.0, 4, 3, 0.5, 0.5).values(environments())
    np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1.0, rtol=1e-12)


def quests_by_hand(atoms: Atoms, k: int, r_cut: float, of: tuple[str, ...] = ()) -> np.ndarray:
    """The formulas of the paper over an explicit list of images, of all neighbours or those of some elements."""
    reach = range(-4, 5) if atoms.pbc.all() else (0,)
    shifts = [np.array(n) @ atoms.cell.array for n in product(reach, repeat=3)]
    images = (atoms.positions[None] + np.array(shifts)[:, None]).reshape(-1, 3)

    def weight(r: np.ndarray) -> np.ndarray:
        return (1.0 - np.minimum(r / r_cut, 1.0) ** 2) ** 2

    rows = np.zeros((len(atoms), 2 * k - 1))
    for i, centre in enumerate(atoms.positions):
        away = np.linalg.norm(images - centre, axis=1)
        seen = np.isin(np.tile(atoms.get_chemical_symbols(), len(shifts)), of or list(set(atoms.symbols)))
        nearest = [j for j in np.argsort(away)[1:] if away[j] < r_cut and seen[j]][:k]
        r = away[nearest]
        rows[i, : len(r)] = weight(r) / r
        between = np.linalg.norm(images[nearest][:, None] - images[nearest][None], axis=2)
        np.fill_diagonal(between, np.inf)
        pairs = np.zeros((k, k))
        pairs[: len(r), : len(r)] = np.sqrt(np.outer(weight(r), weight(r))) / between
        rows[i, k:] = np.sort(pairs, axis=1)[:, ::-1].mean(axis=0)[: k - 1]
    return rows


@pytest.mark.parametrize("k", [4, 32])
@pytest.mark.parametrize("periodic", [True, False])
def test_quests_of_several_elements_sees_all_neighbours_and_those_of_each(k, periodic):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=2)
    atoms.symbols[[1, 2, 5]], atoms.symbols[7] = "Ge", "C"
    atoms.pbc = periodic
    found = QuestsBasis(("Si", "Ge", "C"), 4.6, k).values(atoms).reshape(len(atoms), 3, -1)
    expected = np.hstack([quests_by_hand(atoms, k, 4.6, of) for of in ((), ("C",), ("Ge",), ("Si",))])
    own = [("C", "Ge", "Si").index(symbol) for symbol in atoms.symbols]
    np.testing.assert_allclose(found[np.arange(len(atoms)), own], expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("k", [4, 32])
@pytest.mark.parametrize("kind", ["crystal", "left-handed", "few atoms", "cluster", "alone"])
def test_quests_follows_its_paper(kind, k):
    crystal = bulk("Si")
    crystal.rattle(0.1, seed=2)
    left_handed = crystal.copy()
    left_handed.set_cell(crystal.cell.array[[0, 2, 1]])
    few = Atoms("Si3", [[0, 0, 0], [2.3, 0.1, 0], [0.3, 2.4, 0.2]], cell=[14, 15, 16], pbc=True)
    cluster = Atoms("Si3", [[0, 0, 0], [2.3, 0.1, 0], [0.3, 2.4, 0.2]])
    atoms = {
        "crystal": crystal,
        "left-handed": left_handed,
        "few atoms": few,
        "cluster": cluster,
        "alone": cluster[:1],
    }[kind]
    found = QuestsBasis(("Si",), 4.6, k).values(atoms)
    np.testing.assert_allclose(found, quests_by_hand(atoms, k, 4.6), rtol=1e-9, atol=1e-11)
