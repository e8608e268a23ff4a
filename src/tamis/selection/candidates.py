"""Environments that may become sparse points, chosen within each structure, so that a slice keeps its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms

from tamis.bases.gap.basis import Candidates
from tamis.bases.soap import SoapBasis
from tamis.core.errors import TamisError
from tamis.data.dataset import structure_key
from tamis.selection.base import Array, Indices
from tamis.selection.greedy import first_largest
from tamis.store import Store

ALIKE = 1e-4
"""Environments nearer than this (length of the difference of unit vectors) have the same kernel to 1e-8."""


def choose_candidates(
    soap: SoapBasis, structures: Sequence[Atoms], per_structure: int, store: Store
) -> Candidates:
    """At most ``per_structure`` environments of each structure, by farthest point sampling in SOAP space.

    Structures that are equal give their candidates once.
    """
    points, elements, owners = [], [], []
    values = store.lazy_values(soap, structures)
    seen: set[str] = set()
    n_bytes = 0
    for atoms, vectors in zip(structures, values, strict=True):
        key = structure_key(atoms)
        if key in seen:
            continue
        seen.add(key)
        symbols = np.array(atoms.get_chemical_symbols())
        chosen = farthest_apart(vectors, per_structure)
        block = [soap.elements.index(symbol) for symbol in symbols[chosen]]
        points.append(vectors.reshape(len(atoms), len(soap.elements), soap.width)[chosen, block])
        n_bytes += 2 * points[-1].nbytes  # one by one, and together
        with store.memory.holding():  # room for them now; a fit counts them among what it holds
            store.memory.reserve(n_bytes, "candidates for sparse points (model.candidates_per_structure)")
        elements.append(symbols[chosen])
        owners.append(np.repeat(key, len(chosen)))
    if not points:
        raise TamisError("there are no structures to take sparse points from; keep at least one")
    return Candidates(np.concatenate(points), np.concatenate(elements), np.concatenate(owners))


def farthest_apart(vectors: Array, n: int) -> Indices:
    """At most ``n`` different rows: the farthest from the mean, then always the farthest from those chosen."""
    nearest = np.linalg.norm(vectors - vectors.mean(axis=0), axis=1)
    chosen: list[int] = []
    while len(chosen) < n and (not chosen or nearest.max() > ALIKE):
        i = first_largest(nearest, 1.0)
        away = np.linalg.norm(vectors - vectors[i], axis=1)
        nearest = np.minimum(nearest, away) if chosen else away
        chosen.append(i)
    return np.array(chosen, dtype=np.intp)
