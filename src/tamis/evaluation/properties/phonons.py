"""Phonon frequencies at points of high symmetry, and imaginary modes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from ase import Atoms
from ase.dft.kpoints import parse_path_string

from tamis.core.fields import Above, AtLeast, Checked, Whole
from tamis.core.metrics import PHONON_HIGHEST, PHONON_IMAGINARY, PHONON_LOWEST
from tamis.data.crystal import Crystal
from tamis.data.unit_cell import AnyCrystal
from tamis.evaluation.properties.base import Line, Measured, Property, Sample
from tamis.evaluation.properties.cell_relaxation import relaxed_crystal
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
LONG_ENOUGH = 10.0
"""Å; crystals that are not simple are repeated along a vector until it is as long."""
SAME_PLACE = 1e-4
"""Å, within which atoms of a relaxed cell are in symmetric places."""
Points = Mapping[str, tuple[float, ...]]
Paths = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Phonons(Checked, Property):
    """Harmonic frequencies from forces on a supercell with one displaced atom (phonopy).

    repeat: of the primitive cell along each vector; a multiple of 4 makes every special point exact. Of crystals other
    than diamond, bcc and fcc of one element: at most; fewer where a vector is long. displacement: Å.
    imaginary: frequencies below minus this count as imaginary, THz.
    """

    repeat: Annotated[int, Whole(1)]
    displacement: Annotated[float, Above(0, "Å")]
    imaginary: Annotated[float, AtLeast(0, "THz")]

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """phonon_<point>_lowest_THz, phonon_<point>_highest_THz, phonon_imaginary_percent, phonon_highest_THz."""
        crystal = relaxed_crystal(sample)
        repeats = self._repeats(crystal)
        phonons = self._phonons(sample, crystal, repeats)
        points, paths = special_points(crystal)
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
        mesh = phonons.run_mesh(repeats, is_gamma_center=True)  # what the supercell holds exactly
        modes = np.asarray(mesh.frequencies)
        weights = np.asarray(mesh.weights, dtype=float)[:, None] * np.ones_like(modes)
        values[PHONON_IMAGINARY] = float(100.0 * weights[modes < -self.imaginary].sum() / weights.sum())
        yield Measured(values, data | {"lines": _lines(phonons, points, paths)})

    def _repeats(self, crystal: AnyCrystal) -> list[int]:
        """Of the primitive cell along each vector; even ones of other crystals, for points on the zone's boundary."""
        if isinstance(crystal, Crystal):
            return [self.repeat] * 3
        lengths = crystal.primitive().cell.lengths()
        return [min(self.repeat, 2 * int(np.ceil(LONG_ENOUGH / (2.0 * length)))) for length in lengths]

    def _phonons(self, sample: Sample, crystal: AnyCrystal, repeats: list[int]) -> Any:
        """A phonopy object; of simple crystals its search for symmetries would take longer than everything else."""
        from phonopy import Phonopy
        from phonopy.structure.atoms import PhonopyAtoms

        cell, simple = crystal.primitive(), isinstance(crystal, Crystal)
        phonons = Phonopy(
            PhonopyAtoms(symbols=cell.get_chemical_symbols(), cell=cell.cell.array, positions=cell.positions),
            supercell_matrix=np.diag(repeats),
            primitive_matrix=np.eye(3),
            is_symmetry=not simple,
            symprec=SAME_PLACE,
        )
        if simple:
            supercell = _as_ase(phonons.supercell)
            phonons.force_constants = force_constants(sample, supercell, self.repeat, self.displacement)
        else:
            phonons.generate_displacements(distance=self.displacement)  # both sides unless they are symmetric
            phonons.forces = [
                sample.forces(_as_ase(moved)) for moved in phonons.supercells_with_displacements or ()
            ]
            phonons.produce_force_constants()
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


def special_points(crystal: AnyCrystal) -> tuple[Points, Paths]:
    """Points of high symmetry, in units of the primitive reciprocal vectors, and lines between them.

    Those of W. Setyawan and S. Curtarolo, Comput. Mater. Sci. 49, 299 (2010), where the crystal is not simple.
    """
    if isinstance(crystal, Crystal):
        return POINTS[crystal.structure], PATHS["bcc" if crystal.structure == "bcc" else "fcc"]
    path = crystal.primitive().cell.bandpath(npoints=0)
    names = {name: "gamma" if name == "G" else name for name in path.special_points}
    points = {names[name]: tuple(map(float, point)) for name, point in path.special_points.items()}
    lines = [
        (names[start], names[end]) for part in parse_path_string(path.path) for start, end in pairwise(part)
    ]
    return points, tuple(lines)


def _as_ase(cell: Any) -> Atoms:
    return Atoms(cell.symbols, positions=cell.positions, cell=cell.cell, pbc=True)


def _lines(phonons: Any, points: Points, paths: Paths) -> list[dict[str, Any]]:
    lines = []
    for start, end in paths:
        steps = np.linspace(0.0, 1.0, POINTS_PER_LINE)[:, None]
        on_line = np.array(points[start]) * (1.0 - steps) + np.array(points[end]) * steps
        frequencies = np.asarray(phonons.run_qpoints(on_line).frequencies)
        lines.append({"from": start, "to": end, "frequencies_THz": frequencies.tolist()})
    return lines
