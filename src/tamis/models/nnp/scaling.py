"""How symmetry functions become the input of a network: n2p2's five ways."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError

Array = NDArray[np.float64]

KEYWORDS = {
    "none": (),
    "minmax": ("scale_symmetry_functions",),
    "center": ("center_symmetry_functions",),
    "minmax_center": ("scale_symmetry_functions", "center_symmetry_functions"),
    "sigma": ("scale_symmetry_functions_sigma",),
}
"""The ways, and the keywords of n2p2's input.nn that ask for them."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """Scaling of the m symmetry functions of one element.

    kind: a key of ``KEYWORDS``. minimum, maximum, mean, sigma: (m,) over the atoms of the training set.
    low, high: the values that a range, or one sigma, is mapped to.
    """

    kind: str
    minimum: Array
    maximum: Array
    mean: Array
    sigma: Array
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        spread = self._spread
        if spread is not None and not (spread > 0).all():
            raise TamisError(
                f"symmetry function {int(np.argmin(spread > 0)) + 1} has a spread of 0 and cannot be scaled by it; "
                "remove it"
            )

    @property
    def _spread(self) -> Array | None:
        """The range of values that is mapped to ``low`` to ``high``; None where values keep their unit."""
        if self.kind == "sigma":
            return self.sigma
        return self.maximum - self.minimum if self.kind.startswith("minmax") else None

    def affine(self) -> tuple[Array, Array, Array]:
        """shift, factor, base, each (m,): scaled = (values - shift) * factor + base."""
        zeros, ones = np.zeros(len(self.mean)), np.ones(len(self.mean))
        shift = {"none": zeros, "minmax": self.minimum}.get(self.kind, self.mean)
        if self._spread is None:
            return shift, ones, zeros
        return shift, (self.high - self.low) / self._spread, self.low * ones
