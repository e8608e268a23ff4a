"""Elastic constants that the Elastic frames of mlearn hold: what a potential that fits them perfectly would have.

Each data set has its crystal at rest and, strained along each axis, up to 10 % longer or shorter; of molybdenum,
also sheared. Stresses over strains of up to 5 % are fitted by cubic polynomials, which give the constants of second
and third order at that crystal. It is not free of stress (germanium's is pressed by 1 GPa), so lattice constant and
constants are carried over to where it is:

    PK2 stress S_1(E) = s + C11 E + C111 E²/2, S_2(E) = s + C12 E + C112 E²/2, E: Green's strain along axis 1
    alike along all axes: S = s + (C11 + 2 C12) eta + (C111/2 + 3 C112) eta² = 0, stretch L = (1 + 2 eta)^1/2
    a = L a', C11 = L (C11' + (C111 + 2 C112) eta), C12 = L (C12' + 2 C112 eta)

(Wallace, Thermodynamics of Crystals, 1972, chapter 1; Thurston and Brugger, Phys. Rev. 133, A1604 (1964).) C123 is
not in these frames and left out: a part of C12 of about eta C123 / C12, below 1 %. Ions are not relaxed. A strain
along an axis moves none in diamond, bcc and fcc, so C11, C12 and the bulk modulus are the relaxed ones; a shear does
in diamond, so C44 is given for bcc and fcc alone, at the crystal itself. Lithium's shear stresses are unusable.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from harness import RESULTS, configure, report
from hydra.utils import instantiate
from numpy.polynomial import polynomial
from numpy.typing import NDArray

from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data.crystal import ATOMS_PER_CUBE
from tamis.data.dataset import Dataset

Array = NDArray[np.float64]
DEGREE = 3
LARGEST_STRAIN = 0.05
AT_REST = "Elastic Ground state crystal"
STRAIGHT = 1e-6
"""Shear strain of a cell that was strained along one axis alone."""


def main() -> None:
    """Print the constants of the elements that the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="a local copy of mlearn; without it, it is downloaded")
    options.add_argument("--elements", nargs="+", default=["Si", "Ge", "Mo", "Li"])
    options.add_argument("--out", type=Path, default=RESULTS / "elastic_frames.csv")
    given = options.parse_args()
    rows: list[dict[str, object]] = []
    for element in given.elements:
        overrides = ["dataset=mlearn", f"dataset.element={element}"]
        overrides += [] if given.root is None else [f"dataset.root={given.root.absolute()}"]
        source = instantiate(configure(overrides).dataset, _convert_="all")
        found = constants(source.load(), source.crystal.structure)
        rows.append({"element": element} | {name: round(value, 4) for name, value in vars(found).items()})
    report("zero stress, from the Elastic frames; a in Å, the rest in GPa", rows, given.out)


@dataclass(frozen=True)
class Constants:
    """At zero stress. a: cubic lattice constant, Å; c11, c12, c44, b (bulk modulus): GPa.

    pressure: of the set's crystal at rest, GPa.
    """

    a: float
    c11: float
    c12: float
    c44: float
    b: float
    pressure: float


def constants(data: Dataset, structure: str) -> Constants:
    """Of a cubic crystal (diamond, bcc or fcc) from its frames of the group "Elastic"."""
    rest = data.blocks.index(AT_REST)
    members = [
        i
        for i, group in enumerate(data.groups)
        if group == "Elastic" and data.n_atoms[i] == data.n_atoms[rest]
    ]
    cell = data.structures[rest].cell.array
    pairs = [lagrangian(cell, data.structures[i].cell.array, data.stresses[i]) for i in members]
    strains, stresses = (np.array(one) for one in zip(*pairs, strict=True))
    along, across = pulled(strains, stresses)
    s1, c11, half_c111, _ = polynomial.polyfit(*along, DEGREE)
    s2, c12, half_c112, _ = polynomial.polyfit(*across, DEGREE)
    s, c111, c112 = (s1 + 2 * s2) / 3, 2 * half_c111, 2 * half_c112
    roots = np.roots([0.5 * c111 + 3 * c112, c11 + 2 * c12, s])
    eta = float(roots[np.argmin(np.abs(roots))].real)
    stretch = np.sqrt(1 + 2 * eta)
    edge = np.cbrt(np.linalg.det(cell) * ATOMS_PER_CUBE[structure] / data.n_atoms[rest])
    c11, c12 = stretch * (c11 + (c111 + 2 * c112) * eta), stretch * (c12 + 2 * c112 * eta)
    known = np.isfinite(data.stresses[members]).all(axis=1)
    c44 = sheared(strains[known], stresses[known]) if structure != "diamond" else np.nan
    return Constants(float(stretch * edge), float(c11), float(c12), c44, float(c11 + 2 * c12) / 3, float(-s))


def lagrangian(rest: Array, cell: Array, voigt: Array) -> tuple[Array, Array]:
    """Green's strain of ``cell`` (vectors as rows) and its second Piola-Kirchhoff stress, GPa, both (3, 3).

    voigt: stress (6,), eV/Å³; shears that are NaN count as 0.
    """
    gradient = np.linalg.solve(rest, cell).T
    strain = 0.5 * (gradient.T @ gradient - np.eye(3))
    xx, yy, zz, yz, xz, xy = np.nan_to_num(voigt) * GPA_PER_EV_PER_A3
    stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    inverse = np.linalg.inv(gradient)
    return strain, np.linalg.det(gradient) * inverse @ stress @ inverse.T


def pulled(strains: Array, stresses: Array) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """(strain, stress) of the cells strained along one axis: stresses along it, and those across."""
    along, across = [], []
    for strain, stress in zip(strains, stresses, strict=True):
        size = np.abs(np.diag(strain))
        shear = np.abs(strain - np.diag(np.diag(strain))).max()
        if shear < STRAIGHT and np.sort(size)[1] < STRAIGHT and size.max() < LARGEST_STRAIN:
            axis = int(np.argmax(size))
            for other in range(3):
                (along if other == axis else across).append((strain[axis, axis], stress[other, other]))
    one, two = np.array(along).T, np.array(across).T
    return (one[0], one[1]), (two[0], two[1])


def sheared(strains: Array, stresses: Array) -> float:
    """C44, GPa, of the cells with one shear strain; NaN where there are none."""
    points = []
    for strain, stress in zip(strains, stresses, strict=True):
        size = np.abs(np.triu(strain, 1))
        place = np.unravel_index(np.argmax(size), size.shape)
        if STRAIGHT < size[place] < LARGEST_STRAIN:
            points.append((2 * strain[place], stress[place]))
    if not points:
        return np.nan
    strain, stress = np.array(points).T
    return float(polynomial.polyfit(strain, stress, DEGREE)[1])


if __name__ == "__main__":
    main()
