"""Which structures have forces that tell one potential from another: not those that symmetry makes zero."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

PART_OF_TYPICAL = 1e-2
"""Root mean square forces below this part of the mean over structures are zeros with noise, or next to nothing."""
CONVERGED = 1e-4
"""eV/Å; no electronic-structure code converges forces better, so that smaller ones are zeros, whatever the others."""
PART_OF_STILL = 1e-2
"""An error below this part of what counts as no force is as good as none: 1e-4 of a typical force, or less."""


def root_mean_squares(forces: Sequence[Array]) -> Array:
    """Root mean square force of each structure, (n,), eV/Å."""
    return np.array([np.sqrt(np.mean(f**2)) if f.size else 0.0 for f in forces])


def still_force(forces: Sequence[Array]) -> float:
    """Root mean square force, eV/Å, up to which a structure has no forces, at the scale of ``forces`` of a set."""
    return max(CONVERGED, PART_OF_TYPICAL * float(root_mean_squares(forces).mean())) if forces else CONVERGED


def negligible_error(still: float) -> float:
    """eV/Å; errors below it are as good as none, where ``still`` is what counts as no force."""
    return PART_OF_STILL * still
