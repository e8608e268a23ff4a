"""The results of a run: numbers along the way, frames, and how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.evaluation.dynamics.plan import MdRun
from tamis.models.base import Array

TIME, TEMPERATURE, POTENTIAL, TOTAL, PRESSURE, VOLUME = range(6)
"""Columns of ``thermo``: ps, K, eV, eV, GPa, Å³."""
FINISHED, OUT_OF_TIME = "finished", "out of time"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A run as far as it has gone, or a piece of it.

    steps: survived since the start. seconds: of processor time spent on them. thermo: (k, 6).
    times: of frames, (m,), ps; positions: (m, n_atoms, 3), Å, not folded into the cell; cells: (m, 3, 3), Å.
    end: empty while it goes on, then ``finished``, ``out of time``, or the cause of a failure; detail: a sentence.
    """

    run: MdRun
    steps: int
    seconds: float
    thermo: Array
    times: Array
    positions: Array
    cells: Array
    end: str = ""
    detail: str = ""

    @classmethod
    def of(cls, run: MdRun, pieces: Sequence[Trajectory], end: str = "", detail: str = "") -> Trajectory:
        """Join the pieces; ``end`` and ``detail`` are given where the process could not report them."""
        n_atoms = len(run.atoms)
        return cls(
            run=run,
            steps=max((piece.steps for piece in pieces), default=0),
            seconds=max((piece.seconds for piece in pieces), default=0.0),
            thermo=np.concatenate([np.empty((0, 6)), *(piece.thermo for piece in pieces)]),
            times=np.concatenate([np.empty(0), *(piece.times for piece in pieces)]),
            positions=np.concatenate([np.empty((0, n_atoms, 3)), *(piece.positions for piece in pieces)]),
            cells=np.concatenate([np.empty((0, 3, 3)), *(piece.cells for piece in pieces)]),
            end=end or (pieces[-1].end if pieces else ""),
            detail=detail or (pieces[-1].detail if pieces else ""),
        )

    @property
    def failed(self) -> bool:
        """True unless the run came to its end or ran out of time."""
        return self.end not in (FINISHED, OUT_OF_TIME)

    def stable_fraction(self, allowed_seconds: float) -> float:
        """Survived steps by planned ones.

        Planned steps that would not have fitted into the time allowed, at the speed until the failure, do not count.
        """
        if not self.failed:
            return 1.0
        if self.steps == 0:
            return 0.0
        reachable = self.steps * allowed_seconds / max(self.seconds, 1e-9)
        return self.steps / max(min(self.run.steps, reachable), self.steps + 1)
