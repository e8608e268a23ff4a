"""A Behler-Parrinello potential: symmetry functions, their scaling, one network per element."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.bases.acsf.table import SymmetryFunctionTable
from tamis.core.errors import TamisError
from tamis.models.base import Potential
from tamis.models.nnp.calculator import NnpCalculator
from tamis.models.nnp.network import Network
from tamis.models.nnp.scaling import Scaling

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NnpPotential(Potential):
    """Energy of an atom = ``energy_unit`` times the output of its element's network, plus its element's offset.

    table: symmetry functions of all elements.
    scalings, networks: one of each element of the table, in its order.
    offsets: (n_elements,) eV.
    energy_unit: eV per unit of the networks.
    members: networks of which ``networks`` are the mean, each one per element; empty where there is one network.
    fit_report: what the fit chose and found. doubt: why that rests on too little.
    """

    table: SymmetryFunctionTable
    scalings: tuple[Scaling, ...]
    networks: tuple[Network, ...]
    offsets: Array
    energy_unit: float = 1.0
    members: tuple[tuple[Network, ...], ...] = ()
    fit_report: Mapping[str, float] = field(default_factory=dict)
    doubt: str = ""

    @property
    def problem(self) -> str:
        """Why what the fit chose rests on too little."""
        return self.doubt

    @property
    def diagnostics(self) -> Mapping[str, float]:
        """Chosen setting, errors on the held-out folds, iterations."""
        return self.fit_report

    def calculator(self) -> NnpCalculator:
        """A compiled ASE calculator with energy, forces and stress."""
        return NnpCalculator(self.table, self.scalings, self.networks, self.offsets, self.energy_unit)

    def spread(self, atoms: Atoms) -> tuple[float, Array]:
        """How far the members disagree: standard deviation of the energy, eV, and of each force, (n_atoms, 3), eV/Å.

        Raises
        ------
        TamisError : there are not at least two members.
        """
        if len(self.members) < 2:
            raise TamisError(
                f"this potential has {len(self.members)} member networks; fit with n_networks of at least 2 for a "
                "spread"
            )
        energies, forces = [], []
        for networks in self.members:
            calculator = NnpCalculator(self.table, self.scalings, networks, self.offsets, self.energy_unit)
            energies.append(calculator.get_property("energy", atoms))
            forces.append(calculator.get_property("forces", atoms))
        return float(np.std(energies, ddof=1)), np.std(forces, axis=0, ddof=1)

    def write(self, folder: Path) -> list[Path]:
        """Write input.nn, scaling.data and weights.*.data of n2p2, in Å and eV."""
        from tamis.models.nnp.files import write_n2p2

        return write_n2p2(folder, self)

    def lammps(self, folder: Path) -> tuple[str, ...]:
        """Lines for a LAMMPS with ML-HDNNP; atom types in the order of the elements."""
        return (
            f'pair_style hdnnp {self.table.r_cut!r} dir "{folder}" showew no showewsum 0 maxew 1000000 resetew yes '
            "cflength 1.0 cfenergy 1.0",
            f"pair_coeff * * {' '.join(self.table.elements)}",
        )
