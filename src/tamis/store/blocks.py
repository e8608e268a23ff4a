"""The numbers in a structure's block, by kind: values of the basis, their gradients, or design rows."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from ase import Atoms

from tamis.bases.base import Array, Basis, DesignRows, LinearBasis
from tamis.bases.gradients import GradientBasis
from tamis.core.errors import TamisError
from tamis.core.memory import RowArray
from tamis.store.block_files import write_block

VALUES, GRADIENTS, DESIGN = "values", "gradients", "design"


def make_block(basis: Basis, atoms: Atoms, path: Path, kind: str) -> RowArray:
    """Compute one structure's block and write it; returns the block.

    Raises
    ------
    TamisError : the numbers are not finite, or the file cannot be written.
    """
    block = _compute(basis, atoms, kind)
    if not np.isfinite(block["derivative"] if kind == GRADIENTS else block).all():
        raise TamisError(
            f"{type(basis).__name__} gives NaN or infinity for a structure of {len(atoms)} atoms "
            f"({atoms.get_chemical_formula()}); look for atoms on top of each other"
        )
    write_block(path, block)
    return block


def keeps_values(basis: Basis) -> bool:
    """Whether the design blocks of a basis begin with a row for each atom."""
    return isinstance(basis, LinearBasis) and type(basis).keeps_values


def design_rows(block: Array, n_atoms: int) -> DesignRows:
    """The rows in a design block, without a copy."""
    n_values = len(block) - 3 * n_atoms - 6
    return DesignRows(
        energy=block[:n_values].sum(axis=0),
        forces=block[n_values:-6].reshape(n_atoms, 3, -1),
        strain_gradient=block[-6:],
    )


def _compute(basis: Basis, atoms: Atoms, kind: str) -> RowArray:
    if kind == VALUES:
        return np.asarray(basis.values(atoms), dtype=np.float64)
    if kind == GRADIENTS:
        return cast(GradientBasis, basis).gradients(atoms)
    values, rows = cast(LinearBasis, basis).evaluate(atoms)
    first = values if keeps_values(basis) else rows.energy[None]
    return np.concatenate([first, rows.forces.reshape(3 * len(atoms), -1), rows.strain_gradient])
