"""Messages about unknown words, which suggest a similar one that is known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any


def suggest(word: str, known: Iterable[str]) -> str:
    """``did you mean x? `` for the most similar of the ``known`` words; empty if none is similar."""
    close = get_close_matches(word, list(known), n=1)
    return f"did you mean {close[0]}? " if close else ""


def unknown_setting(name: str, known: Iterable[Any]) -> str:
    """The message about a dotted key that does not exist; ``known`` are the keys beside it."""
    parent, _, key = name.rpartition(".")
    keys = [str(k) for k in known if k not in ("_target_", "hydra")]
    if name == "dataset.train":  # who types it has files
        return "dataset.train is a setting of dataset=file; add dataset=file"
    return f"{name} is no setting; {suggest(key, keys)}{parent or 'the configuration'} has {', '.join(keys)}"
