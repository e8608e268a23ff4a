"""A Behler-Parrinello potential: symmetry functions, their scaling, one network per element."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tamis.bases.acsf.table import SymmetryFunctionTable
from tamis.core.errors import TamisError
from tamis.models.base import Potential
from tamis.models.nnp.calculator import NnpCalculator
from tamis.models.nnp.files import (
    SCALING,
    SETTINGS,
    hdnnp_lines,
    number_of,
    read_network,
    read_scalings,
    read_settings,
    read_table,
    write_n2p2,
)
from tamis.models.nnp.network import Network
from tamis.models.nnp.scaling import Scaling

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NnpPotential(Potential):
    """Energy of an atom = the output of its element's network, eV, plus its element's offset.

    table: symmetry functions of all elements.
    scalings, networks: one of each element of the table, in its order.
    offsets: (n_elements,) eV.
    """

    table: SymmetryFunctionTable
    scalings: tuple[Scaling, ...]
    networks: tuple[Network, ...]
    offsets: Array

    def calculator(self) -> NnpCalculator:
        """A compiled ASE calculator with energy, forces and stress."""
        return NnpCalculator(self.table, self.scalings, self.networks, self.offsets)

    def write(self, folder: Path) -> list[Path]:
        """Write input.nn, scaling.data and weights.*.data of n2p2, in Å and eV."""
        return write_n2p2(folder, self.table, self.scalings, self.networks, self.offsets)

    def lammps(self, folder: Path) -> tuple[str, ...]:
        """Lines for a LAMMPS with ML-HDNNP."""
        return hdnnp_lines(folder, self.table.r_cut, self.table.elements)


def read_n2p2(folder: Path, length: float = 1.0, energy: float = 1.0) -> NnpPotential:
    """The potential in a folder.

    Parameters
    ----------
    folder : with input.nn, scaling.data and weights.*.data.
    length, energy : the files' units in Å and eV (Bohr: 0.529177210903, Hartree: 27.211386245988).

    Raises
    ------
    TamisError : a file is missing or damaged, or asks for what tamis does not have.
    """
    try:
        settings = read_settings(folder / SETTINGS)
        table = read_table(settings, length)
        scalings = read_scalings(folder / SCALING, table, settings)
        networks = [
            read_network(folder, element, len(scaling.mean), settings)
            for element, scaling in zip(table.elements, scalings, strict=True)
        ]
        unit = energy / number_of(settings, "conv_energy", 1.0)
        if unit != 1.0:
            networks = [network.scaled(unit) for network in networks]
        free = {words[0]: float(words[1]) for words in settings.get("atom_energy", [])}
        mean = number_of(settings, "mean_energy", 0.0)
    except (TamisError, OSError, ValueError, LookupError, ArithmeticError) as error:
        raise TamisError(
            f"the n2p2 potential in {folder} cannot be read ({error}); write or fit it again, or copy all its files"
        ) from error
    offsets = np.array([(free.get(element, 0.0) + mean) * energy for element in table.elements])
    return NnpPotential(table, scalings, tuple(networks), offsets)
