"""What is computed without arrays, or left out early, since a hundred thousand small structures pass through it."""

import numpy as np
import pytest
from ase import Atoms
from matscipy.neighbours import neighbour_list

from tamis.core.geometry import heights, in_vacuum, periodic_volume
from tamis.data.checks import same_geometry
from tamis.data.dataset import Dataset
from tamis.data.plausibility.free_atoms import is_isolated


@pytest.mark.parametrize("seed", range(20))
def test_volume_and_heights_of_any_cell_are_those_of_linear_algebra(seed):
    cell = np.random.default_rng(seed).normal(size=(3, 3)) * 10.0 ** np.random.default_rng(seed).uniform(
        -2, 4
    )
    np.testing.assert_allclose(heights(cell), 1 / np.linalg.norm(np.linalg.inv(cell), axis=0), rtol=1e-9)
    volume = periodic_volume(Atoms("Cu", cell=cell, pbc=True))
    assert volume == pytest.approx(abs(np.linalg.det(cell)), rel=1e-9)


def test_free_atoms_are_those_without_any_neighbour_within_reach():
    found = []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(1, 5))
        atoms = Atoms(
            ["Cu"] * n,
            positions=rng.uniform(0, 16, size=(n, 3)),
            cell=np.diag(rng.uniform(5, 16, size=3)) + rng.normal(size=(3, 3)),
            pbc=rng.random(3) < 0.3,
        )
        distances = neighbour_list("d", in_vacuum(atoms, 1.0), 6.0)  # two sums of radii of copper are 5.1 Å
        found.append(is_isolated(atoms))
        assert found[-1] == (len(distances) == 0)
    assert 40 < sum(found) < 160  # both come


def test_structures_that_are_one_are_found_among_those_with_the_same_cell():
    rng = np.random.default_rng(0)
    made = [
        Atoms("Cu4", positions=rng.uniform(0, 4, size=(4, 3)), cell=[4, 4, 4], pbc=True) for _ in range(6)
    ]
    made[3].positions = made[1].positions + np.array([4.0, 0.0, -8.0])  # other images
    made[5].positions = made[1].positions + 1e-7
    made[4].positions, made[4].pbc = made[1].positions, False
    n = len(made)
    dataset = Dataset(
        structures=tuple(made),
        energies=np.zeros(n),
        forces=tuple(np.zeros((4, 3)) for _ in made),
        stresses=np.full((n, 6), np.nan),
        groups=("all",) * n,
        blocks=tuple(map(str, range(n))),
        ids=tuple(map(str, range(n))),
        is_test=np.zeros(n, dtype=bool),
    )
    assert same_geometry(dataset) == [[1, 3, 5]]
