"""From the per-atom values of a basis to the latent space in which pruners choose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tamis.exceptions import TamisError
from tamis.pruners.base import Array, Features, Indices

POOLINGS = ("mean", "mean_std")
SCALINGS = ("none", "standard", "global")


@dataclass(frozen=True)
class LatentSpace:
    """Scaling, rotation and pooling of per-atom values, all fitted on the pool that is passed, and on nothing else.

    The order is scale, then PCA, then pool. Scaling and PCA are fitted on environments, because a
    rare atom is a large part of the spread of environments but a small part of the spread of structure means; and
    because pooling comes last, a structure's vector is exactly the mean of the environments that atom-wise
    pruners see.

    pooling: ``mean`` gives a structure the mean of its environments, (K,); ``mean_std`` appends the standard
        deviation over its atoms, (2 K,), which tells a crystal with one odd atom from a slightly strained one.
    scaling: ``none`` keeps the basis' own numbers; ``standard`` makes every column zero mean and unit variance;
        ``global`` subtracts the mean and divides all columns by one number, so that the mean squared distance from the
        mean is 1 and columns keep their relative weight. A column that does not vary beyond rounding becomes zero.
    pca_variance: part of the environments' variance that the kept principal axes hold, between 0 and 1; None keeps
        all columns.
    """

    pooling: str
    scaling: str
    pca_variance: float | None

    def __post_init__(self) -> None:
        if self.pooling not in POOLINGS:
            raise TamisError(f"latent.pooling is {self.pooling!r}; it must be one of {', '.join(POOLINGS)}")
        if self.scaling not in SCALINGS:
            raise TamisError(f"latent.scaling is {self.scaling!r}; it must be one of {', '.join(SCALINGS)}")
        if self.pca_variance is not None and not 0.0 < self.pca_variance < 1.0:
            raise TamisError(
                f"latent.pca_variance is {self.pca_variance}; it must lie between 0 and 1 (say 0.99), "
                "or be null to keep all columns"
            )

    def features(self, values: Sequence[Array], groups: Sequence[str]) -> Features:
        """What pruners see of a pool.

        Parameters
        ----------
        values : one array (n_atoms, K) per structure of the pool; K = 0 for ``descriptor=none``.
        groups : the kind of each structure, as many names as arrays.

        Raises
        ------
        TamisError : no structures, arrays of different width, a structure without atoms, numbers that are not finite.
        """
        _check(values, groups)
        n_atoms = np.array([len(v) for v in values], dtype=np.intp)
        owners = np.repeat(np.arange(len(values), dtype=np.intp), n_atoms)
        environments = self._rotate(self._scale(np.concatenate(values).astype(np.float64, copy=False)))
        return Features(
            vectors=self._pool(environments, owners, n_atoms),
            environments=environments,
            owners=owners,
            n_atoms=n_atoms,
            groups=tuple(groups),
        )

    def _scale(self, environments: Array) -> Array:
        """Scale in place: the argument is a fresh copy of the pool's values, and there may be 100 MB of them."""
        if self.scaling == "none" or environments.shape[1] == 0:
            return environments
        magnitude = np.maximum(environments.max(axis=0), -environments.min(axis=0))
        environments -= environments.mean(axis=0)
        deviation = np.sqrt(np.einsum("ij,ij->j", environments, environments) / len(environments))
        # What is left of a constant column is rounding, which a division by its spread would blow up to noise of
        # unit variance: of the column itself, or of the larger columns that cancelled in it.
        varies = deviation > np.maximum(1e-10 * magnitude, 1e-14 * magnitude.max())
        spread = deviation if self.scaling == "standard" else np.sqrt(np.sum(deviation[varies] ** 2))
        environments *= np.divide(1.0, spread, out=np.zeros_like(deviation), where=varies)
        return environments

    def _rotate(self, environments: Array) -> Array:
        """Project on the principal axes; signs of axes are arbitrary, distances are not."""
        varies = environments.size > 0 and bool(np.ptp(environments, axis=0).any())
        if self.pca_variance is None or not varies:
            return environments
        from sklearn.decomposition import PCA

        return PCA(n_components=self.pca_variance, svd_solver="covariance_eigh").fit_transform(environments)

    def _pool(self, environments: Array, owners: Indices, n_atoms: Indices) -> Array:
        starts = np.cumsum(n_atoms) - n_atoms
        means = np.add.reduceat(environments, starts, axis=0) / n_atoms[:, None]
        if self.pooling == "mean":
            return means
        squares = (environments - means[owners]) ** 2
        deviations = np.sqrt(np.add.reduceat(squares, starts, axis=0) / n_atoms[:, None])
        return np.hstack([means, deviations])


def _check(values: Sequence[Array], groups: Sequence[str]) -> None:
    if len(values) == 0:
        raise TamisError("the pool is empty: there are no structures to make features of")
    if len(groups) != len(values):
        raise TamisError(f"{len(groups)} groups for {len(values)} structures; give one name per structure")
    for i, array in enumerate(values):
        if array.ndim != 2 or len(array) == 0:
            raise TamisError(
                f"structure {i} of the pool has per-atom values of shape {array.shape}; "
                "(n_atoms, n_features) with at least one atom is needed"
            )
        if array.shape[1] != values[0].shape[1]:
            raise TamisError(
                f"structure {i} of the pool has {array.shape[1]} features, structure 0 has {values[0].shape[1]}; "
                "all must come from one basis"
            )
        if not np.isfinite(array).all():
            raise TamisError(
                f"structure {i} of the pool has features that are NaN or infinite; look for overlapping atoms in it "
                "or remove it"
            )
