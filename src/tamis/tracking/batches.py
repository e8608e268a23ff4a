"""Many entries to one run: what MLflow refuses is left out and named, and costs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
BATCH = 1000
"""Most metrics that MLflow takes in one call."""
REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")
"""MLflow's words for what is wrong with an entry; a server that is away and a full disk have others."""


def send_all(entries: Sequence[T], send: Callable[[Sequence[T]], object]) -> list[T]:
    """Send the entries in batches; returns those that MLflow refuses.

    ``send`` raises where it refuses one of them. Whatever else it raises is handed on: no entry is to blame.
    """
    refused: list[T] = []
    for start in range(0, len(entries), BATCH):
        refused += _send(entries[start : start + BATCH], send)
    return refused


def _send(entries: Sequence[T], send: Callable[[Sequence[T]], object]) -> list[T]:
    from mlflow.exceptions import MlflowException

    try:
        send(entries)
    except (MlflowException, UnicodeError) as error:
        if isinstance(error, MlflowException) and error.error_code not in REFUSED:
            raise
        if len(entries) == 1:
            return list(entries)
        middle = len(entries) // 2
        return _send(entries[:middle], send) + _send(entries[middle:], send)
    return []
