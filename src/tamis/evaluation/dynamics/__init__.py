"""MD: stability, structure, extrapolation."""

from tamis.evaluation.dynamics.dynamics import Dynamics

__all__ = ["Dynamics"]
