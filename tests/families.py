"""The five families in sizes that a test can fit, and a few cells to fit them to."""

from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk
from hydra.utils import instantiate
from tests.composing import choices, composed
from tests.training import labelled

from tamis.data.dataset import Dataset
from tamis.data.sources.stillinger_weber import calculator

FAMILIES = [name for name in choices("model") if "_" not in name]
"""One model of each family: a name with an underscore is a variant, or an outside trainer."""
SMALLER = {
    "ace": ["model.basis.nradmax_by_orders=[8,5,2]", "model.basis.lmax_by_orders=[0,4,2]"],
    "chimes": ["model.basis.order_2b=8", "model.basis.order_3b=5"],
    "gap": [
        "model.n_sparse=60",
        "model.candidates_per_structure=5",
        "model.basis.n_max=5",
        "model.basis.l_max=4",
    ],
    # a ridge that keeps so small a fit from being rough where it was not trained, which quadrature would not like
    "nnp": ["model.n_networks=2", "model.hidden=[8,8]", "model.ridges=[0.1]", "model.max_iterations=15"],
    "snap": ["model.basis.twojmax=6"],
}
"""Sizes that make a fit take a second; a family without an entry is fitted as its file says."""


def small_model(family: str, *overrides: str) -> Any:
    """The family's model as its file has it, but small."""
    return instantiate(
        composed(f"model={family}", *SMALLER.get(family, []), *overrides).model, _convert_="all"
    )


def rattled_silicon(folder: Path) -> Dataset:
    """12 strained and rattled cells of 2 and 8 atoms with Stillinger-Weber labels; ``folder`` for its parameters."""
    structures = []
    for i in range(12):
        rng = np.random.default_rng(i)
        atoms = bulk("Si", "diamond", a=5.2 + 0.04 * i, cubic=i % 3 == 0)
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + rng.normal(scale=0.02, size=(3, 3))), scale_atoms=True)
        atoms.rattle(0.02 + 0.02 * (i % 4), rng=rng)
        structures.append(atoms)
    return labelled(structures, calculator(folder))
