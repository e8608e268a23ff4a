"""What a notebook does with tamis: ``import tamis`` has the names of this module (docs/python.md).

The same parts as on the command line, with the same defaults, without a run folder. Every function takes structures as
a ``Dataset``, one or several ``ase.Atoms``, or files; nothing is held out of them, except for what a ``Dataset`` marks
for testing.
"""

from tamis.api.comparing import Comparison, compare
from tamis.api.potentials import FittedPotential, evaluate, fit
from tamis.api.pruning import prune
from tamis.api.reading import calculator
from tamis.api.structures import describe, read
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.models.base import Predictions
from tamis.report.description import Description

__all__ = [
    "Comparison",
    "Dataset",
    "Description",
    "FittedPotential",
    "Predictions",
    "TamisError",
    "calculator",
    "compare",
    "describe",
    "evaluate",
    "fit",
    "prune",
    "read",
]
