"""Checks whether labels are plausible: fillers, units, signs, free atoms (docs/plausibility.md)."""

from tamis.data.plausibility.fillers import find_fillers
from tamis.data.plausibility.free_atoms import free_atoms_in, set_isolated_apart
from tamis.data.plausibility.label_units import UNTYPED, Factors, unit_doubts

__all__ = [
    "UNTYPED",
    "Factors",
    "find_fillers",
    "free_atoms_in",
    "set_isolated_apart",
    "unit_doubts",
]
