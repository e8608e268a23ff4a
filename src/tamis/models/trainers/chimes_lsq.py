"""chimes_lsq, the trainer of ChIMES: Lindsey, Fried, Goldman, J. Chem. Theory Comput. 13, 6222 (2017)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_masses, atomic_numbers
from numpy.typing import NDArray

from tamis.bases.chimes.basis import PARAMETER_FILE, ChimesBasis
from tamis.bases.chimes.reader import read_params
from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Between, OneOf, Whole
from tamis.core.units import KCAL_PER_MOL_PER_EV
from tamis.data.dataset import Dataset
from tamis.models.trainers.base import FilePotential, Trainer, as_periodic
from tamis.models.trainers.programs import Program, Workshop

Array = NDArray[np.float64]

CHIMES_LSQ = Program("upstream_chimes_lsq", "build it from rk-lindsey/chimes_lsq (its README says how)")
SETUP, STRUCTURES, WEIGHTS = "fm_setup.in", "kept.xyzf", "weights.txt"
MATRIX, TARGET, HEADER = "A.txt", "b.txt", "params.header"
SOLVERS = ("svd", "fast_svd", "ridge", "ridgecv", "lasso", "lassolars")
"""Not dlars and dlasso, which start an MPI program through a job scheduler."""
WITHOUT_WEIGHTS = ("ridge", "ridgecv", "lasso")
"""These ignore chimes_lsq.py's weights without a word: they get rows that are multiplied beforehand."""
ROWS_FOR_SVD = 15_000
"""chimes_lsq.py's svd makes a square matrix of so many rows: 1.8 GB."""
PADDING = 0.4
"""Å by which every plane spacing has to exceed the cutoff: chimes_lsq bins atoms in cells padded by 0.3 Å."""
DECIMALS = 5
"""Of limits in Å: params.txt has no more, so the matrix must be made with what it will say."""
KCAL_PER_MOL_PER_HARTREE_PER_BOHR = 627.50960803 * 1.889725989
"""kcal/mol/Å in one Hartree/Bohr, with chimes_lsq's own constants, which it multiplies forces by."""
GPA_PER_KCAL_PER_MOL_PER_A3 = 6.9476955
"""chimes_lsq's own constant, which it divides stresses by."""
STRESS_ROWS = (0, 5, 4, 5, 1, 3, 4, 3, 2)
"""Voigt component of each of the nine rows xx xy xz yx yy yz zx zy zz of A.txt."""


