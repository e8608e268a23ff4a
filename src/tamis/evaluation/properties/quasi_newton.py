"""Minima and saddle points of the energy by quasi-Newton steps among the displacements that keep a symmetry.

A step goes to where the quadratic model of the energy is stationary. The model starts from known force constants and
learns from each call of the calculator.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from ase import Atoms

from tamis.evaluation.properties.base import Array, Sample
from tamis.evaluation.properties.relaxation import StoppingCriteria, check_moved, check_relaxed, largest
from tamis.evaluation.properties.site_symmetry import Symmetry

SOFTEST = 0.3
"""eV/Å²; a softer mode of the model is taken to be as hard as this."""
LONGEST_STEP = 0.2
"""Å, of an atom; the first steps are half as long."""
SAME_MINIMUM = 0.02
"""Å; a step that leads as near to a known place leads to it."""
SAME_ENERGY = 1e-6
"""eV; steps may raise the energy by this much, which is rounding."""


@dataclass(frozen=True, eq=False)
class Place:
    """A structure with its energy, eV, and forces, (n, 3), eV/Å; and the model's springs.

    springs: second derivatives of the energy, (3n, 3n), eV/Å².
    """

    atoms: Atoms
    energy: float
    forces: Array
    springs: Array

    @classmethod
    def of(cls, atoms: Atoms, sample: Sample, symmetry: Symmetry, springs: Array) -> Place:
        """One call of the calculator; ``atoms`` have the symmetry."""
        return cls(atoms, *symmetry.energy_and_forces(sample, atoms), springs)

    def moved(self, step: Array, sample: Sample, symmetry: Symmetry) -> Place:
        """With each atom moved by ``step``, (n, 3), Å."""
        atoms = self.atoms.copy()
        atoms.positions += step
        return Place.of(atoms, sample, symmetry, self.springs)


def minimum(
    start: Place, sample: Sample, limits: StoppingCriteria, symmetry: Symmetry, known: Sequence[Place] = ()
) -> Place:
    """The minimum downhill from ``start``, which has the symmetry.

    A step that raises the energy is taken back, and the next one is a quarter as long. The model is updated by Broyden,
    Fletcher, Goldfarb and Shanno's formula (J. Nocedal and S. J. Wright, Numerical Optimization, 2nd ed. (2006),
    eq. 6.19). known: other minima, one of which is returned where a step leads to it.

    Raises
    ------
    PropertyError : a limit is reached, or energy or a force is not finite.
    """
    directions = symmetry.directions
    first = model = directions.T @ start.springs @ directions
    here, radius = start, 0.5 * LONGEST_STEP
    for _ in range(limits.max_steps):
        if largest(here.forces) <= limits.fmax:
            break
        moduli, modes = _modes(model)
        step = directions @ (modes @ (modes.T @ (directions.T @ here.forces.ravel()) / moduli))
        step = _shortened(step, radius)
        for other in known:
            if largest(here.atoms.positions + step - other.atoms.positions) < SAME_MINIMUM:
                return other
        there = here.moved(step, sample, symmetry)
        check_moved(there.atoms, start.atoms, limits)
        model = learned(model, *_step_and_change(directions, step, here, there))
        if there.energy <= here.energy + SAME_ENERGY:
            here, radius = there, min(1.5 * radius, LONGEST_STEP)
        else:
            radius = 0.25 * largest(step)
    check_relaxed(here.forces, limits)
    return replace(here, springs=start.springs + directions @ (model - first) @ directions.T)


def highest_between(
    low: Place, high: Place, near: Place, sample: Sample, limits: StoppingCriteria, symmetry: Symmetry
) -> Place:
    """The saddle point between a minimum ``low`` and ``high``, which is found where no point between them is higher.

    Searched from ``near``: a maximum along the line between the two, a minimum across it. The model is updated by the
    formula of J. M. Bofill, J. Comput. Chem. 15, 1 (1994).

    Raises
    ------
    PropertyError : a limit is reached, or energy or a force is not finite.
    """
    directions = symmetry.directions
    model = directions.T @ near.springs @ directions
    line = directions.T @ (high.atoms.positions - low.atoms.positions).ravel()
    length = float(np.linalg.norm(line))
    line /= length
    here, radius = near, 0.5 * LONGEST_STEP
    for _ in range(limits.max_steps):
        if largest(here.forces) <= limits.fmax:
            break
        step = _step_up(model, line, directions.T @ here.forces.ravel(), radius)
        step = _shortened(directions @ step, radius)
        after = directions.T @ (here.atoms.positions - low.atoms.positions + step).ravel()
        if float(after @ line) > length - SAME_MINIMUM:
            return high
        there = here.moved(step, sample, symmetry)
        check_moved(there.atoms, near.atoms, limits)
        model = _bofill(model, *_step_and_change(directions, step, here, there))
        radius *= 0.5 if largest(there.forces) > 1.5 * largest(here.forces) else 1.2
        here = there
    check_relaxed(here.forces, limits)
    return here


def _modes(model: Array) -> tuple[Array, Array]:
    """Moduli (k,) of the model's springs, and their modes as columns."""
    values, modes = np.linalg.eigh(model)
    return np.maximum(np.abs(values), SOFTEST), modes


def _step_up(model: Array, line: Array, forces: Array, radius: float) -> Array:
    """To where the model is stationary: uphill along ``line`` (k,), downhill across it."""
    across = np.eye(len(line)) - np.outer(line, line)  # projects
    moduli, modes = _modes(across @ model @ across)
    coupling, pushed = modes.T @ across @ model @ line, modes.T @ across @ forces
    slope = float(
        coupling @ (pushed / moduli) - line @ forces
    )  # along the line, of the energy relaxed across
    bend = float(line @ model @ line - coupling @ (coupling / moduli))
    along = slope / max(-bend, abs(slope) / radius)
    return along * line + modes @ ((pushed - coupling * along) / moduli)


def _shortened(step: Array, radius: float) -> Array:
    """As (n, 3), no atom's longer than ``radius``."""
    step = step.reshape(-1, 3)
    return step * min(1.0, radius / largest(step))


def _step_and_change(directions: Array, step: Array, here: Place, there: Place) -> tuple[Array, Array]:
    """The step, and the change of the energy's gradient, along ``directions``."""
    return directions.T @ step.ravel(), directions.T @ (here.forces - there.forces).ravel()


def learned(model: Array, step: Array, change: Array) -> Array:
    """``model`` (k, k) of second derivatives after a step (k,) by which the gradient changed (BFGS)."""
    work, expected = float(step @ change), model @ step
    if work <= 0.0 or float(step @ expected) <= 0.0:  # no minimum of a quadratic function is there
        return model
    return model + np.outer(change, change) / work - np.outer(expected, expected) / float(step @ expected)


def _bofill(model: Array, step: Array, change: Array) -> Array:
    """A mean of the formulas of Murtagh and Sargent, and of Powell."""
    error = change - model @ step
    length, along, size = float(step @ step), float(step @ error), float(error @ error)
    if size == 0.0:
        return model
    both = np.outer(error, step) / length
    murtagh = np.outer(error, error) * (along / (length * size))  # its weight is in it: along is no divisor
    powell = both + both.T - np.outer(step, step) * (along / length**2)
    return np.asarray(model + murtagh + (1.0 - along**2 / (length * size)) * powell)
