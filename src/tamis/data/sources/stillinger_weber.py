"""The Stillinger-Weber potential of silicon, evaluated by LAMMPS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.core.errors import TamisError

if TYPE_CHECKING:
    from tamis.engines.lammps import LammpsCalculator

LATTICE_CONSTANT = 5.431
"""Å, of the diamond crystal."""
SIGMA = 2.0951
R_CUT = 1.80 * SIGMA
"""Å, a sigma."""
PARAMETERS = f"Si Si Si 2.1683 {SIGMA} 1.80 21.0 1.20 -0.333333333333 7.049556277 0.6022245584 4.0 0.0 0.0\n"
"""epsilon (eV), sigma (Å), a, lambda, gamma, cos theta0, A, B, p, q, tolerance (0: LAMMPS' own cutoff).

F. H. Stillinger and T. A. Weber, Phys. Rev. B 31, 5262 (1985), with epsilon = 50 kcal/mol."""


def pair_lines(folder: Path) -> tuple[str, str]:
    """LAMMPS commands of the potential; its parameter file is written to ``folder``."""
    path = folder / "stillinger_weber_1985.sw"
    try:
        if not path.is_file() or path.read_text() != PARAMETERS:
            folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
            temporary.write_text(PARAMETERS)
            temporary.replace(path)
    except OSError as error:
        raise TamisError(
            f"cannot write {path} ({error}); set dataset.cache to a folder that can be"
        ) from error
    return "pair_style sw", f'pair_coeff * * "{path.resolve()}" Si'


def calculator(folder: Path) -> LammpsCalculator:
    """An ASE calculator: energy (eV), forces (eV/Å), stress (eV/Å³, ASE sign)."""
    from tamis.engines.lammps import LammpsCalculator

    return LammpsCalculator(pair_lines(folder), ("Si",), R_CUT)
