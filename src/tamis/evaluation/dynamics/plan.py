"""The MD runs of a potential: kinds, temperatures, lengths, seeds, and the cells that they start from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Checked, Whole
from tamis.core.units import FS_PER_PS
from tamis.data.dataset import Dataset
from tamis.data.unit_cell import AnyCrystal, UnitCell

T = TypeVar("T")

NVE, NVT, NPT, HEATING, COMPRESSION = "NVE", "NVT", "NPT", "heating", "compression"
LARGEST_SEED = 900_000_000
"""LAMMPS' random numbers take seeds up to this."""


@dataclass(frozen=True, eq=False)
class MdRun:
    """One MD run.

    kind: NVE, NVT, NPT, heating or compression. name: what metrics call it ("NVT_1500K"), without the seed.
    repeat: 0, 1, ... among the runs of one name. atoms: where it starts. kelvin: of the thermostat at first;
    last_kelvin: at the end. last_volume: at the end, relative to the first. steps: planned.
    seed: of velocities and thermostat.
    """

    kind: str
    name: str
    repeat: int
    atoms: Atoms
    kelvin: float
    last_kelvin: float
    last_volume: float
    steps: int
    seed: int

    def kelvin_at(self, steps: int) -> float:
        """Temperature of the thermostat after so many steps, K."""
        return self.kelvin + (self.last_kelvin - self.kelvin) * steps / max(self.steps, 1)

    def volume_at(self, steps: int) -> float:
        """Volume after so many steps, relative to the start: sides shrink evenly."""
        return float((1.0 + (np.cbrt(self.last_volume) - 1.0) * steps / max(self.steps, 1)) ** 3)


@dataclass(frozen=True)
class Schedule(Checked):
    """The runs of a crystal. A length of 0 ps omits a kind.

    n_atoms: approximately, in the supercell; the cubic cell is repeated to come nearest.
    seeds: runs of each kind and temperature.
    trajectory_groups: groups of the pool that are MD of the perfect bulk, in blocks named "<group> <T> K".
    temperatures: of the NVT runs, K; None: those of the pool's trajectories.
    n_temperatures: only this many of them, evenly spread, both ends among them; None: all.
    cold: temperature of NVE, NPT and compression, and where heating begins, K.
    nve, nvt, npt, heating, compression: lengths, ps.
    heat_to: end of the heating, relative to the highest of the temperatures.
    compress_to: end of the compression, volume relative to the start.
    """

    n_atoms: Annotated[int, Whole(1)]
    seeds: Annotated[int, Whole(1)]
    trajectory_groups: Sequence[str]
    temperatures: Annotated[tuple[float, ...] | None, Above(0, "K")]
    n_temperatures: Annotated[int | None, Whole(1)]
    cold: Annotated[float, Above(0, "K")]
    nve: Annotated[float, AtLeast(0, "ps")]
    nvt: Annotated[float, AtLeast(0, "ps")]
    npt: Annotated[float, AtLeast(0, "ps")]
    heating: Annotated[float, AtLeast(0, "ps")]
    compression: Annotated[float, AtLeast(0, "ps")]
    heat_to: Annotated[float, Above(0)]
    compress_to: Annotated[float, Above(0)]

    def runs(self, crystal: AnyCrystal, pool: Dataset, timestep: float, seed: int) -> Iterator[MdRun]:
        """The runs, cheap and tame ones first, in steps of ``timestep`` fs.

        An NVT run has the mean density of the pool's frames at its temperature where there are some, so that the two
        are the same state; all other runs begin at the crystal's lattice constant.
        """
        temperatures = self.nvt_temperatures(pool)
        start = supercell(crystal, self.n_atoms)
        cold, hot = self.cold, max(temperatures) * self.heat_to
        wanted = [
            (NVE, f"NVE_{cold:.0f}K", start, cold, cold, 1.0, self.nve),
            (NPT, f"NPT_{cold:.0f}K", start, cold, cold, 1.0, self.npt),
            *(
                (NVT, f"NVT_{t:.0f}K", self._at_density(start, pool, t), t, t, 1.0, self.nvt)
                for t in temperatures
            ),
            (HEATING, "heating", start, cold, hot, 1.0, self.heating),
            (COMPRESSION, "compression", start, cold, cold, self.compress_to, self.compression),
        ]
        for number, (kind, name, atoms, first, last, volume, length) in enumerate(wanted):
            steps = round(length * FS_PER_PS / timestep)
            for repeat in range(self.seeds if steps else 0):
                rng = np.random.default_rng([seed, number, repeat])
                drawn = int(rng.integers(1, LARGEST_SEED))
                yield MdRun(kind, name, repeat, atoms, first, last, volume, steps, drawn)

    def nvt_temperatures(self, pool: Dataset) -> tuple[float, ...]:
        """Temperatures of the NVT runs, K, rising.

        Raises
        ------
        TamisError : none are given, and no trajectory of the pool has one in its name.
        """
        given = self.temperatures or [t for t in self._frame_temperatures(pool) if t is not None]
        found = tuple(sorted(set(map(float, given))))
        if not found:
            raise TamisError(
                "no temperatures for MD: none are given, and no block of the pool is named "
                f"'<group> <T> K' with a group of {list(self.trajectory_groups)}; set "
                "evaluation.dynamics.plan.temperatures, say [300, 1500], or its trajectory_groups"
            )
        if self.n_temperatures == 1:
            return found[-1:]
        return tuple(evenly(found, self.n_temperatures or len(found)))

    def frames(self, pool: Dataset, kelvin: float) -> list[Atoms]:
        """Frames of the pool that are MD of the bulk at this temperature."""
        named = self._frame_temperatures(pool)
        return [
            a
            for a, t in zip(pool.structures, named, strict=True)
            if t is not None and round(t) == round(kelvin)
        ]

    def _frame_temperatures(self, pool: Dataset) -> list[float | None]:
        found: list[float | None] = []
        for group, block in zip(pool.groups, pool.blocks, strict=True):
            match = re.fullmatch(rf"{re.escape(group)} (\d+(?:\.\d+)?) K", block)
            known = match is not None and group in self.trajectory_groups
            found.append(float(match[1]) if match is not None and known else None)
        return found

    def _at_density(self, start: Atoms, pool: Dataset, kelvin: float) -> Atoms:
        frames = self.frames(pool, kelvin)
        if not frames:
            return start
        volume = np.mean([a.cell.volume / len(a) for a in frames])
        atoms = start.copy()
        atoms.set_cell(atoms.cell.array * np.cbrt(volume * len(atoms) / atoms.cell.volume), scale_atoms=True)
        return atoms


def evenly(items: Sequence[T], most: int) -> list[T]:
    """At most ``most`` of the items, evenly spread, both ends among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(i)] for i in np.linspace(0, len(items) - 1, most)]


def supercell(crystal: AnyCrystal, n_atoms: int) -> Atoms:
    """The cubic cell, repeated alike in all directions so that the number of atoms is nearest to ``n_atoms``.

    Of other crystals see ``UnitCell.supercell``.
    """
    if isinstance(crystal, UnitCell):
        return crystal.supercell(n_atoms)
    cubic = crystal.conventional()
    repeats = range(1, 2 + round((n_atoms / len(cubic)) ** (1.0 / 3.0)) + 1)
    best = min(repeats, key=lambda n: abs(np.log(len(cubic) * n**3 / n_atoms)))
    return cubic.repeat(best)
