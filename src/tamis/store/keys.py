"""The name of a basis in the store: a hash of everything that its numbers depend on, apart from the structure."""

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
    """Everything that the numbers of a basis depend on, apart from the structure.

    Fields with ``compare=False`` are left out: they are large arrays, and another field holds their fingerprint.
    """
    engine = type(basis).engine
    return {
        "class": f"{_family_of(type(basis))}.{type(basis).__qualname__}",
        "revision": basis.values_revision,
        "engine": None if engine is None else f"{engine} {_version(engine)}",
        "config": _plain(basis),
    }


def basis_key(basis: Basis) -> str:
    """Class and SHA-256 (20 hex digits) of ``basis_identity``; a model's own descriptor has the model's key."""
    text = json.dumps(basis_identity(basis), sort_keys=True, default=str)
    return f"{type(basis).__name__}-{hashlib.sha256(text.encode()).hexdigest()[:20]}"


def _family_of(kind: type[Basis]) -> str:
    """The module of a class; for classes of tamis only its first three parts, so that keys outlive moved files."""
    module = kind.__module__
    return ".".join(module.split(".")[:3]) if module.startswith("tamis.") else module


def _plain(value: Any) -> Any:
    """A dataclass as nested dictionaries; numbers by element become a list, as in all stores so far."""
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
        return "not from pip"  # built by the user, or missing, which the basis says when it computes
