"""The ChIMES basis against matrices of chimes_lsq and energies of chimes_calculator (../shared/golden/chimes)."""

from functools import cache
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from tamis.bases.base import Array
from tamis.bases.chimes import ChimesBasis, SlotLimits, half_neighbours

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "chimes"
EV_IN_KCAL_PER_MOL = 1.0 / 23.060547830619026
VOIGT_OF_GOLDEN_STRESS_ROWS = [0, 5, 4, 5, 1, 3, 4, 3, 2]  # xx xy xz yx yy yz zx zy zz

pytestmark = pytest.mark.skipif(not GOLDEN.is_dir(), reason=f"the golden ChIMES data are not at {GOLDEN}")


def basis(case: str) -> ChimesBasis:
    """The settings of the case's fm_setup.in."""
    if case == "sige_2b3b":
        return ChimesBasis(
            elements=("Si", "Ge"), r_cut=5.0, r_cut_3b=5.0, r_cut_4b=5.0, s_min=1.9, morse_lambda=2.35,
            order_2b=6, order_3b=3, order_4b=0, cutoff="cubic", cutoff_fraction=0.5,
            special=(
                SlotLimits(("Si", "Si"), s_max=(4.8,)),
                SlotLimits(("Ge", "Ge"), s_min=(2.0,), morse_lambda=2.45),
                SlotLimits(("Ge", "Si"), s_max=(4.9,), morse_lambda=2.4),
                SlotLimits(("Ge", "Si", "Si"), s_min=(1.85, 1.85, 1.95), s_max=(4.2, 4.2, 4.4)),
                SlotLimits(("Ge", "Ge", "Ge"), s_max=(4.3, 4.3, 4.3)),
            ),
        )  # fmt: skip
    r_cut_3b, r_cut_4b, orders, cutoff, fraction = {
        "si_2b3b": (4.5, 3.0, (12, 5, 0), "tersoff", 0.5),
        "si_2b3b4b": (4.2, 3.8, (8, 4, 3), "tersoff", 0.75),
        "si_smallcell": (5.0, 3.0, (8, 4, 0), "cubic", 0.5),
    }[case]
    return ChimesBasis(
        elements=("Si",), r_cut=5.0, r_cut_3b=r_cut_3b, r_cut_4b=r_cut_4b, s_min=2.0, morse_lambda=2.35,
        order_2b=orders[0], order_3b=orders[1], order_4b=orders[2], cutoff=cutoff, cutoff_fraction=fraction,
    )  # fmt: skip


CASES = ["si_2b3b", "si_2b3b4b", "si_smallcell", "sige_2b3b"]


@cache
def training_frames(case: str) -> list[Atoms]:
    """Structures of train.xyzf: number of atoms, NON_ORTHO with nine cell numbers, atoms; again for each frame."""
    lines = (GOLDEN / case / "train.xyzf").read_text().splitlines()
    frames = []
    while lines:
        n = int(lines[0])
        header = lines[1].split()
        rows = [line.split() for line in lines[2 : n + 2]]
        frames.append(
            Atoms(
                [row[0] for row in rows],
                positions=np.array([row[1:4] for row in rows], dtype=float),
                cell=np.array(header[1:10], dtype=float).reshape(3, 3),
                pbc=header[0] == "NON_ORTHO",
            )
        )
        del lines[: n + 2]
    return frames


@cache
def coefficients(case: str) -> tuple[Array, dict[str, float]]:
    """Coefficients in the order of the columns and energies of the free atoms from params.txt, kcal/mol."""
    pairs: list[float] = []
    clusters: list[float] = []
    offsets: list[float] = []
    functions_of_type: dict[int, float] = {}
    section = ""
    for words in map(str.split, (GOLDEN / case / "params.txt").read_text().splitlines()):
        if words[:1] in (["PAIRTYPE"], ["TRIPLETTYPE"], ["QUADRUPLETYPE"], ["PAIRMAPS:"]):
            section = words[0]
            clusters += [functions_of_type[k] for k in sorted(functions_of_type)]
            functions_of_type = {}
        elif words[:2] == ["ENERGY", "OFFSET"]:
            offsets.append(float(words[3]))
        elif words and words[0].isdigit():
            if section == "PAIRTYPE" and len(words) == 2:
                pairs.append(float(words[1]))
            elif section in ("TRIPLETTYPE", "QUADRUPLETYPE"):
                functions_of_type[int(words[-2])] = float(words[-1])
    return np.array(pairs + clusters), dict(zip(basis(case).elements, offsets, strict=True))


