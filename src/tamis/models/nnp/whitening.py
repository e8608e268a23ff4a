"""Decorrelated inputs, which make small networks on symmetry functions train fast.

Symmetry functions are strongly correlated (the eigenvalues of their correlation matrix span many orders of
magnitude), so in their own coordinates the loss is a narrow valley. Networks are trained on x = ((G - mean) / sigma) T
with unit variance in the leading directions; afterwards T is folded into the first layer, so that files hold plain
networks.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.models.nnp.network import Network
from tamis.models.nnp.scaling import Scaling

Array = NDArray[np.float64]

FLOOR = 1e-4
"""Directions with less than this part of the largest variance are not stretched further: they are mostly noise."""
CONSTANT = 1e-10
"""A function whose spread is below this part of its size is constant, and switched off."""


@dataclass(frozen=True, eq=False)
class Whitening:
    """Of one element's m functions: scaling by sigma, then ``transform`` (m, m); x = scaled @ transform."""

    scaling: Scaling
    transform: Array

    @classmethod
    def of(cls, values: Array) -> Whitening:
        """From the values of all atoms of the element in the training set, (n_atoms, m); none switches all off."""
        m = values.shape[1]
        if len(values) == 0:
            return cls(Scaling("sigma", np.zeros(m), np.zeros(m), np.zeros(m), np.ones(m)), np.zeros((m, m)))
        low, high, mean = values.min(axis=0), values.max(axis=0), values.mean(axis=0)
        sigma = np.sqrt(((values - mean) ** 2).sum(axis=0) / max(len(values) - 1, 1))
        varies = sigma > CONSTANT * np.abs(values).max(axis=0)
        sigma = np.where(varies, sigma, 1.0)
        scaled = np.where(varies, (values - mean) / sigma, 0.0)
        variances, directions = np.linalg.eigh(scaled.T @ scaled / len(values))
        floor = FLOOR * variances[-1]
        stretch = 1.0 / np.sqrt(np.maximum(variances, floor)) if floor > 0 else np.zeros(m)
        transform = np.where(varies[:, None], directions * stretch, 0.0)
        return cls(Scaling("sigma", low, high, mean, sigma), transform)

    def inputs(self, values: Array) -> NDArray[np.float32]:
        """Network inputs of atoms, (n_atoms, m)."""
        return ((values - self.scaling.mean) @ self._linear).astype(np.float32)

    def directions(self, derivatives: NDArray[np.float32]) -> NDArray[np.float32]:
        """Derivatives of the inputs from those of the functions, (n, m)."""
        return derivatives @ self._linear.astype(np.float32)

    @property
    def _linear(self) -> Array:
        return self.transform / self.scaling.sigma[:, None]

    def fold(self, network: Network) -> Network:
        """The network that takes the scaled functions instead of x."""
        n_weights = network.sizes[0] * network.sizes[1]
        first, _ = network.layers()[0]
        folded = np.concatenate([(self.transform @ first).ravel(), network.parameters[n_weights:]])
        return Network(network.sizes, network.activations, folded)
