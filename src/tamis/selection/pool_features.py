"""The pool as a pruner sees it: in a latent space, as distances between structures, or as design rows."""

from tamis.bases.base import Basis, StructureBasis
from tamis.data.dataset import Dataset
from tamis.selection.base import Features, Pruner
from tamis.selection.latent import LatentSpace
from tamis.selection.row_sources import features_of_rows
from tamis.selection.whole_structures import features_of_structures
from tamis.store import Store


def features_of_pool(
    basis: Basis, latent: LatentSpace, pool: Dataset, pruner: Pruner, store: Store
) -> Features:
    """What ``pruner`` looks at. ``latent`` is for values of atoms; rows and whole structures are taken as they are.

    Raises
    ------
    TamisError : the memory of the store is too small, or a structure cannot be treated.
    """
    if pruner.needs_information:
        return features_of_rows(basis, pool, store, pruner.noise)
    if isinstance(basis, StructureBasis):
        return features_of_structures(basis, pool, store)
    values = store.lazy_values(basis, pool.structures)
    return latent.features(values, pool.groups, pruner, store.memory)
