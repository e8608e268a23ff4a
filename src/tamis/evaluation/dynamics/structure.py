"""Properties of a material from trajectories: radial distribution, diffusion, volume, and energy drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from matscipy.neighbours import neighbour_list

from tamis.core.units import MEV_PER_EV
from tamis.evaluation.dynamics.plan import evenly
from tamis.evaluation.dynamics.trajectory import TIME, TOTAL, VOLUME, Trajectory
from tamis.models.base import Array

FEWEST_FRAMES = 10
"""Averages over fewer frames, or slopes through fewer points, are not reported."""
MOST_FRAMES = 200
"""More frames change an average over 64 atoms little."""
SETTLING = 0.2
"""First part of an NVE run, in which the kinetic energy spreads over the modes; ignored by the drift."""
LAGS = 40


def settled(trajectory: Trajectory, n: int) -> slice:
    """Those of ``n`` even samples that lie in the second half of the planned time.

    In the first half a crystal may still melt. A run that was stopped there has no settled samples.
    """
    done = trajectory.steps / trajectory.run.steps
    return slice(min(n, round(0.5 * n / done)) if done else n, None)


def frames_of(trajectory: Trajectory) -> list[Atoms]:
    """At most MOST_FRAMES settled frames, evenly spread."""
    frames = every_frame(trajectory)
    return evenly(frames[settled(trajectory, len(frames))], MOST_FRAMES)


def every_frame(trajectory: Trajectory) -> list[Atoms]:
    """All frames that were kept."""
    symbols = trajectory.run.atoms.symbols
    return [
        Atoms(symbols, positions=positions, cell=cell, pbc=True)
        for positions, cell in zip(trajectory.positions, trajectory.cells, strict=True)
    ]


def radial_distribution(frames: Sequence[Atoms], edges: Array) -> Array | None:
    """g(r) of all atoms in the bins between ``edges`` (Å), 1 for an ideal gas; None for too few frames.

    The mean over the frames of V / N² times the number of ordered pairs, by the volume of the shell.
    """
    if len(frames) < FEWEST_FRAMES:
        return None
    shells = 4.0 / 3.0 * np.pi * np.diff(edges**3)
    total = np.zeros(len(shells))
    for atoms in frames:
        inside = atoms.copy()
        inside.wrap()
        distances = neighbour_list("d", inside, float(edges[-1]))
        counts, _ = np.histogram(distances, edges)
        total += counts * atoms.cell.volume / len(atoms) ** 2
    return np.asarray(total / shells / len(frames))


def distribution_error(found: Array, reference: Array) -> float:
    """Integral of |g - g_ref| by that of g_ref: 0 where they are equal, 2 where they have nothing in common."""
    return float(np.abs(found - reference).sum() / reference.sum())


def squared_displacements(trajectory: Trajectory) -> tuple[Array, Array]:
    """Lags (k,), ps, and mean squared displacements (k,), Å², over all settled time origins.

    Measured against the centre of mass; up to half of the time there is; empty of too few frames.
    """
    late = settled(trajectory, len(trajectory.times))
    positions, times = trajectory.positions[late], trajectory.times[late]
    if len(times) < 2 * FEWEST_FRAMES:
        return np.empty(0), np.empty(0)
    positions = positions - positions.mean(axis=1, keepdims=True)
    lags = np.unique(np.linspace(1, len(times) // 2, LAGS).round().astype(int))
    squares = [np.mean(np.sum((positions[lag:] - positions[:-lag]) ** 2, axis=2)) for lag in lags]
    return times[lags] - times[0], np.array(squares)


def diffusion(trajectory: Trajectory) -> float | None:
    """Slope of the mean squared displacement by 6, Å²/ps (Einstein), over the later half of the lags."""
    lags, squares = squared_displacements(trajectory)
    if len(lags) < FEWEST_FRAMES:
        return None
    late = slice(len(lags) // 2, None)
    return float(np.polyfit(lags[late], squares[late], 1)[0] / 6.0)


def volume_per_atom(trajectory: Trajectory) -> float | None:
    """Mean over the settled samples, Å³."""
    volumes = trajectory.thermo[settled(trajectory, len(trajectory.thermo)), VOLUME]
    return float(volumes.mean() / len(trajectory.run.atoms)) if len(volumes) >= FEWEST_FRAMES else None


def energy_drift(trajectory: Trajectory) -> float | None:
    """Slope of the total energy, by least squares, meV/atom/ps, without its sign."""
    rows = trajectory.thermo[round(SETTLING * len(trajectory.thermo)) :]
    if len(rows) < FEWEST_FRAMES:
        return None
    times = rows[:, TIME] - rows[:, TIME].mean()
    slope = times @ (rows[:, TOTAL] - rows[:, TOTAL].mean()) / (times @ times)
    return float(abs(slope) * MEV_PER_EV / len(trajectory.run.atoms))


def mean_of(numbers: Sequence[float | None]) -> float | None:
    """Mean of those that are numbers; None where there are none."""
    there = [x for x in numbers if x is not None]
    return float(np.mean(there)) if there else None
