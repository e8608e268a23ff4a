"""What is wrong with a study."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from hydra.errors import HydraException


class StudyError(HydraException):
    """A sentence for the user: what is wrong, the value, what is allowed, what to do."""


def suggest(word: str, known: Iterable[str]) -> str:
    """``did you mean x? `` for the most similar of the ``known`` words; nothing where none is similar."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}? " if close else ""
