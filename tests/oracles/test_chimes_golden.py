"""The ChIMES basis against matrices of chimes_lsq and energies of chimes_calculator (../shared/golden/chimes)."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms

from tamis.bases.base import Array
from tamis.bases.chimes.basis import ChimesBasis
from tamis.bases.chimes.clusters import SlotLimits
from tamis.bases.chimes.reader import read_params
from tamis.core.units import KCAL_PER_MOL_PER_EV

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "chimes"
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


@pytest.mark.parametrize("case", CASES)
def test_params_txt_has_the_settings_of_fm_setup(case: str) -> None:
    chimes = read_params(GOLDEN / case / "params.txt")[0]
    assert [kind.orbits for kind in chimes.types] == [kind.orbits for kind in basis(case).types]
    for kind, expected in zip(chimes.types, basis(case).types, strict=True):
        assert kind.atoms == expected.atoms
        np.testing.assert_array_equal(kind.limits, expected.limits)
    assert (chimes.tersoff, chimes.elements) == (basis(case).tersoff, basis(case).elements)


EVALUATED = [
    *((case, "params.txt", "test_eval.extxyz") for case in CASES),
    *((case, "params.txt", "test_eval_inner.extxyz") for case in CASES[:3]),
    ("si_2b3b", "params_penalty.txt", "test_eval_penalty.extxyz"),
]


@pytest.mark.parametrize(("case", "file", "structures"), EVALUATED)
def test_calculator_equals_chimes_calculator(case: str, file: str, structures: str) -> None:
    """Also below s_min, with another penalty, two elements, and cells shorter than the cutoff."""
    chimes, solution, offsets = read_params(GOLDEN / case / file)
    calculator = chimes.calculator(solution, offsets)
    for atoms in ase.io.read(GOLDEN / case / structures, index=":"):
        golden = (atoms.get_forces(), atoms.get_stress())
        calculator.calculate(atoms)
        energy = calculator.results["energy"] * KCAL_PER_MOL_PER_EV
        np.testing.assert_allclose(energy, atoms.info["chimes_energy_kcal_mol"], rtol=1e-8)
        for name, expected in zip(("forces", "stress"), golden, strict=True):
            scale = np.abs(expected).max()
            np.testing.assert_allclose(calculator.results[name], expected, rtol=0, atol=1e-8 * scale + 1e-12)


def test_inner_configurations_reach_below_s_min() -> None:
    """Otherwise the comparison above says nothing about the continuation and the penalty."""
    chimes, solution, offsets = read_params(GOLDEN / "si_2b3b" / "params.txt")
    without = replace(chimes, penalty_scaling=0.0).calculator(solution, offsets)
    calculator = chimes.calculator(solution, offsets)
    close = ase.io.read(GOLDEN / "si_2b3b" / "test_eval_inner.extxyz", index=":")
    assert (
        max(abs(calculator.get_potential_energy(a) - without.get_potential_energy(a)) for a in close) > 1e-3
    )


@pytest.mark.parametrize(("case", "file"), sorted({(case, file) for case, file, _ in EVALUATED}))
def test_params_txt_written_again_is_the_same_potential(case: str, file: str, tmp_path: Path) -> None:
    chimes, solution, offsets = read_params(GOLDEN / case / file)
    (path,) = chimes.write(tmp_path, solution, offsets)
    again, same_solution, same_offsets = read_params(path)
    np.testing.assert_allclose(same_solution, solution, rtol=1e-15)
    np.testing.assert_allclose(same_offsets, offsets, rtol=1e-15)
    np.testing.assert_allclose(again.penalty_scaling, chimes.penalty_scaling, rtol=1e-15)
    assert replace(again, penalty_scaling=chimes.penalty_scaling) == chimes


@pytest.mark.parametrize("case", CASES)
def test_params_txt_has_the_layout_of_chimes_lsq(case: str, tmp_path: Path) -> None:
    """The same lines with keys in the same order; only the penalty is added."""
    (path,) = basis(case).write(
        tmp_path, np.ones(basis(case).n_features), np.zeros(len(basis(case).elements))
    )

    def keys(file: Path) -> list[str]:
        lines = [line.split(":") for line in file.read_text().splitlines() if not line.startswith("!")]
        return [" ".join(line[0].split()) for line in lines if len(line) > 1 or line[0].startswith("#")]

    assert [key for key in keys(path) if "PENALTY" not in key] == keys(GOLDEN / case / "params.txt")
