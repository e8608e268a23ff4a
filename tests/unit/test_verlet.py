"""Neighbour lists that are kept between steps say what a list made afresh says."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tamis.bases import verlet
from tamis.bases.chimes.clusters import half_neighbours
from tamis.bases.verlet import VerletList
from tamis.core.errors import TamisError

REACH = 5.0


def rows(first: np.ndarray, others: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Atom, neighbour and vector of every pair, in an order of their own."""
    centres = np.repeat(np.arange(len(first) - 1), np.diff(first))
    table = np.column_stack([centres, others, vectors.round(9) + 0.0])
    return table[np.lexsort(table.T[::-1])]


def steps() -> list[Atoms]:
    """A walk of a rattled cell that is shorter than the reach: far moves, another cell, a slab, a cluster."""
    atoms, rng, path = bulk("Si", a=5.4).repeat((2, 1, 1)), np.random.default_rng(0), []
    for number in range(14):
        atoms.positions += rng.normal(scale=0.08, size=atoms.positions.shape)
        if number == 6:
            atoms.set_cell(atoms.cell.array * 1.05, scale_atoms=True)
        if number == 8:
            atoms.positions += atoms.cell.array[0]
        if number == 10:
            atoms.pbc = [True, True, False]
        if number == 12:
            atoms = atoms[:3]
            atoms.pbc = False
        path.append(atoms.copy())
    return path


def test_half_of_the_pairs_are_those_of_the_design_rows() -> None:
    kept = VerletList(REACH, half=True)
    for atoms in steps():
        first, others, vectors, distances = kept.neighbours(atoms)
        np.testing.assert_allclose(
            rows(first, others, vectors), rows(*half_neighbours(atoms, REACH)), atol=1e-8
        )
        np.testing.assert_allclose(distances, np.linalg.norm(vectors, axis=1))


def test_the_whole_list_has_every_pair_from_both_ends() -> None:
    kept = VerletList(REACH)
    for atoms in steps():
        first, others, vectors, _ = kept.neighbours(atoms)
        half_first, half_others, half_vectors = half_neighbours(atoms, REACH)
        centres = np.repeat(np.arange(len(atoms)), np.diff(half_first))
        order = np.argsort(np.concatenate([centres, half_others]), kind="stable")
        both = (
            np.concatenate([half_others, centres])[order],
            np.concatenate([half_vectors, -half_vectors])[order],
        )
        counts = np.bincount(np.concatenate([centres, half_others]), minlength=len(atoms))
        expected = rows(np.concatenate([[0], np.cumsum(counts)]), *both)
        np.testing.assert_allclose(rows(first, others, vectors), expected, atol=1e-8)


def test_small_moves_need_no_new_list(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = verlet.neighbour_list
    monkeypatch.setattr(verlet, "neighbour_list", lambda *a: made.append(1) or original(*a))
    atoms, kept = bulk("Si", a=5.4, cubic=True), VerletList(REACH)
    for _ in range(5):
        atoms.positions[0] += [0.02, 0.0, 0.0]
        kept.neighbours(atoms)
    assert len(made) == 1
    atoms.positions[0] += [0.5, 0.0, 0.0]
    kept.neighbours(atoms)
    assert len(made) == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_run_that_blew_up_is_named(bad: float) -> None:
    atoms, kept = bulk("Si", a=5.4, cubic=True), VerletList(REACH)
    kept.neighbours(atoms)
    atoms.positions[3, 1] = bad
    with pytest.raises(TamisError, match="NaN or infinity"):
        kept.neighbours(atoms)


def test_atoms_at_one_place_are_named() -> None:
    with pytest.raises(TamisError, match="same place"):
        VerletList(REACH).neighbours(Atoms("Si2", np.zeros((2, 3))))
