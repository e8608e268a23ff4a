"""Loading of large files of extended XYZ: time and peak memory, beside ASE's reading of the same file.

``large``: 2000 cells of 108 atoms, 216 000 atoms in one file. ``many``: 100 000 cells of 8 atoms. ``load`` is all that
a trial does with the file: it is read, its keys are chosen, every check is made, copies are found, the test set is
drawn. ``read`` is tamis' reading alone, ``ase`` is ``ase.io.read``. Each runs in a process of its own, taking turns.

The structures are copper, strained by 2 % and rattled by 0.12 Å, with labels of a Morse potential.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from harness import RESULTS, configure, one_thread, report
from hydra.utils import instantiate
from matscipy.neighbours import neighbour_list

from tamis.data.readers.xyz import read_xyz

SETS = {"large": (2000, (3, 3, 3)), "many": (100_000, (2, 1, 1))}
"""Number of structures, and of cubic cells of 4 atoms in each."""
WAYS = ("ase", "read", "load")
GIB_PER_KIB = 2**-20
REACH, STIFFNESS, DEPTH, BOND = 5.0, 1.4, 0.35, 2.6
"""Å, 1/Å, eV and Å of the potential."""


def main() -> None:
    """Make the files, read each in every way, print the table."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--sets", nargs="+", default=list(SETS), choices=SETS)
    options.add_argument("--part", type=float, default=1.0, help="of the structures, for a quick look")
    options.add_argument("--repeats", type=int, default=2)
    options.add_argument("--out", type=Path, default=RESULTS / "reading.csv")
    options.add_argument("--run", nargs=2, metavar=("WAY", "FILE"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.run:
        print(json.dumps(measured(given.run[0], Path(given.run[1]))))
        return
    one_thread()
    with tempfile.TemporaryDirectory() as folder:
        rows = [row for name in given.sets for row in rows_of(name, given.part, given.repeats, Path(folder))]
    report("Reading extended XYZ", rows, given.out)


def rows_of(name: str, part: float, repeats: int, folder: Path) -> list[dict[str, object]]:
    """One row a way; the fastest repeat counts."""
    count, cells = SETS[name]
    path = folder / f"{name}.xyz"
    with path.open("w") as file:
        for atoms in structures(max(int(part * count), 20), cells):
            ase.io.write(file, atoms, format="extxyz")
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(repeats):
        for way in WAYS:
            command = [sys.executable, __file__, "--run", way, str(path)]
            output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
            found[way].append(json.loads(output.splitlines()[-1]))
    best = {way: {key: min(run[key] for run in runs) for key in runs[0]} for way, runs in found.items()}
    return [
        {"set": name, "way": way, **best[way], "cpu_over_ase": best[way]["cpu_s"] / best["ase"]["cpu_s"]}
        for way in WAYS
    ]


def measured(way: str, path: Path) -> dict[str, float]:
    """Seconds by the clock and of the processor, and the peak memory of this process."""
    config = configure(["dataset=file", f"dataset.train='{path}'"])
    start, cpu = time.perf_counter(), time.process_time()
    if way == "ase":
        kept: object = ase.io.read(path, ":")
    elif way == "read":
        kept = list(read_xyz(path))
    else:
        kept = instantiate(config.dataset).load()
    seconds = {"wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}
    del kept
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * GIB_PER_KIB
    return {**seconds, "peak_GiB": peak}


def structures(count: int, cells: tuple[int, int, int]) -> Iterator[Atoms]:
    """Strained and rattled copper with labels."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        atoms = bulk("Cu", cubic=True) * cells
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + 0.02 * rng.normal(size=(3, 3))), scale_atoms=True)
        atoms.positions += rng.normal(scale=0.12, size=atoms.positions.shape)
        yield labelled(atoms)


def labelled(atoms: Atoms) -> Atoms:
    """``atoms`` with energy, forces and stress of a Morse potential that ends smoothly at REACH."""
    first, distance, bonds = neighbour_list("idD", atoms, REACH)
    decay, smooth = np.exp(-STIFFNESS * (distance - BOND)), (1.0 - (distance / REACH) ** 2) ** 2
    pair, slope = DEPTH * (decay**2 - 2.0 * decay), 2.0 * DEPTH * STIFFNESS * (decay - decay**2)
    slope = slope * smooth - pair * 4.0 * distance / REACH**2 * (1.0 - (distance / REACH) ** 2)
    forces = np.zeros_like(atoms.positions)
    np.add.at(forces, first, (slope / distance)[:, None] * bonds)
    stress = 0.5 * np.einsum("n,ni,nj->ij", slope / distance, bonds, bonds) / atoms.cell.volume
    atoms.calc = SinglePointCalculator(
        atoms,
        energy=0.5 * float((pair * smooth).sum()) - 3.0 * len(atoms),
        forces=forces,
        stress=stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]],
    )
    return atoms


if __name__ == "__main__":
    main()
