"""tamis: prune the training set of an interatomic potential, retrain it, measure what that did.

The names below are those of ``tamis.api`` (docs/python.md), loaded when the first of them is asked for.
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
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

if TYPE_CHECKING:
    from tamis.api import (
        Comparison,
        FittedPotential,
        calculator,
        compare,
        describe,
        evaluate,
        fit,
        prune,
        read,
    )
    from tamis.core.errors import TamisError
    from tamis.data.dataset import Dataset
    from tamis.models.base import Predictions
    from tamis.report.description import Description


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tamis import api

    return getattr(api, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
