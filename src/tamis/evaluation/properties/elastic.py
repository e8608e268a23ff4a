"""Elastic constants with relaxed ions, from stresses of strained cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms

from tamis.core import metrics as names
from tamis.core.fields import Between, Checked, Whole
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.evaluation.properties.base import Array, Line, Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_crystal
from tamis.evaluation.properties.relaxation import StoppingCriteria, relax

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS = (-1.0, -0.5, 0.5, 1.0)
"""Strains of one mode, in units of the largest."""
XX = 0
MODES = (XX, 3, 2, 1, 4, 5)
"""Voigt modes in the order in which they are taken; the first two give all constants of a cubic crystal."""
AXES = ("xx", "yy", "zz", "yz", "xz", "xy")
PLACES = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
"""Of Voigt's components in a tensor."""
COMPONENTS = [(i, j) for i in range(6) for j in range(i, 6)]
"""Of a stiffness, each once."""
TINY = 1e-4
"""Relative; rotations of a relaxed cell are orthogonal to much less."""


@dataclass(frozen=True)
class Elastic(Checked, Property):
    """The elastic constants of a crystal, and their isotropic averages.

    strain: largest (engineering strain for shears). repeat: of the primitive cell along each vector; the constants do
    not depend on it. relaxation: of the ions in each strained cell.
    """

    strain: Annotated[float, Between(0, 0.05, say=0.005, above=True)]
    repeat: Annotated[int, Whole(1)]
    relaxation: StoppingCriteria

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """elastic_<constant>_GPa, elastic_poisson_ratio, elastic_unstable_modes.

        The constants are those that the symmetry leaves independent: C11, C12 and C44 of a cubic crystal, all 21 of a
        triclinic one. They refer to the axes of the primitive cell's standard orientation.
        """
        crystal = relaxed_crystal(sample)
        cell = crystal.primitive().repeat(self.repeat)
        tensors = invariant_tensors(crystal.turns)
        stresses = {
            mode: stresses_of(sample, cell, mode, self.strain, self.relaxation)
            for mode in modes_needed(tensors)
        }
        columns = {mode: slope(found, self.strain) for mode, found in stresses.items()}
        stiffness = np.tensordot(constants_of(tensors, columns), list(tensors.values()), 1)
        unstable = unstable_modes(stiffness)
        values = {names.ELASTIC_CONSTANT.format(name): float(stiffness[at]) for name, at in _named(tensors)}
        curves: dict[str, Any] = {"strain": [step * self.strain for step in STEPS]}
        for mode, found in stresses.items():
            for component in (XX, 1) if mode == XX else (mode,):
                name = f"stress_{AXES[component]}_of_strain_{AXES[mode]}_GPa"
                curves[name] = found[:, component].tolist()
        curves["stiffness_GPa"] = stiffness.tolist()
        yield Measured(values | {names.UNSTABLE_MODES: float(unstable)}, curves)
        if unstable:
            shown = ", ".join(f"C{name} {stiffness[at]:.4g}" for name, at in _named(tensors))
            raise PropertyError(f"the crystal is not stable ({shown} GPa): no isotropic averages")
        yield Measured(isotropic(stiffness))

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:
        """Stress against strain."""
        from tamis.core.figures import PALETTE
        from tamis.core.figures import label as name_axes

        for i, name in enumerate(name for name in data if name.startswith("stress_")):
            curve = name.removeprefix("stress_").removesuffix("_GPa").replace("_", " ")
            ax.plot(data["strain"], data[name], **line, color=PALETTE[i], label=f"{curve} ({label})")
        name_axes(ax, "strain", "stress (GPa)")


def stiffness(
    sample: Sample, cell: Atoms, strain: float, relaxation: StoppingCriteria, modes: Sequence[int] = range(6)
) -> Array:
    """Columns ``modes`` of the stiffness of an unstressed ``cell``, (6, n_modes), GPa, Voigt xx yy zz yz xz xy."""
    columns = [slope(stresses_of(sample, cell, mode, strain, relaxation), strain) for mode in modes]
    return np.array(columns).T


def stresses_of(sample: Sample, cell: Atoms, mode: int, strain: float, relaxation: StoppingCriteria) -> Array:
    """Stresses (len(STEPS), 6), GPa, under the strains of one Voigt mode, ions relaxed."""
    rows = []
    for step in STEPS:
        strained = relax(deformed(cell, mode, step * strain), sample, relaxation)
        rows.append(sample.stress(strained) * GPA_PER_EV_PER_A3)
    return np.array(rows)


def slope(stresses: Array, strain: float) -> Array:
    """Derivative (6,) at zero strain, of fourth-order accuracy, from stresses (len(STEPS), 6)."""
    outer, inner = stresses[3] - stresses[0], stresses[2] - stresses[1]
    return np.asarray((8.0 * inner - outer) / (6.0 * strain))


def deformed(cell: Atoms, mode: int, strain: float) -> Atoms:
    """``cell`` under one Voigt strain, without a rotation; atoms follow."""
    tensor = np.eye(3)
    if mode < 3:
        tensor[mode, mode] += strain
    else:
        i, j = PLACES[mode]
        tensor[i, j] = tensor[j, i] = 0.5 * strain
    strained = cell.copy()
    strained.set_cell(cell.cell.array @ tensor, scale_atoms=True)
    return strained


