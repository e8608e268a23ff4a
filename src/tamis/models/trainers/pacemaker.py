"""pacemaker, the trainer of the atomic cluster expansion: Bochkarev et al., Phys. Rev. Mater. 6, 013804 (2022)."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from ase import Atoms

from tamis.bases.ace.basis import AceBasis
from tamis.bases.ace.pyace import AceCalculator, read_b_basis, read_offsets, write_offsets
from tamis.core.errors import MissingEngineError, TamisError
from tamis.data.dataset import Dataset
from tamis.engines.first_reading import read_elsewhere_first, use_once
from tamis.models.trainers.base import (
    FilePotential,
    Trainer,
    as_periodic,
    draw_seed,
    reference_energies,
)
from tamis.models.trainers.programs import Workshop, find_program

INPUT, STRUCTURES = "input.yaml", "kept.pckl.gzip"
POTENTIAL, LAMMPS_FILE, OFFSETS = "ace.yaml", "ace.yace", "reference_energies.json"
EVALUATORS = ("auto", "pyace", "tensorpot")


@dataclass(frozen=True)
class Pacemaker(Trainer):
    """A non-linear ACE (Finnis-Sinclair embedding of one or more densities), trained by pacemaker on E and F.

    basis: number and shape of the functions of each density.
    n_densities: densities rho_p of each atom; its energy is the sum of prefactor_p rho_p^exponent_p.
    fs_parameters: prefactor and exponent of each density: [1, 1, 1, 0.5] is a linear and a square-root one.
    embedding: FinnisSinclair, or FinnisSinclairShiftedScaled, whose slope stays finite at rho = 0.
    energy_weight: 1/Å, relative to forces, as in the linear models: the loss is w² <(dE/N)²> + <dF²>.
    l1, l2: penalty on the coefficients.
    optimizer: a method of scipy's minimize. max_iterations: of each step of the ladder.
    ladder_step: functions added at a time; None fits all at once.
    evaluator: pyace (numerical gradients, slow), tensorpot (the package tensorpotential), auto: tensorpot where it is.
    reference_energies: element -> energy of a free atom, eV; None fits them to the kept energies.
    program: pacemaker, as name or path.
    """

    basis: AceBasis
    n_densities: int
    fs_parameters: tuple[float, ...]
    embedding: str
    energy_weight: float
    l1: float
    l2: float
    optimizer: str
    max_iterations: int
    ladder_step: int | None
    evaluator: str
    reference_energies: Mapping[str, float] | None
    program: str

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "fs_parameters", tuple(float(x) for x in self.fs_parameters))
        if self.n_densities < 1 or len(self.fs_parameters) != 2 * self.n_densities:
            raise TamisError(
                f"fs_parameters is {list(self.fs_parameters)} with n_densities {self.n_densities}; it needs a "
                "prefactor and an exponent for each density, and at least one density"
            )
        if self.max_iterations < 1 or (self.ladder_step is not None and self.ladder_step < 1):
            raise TamisError(
                f"max_iterations is {self.max_iterations} and ladder_step {self.ladder_step}; they must be at least 1"
            )
        if min(self.energy_weight, self.l1, self.l2) < 0:
            raise TamisError(
                f"energy_weight is {self.energy_weight}, l1 {self.l1}, l2 {self.l2}; none may be negative"
            )
        if self.evaluator not in EVALUATORS:
            raise TamisError(f"evaluator is {self.evaluator!r}; choose one of {', '.join(EVALUATORS)}")
        if self.evaluator == "tensorpot" and not _has_tensorpot():
            raise MissingEngineError(
                "model.evaluator=tensorpot needs the package tensorpotential, which is not installed; "
                "pip install tensorpotential, or choose model.evaluator=auto"
            )
        self._pacemaker()

    def _pacemaker(self) -> str:
        get = 'it comes with python-ace: pip install "tamis[ace]"'
        return find_program(self.program, "upstream_pacemaker", "program", get)

    @property
    def elements(self) -> tuple[str, ...]:
        """Chemical symbols that the potential is for."""
        return self.basis.elements

    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Run pacemaker once, without its own predictions and plots."""
        offsets = reference_energies(kept, self.elements, self.reference_energies)
        write_structures(shop.folder / STRUCTURES, kept, offsets, self.basis.r_cut)
        (shop.folder / INPUT).write_text(yaml.safe_dump(self.input(draw_seed(rng)), sort_keys=False))
        shop.run(self._pacemaker(), "--no-predict", "--output", POTENTIAL, INPUT, makes=(POTENTIAL,))
        (shop.folder / OFFSETS).write_text(json.dumps(offsets))
        self._write_yace(shop.folder, offsets)
        return FilePotential(
            files=shop.read(POTENTIAL, OFFSETS, LAMMPS_FILE),
            logs=shop.logs | shop.read(INPUT),
            reader=load_ace,
            pair_lines=self._pair_lines,
            fit_report=shop.figures,
        )

    def _write_yace(self, folder: Path, offsets: Mapping[str, float]) -> None:
        """The file of LAMMPS' ML-PACE, whose energies include those of the free atoms."""
        basis = read_b_basis(folder / POTENTIAL)
        basis.to_ACECTildeBasisSet().save_yaml(str(folder / LAMMPS_FILE))
        write_offsets(folder / LAMMPS_FILE, np.array([offsets[element] for element in self.elements]))

    def _pair_lines(self, folder: Path) -> tuple[str, ...]:
        return ("pair_style pace", f'pair_coeff * * "{folder / LAMMPS_FILE}" {" ".join(self.elements)}')

    def input(self, seed: int) -> dict[str, Any]:
        """Content of input.yaml. It has no ``test_size``: pacemaker fails on a test set of no structures."""
        evaluator = self.evaluator
        if evaluator == "auto":
            evaluator = "tensorpot" if _has_tensorpot() else "pyace"
        # pacemaker's loss: (1 - kappa) mean (dE/N)² + kappa mean |dF|², and |dF|² has three components
        kappa = 1.0 / (1.0 + 3.0 * self.energy_weight**2)
        ladder = {} if self.ladder_step is None else {"ladder_step": self.ladder_step}
        return {
            "seed": seed,
            "data": {"filename": STRUCTURES},
            "potential": self.potential(),
            "fit": {
                "loss": {"kappa": kappa, "L1_coeffs": self.l1, "L2_coeffs": self.l2},
                "optimizer": self.optimizer,
                "maxiter": self.max_iterations,
                **ladder,
            },
            "backend": {"evaluator": evaluator, "parallel_mode": "serial", "display_step": 50},
        }

    def potential(self) -> dict[str, Any]:
        """What the functions are, in pacemaker's words."""
        basis = self.basis
        return {
            "deltaSplineBins": basis.spline_spacing,
            "elements": list(basis.elements),
            "embeddings": {
                "ALL": {
                    "npot": self.embedding,
                    "fs_parameters": list(self.fs_parameters),
                    "ndensity": self.n_densities,
                }
            },
            "bonds": {
                "ALL": {
                    "radbase": basis.radial_basis,
                    "radparameters": [basis.radial_parameter],
                    "rcut": basis.r_cut,
                    "dcut": basis.cutoff_width,
                    "NameOfCutoffFunction": "cos",
                }
            },
            "functions": {
                "number_of_functions_per_element": basis.n_functions_per_element,
                "ALL": {
                    "nradmax_by_orders": list(basis.nradmax_by_orders),
                    "lmax_by_orders": list(basis.lmax_by_orders),
                },
            },
        }


