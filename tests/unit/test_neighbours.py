"""Neighbour lists that are kept between steps say what a list made afresh says."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tamis.bases import neighbours
from tamis.bases.neighbours import Neighbours, VerletList, neighbours_of
from tamis.core.errors import TamisError

REACH = 5.0


def rows(near: Neighbours) -> np.ndarray:
    """Atom, neighbour and vector of every pair, in an order of their own."""
    centres = np.repeat(np.arange(len(near.first) - 1), np.diff(near.first))
    table = np.column_stack([centres, near.others, near.vectors.round(9) + 0.0])
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


@pytest.mark.parametrize("half", [True, False])
def test_a_kept_list_has_the_pairs_of_a_new_one(half: bool) -> None:
    kept = VerletList(REACH, half)
    for atoms in steps():
        found = kept.neighbours(atoms)
        np.testing.assert_allclose(rows(found), rows(neighbours_of(atoms, REACH, half)), atol=1e-8)
        np.testing.assert_allclose(found.distances, np.linalg.norm(found.vectors, axis=1))


def test_half_a_list_has_every_pair_from_one_end() -> None:
    for atoms in steps():
        whole, half = neighbours_of(atoms, REACH), rows(neighbours_of(atoms, REACH, half=True))
        other_ends = np.column_stack([half[:, 1], half[:, 0], -half[:, 2:]]) + 0.0
        both = np.concatenate([half, other_ends])
        np.testing.assert_allclose(both[np.lexsort(both.T[::-1])], rows(whole), atol=1e-8)


def test_small_moves_need_no_new_list(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    original = neighbours.neighbour_list
    monkeypatch.setattr(neighbours, "neighbour_list", lambda *a: made.append(1) or original(*a))
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
