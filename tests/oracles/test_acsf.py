"""Our symmetry functions against n2p2's numbers and against dscribe's."""

from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tamis.bases.acsf.basis import AcsfBasis
from tamis.bases.acsf.table import CUTOFF_TYPES, SymmetryFunction, SymmetryFunctionTable
from tamis.bases.dscribe_acsf import DscribeAcsfBasis

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden" / "n2p2"
BOHR = 0.529177210903
CASES = [
    "si",
    "si_norm",
    "sige",
    *(f"variants/cutoff{n}_a{a}" for n, a in product((1, 4, 5, 6, 7, 8), ("0.0", "0.3"))),
    "variants/cutoff2_a0.0",
    "variants/cutoff3_a0.0",
]


@dataclass(frozen=True)
class Golden:
    table: SymmetryFunctionTable
    frames: list[Atoms]
    values: list[list[np.ndarray]]


def read_table(path: Path, unit: float) -> SymmetryFunctionTable:
    shape, alpha, elements, functions = 1, 0.0, (), []
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if not words:
            continue
        if words[0] == "elements":
            elements = tuple(sorted(words[1:]))
        elif words[0] == "cutoff_type":
            shape, alpha = int(words[1]), float(words[2]) if len(words) > 2 else 0.0
        elif words[0] == "symfunction_short":
            functions.append(read_function(words[1:], unit))
    names = {number: name for name, number in CUTOFF_TYPES.items()}
    return SymmetryFunctionTable(elements, tuple(functions), names[shape], alpha)


def read_function(words: list[str], unit: float) -> SymmetryFunction:
    central, kind = words[0], int(words[1])
    if kind == 2:
        eta, r_s, r_cut = map(float, words[3:6])
        return SymmetryFunction(central, 2, (words[2],), eta / unit**2, r_s * unit, r_cut * unit)
    eta, lambda_, zeta, r_cut, r_s = map(float, [*words[4:], "0.0"][:5])
    return SymmetryFunction(
        central, kind, (words[2], words[3]), eta / unit**2, r_s * unit, r_cut * unit, lambda_, zeta
    )


def read_frames(path: Path, unit: float) -> list[Atoms]:
    frames = []
    for text in path.read_text().split("begin")[1:]:
        rows = [line.split() for line in text.splitlines()]
        cell = [[float(x) for x in row[1:4]] for row in rows if row and row[0] == "lattice"]
        atoms = [row for row in rows if row and row[0] == "atom"]
        frames.append(
            Atoms(
                [row[4] for row in atoms],
                positions=np.array([[float(x) for x in row[1:4]] for row in atoms]) * unit,
                cell=np.array(cell) * unit if cell else None,
                pbc=bool(cell),
            )
        )
    return frames


def read_golden(case: str) -> Golden:
    folder = GOLDEN / case
    if not folder.is_dir():
        pytest.skip(f"no golden data in {folder}")
    unit = BOHR if case in ("si", "si_norm") else 1.0
    frames = read_frames(folder / "input.data", unit)
    values: list[list[np.ndarray]] = [[] for _ in frames]
    for line in (folder / "symfunc_raw.out").read_text().splitlines():
        words = line.split()
        values[int(words[0]) - 1].append(np.array([float(x) for x in words[4:]]))
    return Golden(read_table(folder / "input.nn", unit), frames, values)


@pytest.mark.parametrize("case", CASES)
def test_values_equal_those_of_n2p2(case):
    golden = read_golden(case)
    # n2p2 sums the polynomials in x with coefficients up to 540, which cancel at the cutoff: 1e-13 of noise.
    rounding = 1e-13 if case.startswith(("variants/cutoff7", "variants/cutoff8")) else 1e-15
    compared = 0
    for atoms, expected in zip(golden.frames, golden.values, strict=True):
        values = golden.table.values(atoms)
        for atom, row in enumerate(expected):
            own = [f.central == atoms.symbols[atom] for f in golden.table.functions]
            np.testing.assert_allclose(values[atom, own], row, rtol=1e-12, atol=rounding)
            assert not values[atom, np.logical_not(own)].any()
            compared += len(row)
    assert compared > 100


@pytest.mark.parametrize(("kind", "function"), [(3, "G4"), (9, "G5")])
@pytest.mark.parametrize("atoms", ["small cell", "alloy", "cluster"])
def test_values_equal_those_of_dscribe(kind, function, atoms):
    atoms = {
        "small cell": bulk("Si") * (1, 1, 2),
        "alloy": Atoms(
            "SiGe3",
            [[0, 0, 0], [2.1, 0.2, 0], [0, 2.3, 0.1], [2.2, 2.0, 2.4]],
            cell=[4.4, 4.2, 4.9],
            pbc=True,
        ),
        "cluster": Atoms("Si2GeSi", [[0, 0, 0], [2.1, 0.2, 0], [0, 2.3, 0.1], [1.9, 2.0, 2.4]]),
    }[atoms]
    atoms.rattle(0.1, seed=3)
    shared = {
        "elements": ("Ge", "Si"),
        "r_cut": 4.5,
        "in_units_of_r_cut": False,
        "radial_eta": [0.3, 1.1],
        "radial_r_s": [0.0, 2.0],
        "angular_eta": [0.01, 0.2],
        "angular_lambda": [-1.0, 1.0],
        "angular_zeta": [1.0, 2.5, 4.0],
    }
    ours = AcsfBasis(cutoff_type="cos", cutoff_alpha=0.0, angular_type=kind, **shared)
    theirs = DscribeAcsfBasis(angular_function=function, **shared)
    for centre in ("Ge", "Si"):
        rows = atoms.symbols == centre
        own = np.sort(
            ours.values(atoms)[rows][:, [f.central == centre for f in ours.table.functions]], axis=1
        )
        other = columns_of(theirs, atoms, centre)
        np.testing.assert_allclose(own, np.sort(other, axis=1), rtol=1e-9, atol=1e-12)


def columns_of(basis: DscribeAcsfBasis, atoms: Atoms, centre: str) -> np.ndarray:
    """dscribe's columns of one central element, without G1, which we do not have."""
    width = basis.n_features // 2
    start = basis.elements.index(centre) * width
    block = basis.values(atoms)[atoms.symbols == centre][:, start : start + width]
    radial = 1 + len(basis.radial_eta) * len(basis.radial_r_s)
    return np.delete(block, [0, radial], axis=1)