def write_structures(path: Path, kept: Dataset, offsets: Mapping[str, float], r_cut: float) -> None:
    """The table that pacemaker reads: structures, energies less those of free atoms (eV), forces (eV/Å)."""
    try:
        import pandas as pd
    except ImportError as error:
        raise MissingEngineError(
            f"pacemaker reads tables of pandas, which cannot be imported ({error}); pip install pandas"
        ) from error
    table = pd.DataFrame(
        {
            "ase_atoms": [_neither_mixed(atoms, r_cut) for atoms in kept.structures],
            "energy_corrected": [
                energy - sum(offsets[symbol] for symbol in atoms.get_chemical_symbols())
                for atoms, energy in zip(kept.structures, kept.energies, strict=True)
            ],
            "forces": list(kept.forces),
        }
    )
    table.to_pickle(path, compression="gzip", protocol=4)


def read_ace(folder: Path) -> AceCalculator:
    """Calculator of a potential of pacemaker or of model=ace: python-ace's energies and those of the free atoms.

    The latter are in reference_energies.json, or in the metadata of ace.yaml, where ``AceBasis.write`` puts them.

    Raises
    ------
    TamisError : a file is missing or damaged.
    """
    read_elsewhere_first(_use_once, folder)
    return load_ace(folder)


def load_ace(folder: Path) -> AceCalculator:
    """``read_ace`` for files that were written just now, without the other process."""
    basis = read_b_basis(folder / POTENTIAL)
    if not (folder / OFFSETS).exists():
        return AceCalculator(basis, read_offsets(basis))
    try:
        offsets = {e: float(value) for e, value in json.loads((folder / OFFSETS).read_text()).items()}
    except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise TamisError(
            f"{folder / OFFSETS} cannot be read ({error}); write or fit the potential again"
        ) from error
    return AceCalculator(basis, offsets)


def _use_once(folder: Path) -> None:
    calculator = load_ace(folder)
    use_once(calculator, sorted(calculator.offsets))


def _neither_mixed(atoms: Atoms, r_cut: float) -> Atoms:
    """python-ace knows cells that are periodic in all directions or in none."""
    if atoms.pbc.any():
        return as_periodic(atoms, r_cut)
    return Atoms(atoms.numbers, atoms.positions)


def _has_tensorpot() -> bool:
    return importlib.util.find_spec("tensorpotential") is not None
