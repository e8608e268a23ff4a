"""Minima and saddle points of the energy by quasi-Newton steps among the displacements that keep a symmetry.

A step goes to where the quadratic model of the energy is stationary. The model starts from known force constants and
learns from each call of the calculator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from tamis.evaluation.properties.base import Array, PropertyError, Sample
from tamis.evaluation.properties.relaxation import StoppingCriteria, check_moved, largest

SOFTEST = 0.3
"""eV/Å²; a softer mode of the model is taken to be as hard as this."""
LONGEST_STEP = 0.2
"""Å, of an atom; the first steps are half as long."""
SAME_ENERGY = 1e-6
"""eV; a step may raise the energy by this much, which is rounding."""


@dataclass(frozen=True, eq=False)
class Place:
    """A structure with its energy, eV, and forces, (n, 3), eV/Å; and the model's ``springs``.

    springs: second derivatives of the energy, (3n, 3n), eV/Å².
    """

    atoms: Atoms
    energy: float
    forces: Array
    springs: Array

    @classmethod
    def of(cls, atoms: Atoms, sample: Sample, springs: Array) -> Place:
        """One call of the calculator."""
        return cls(atoms, sample.energy(atoms), sample.forces(atoms), springs)


def minimum(start: Place, sample: Sample, limits: StoppingCriteria, directions: Array) -> Place:
    """The minimum downhill from ``start`` along ``directions``, (3n, k), orthonormal columns.

    A step that raises the energy is taken back, and the next one is a quarter as long. The model is updated by Broyden,
    Fletcher, Goldfarb and Shanno's formula (J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed. (2006),
    eq. 6.19).

    Raises
    ------
    PropertyError : a limit is reached, or energy or a force is not finite.
    """
    here, radius = start, 0.5 * LONGEST_STEP
    for _ in range(limits.max_steps):
        if largest(here.forces) <= limits.fmax:
            return here
        step = _step(here, directions, radius)
        there = _after(here, step, sample, start, limits)
        springs = _bfgs(here.springs, step.ravel(), (here.forces - there.forces).ravel())
        if there.energy <= here.energy + SAME_ENERGY:
            here, radius = there, min(1.5 * radius, LONGEST_STEP)
        else:
            radius = 0.25 * largest(step)
        here = replace(here, springs=springs)
    return _relaxed(here, limits)


def saddle(start: Place, sample: Sample, limits: StoppingCriteria, directions: Array, uphill: Array) -> Place:
    """The saddle point near ``start``: a maximum along one mode of the model, a minimum along the others.

    The mode is the one most like ``uphill``, (3n,), then most like itself (C. J. Cerjan and W. H. Miller, J. Chem. Phys.
    75, 2800 (1981)). The model is updated by the formula of J. M. Bofill, J. Comput. Chem. 15, 1 (1994).

    Raises
    ------
    PropertyError : a limit is reached, or energy or a force is not finite.
    """
    here, radius = start, 0.5 * LONGEST_STEP
    for _ in range(limits.max_steps):
        if largest(here.forces) <= limits.fmax:
            return here
        step, uphill = _step_up(here, directions, radius, uphill)
        there = _after(here, step, sample, start, limits)
        springs = _bofill(here.springs, step.ravel(), (here.forces - there.forces).ravel())
        radius *= 0.5 if largest(there.forces) > largest(here.forces) else 1.2
        here = replace(there, springs=springs)
    return _relaxed(here, limits)


def _modes(here: Place, directions: Array) -> tuple[Array, Array, Array]:
    """Moduli of the model's springs (k,), their modes as columns (3n, k), and the forces along them (k,)."""
    values, modes = np.linalg.eigh(directions.T @ here.springs @ directions)
    modes = directions @ modes
    return np.maximum(np.abs(values), SOFTEST), modes, modes.T @ here.forces.ravel()


def _step(here: Place, directions: Array, radius: float) -> Array:
    moduli, modes, along = _modes(here, directions)
    return _shortened(modes @ (along / moduli), radius)


def _step_up(here: Place, directions: Array, radius: float, uphill: Array) -> tuple[Array, Array]:
    moduli, modes, along = _modes(here, directions)
    followed = int(np.argmax(np.abs(uphill @ modes)))
    along[followed] *= -1.0
    return _shortened(modes @ (along / moduli), radius), modes[:, followed]


def _shortened(step: Array, radius: float) -> Array:
    """(n, 3), no atom's longer than ``radius``."""
    step = step.reshape(-1, 3)
    return step * min(1.0, radius / largest(step))


def _after(here: Place, step: Array, sample: Sample, start: Place, limits: StoppingCriteria) -> Place:
    atoms = here.atoms.copy()
    atoms.positions += step
    check_moved(atoms, start.atoms, limits)
    return Place.of(atoms, sample, here.springs)


def _relaxed(here: Place, limits: StoppingCriteria) -> Place:
    left = largest(here.forces)
    if left > limits.fmax:
        raise PropertyError(
            f"not relaxed after {limits.max_steps} steps: a force of {left:.3g} eV/Å is left ({limits.fmax} allowed)"
        )
    return here


def _bfgs(springs: Array, step: Array, change: Array) -> Array:
    """``change``: of the energy's gradient by ``step``."""
    work, expected = float(step @ change), springs @ step
    if work <= 0.0:  # no minimum of a quadratic function is there
        return springs
    return springs + np.outer(change, change) / work - np.outer(expected, expected) / float(step @ expected)


def _bofill(springs: Array, step: Array, change: Array) -> Array:
    """A mean of the formulas of Murtagh and Sargent, and of Powell."""
    error = change - springs @ step
    length, along, size = float(step @ step), float(step @ error), float(error @ error)
    if size == 0.0:
        return springs
    both = np.outer(error, step) / length
    murtagh = np.outer(error, error) * (along / (length * size))  # its weight is in it: along is no divisor
    powell = both + both.T - np.outer(step, step) * (along / length**2)
    return np.asarray(springs + murtagh + (1.0 - along**2 / (length * size)) * powell)
