"""Laws of the design rows of bases whose potentials are linear: a model of this kind is its basis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms

from tamis.bases.base import Array, LinearBasis
from tamis.testing.checks import alloy, cluster, require, require_same, silicon

MakeLinear = Callable[..., LinearBasis]
STRAIN = 1e-4
SHIFT = 1e-3
"""Å."""


def _energies(basis: LinearBasis, atoms: Atoms) -> Array:
    """Energy row, (K,)."""
    return np.asarray(basis.values(atoms).sum(axis=0))


def strained(atoms: Atoms, component: int, amount: float) -> Atoms:
    """A symmetric strain; component in the order xx yy zz yz xz xy, shear split over its two halves."""
    first, second = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][component]
    strain = np.zeros((3, 3))
    strain[first, second] += amount / 2
    strain[second, first] += amount / 2
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
    return changed


def design_shapes(make: MakeLinear) -> None:
    """(K,), (n_atoms, 3, K) and (6, K)."""
    basis, atoms = make("Si"), silicon()
    rows, n = basis.design(atoms), basis.n_features
    found = (rows.energy.shape, rows.forces.shape, rows.strain_gradient.shape)
    require(found == ((n,), (len(atoms), 3, n), (6, n)), f"design rows have shapes {found}")


def energy_row_is_the_sum_of_the_values(make: MakeLinear) -> None:
    """Of crystals and clusters."""
    basis = make("Si")
    for structure in (silicon(), cluster()):
        require_same(basis.design(structure).energy, _energies(basis, structure), 1e-10)


def evaluate_gives_values_and_design_at_once(make: MakeLinear) -> None:
    """The same as each alone."""
    basis = make("Si")
    values, rows = basis.evaluate(silicon())
    require_same(values, basis.values(silicon()), 1e-12)
    require_same(rows.forces, basis.design(silicon()).forces, 1e-12)


def forces_are_minus_the_gradient(make: MakeLinear) -> None:
    """By central differences."""
    for structure, elements in ((silicon, ("Si",)), (alloy, ("Si", "Ge")), (cluster, ("Si",))):
        basis = make(*elements)
        forces = basis.design(structure()).forces
        for atom, axis in [(0, 0), (1, 2), (2, 1)]:
            plus, minus = structure(), structure()
            plus.positions[atom, axis] += SHIFT
            minus.positions[atom, axis] -= SHIFT
            slope = -(_energies(basis, plus) - _energies(basis, minus)) / (2 * SHIFT)
            require_same(forces[atom, axis], slope, 2e-4)


def forces_sum_to_zero(make: MakeLinear) -> None:
    """Nothing pushes a crystal as a whole."""
    forces = make("Si").design(silicon()).forces
    total = np.abs(forces.sum(axis=0)).max()
    require(total <= 1e-8 * np.abs(forces).max(), f"forces sum to {total:.3g}")


def strain_gradient_is_the_strain_derivative(make: MakeLinear) -> None:
    """ASE's sign: stress = strain_gradient / volume is positive where the energy rises on stretching."""
    for structure, elements in ((silicon, ("Si",)), (alloy, ("Si", "Ge"))):
        basis = make(*elements)
        rows = basis.design(structure()).strain_gradient
        for component in range(6):
            slope = _energies(basis, strained(structure(), component, STRAIN))
            slope = (slope - _energies(basis, strained(structure(), component, -STRAIN))) / (2 * STRAIN)
            difference = np.abs(rows[component] - slope).max()
            require(
                difference <= 2e-4 * np.abs(rows).max(), f"component {component} differs by {difference:.3g}"
            )


def strain_gradient_is_extensive(make: MakeLinear) -> None:
    """That of a supercell is a multiple."""
    basis = make("Si")
    small = basis.design(silicon()).strain_gradient
    require_same(basis.design(silicon() * (1, 2, 1)).strain_gradient, 2 * small)


LINEAR_LAWS = (
    design_shapes,
    energy_row_is_the_sum_of_the_values,
    evaluate_gives_values_and_design_at_once,
    forces_are_minus_the_gradient,
    forces_sum_to_zero,
    strain_gradient_is_the_strain_derivative,
    strain_gradient_is_extensive,
)
"""Of bases that derive from ``LinearBasis``, beside those of descriptors."""
