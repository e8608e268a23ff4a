"""A run in a process of its own: a blow-up, a crash or a hang ends there, with what the run had."""

from __future__ import annotations

from tamis.evaluation.dynamics.engine import Task, integrate
from tamis.evaluation.dynamics.guards import HUNG, cause_of
from tamis.evaluation.dynamics.trajectory import Piece, Trajectory
from tamis.evaluation.isolate import StoppedError, run_apart

SILENCE = "not done after"
"""How ``run_apart`` begins to tell of a process that said nothing for too long."""


def follow(task: Task, patience: float) -> Trajectory:
    """Integrate ``task`` apart; a process that gives no sign of life for ``patience`` seconds has hung, and ends."""
    pieces: list[Piece] = []
    try:
        for piece in run_apart(integrate, task, patience, each=True):
            pieces.append(piece)  # one by one: what came before the end is kept
    except StoppedError as error:
        reason = str(error)
        if reason.startswith(SILENCE):
            return Trajectory.of(task.run, pieces, HUNG, f"no sign of life for {patience:g} s")
        return Trajectory.of(task.run, pieces, cause_of(reason), reason)
    return Trajectory.of(task.run, pieces)
