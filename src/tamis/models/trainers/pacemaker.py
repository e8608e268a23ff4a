"""pacemaker, the trainer of the atomic cluster expansion: Bochkarev et al., Phys. Rev. Mater. 6, 013804 (2022)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import yaml

from tamis.bases.ace.basis import AceBasis
from tamis.bases.ace.pyace import AceCalculator, read_b_basis, read_offsets, write_potential
from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.fields import AtLeast, Between, OneOf, Whole
from tamis.data.dataset import Dataset
from tamis.engines.first_reading import read_elsewhere_first, use_once
from tamis.models.trainers.base import (
    FilePotential,
    Trainer,
    draw_seed,
    periodic_or_free,
    reference_energies,
)
from tamis.models.trainers.programs import Program, Workshop

INPUT, STRUCTURES = "input.yaml", "kept.pckl.gzip"
POTENTIAL, LAMMPS_FILE = "ace.yaml", "ace.yace"
EVALUATORS = ("auto", "pyace", "tensorpot")
PACEMAKER = Program("upstream_pacemaker", 'it comes with python-ace: pip install "tamis[ace]"')


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
    reference_energies: element -> energy of a free atom, eV; None: of isolated atoms, else what fits the kept energies.
    program: pacemaker, as name or path.
    """

    basis: AceBasis
    n_densities: Annotated[int, Whole(1)]
    fs_parameters: Annotated[tuple[float, ...], Between()]
    embedding: str
    energy_weight: Annotated[float, AtLeast(0.0, "1/Å")]
    l1: Annotated[float, AtLeast(0.0)]
    l2: Annotated[float, AtLeast(0.0)]
    optimizer: str
    max_iterations: Annotated[int, Whole(1)]
    ladder_step: Annotated[int | None, Whole(1)]
    evaluator: Annotated[str, OneOf(*EVALUATORS)]
    reference_energies: Mapping[str, float] | None
    program: Annotated[str, PACEMAKER]

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.fs_parameters) != 2 * self.n_densities:
            raise TamisError(
                f"fs_parameters is {list(self.fs_parameters)} with n_densities {self.n_densities}; it needs a "
                "prefactor and an exponent for each density"
            )
        if self.evaluator == "tensorpot" and not _has_tensorpot():
            raise MissingEngineError(
                "model.evaluator=tensorpot needs the package tensorpotential, which is not installed; "
                "pip install tensorpotential, or choose model.evaluator=auto"
            )

    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Run pacemaker once, without its own predictions and plots."""
        offsets = reference_energies(kept, self.elements, self.reference_energies)
        write_structures(shop.folder / STRUCTURES, kept, offsets, self.basis.r_cut)
        (shop.folder / INPUT).write_text(yaml.safe_dump(self.input(draw_seed(rng)), sort_keys=False))
        shop.run(self.program, "--no-predict", "--output", POTENTIAL, INPUT, makes=(POTENTIAL,))
        write_potential(shop.folder, read_b_basis(shop.folder / POTENTIAL), offsets)
        return FilePotential(
            files=shop.read(POTENTIAL, LAMMPS_FILE),
            logs=shop.logs | shop.read(INPUT),
            reader=load_ace,
            pair_lines=self.basis.lammps,
            diagnostics=shop.figures,
        )

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
                    "fs_parameters": [float(x) for x in self.fs_parameters],
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
    """The table that pacemaker reads: structures, energies less those of free atoms (eV), forces (eV/Å).

    Where structures differ in their weights, or lack forces, it has pacemaker's own columns of weights, which sum to 1
    over the energies and over the forces of atoms.

    Raises
    ------
    TamisError : no structure has forces.
    """
    import pandas as pd

    weights = kept.label_weights
    if not weights[:, 1].any():
        raise TamisError(
            "pacemaker needs the forces of one structure at least, and no kept structure has any that count; choose a "
            "model that learns from energies alone (docs/fits.md)"
        )
    forces = [
        labels if given else np.zeros_like(labels)
        for labels, given in zip(kept.forces, kept.has_forces, strict=True)
    ]
    table = pd.DataFrame(
        {
            "ase_atoms": [periodic_or_free(atoms, r_cut) for atoms in kept.structures],
            "energy_corrected": [
                energy - sum(offsets[symbol] for symbol in atoms.get_chemical_symbols())
                for atoms, energy in zip(kept.structures, kept.energies, strict=True)
            ],
            "forces": forces,
        }
    )
    if kept.weights is not None or not kept.has_forces.all():
        of_energy, of_forces = weights[:, 0].sum(), float(weights[:, 1] @ kept.n_atoms)
        table["w_energy"] = weights[:, 0] / (of_energy or 1.0)
        table["w_forces"] = [
            np.full(n, weight / of_forces) for n, weight in zip(kept.n_atoms, weights[:, 1], strict=True)
        ]
    table.to_pickle(path, compression="gzip", protocol=4)


def read_ace(folder: Path) -> AceCalculator:
    """Calculator of a potential of pacemaker or of model=ace: python-ace's energies plus those of the free atoms.

    Raises
    ------
    TamisError : the file is missing or damaged.
    """
    read_elsewhere_first(_use_once, folder)
    return load_ace(folder)


def load_ace(folder: Path) -> AceCalculator:
    """``read_ace`` for files that were written just now, without the other process."""
    basis = read_b_basis(folder / POTENTIAL)
    return AceCalculator(basis, read_offsets(basis))


def _use_once(folder: Path) -> None:
    calculator = load_ace(folder)
    use_once(calculator, sorted(calculator.offsets))


def _has_tensorpot() -> bool:
    return importlib.util.find_spec("tensorpotential") is not None
