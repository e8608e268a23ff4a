"""How symmetry functions become the input of a network: n2p2's five ways."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError

Array = NDArray[np.float64]

KEYWORDS = {
    "none": (),
    "range": ("scale_symmetry_functions",),
    "center": ("center_symmetry_functions",),
    "range_center": ("scale_symmetry_functions", "center_symmetry_functions"),
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
        if self.kind not in KEYWORDS:
            raise TamisError(f"scaling {self.kind!r} is unknown; choose one of {', '.join(KEYWORDS)}")
        spread = {"sigma": self.sigma, "none": None, "center": None}.get(
            self.kind, self.maximum - self.minimum
        )
        if spread is not None and not (spread > 0).all():
            raise TamisError(
                f"symmetry function {int(np.argmin(spread > 0)) + 1} has a spread of 0 and cannot be scaled by it; "
                "remove it"
            )

    def affine(self) -> tuple[Array, Array, Array]:
        """shift, factor, base, each (m,): scaled = (values - shift) * factor + base."""
        m = len(self.mean)
        zeros, ones = np.zeros(m), np.ones(m)
        width = self.high - self.low
        if self.kind == "range":
            return self.minimum, width / (self.maximum - self.minimum), np.full(m, self.low)
        if self.kind == "center":
            return self.mean, ones, zeros
        if self.kind == "range_center":
            return self.mean, width / (self.maximum - self.minimum), np.full(m, self.low)
        if self.kind == "sigma":
            return self.mean, width / self.sigma, np.full(m, self.low)
        return zeros, ones, zeros