@cache
def matrix(case: str) -> Array:
    return np.loadtxt(GOLDEN / case / "A.txt")


def deviation(mine: Array, golden: Array) -> float:
    """Largest difference, relative to the largest number of the same column."""
    return float((np.abs(mine - golden) / np.abs(golden).max(axis=0)).max())


@pytest.mark.parametrize("case", CASES)
def test_rows_equal_the_matrix_of_chimes_lsq(case: str) -> None:
    chimes, golden = basis(case), matrix(case)
    n_features = chimes.n_features
    assert n_features == golden.shape[1] - len(chimes.elements)
    forces, stresses, energies = [], [], []
    begin = 0
    for atoms in training_frames(case):
        values, rows = chimes.evaluate(atoms)
        n = 3 * len(atoms)
        block = golden[begin : begin + n + 12, :n_features]
        forces.append((rows.forces.reshape(n, n_features), block[:n]))
        stresses.append(
            (-rows.strain_gradient[VOIGT_OF_GOLDEN_STRESS_ROWS] / atoms.cell.volume, block[n : n + 9])
        )
        energies.append((rows.energy[None], block[n + 9 : n + 10]))
        np.testing.assert_array_equal(values, chimes.values(atoms))
        begin += n + 12
    assert begin == len(golden)
    for pairs in (forces, stresses, energies):
        mine, theirs = (np.concatenate(part) for part in zip(*pairs, strict=True))
        assert deviation(mine, theirs) < 1e-10


def penalty(chimes: ChimesBasis, atoms: Atoms) -> tuple[float, Array, Array]:
    """The calculator's default repulsion of short pairs, which is no part of the basis.

    1e4 p^3 with p = s_min + 0.01 - r where that is positive: energy, forces (n, 3), strain gradient (6,).
    """
    s_min = {kind.atoms: kind.limits[0, 0] for kind in chimes.types if len(kind.atoms) == 2}
    first, neighbours, vectors = half_neighbours(atoms, chimes.r_cut)
    energy, forces, strain = 0.0, np.zeros((len(atoms), 3)), np.zeros((3, 3))
    for i, j, arm in zip(np.repeat(np.arange(len(atoms)), np.diff(first)), neighbours, vectors, strict=True):
        r = np.linalg.norm(arm)
        depth = s_min[tuple(sorted((atoms[i].symbol, atoms[j].symbol)))] + 0.01 - r
        if depth > 0.0:
            energy += 1e4 * depth**3
            pull = -3e4 * depth**2 * arm / r
            forces[i] += pull
            forces[j] -= pull
            strain += np.outer(arm, pull)
    return energy, forces, strain[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]


@pytest.mark.parametrize(
    ("case", "file"),
    [(case, "test_eval.extxyz") for case in CASES] + [(case, "test_eval_inner.extxyz") for case in CASES[:3]],
)
def test_energies_forces_and_stresses_equal_those_of_chimes_calculator(case: str, file: str) -> None:
    chimes = basis(case)
    solution, offsets = coefficients(case)
    for atoms in ase.io.read(GOLDEN / case / file, index=":"):
        rows = chimes.evaluate(atoms)[1]
        repulsion = penalty(chimes, atoms)
        energy = rows.energy @ solution + repulsion[0] + sum(offsets[s] for s in atoms.get_chemical_symbols())
        forces = (rows.forces @ solution + repulsion[1]) * EV_IN_KCAL_PER_MOL
        virial = (rows.strain_gradient @ solution + repulsion[2]) * EV_IN_KCAL_PER_MOL
        stress = virial / atoms.cell.volume
        golden = (atoms.get_forces(), atoms.get_stress())
        np.testing.assert_allclose(energy, atoms.info["chimes_energy_kcal_mol"], rtol=1e-9)
        np.testing.assert_allclose(forces, golden[0], rtol=0, atol=1e-8 * np.abs(golden[0]).max() + 1e-10)
        np.testing.assert_allclose(stress, golden[1], rtol=0, atol=1e-8 * np.abs(golden[1]).max() + 1e-12)
