"""Under which name the rows of a basis are kept: a hash of all that they depend on, apart from the structure."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any

from tamis.bases.base import Basis
from tamis.core.elements import ByElement


def basis_identity(basis: Basis) -> dict[str, object]:
    """All that the numbers of a basis depend on, apart from the structure.

    A field that takes no part in comparisons (``compare=False``) is left out: large arrays, for which another field
    holds a fingerprint.
    """
    engine = type(basis).engine
    return {
        "class": f"{_family_of(type(basis))}.{type(basis).__qualname__}",
        "revision": basis.values_revision,
        "engine": None if engine is None else f"{engine} {_version(engine)}",
        "config": _plain(basis),
    }


def basis_key(basis: Basis) -> str:
    """SHA-256 (20 hex digits) of ``basis_identity``; the own descriptor of a model has the model's key."""
    text = json.dumps(basis_identity(basis), sort_keys=True, default=str)
    return f"{type(basis).__name__}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def _family_of(kind: type[Basis]) -> str:
    """The module of a class; of one in ``tamis.bases.<family>`` its family, in whichever file of that it stands."""
    module = kind.__module__
    return ".".join(module.split(".")[:3]) if module.startswith("tamis.") else module


def _plain(value: Any) -> Any:
    """A dataclass, and those in its fields, as dictionaries; numbers by element as a list, as ever."""
    if isinstance(value, ByElement):
        return list(value.values())
    if not is_dataclass(value):
        return value
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value) if f.compare}


@lru_cache
def _version(engine: str) -> str:
    try:
        return importlib.metadata.version(engine)
    except importlib.metadata.PackageNotFoundError:
        return "not from pip"  # built by the user, or missing: then the basis says so when it computes
