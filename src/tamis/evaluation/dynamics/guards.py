"""When a run counts as failed. Thresholds come from the full pool, never from what was kept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated

import numpy as np
from matscipy.neighbours import neighbour_list
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Between, Checked
from tamis.data.dataset import Dataset
from tamis.models.base import Array

NON_FINITE, TOO_CLOSE, TOO_HOT = "non_finite", "too_close", "too_hot"
LOST_ATOMS, VOLUME, CRASHED, HUNG = "lost_atoms", "volume", "crashed", "hung"
CAUSES = (NON_FINITE, TOO_CLOSE, TOO_HOT, LOST_ATOMS, VOLUME, CRASHED, HUNG)

WIDEST_SEARCH = 8.0
"""Å; a pool without two atoms nearer than this has no shortest distance."""
FLUCTUATIONS = 5.0
"""Standard deviations of the temperature of N atoms, T sqrt(2 / 3N), that are no sign of heat."""
MESSAGES = (
    (LOST_ATOMS, r"lost atoms|out of range atoms"),
    (NON_FINITE, r"non-numeric|not finite|non-finite|finite numbers|infinite|\bnan\b"),
    (TOO_CLOSE, r"at the same place|closer than|on top of each other"),
)


@dataclass(frozen=True)
class Guardrails:
    """closest: Å; hotter_by: K above the thermostat and its fluctuations; volume_factor: either way from the start."""

    closest: float
    hotter_by: float
    volume_factor: float

    def broken(
        self, positions: Array, cell: Array, temperature: float, target: float, energy: float, swelling: float
    ) -> tuple[str, str]:
        """Cause and a sentence; two empty strings while all is well.

        Parameters
        ----------
        positions : (n_atoms, 3) Å. cell : (3, 3) Å, of a shape near a cube. temperature, target : K.
        energy : total energy, eV. swelling : volume by that of the start.
        """
        if not (np.isfinite(energy) and np.isfinite(temperature) and np.isfinite(positions).all()):
            return NON_FINITE, f"energy {energy} eV, temperature {temperature} K"
        distance = shortest_distance(positions, cell)
        if distance < self.closest:
            return TOO_CLOSE, f"two atoms are {distance:.2f} Å apart; the limit is {self.closest:.2f} Å"
        allowed = self.hotter_by + FLUCTUATIONS * target * np.sqrt(2.0 / (3.0 * len(positions)))
        if temperature > target + allowed:
            return (
                TOO_HOT,
                f"{temperature:.0f} K at a target of {target:.0f} K; {allowed:.0f} K more are allowed",
            )
        if not 1.0 / self.volume_factor <= swelling <= self.volume_factor:
            return (
                VOLUME,
                f"{swelling:.2f} times the volume of the start; a factor of {self.volume_factor} is allowed",
            )
        return "", ""


@dataclass(frozen=True)
class Guards(Checked):
    """How far a run may go, in units that do not depend on the data set.

    closest: nearest that two atoms may come, relative to the shortest distance in the full pool.
    hotter_by: K above the thermostat's temperature (of NVE: the intended one) and its fluctuations.
    volume_factor: growth or shrinkage of the volume at zero pressure.
    """

    closest: Annotated[float, Between(0, 1, say=0.75, above=True, below=True)]
    hotter_by: Annotated[float, Above(0, "K", say=3000)]
    volume_factor: Annotated[float, Above(1, say=2)]

    def limits(self, pool: Dataset) -> Guardrails:
        """Limits in Å and K."""
        return Guardrails(self.closest * shortest_in(pool), self.hotter_by, self.volume_factor)


def shortest_in(pool: Dataset) -> float:
    """The shortest distance of two atoms in any structure, Å."""
    shortest = WIDEST_SEARCH
    for atoms in pool.structures:
        distances = neighbour_list("d", atoms, shortest)
        shortest = min(shortest, distances.min(initial=np.inf))
    if shortest == WIDEST_SEARCH:
        raise TamisError(
            f"no two atoms of the pool are nearer than {WIDEST_SEARCH} Å: no limit for MD follows"
        )
    return float(shortest)


def shortest_distance(positions: Array, cell: Array) -> float:
    """The shortest distance, Å, by minimum images: right below half the width of a cell that is near a cube."""
    fractions = positions @ np.linalg.inv(cell)
    first, second = _pairs(len(positions))
    apart = fractions[first] - fractions[second]
    apart -= np.rint(apart)
    vectors = apart @ cell
    return float(np.sqrt(np.einsum("ij,ij->i", vectors, vectors).min(initial=np.inf)))


@lru_cache(maxsize=4)
def _pairs(n: int) -> tuple[NDArray[np.intp], ...]:
    """Every pair of n atoms once; a run asks for the same ones thousands of times."""
    return np.triu_indices(n, 1)


def cause_of(message: str) -> str:
    """The cause that an engine's error message names; a crash where it names none."""
    return next((cause for cause, words in MESSAGES if re.search(words, message, re.IGNORECASE)), CRASHED)