def isotropic(stiffness: Array) -> dict[str, float]:
    """Moduli (in the unit of ``stiffness`` (6, 6), GPa) and Poisson's ratio of a polycrystal.

    R. Hill, Proc. Phys. Soc. A 65, 349 (1952): bulk and shear modulus are the means of Voigt's and Reuss' bounds, which
    are averages of the stiffness and of its inverse; E = 9BG/(3B + G), nu = (3B - 2G)/(2(3B + G)).
    """
    compliance: Array = np.asarray(np.linalg.inv(stiffness))
    bulk = 0.5 * (stiffness[:3, :3].sum() / 9.0 + 1.0 / compliance[:3, :3].sum())
    voigt = _along(stiffness) / 15.0 + np.trace(stiffness[3:, 3:]) / 5.0
    reuss = 15.0 / (4.0 * _along(compliance) + 3.0 * np.trace(compliance[3:, 3:]))
    shear = 0.5 * (voigt + reuss)
    return {
        names.BULK_MODULUS: float(bulk),
        names.SHEAR_MODULUS: float(shear),
        names.YOUNGS_MODULUS: float(9.0 * bulk * shear / (3.0 * bulk + shear)),
        names.POISSON_RATIO: float((3.0 * bulk - 2.0 * shear) / (2.0 * (3.0 * bulk + shear))),
    }


def _along(tensor: Array) -> float:
    """The sum of the diagonal of the first three rows and columns, less that of each pair."""
    block = tensor[:3, :3]
    return float(1.5 * np.trace(block) - 0.5 * block.sum())


def invariant_tensors(turns: Array) -> dict[tuple[int, int], Array]:
    """A stiffness (6, 6) for each independent constant, which is 1 in it while the others are 0.

    Parameters
    ----------
    turns : rotations of the crystal (k, 3, 3), all of its point group. A stiffness of the crystal is the same after
    each of them: these form a space, whose projector is the mean over the group. The independent constants are the
    pivots of its reduced rows, C11 before C12.
    """
    unit = np.zeros((6, 3, 3))
    for mode, (i, j) in enumerate(PLACES):
        unit[mode, i, j] = unit[mode, j, i] = 1.0
    turned = np.einsum("kia,mab,kjb->kmij", turns, unit, turns)
    bonds = np.stack([turned[:, :, i, j] for i, j in PLACES], axis=1)  # (k, stress after, stress before)
    rows = []
    for i, j in COMPONENTS:
        one = np.zeros((6, 6))
        one[i, j] = one[j, i] = 1.0
        mean = np.mean(bonds @ one @ bonds.swapaxes(1, 2), axis=0)
        rows.append([mean[at] for at in COMPONENTS])
    matrix, tensors = np.array(rows), dict[tuple[int, int], Array]()
    for column, pivot in enumerate(COMPONENTS):
        left = matrix[len(tensors) :, column]
        largest = len(tensors) + int(np.argmax(np.abs(left))) if left.size else 0
        if not left.size or abs(matrix[largest, column]) < TINY:
            continue
        matrix[[len(tensors), largest]] = matrix[[largest, len(tensors)]]
        row = matrix[len(tensors)] / matrix[len(tensors), column]
        matrix -= np.outer(matrix[:, column], row)
        matrix[len(tensors)] = row
        tensors[pivot] = np.zeros((6, 6))
    for tensor, row in zip(tensors.values(), matrix, strict=False):
        for (i, j), value in zip(COMPONENTS, row, strict=True):
            tensor[i, j] = tensor[j, i] = value
    return tensors


def modes_needed(tensors: Mapping[tuple[int, int], Array]) -> list[int]:
    """Voigt modes whose stresses determine all constants."""
    modes: list[int] = []
    every, rank = np.array(list(tensors.values())), 0
    for mode in MODES:
        found = int(np.linalg.matrix_rank(every[:, :, [*modes, mode]].reshape(len(every), -1), tol=TINY))
        if found > rank:
            modes, rank = [*modes, mode], found
    return modes


def constants_of(tensors: Mapping[tuple[int, int], Array], columns: Mapping[int, Array]) -> Array:
    """The independent constants by least squares from measured columns (6,) of the stiffness, by mode."""
    every = np.array(list(tensors.values()))[:, :, list(columns)]
    measured = np.array(list(columns.values())).T
    return np.asarray(np.linalg.lstsq(every.reshape(len(every), -1).T, measured.ravel(), rcond=None)[0])


def unstable_modes(stiffness: Array) -> int:
    """Number of different eigenvalues of the stiffness (6, 6) that are not positive.

    In F. Mouhat and F.-X. Coudert, Phys. Rev. B 90, 224104 (2014), a crystal is stable where there is none; of a cubic
    one they are C11 - C12, C11 + 2 C12 and 2 C44.
    """
    scale = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])
    values = np.linalg.eigvalsh(stiffness * np.outer(scale, scale))
    bad = values[values <= 0.0]
    return int(len(bad) and 1 + (np.diff(bad) > TINY * np.abs(values).max()).sum())


def _named(tensors: Mapping[tuple[int, int], Array]) -> list[tuple[str, tuple[int, int]]]:
    return [(f"{i + 1}{j + 1}", (i, j)) for i, j in tensors]
