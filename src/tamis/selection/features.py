"""The pool as a pruner sees it."""

from __future__ import annotations

from tamis.bases.base import Basis
from tamis.data.dataset import Dataset
from tamis.selection.base import Features, Pruner
from tamis.selection.latent import LatentSpace
from tamis.selection.row_sources import features_of_rows
from tamis.store import Store


def features_of(
    pool: Dataset, descriptor: Basis, latent: LatentSpace, pruner: Pruner, store: Store
) -> Features:
    """In the latent space of the descriptor, or as design rows where the pruner looks at these.

    Raises
    ------
    TamisError : the memory of the store is too small, or a structure cannot be treated.
    """
    if pruner.needs_information:
        return features_of_rows(descriptor, pool, store)
    values = store.lazy_values(descriptor, pool.structures)
    return latent.features(values, pool.groups, pruner, store.memory)
