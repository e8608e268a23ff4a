"""Phonon frequencies at points of high symmetry, and imaginary modes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms

from tamis.core.fields import Above, AtLeast, Checked, Whole
from tamis.core.metrics import PHONON_HIGHEST, PHONON_IMAGINARY, PHONON_LOWEST
from tamis.evaluation.properties.base import Line, Measured, Property, Sample
from tamis.evaluation.properties.relaxation import relaxed_lattice_constant
from tamis.evaluation.properties.springs import force_constants

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FCC = {"gamma": (0, 0, 0), "X": (0.5, 0, 0.5), "K": (0.375, 0.375, 0.75), "L": (0.5, 0.5, 0.5)}
BCC = {"gamma": (0, 0, 0), "H": (0.5, -0.5, 0.5), "P": (0.25, 0.25, 0.25), "N": (0, 0, 0.5)}
POINTS = {"diamond": FCC, "fcc": FCC, "bcc": BCC}
"""In units of the primitive reciprocal vectors."""
PATHS = {
    "fcc": (("gamma", "X"), ("K", "gamma"), ("gamma", "L")),
    "bcc": (("gamma", "H"), ("H", "P"), ("P", "gamma"), ("gamma", "N")),
}
POINTS_PER_LINE = 41


@dataclass(frozen=True)
class Phonons(Checked, Property):
    """Harmonic frequencies from forces on a supercell with one displaced atom (phonopy).

    repeat: of the primitive cell along each vector; a multiple of 4 makes every special point exact. displacement: Å.
    imaginary: frequencies below minus this count as imaginary, THz.
    """

    repeat: Annotated[int, Whole(1)]
    displacement: Annotated[float, Above(0, "Å")]
    imaginary: Annotated[float, AtLeast(0, "THz")]

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """phonon_<point>_lowest_THz, phonon_<point>_highest_THz, phonon_imaginary_percent, phonon_highest_THz."""
        phonons = self._phonons(sample)
        points = POINTS[sample.crystal.structure]
        values: dict[str, float] = {}
        data: dict[str, Any] = {}
        for name, point in points.items():
            found = np.asarray(phonons.run_qpoints([point]).frequencies[0])
            data[f"{name}_THz"] = found.tolist()
            optical = found[3:] if name == "gamma" else found  # three are translations
            if optical.size:
                values |= {
                    PHONON_LOWEST.format(name): float(optical.min()),
                    PHONON_HIGHEST.format(name): float(optical.max()),
                }
        mesh = phonons.run_mesh([self.repeat] * 3, is_gamma_center=True)  # what the supercell holds exactly
        modes = np.asarray(mesh.frequencies)
        weights = np.asarray(mesh.weights, dtype=float)[:, None] * np.ones_like(modes)
        values[PHONON_IMAGINARY] = float(100.0 * weights[modes < -self.imaginary].sum() / weights.sum())
        yield Measured(values, data | {"lines": _lines(phonons, sample.crystal.structure)})

    def _phonons(self, sample: Sample) -> Any:
        """A phonopy object; its own search for symmetries would take longer than everything else together."""
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms

        cell = sample.crystal.primitive(relaxed_lattice_constant(sample))
        phonons = Phonopy(
            PhonopyAtoms(symbols=cell.get_chemical_symbols(), cell=cell.cell.array, positions=cell.positions),
            supercell_matrix=np.eye(3, dtype=int) * self.repeat,
            primitive_matrix=np.eye(3),
            is_symmetry=False,
        )
        inside = phonons.supercell
        supercell = Atoms(inside.symbols, positions=inside.positions, cell=inside.cell, pbc=True)
        phonons.force_constants = force_constants(sample, supercell, self.repeat, self.displacement)
        phonons.symmetrize_force_constants()
        return phonons

    def draw(self, ax: Axes, data: Mapping[str, Any], line: Line, label: str) -> None:
        """Frequencies along lines between the special points."""
        from tamis.core.figures import BLUE
        from tamis.core.figures import label as name_axes

        lines = data.get("lines", ())
        for i, one in enumerate(lines):
            along = i + np.linspace(0.0, 1.0, POINTS_PER_LINE)
            ax.plot(
                along,
                one["frequencies_THz"],
                **{**line, "marker": ""},
                color=BLUE,
                label=None if i else label,
            )
            ax.axvline(i, color="0.7", lw=0.8)
        if lines:
            ax.set_xticks(range(len(lines) + 1), _corners(lines))
            name_axes(ax, "wave vector", "frequency (THz)")


def _corners(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the points at which lines begin and end, both where they differ."""
    inner = [
        one["to"] if one["to"] == after["from"] else f"{one['to']}|{after['from']}"
        for one, after in pairwise(lines)
    ]
    return [name.replace("gamma", "Γ") for name in (lines[0]["from"], *inner, lines[-1]["to"])]


def _lines(phonons: Any, structure: str) -> list[dict[str, Any]]:
    points = POINTS[structure]
    lines = []
    for start, end in PATHS["bcc" if structure == "bcc" else "fcc"]:
        steps = np.linspace(0.0, 1.0, POINTS_PER_LINE)[:, None]
        on_line = np.array(points[start]) * (1.0 - steps) + np.array(points[end]) * steps
        frequencies = np.asarray(phonons.run_qpoints(on_line).frequencies)
        lines.append({"from": start, "to": end, "frequencies_THz": frequencies.tolist()})
    return lines
