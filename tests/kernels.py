"""``python -m tests.kernels`` compiles what the families compute with, before two workers of pytest both do it."""

import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from tests.families import FAMILIES, rattled_silicon, small_model

from tamis.core.errors import MissingEngineError
from tamis.store import Store


def main() -> None:
    """Fit a small model of each family, and use it; numba keeps what it compiles beside the sources."""
    with tempfile.TemporaryDirectory() as folder:
        pool, store = rattled_silicon(Path(folder)), Store(Path(folder) / "store", 1)
        for family in FAMILIES:
            with suppress(MissingEngineError):
                model = small_model(family)
                model.prepare(pool, store)
                model.basis.values(pool.structures[0])
                potential = model.fit(pool, pool.subset([]), store, np.random.default_rng(0))
                potential.calculator().get_property("stress", pool.structures[0])


if __name__ == "__main__":
    main()