@dataclass(frozen=True)
class ChimesLsq(Trainer):
    """ChIMES, its matrix made by chimes_lsq and solved by chimes_lsq.py.

    The weights of the rows make chimes_lsq's sum of squares the loss of the linear models,
    w_E² <(dE/N)²> + <dF²> + w_S² <(V dσ/N)²>.

    basis: the functions; limits are rounded to 5 decimals.
    solver: algorithm of chimes_lsq.py. eps: of svd and fast_svd: smaller singular values, relative, are dropped.
    alpha: penalty of ridge, lasso and lassolars. folds: of ridgecv.
    energy_weight, stress_weight: w_E and w_S, 1/Å; without energies their constant would be undetermined.
    matrix_program, solve_program: chimes_lsq and chimes_lsq.py, as names or paths.
    """

    basis: ChimesBasis
    solver: Annotated[str, OneOf(*SOLVERS)]
    eps: Annotated[float, Between(0.0, 1.0, above=True, below=True)]
    alpha: Annotated[float, Above(0.0)]
    folds: Annotated[int, Whole(2)]
    energy_weight: Annotated[float, Above(0.0, "1/Å")]
    stress_weight: Annotated[float, AtLeast(0.0, "1/Å")]
    matrix_program: Annotated[str, CHIMES_LSQ]
    solve_program: Annotated[str, CHIMES_LSQ]

    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Run chimes_lsq for the matrix, then chimes_lsq.py with the weights for the solution."""
        weights = row_weights(kept, self.energy_weight, self.stress_weight, self.basis.r_cut)
        if self.solver == "svd" and len(weights) > ROWS_FOR_SVD:
            raise TamisError(
                f"solver=svd of chimes_lsq.py would need {8e-9 * len(weights) ** 2:.0f} GB for {len(weights)} rows; "
                "choose model.solver=fast_svd"
            )
        (shop.folder / SETUP).write_text(setup_text(self.basis, len(kept)))
        write_structures(shop.folder / STRUCTURES, kept, self.basis.r_cut)
        # chimes_lsq ends with status 0 after most errors: only its files tell
        shop.run(self.matrix_program, SETUP, makes=(MATRIX, TARGET, HEADER, "ff_groups.map"))
        np.savetxt(shop.folder / WEIGHTS, weights, fmt="%.12g")
        shop.run(
            self.solve_program,
            *self._solver_arguments(shop.folder, weights),
            makes=(PARAMETER_FILE,),
            output=PARAMETER_FILE,
        )
        path = shop.folder / PARAMETER_FILE
        text = path.read_text()
        body, end, _ = text.rpartition("ENDFILE")
        if not end:
            raise TamisError(
                f"chimes_lsq.py ended before its {path.name} did; its end:\n{text[-500:].strip()}"
            )
        path.write_text(f"{body}{penalty_lines(self.basis)}ENDFILE\n")
        return FilePotential(
            files=shop.read(PARAMETER_FILE),
            logs=shop.logs | shop.read(SETUP),
            reader=read_chimes,
            pair_lines=self.basis.lammps,
            diagnostics=shop.figures
            | {"n_rows": float(len(weights)), "n_columns": float(self.basis.n_features + len(self.elements))},
        )

    def _solver_arguments(self, folder: Path, weights: Array) -> list[str]:
        arguments = ["--algorithm", self.solver, "--eps", repr(self.eps), "--alpha", repr(self.alpha)]
        arguments += ["--folds", str(self.folds)]
        if self.solver not in WITHOUT_WEIGHTS:
            return [*arguments, "--weights", WEIGHTS]
        for name in (MATRIX, TARGET):
            multiply_rows(folder / name, weights)
        return arguments


def repetitions(atoms: Atoms, r_cut: float) -> tuple[int, int, int]:
    """How often to repeat a periodic cell until every spacing of its planes exceeds ``r_cut`` by the padding.

    chimes_lsq misses neighbours in smaller cells with its fast search, and its other one is many times slower.
    """
    spacings = 1.0 / np.linalg.norm(atoms.cell.reciprocal().array, axis=1)
    a, b, c = (int(n) for n in np.floor((r_cut + PADDING) / spacings) + 1)
    return a, b, c


def _frames(kept: Dataset, r_cut: float) -> Iterator[tuple[Atoms, int]]:
    """Each structure as chimes_lsq gets it, repeated, and the number of copies."""
    for atoms in kept.structures:
        cell = as_periodic(atoms, r_cut)
        counts = repetitions(cell, r_cut)
        yield cell.repeat(counts), int(np.prod(counts))


def _has_stress(kept: Dataset, i: int) -> bool:
    return bool(kept.has_stress[i] and np.isfinite(kept.stresses[i]).all())


def write_structures(path: Path, kept: Dataset, r_cut: float) -> None:
    """.xyzf: Å, Hartree/Bohr, GPa (positive under compression, xx yy zz xy xz yz), kcal/mol.

    Every header is of the kind NON_ORTHO with a whole stress: chimes_lsq misreads files that mix kinds. Stresses and
    forces that have no label are written as zero; their rows get the weight zero.
    """
    with path.open("w") as file:
        for i, (frame, copies) in enumerate(_frames(kept, r_cut)):
            stress = np.zeros(6)
            if _has_stress(kept, i):
                stress = -kept.stresses[i][[0, 1, 2, 5, 4, 3]] * KCAL_PER_MOL_PER_EV
            header = [*frame.cell.array.ravel(), *(stress * GPA_PER_KCAL_PER_MOL_PER_A3)]
            energy = kept.energies[i] * KCAL_PER_MOL_PER_EV * copies
            file.write(f"{len(frame)}\nNON_ORTHO {' '.join(f'{x:.12f}' for x in header)} {energy:.12f}\n")
            forces = np.tile(
                np.nan_to_num(kept.forces[i]) * (KCAL_PER_MOL_PER_EV / KCAL_PER_MOL_PER_HARTREE_PER_BOHR),
                (copies, 1),
            )
            for symbol, position, force in zip(frame.symbols, frame.positions, forces, strict=True):
                numbers = " ".join([*(f"{x:.12f}" for x in position), *(f"{x:.15e}" for x in force)])
                file.write(f"{symbol} {numbers}\n")


def row_weights(kept: Dataset, energy_weight: float, stress_weight: float, r_cut: float) -> Array:
    """Weight of each row of A.txt: forces, nine stress components (shears twice), the energy three times, by frame.

    A repeated structure counts as often as one that is not. The scale is that of <dF²> in (eV/Å)². Means are by the
    structures' weights.
    """
    weights = kept.label_weights.copy()
    weights[:, 2] *= [_has_stress(kept, i) for i in range(len(kept))]
    rows = np.column_stack([np.full(len(kept), 3.0), 3.0 * kept.n_atoms, np.full(len(kept), 6.0)])
    totals = np.sum(weights * rows, axis=0)
    shares = np.sqrt(weights / np.where(totals > 0.0, totals, 1.0))
    shear = np.where(np.array(STRESS_ROWS) < 3, 1.0, np.sqrt(0.5))
    parts = []
    for i, (frame, copies) in enumerate(_frames(kept, r_cut)):
        of_energy, of_forces, of_stress = shares[i]
        stress = 0.0
        if of_stress > 0.0:
            stress = stress_weight * kept.volumes[i] / kept.n_atoms[i] * of_stress
        energy = energy_weight / len(frame) * of_energy
        parts += [
            np.full(3 * len(frame), of_forces / np.sqrt(copies)),
            stress * shear,
            np.full(3, energy),
        ]
    return np.concatenate(parts) / KCAL_PER_MOL_PER_EV


def multiply_rows(path: Path, weights: Array) -> None:
    """Multiply the lines of a text file of numbers by ``weights``, line by line: the whole may not fit in memory."""
    scratch = path.with_suffix(".weighted")
    with path.open() as rows, scratch.open("w") as weighted:
        for line, weight in zip((line for line in rows if line.strip()), weights, strict=True):
            weighted.write(" ".join(f"{x:.16e}" for x in np.array(line.split(), dtype=float) * weight) + "\n")
    scratch.replace(path)


def setup_text(basis: ChimesBasis, n_frames: int) -> str:
    """Text of fm_setup.in: the functions of ``basis``, energies, forces and all nine stress components."""
    pairs = [kind for kind in basis.types if len(kind.atoms) == 2]
    blocks = [
        ("TRJFILE", STRUCTURES),
        ("WRAPTRJ", "true"),
        ("NFRAMES", str(n_frames)),
        ("NLAYERS", "1"),
        ("FITCOUL", "false"),
        ("FITSTRS", "ALL"),
        ("FITENER", "true"),
        ("USENEIG", "true"),
        ("PAIRTYP", f"CHEBYSHEV {basis.order_2b} {basis.order_3b} {basis.order_4b} -1 1"),
        ("CHBTYPE", "MORSE"),
        ("NATMTYP", str(len(basis.elements))),
    ]
    lines = [line for key, value in blocks for line in (f"# {key} #", f"    {value}")]
    lines += ["", "# TYPEIDX #     # ATM_TYP #     # ATMCHRG #     # ATMMASS #"]
    for number, element in enumerate(basis.elements, start=1):
        lines.append(f"{number} {element} 0.0 {float(atomic_masses[atomic_numbers[element]])!r}")
    lines += [
        "",
        "# PAIRIDX #     # ATM_TY1 #     # ATM_TY1 #     # S_MINIM #     # S_MAXIM #     # S_DELTA #     "
        "# MORSE_LAMBDA #        # USEOVRP #     # NIJBINS #     # NIKBINS #     # NJKBINS #",
    ]
    for number, pair in enumerate(pairs, start=1):
        s_min, s_max, morse = (f"{x:.{DECIMALS}f}" for x in pair.limits[0])
        lines.append(f"{number} {' '.join(pair.atoms)} {s_min} {s_max} 0.01 {morse} false 0 0 0")
    lines += ["", *_special_lines(basis, 3), *_special_lines(basis, 4)]
    cutoff = "CUBIC" if basis.cutoff == "cubic" else f"TERSOFF {basis.cutoff_fraction!r}"
    return "\n".join([*lines, "# FCUTTYP #", f"    {cutoff}", "", "# ENDFILE #", ""])


def _special_lines(basis: ChimesBasis, size: int) -> list[str]:
    """Outer and inner cutoffs of every slot of every kind of triplet or quadruplet."""
    kinds = [kind for kind in basis.types if len(kind.atoms) == size and kind.orbits]
    lines = []
    for key, column in (("S_MAXIM", 1), ("S_MINIM", 0)):
        if kinds:
            lines.append(f"SPECIAL {size}B {key}: SPECIFIC {len(kinds)}")
        for kind in kinds:
            names = ["".join(pair) for pair in itertools.combinations(kind.atoms, 2)]
            limits = " ".join(f"{x:.{DECIMALS}f}" for x in kind.limits[:, column])
            lines.append(f"{''.join(names)} {' '.join(names)} {limits}")
        lines.append("")
    return lines


def penalty_lines(basis: ChimesBasis) -> str:
    """The penalty for short distances, which chimes_lsq.py leaves to chimes_calculator's defaults."""
    return (
        f"PAIR CHEBYSHEV PENALTY DIST: {basis.penalty_distance!r}\n"
        f"PAIR CHEBYSHEV PENALTY SCALING: {basis.penalty_scaling * KCAL_PER_MOL_PER_EV!r}\n"
    )


def read_chimes(folder: Path) -> Calculator:
    """Our compiled calculator of a params.txt."""
    basis, coefficients, offsets = read_params(folder / PARAMETER_FILE)
    return basis.calculator(coefficients, offsets)
