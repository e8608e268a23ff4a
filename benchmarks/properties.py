"""Processor time and calls of the calculator of each property of silicon, and of the vacancy by ASE's optimisers.

For each family, fitted to silicon: the properties of evaluation=full with one calculator, in the order of that file but
the wall, which is no property of silicon. What is imported or compiled once a process is not counted. With --ase also
the way of the vacancy without force constants and symmetries: LBFGS for two starts and the end of the jump, FIRE for
the climbing-image elastic band of three images; the two ways take turns, in one process.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase.mep import NEB
from ase.optimize import FIRE, LBFGS
from harness import RESULTS, configure, dataset_overrides, one_thread, report
from hydra.utils import instantiate

from tamis.core.metrics import VACANCY_FORMATION, VACANCY_MIGRATION
from tamis.data.crystal import Crystal
from tamis.evaluation.properties.base import Measured, Property, PropertyError, Sample
from tamis.evaluation.properties.relaxation import relaxed_lattice_constant
from tamis.evaluation.properties.vacancy import Hole, Jump
from tamis.models.base import Potential
from tamis.store import Store

FAMILIES = ("snap", "ace", "chimes", "gap", "nnp_quick")
BY_ASE = "vacancy by ASE"


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    options.add_argument("--root", type=Path, help="of mlearn; without it sw_silicon is fitted")
    options.add_argument("--structures", type=int, default=100, help="to fit to, at most")
    options.add_argument("--repeats", type=int, default=2)
    options.add_argument("--ase", action="store_true", help="the vacancy also by ASE: minutes")
    options.add_argument("--out", type=Path, default=RESULTS / "properties.csv")
    given = options.parse_args()
    one_thread()
    rows = []
    for family in given.families:
        with tempfile.TemporaryDirectory() as scratch:
            potential, crystal, chosen = fitted(family, given.root, given.structures, Path(scratch))
        if given.ase:
            chosen[BY_ASE] = ByAse()
        rows += measure(family, potential, crystal, chosen, given.repeats)
    report("properties of silicon; the shortest of the repeats", rows, given.out)


def fitted(
    family: str, root: Path | None, n: int, scratch: Path
) -> tuple[Potential, Crystal, dict[str, Property]]:
    """The family's potential of ``n`` structures, evenly taken; the crystal, and the properties to measure."""
    config = configure([*dataset_overrides(root, "Si"), f"model={family}", "evaluation=full"])
    dataset = instantiate(config.dataset).load()
    pool = np.flatnonzero(~dataset.is_test)
    chosen = np.linspace(0, len(pool) - 1, min(n, len(pool))).round().astype(int)
    kept, store = dataset.subset(pool[chosen]), Store(scratch, 1)
    model = instantiate(config.model, _convert_="all")
    potential: Potential = model.fit(kept, kept.subset([]), store, np.random.default_rng(0))
    properties = dict(instantiate(config.evaluation, _convert_="all").properties)
    del properties["wall"]
    return potential, instantiate(config.dataset.crystal), properties


@dataclass
class Counted:
    """Calls of a calculator, whole cells and sums over some atoms, and the atoms that were computed in them."""

    calls: int = 0
    atoms: int = 0

    def watch(self, calculator: Any) -> None:
        """Count from now on."""
        calculate, weighted = calculator.calculate, getattr(calculator, "weighted", None)

        def calculated(atoms: Any, *rest: Any) -> None:
            self.calls, self.atoms = self.calls + 1, self.atoms + len(atoms)
            calculate(atoms, *rest)

        def summed(atoms: Any, weights: Any) -> Any:
            self.calls, self.atoms = self.calls + 1, self.atoms + int(np.count_nonzero(weights))
            return weighted(atoms, weights)

        calculator.calculate = calculated
        if weighted:
            calculator.weighted = summed


def measure(
    family: str, potential: Potential, crystal: Crystal, properties: Mapping[str, Property], repeats: int
) -> list[dict[str, Any]]:
    """A row for each property, and one for all."""
    seconds: dict[str, list[float]] = {name: [] for name in properties}
    counts, values = dict[str, Counted](), dict[str, str]()
    for repeat in range(repeats + 1):
        sample = Sample(crystal, potential.calculator())
        counted = Counted()
        counted.watch(sample.calculator)
        for name, measured in properties.items():
            if repeat == 0 and name == BY_ASE:  # nothing is compiled for it
                continue
            counted.calls = counted.atoms = 0
            begin = time.process_time()
            found, problem = Measured(), ""
            try:
                for part in measured.measure(sample):
                    found = found.plus(part)
            except PropertyError as error:
                problem = str(error)
            if repeat:
                seconds[name].append(time.process_time() - begin)
            counts[name] = Counted(counted.calls, counted.atoms)
            energies = (found.values.get(key) for key in (VACANCY_FORMATION, VACANCY_MIGRATION))
            values[name] = problem or " ".join(f"{energy:.4f}" for energy in energies if energy is not None)
    rows: list[dict[str, Any]] = [
        {
            "family": family,
            "property": name,
            "cpu_s": min(seconds[name]),
            "calls": counts[name].calls,
            "atoms_computed": counts[name].atoms,
            "formation_and_migration_eV": values[name],
        }
        for name in properties
    ]
    ours = [row for row in rows if row["property"] != BY_ASE]
    total = {key: sum(row[key] for row in ours) for key in ("cpu_s", "calls", "atoms_computed")}
    return [*rows, {"family": family, "property": "all", **total, "formation_and_migration_eV": ""}]


@dataclass(frozen=True)
class ByAse(Property):
    """The vacancy of 216 atoms by optimisers that know nothing of the crystal."""

    def measure(self, sample: Sample) -> Iterator[Measured]:
        """vacancy_formation_eV, vacancy_migration_eV."""
        full = sample.crystal.conventional(relaxed_lattice_constant(sample)) * 3
        rest = sample.energy(full) * (len(full) - 1) / len(full)
        hole = Hole.without(full, 0)
        starts = [hole.moved_in(inward) for inward in (0.0, 0.2)]
        for start in starts:
            relaxed(start, sample)
        start = min(starts, key=sample.energy)
        yield Measured({VACANCY_FORMATION: sample.energy(start) - rest})
        jump = Jump.of(hole)
        inversion = next(one for one in jump.middle.operations if np.allclose(one.matrix, -np.eye(3)))
        end = jump.ideal.copy()
        end.positions += inversion.turned(start.positions - jump.ideal.positions)
        relaxed(end, sample)
        images = [start, *(start.copy() for _ in range(3)), end]
        for image in images:
            image.calc = sample.calculator
        band = NEB(images, climb=True, method="improvedtangent", allow_shared_calculator=True)
        band.interpolate(mic=True)
        FIRE(band, logfile=None, maxstep=0.1).run(fmax=0.05, steps=200)
        highest = max(sample.energy(image) for image in images)
        yield Measured({VACANCY_MIGRATION: highest - sample.energy(start)})


def relaxed(atoms: Any, sample: Sample) -> None:
    """Relax ``atoms`` in place."""
    atoms.calc = sample.calculator
    LBFGS(atoms, logfile=None, maxstep=0.1).run(fmax=0.005, steps=200)


if __name__ == "__main__":
    main()
