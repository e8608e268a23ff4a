"""ChIMES: 2-, 3- and 4-body Chebyshev polynomials of Morse-transformed distances."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tamis.bases.base import Array, DesignRows
from tamis.bases.chimes.calculator import ChimesCalculator
from tamis.bases.chimes.clusters import clusters_by_kind
from tamis.bases.chimes.functions import ChimesFunctions
from tamis.bases.chimes.kernel import add_clusters
from tamis.bases.chimes.writer import write_params
from tamis.bases.neighbours import neighbours_of
from tamis.core.elements import species_of
from tamis.core.errors import TamisError

PARAMETER_FILE = "params.txt"


@dataclass(frozen=True)
class ChimesBasis(ChimesFunctions):
    """The functions that ``ChimesFunctions`` describes, evaluated."""

    def values(self, atoms: Atoms) -> Array:
        """Basis functions shared among the atoms of each cluster, (n_atoms, n_features), dimensionless."""
        values = np.zeros((len(atoms), self.n_features))
        self._accumulate(atoms, values, np.empty((0, 3, self.n_features)), np.empty((6, 0)))
        return values

    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """``values`` and the design rows with analytic derivatives."""
        values = np.zeros((len(atoms), self.n_features))
        forces = np.zeros((len(atoms), 3, self.n_features))
        strain = np.zeros((6, self.n_features))
        self._accumulate(atoms, values, forces, strain)
        return values, DesignRows(energy=values.sum(axis=0), forces=forces, strain_gradient=strain)

    def _accumulate(self, atoms: Atoms, values: Array, forces: Array, strain: Array) -> None:
        self.check(atoms)
        species, near = species_of(atoms, self.elements), neighbours_of(atoms, self.r_cut, half=True)
        for kind, members, places in clusters_by_kind(species, near, self.types, self.elements):
            if kind.orbits:
                add_clusters(
                    members, places, kind.limits, self.tersoff, kind.n_powers, kind.terms, kind.starts, kind.column,
                    values, forces, strain,
                )  # fmt: skip

    def calculator(self, coefficients: Array, offsets: Array) -> Calculator:
        """A compiled ASE calculator with the penalty, equal to chimes_calculator."""
        self._check_solution(coefficients, offsets)
        return ChimesCalculator(self, coefficients, offsets)

    def write(self, folder: Path, coefficients: Array, offsets: Array) -> list[Path]:
        """Write ``params.txt``, which chimes_calculator and LAMMPS' ``pair_style chimesFF`` read."""
        self._check_solution(coefficients, offsets)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / PARAMETER_FILE
        write_params(path, self, coefficients, offsets)
        return [path]

    def lammps(self, folder: Path) -> None:
        """None: the pair style is not in LAMMPS itself, and knows only ``units real``, while tamis runs metal.

        A LAMMPS built with chimes_calculator takes the file by hand: ``units real``, ``newton on``,
        ``atom_modify sort 0 0.0``, ``pair_style chimesFF``, ``pair_coeff * * params.txt``; it tells types by mass.
        """
        return None

    def _check_solution(self, coefficients: Array, offsets: Array) -> None:
        numbers = {"coefficients": (coefficients, self.n_features), "offsets": (offsets, len(self.elements))}
        for name, (given, n) in numbers.items():
            if np.shape(given) != (n,) or not np.isfinite(given).all():
                raise TamisError(f"{name} have shape {np.shape(given)}; {n} finite numbers are needed")
