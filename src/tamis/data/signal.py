"""Tells structures with forces from those whose forces symmetry makes zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PART_OF_TYPICAL = 1e-2
"""Part of the mean root mean square force over structures; smaller forces are zeros with noise, or negligible."""
CONVERGED = 1e-4
"""eV/Å; no electronic-structure code converges forces better, so smaller ones are zeros in any set."""
PART_OF_STILL = 1e-2
"""Part of the largest force that counts as none; smaller errors are negligible: 1e-4 of a typical force or less."""


def root_mean_squares(forces: Sequence[Array]) -> Array:
    """Root mean square force of each structure, (n,), eV/Å; NaN where it has none, 0 without atoms."""
    return np.array([np.sqrt(np.mean(f**2)) if f.size else 0.0 for f in forces])


def still_force(forces: Sequence[Array]) -> float:
    """Root mean square force, eV/Å, up to which a structure counts as without forces, by the ``forces`` of its set."""
    sizes = root_mean_squares(forces)
    known = sizes[np.isfinite(sizes)]
    return max(CONVERGED, PART_OF_TYPICAL * float(known.mean())) if len(known) else CONVERGED


def negligible_error(still: float) -> float:
    """Error, eV/Å, below which a fit is exact; ``still`` is the force that counts as none."""
    return PART_OF_STILL * still
