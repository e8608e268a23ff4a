"""Derivatives of symmetry functions against finite differences."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tamis.bases.acsf.basis import AcsfBasis
from tamis.bases.acsf.table import CUTOFF_TYPES
from tamis.bases.gradients import NORMAL_STRAINS, SHEAR_STRAINS

STEP = 1e-5
VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))


def basis(**changes) -> AcsfBasis:
    config = {
        "elements": ("Ge", "Si"),
        "r_cut": 4.6,
        "cutoff_type": "cos",
        "cutoff_alpha": 0.0,
        "in_units_of_r_cut": False,
        "radial_eta": [0.4],
        "radial_r_s": [0.0, 2.3],
        "angular_type": 3,
        "angular_eta": [0.02, 0.2],
        "angular_lambda": [-1.0, 1.0],
        "angular_zeta": [1.0, 2.5, 4.0],
    }
    return AcsfBasis(**(config | changes))


def small_cell() -> Atoms:
    """Three atoms, whose own images are neighbours."""
    atoms = Atoms(
        "SiGeSi",
        [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.7, 2.3, 1.1]],
        cell=[[4.4, 0.1, 0.3], [0.6, 4.1, -0.2], [-0.3, 0.5, 3.7]],
        pbc=True,
    )
    return atoms


def dense(basis: AcsfBasis, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """dG/dr (n, n, 3, m) and dG/dstrain (n, 6, m) of each atom's own functions."""
    n = len(atoms)
    by_position, by_strain = np.zeros((n, n, 3, basis.n_per_element)), np.zeros((n, 6, basis.n_per_element))
    for centre, moved, derivative in basis.gradients(atoms):
        if moved == NORMAL_STRAINS:
            by_strain[centre, :3] = derivative
        elif moved == SHEAR_STRAINS:
            by_strain[centre, 3:] = derivative
        else:
            by_position[centre, moved] = derivative
    return by_position, by_strain


def own_values(basis: AcsfBasis, atoms: Atoms) -> np.ndarray:
    blocks = basis.values(atoms).reshape(len(atoms), len(basis.elements), -1)
    return blocks[np.arange(len(atoms)), [basis.elements.index(s) for s in atoms.symbols]]


@pytest.mark.parametrize(
    "changes",
    [{"cutoff_type": name, "cutoff_alpha": 0.3} for name in CUTOFF_TYPES if name != "hard"]
    + [{"angular_type": 9}, {"angular_type": 9, "cutoff_type": "poly3"}],
    ids=str,
)
def test_derivatives_by_positions(changes):
    of, atoms = basis(**changes), small_cell()
    by_position, _ = dense(of, atoms)
    for j in range(len(atoms)):
        for axis in range(3):
            ends = []
            for sign in (1, -1):
                moved = atoms.copy()
                moved.positions[j, axis] += sign * STEP
                ends.append(own_values(of, moved))
            numeric = (ends[0] - ends[1]) / (2 * STEP)
            np.testing.assert_allclose(by_position[:, j, axis], numeric, atol=2e-7, rtol=2e-6)


@pytest.mark.parametrize("kind", [3, 9])
@pytest.mark.parametrize("atoms", [small_cell(), bulk("Si", cubic=True)], ids=["small", "cubic"])
def test_derivatives_by_strain(kind, atoms):
    of = basis(angular_type=kind)
    atoms.rattle(0.1, seed=2)
    _, by_strain = dense(of, atoms)
    for number, (a, b) in enumerate(VOIGT):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5 * STEP
        strain[b, a] += 0.5 * STEP
        ends = []
        for sign in (1, -1):
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
            ends.append(own_values(of, strained))
        numeric = (ends[0] - ends[1]) / (2 * STEP)
        np.testing.assert_allclose(by_strain[:, number], numeric, atol=2e-6, rtol=2e-6)


def test_records_are_sorted_and_single(store):
    of, atoms = basis(), small_cell()
    records = next(store.gradients(of, [atoms]))
    np.testing.assert_array_equal(records, of.gradients(atoms))
    pairs = list(zip(records["moved"], records["centre"], strict=True))
    assert pairs == sorted(set(pairs))
    assert records["derivative"].dtype == np.float32


def test_a_hard_cutoff_is_read_but_has_no_slope():
    lone = Atoms("Si2", [[0, 0, 0], [2.0, 0, 0]])
    of = basis(cutoff_type="hard", radial_eta=[0.0], radial_r_s=[0.0])
    assert own_values(of, lone)[0].max() == 1.0
    assert not dense(of, lone)[0].any()
