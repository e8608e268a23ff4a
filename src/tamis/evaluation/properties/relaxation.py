"""Relaxation of lattice constants and ions, with limits of steps and displacements."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.optimize import LBFGS
from scipy.optimize import minimize_scalar

from tamis.core.fields import Above, Checked, Whole
from tamis.evaluation.properties.base import Array, PropertyError, Sample

STRIDE = 0.01
"""Step of the first scan of lattice constants, relative to the starting one."""
FURTHEST = 14
"""Number of these steps, up or down, after which the scan gives up."""
TOLERANCE = 1e-9
"""Relative, of the lattice constant."""
STIFFNESS = 15.0
"""eV/Å², of the springs that relaxations start from: silicon's and molybdenum's are about as hard, lithium's softer."""
LONGEST_STEP = 0.1
"""Å, of an atom in one step of an optimiser."""


@dataclass(frozen=True)
class StoppingCriteria(Checked):
    """Where a relaxation of ions ends.

    fmax: largest force on an atom, eV/Å. max_steps: after which it has failed. max_displacement: of an atom from its
    start, Å, beyond which it has failed: the structure is another one.
    """

    fmax: Annotated[float, Above(0, "eV/Å")]
    max_steps: Annotated[int, Whole(1)]
    max_displacement: Annotated[float, Above(0, "Å")]


@lru_cache(maxsize=1)  # the properties of one sample are measured one after the other
def relaxed_lattice_constant(sample: Sample) -> float:
    """First conventional lattice constant, Å, of the energy's minimum nearest to the crystal's own, in its shape.

    Raises
    ------
    PropertyError : there is no minimum downhill within 14 %.
    """
    crystal = sample.crystal

    def energy(a: float) -> float:
        return sample.energy(crystal.primitive(a))

    lowest = _downhill(lambda step: energy(crystal.a * (1.0 + STRIDE * step)))
    if abs(lowest) > FURTHEST:
        raise PropertyError(
            f"the energy of the {crystal.structure} crystal falls without a minimum from the lattice constant "
            f"{crystal.a} Å to {crystal.a * (1.0 + STRIDE * lowest):.3f} Å"
        )
    low, high = (crystal.a * (1.0 + STRIDE * (lowest + side)) for side in (-1, 1))
    found = minimize_scalar(energy, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return _where_pressure_vanishes(sample, float(found.x))


def _downhill(energy: Callable[[int], float]) -> int:
    """The first local minimum downhill from 0, in whole numbers; beyond FURTHEST: there is none."""
    here, value = 0, energy(0)
    for direction in (1, -1):
        while abs(here) <= FURTHEST and (ahead := energy(here + direction)) < value:
            here, value = here + direction, ahead
    return here


def _where_pressure_vanishes(sample: Sample, a: float) -> float:
    """The lattice constant, Å, next to ``a`` with zero pressure; a minimum of energies is known to 1e-5 only.

    Secant steps; where stress and energy are inconsistent they lead away, and ``a`` is kept.
    """

    def pressure(x: float) -> float:
        return float(-sample.stress(sample.crystal.primitive(x))[:3].mean())

    last, here = a * 1.001, a
    p_last, p_here = pressure(last), pressure(here)
    for _ in range(8):
        if p_here == p_last or abs(here - last) < TOLERANCE * a:
            break
        step = -p_here * (here - last) / (p_here - p_last)
        last, p_last, here = here, p_here, here + step
        if abs(here - a) > 1e-3 * a:
            return a
        p_here = pressure(here)
    return here


def relax(atoms: Atoms, sample: Sample, limits: StoppingCriteria) -> Atoms:
    """``atoms`` (not changed) with relaxed ions in a fixed cell; keeps constraints.

    Raises
    ------
    PropertyError : a limit is reached, or a force is not finite.
    """
    relaxed = atoms.copy()
    relaxed.calc = sample.calculator
    optimizer = LBFGS(
        relaxed,
        logfile=None,  # type: ignore[arg-type]  # None: no log
        maxstep=LONGEST_STEP,
        alpha=STIFFNESS,
    )
    for _ in optimizer.irun(fmax=limits.fmax, steps=limits.max_steps):
        forces = relaxed.get_forces()
        if not np.isfinite(forces).all():
            raise PropertyError(f"a force is not finite after {optimizer.nsteps} steps of relaxation")
        check_moved(relaxed, atoms, limits)
    check_relaxed(relaxed.get_forces(), limits)
    return relaxed


def check_relaxed(forces: Array, limits: StoppingCriteria) -> None:
    """Raise PropertyError where a force, (n, 3), eV/Å, is too large."""
    left = largest(forces)
    if left > limits.fmax:
        raise PropertyError(
            f"not relaxed after {limits.max_steps} steps: a force of {left:.3g} eV/Å is left ({limits.fmax} allowed)"
        )


def check_moved(atoms: Atoms, start: Atoms, limits: StoppingCriteria) -> None:
    """Raise PropertyError where an atom is too far from its start."""
    moved = largest(atoms.positions - start.positions)
    if not moved <= limits.max_displacement:  # also where it is NaN
        raise PropertyError(
            f"an atom moved {moved:.2f} Å in a relaxation (more than {limits.max_displacement} Å): not the "
            "structure that was meant"
        )


def largest(vectors: Array) -> float:
    """Length of the longest vector of (n, 3)."""
    return float(np.sqrt((vectors**2).sum(axis=1)).max())
