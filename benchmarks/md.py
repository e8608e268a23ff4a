"""Cost of MD through ``fix external`` against the potential's own time, and of a pair style against bare LAMMPS.

For each family, fitted to a few structures of sw_silicon and driving 64 silicon atoms at 300 K: processor time of a
step of tamis' MD, looks and frames included, by that of one call of the ASE calculator at positions of the same
trajectory, with whatever neighbour list it keeps; for a family with a pair style in this LAMMPS, by a step of LAMMPS
alone. The two take turns, in one process; ratios are of the fastest repeats.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from harness import RESULTS, configure, one_thread, report
from hydra.utils import instantiate

from tamis.data.crystal import Crystal
from tamis.engines.lammps import start_lammps
from tamis.evaluation.dynamics.engine import Integration, Task, integrate
from tamis.evaluation.dynamics.forces import load
from tamis.evaluation.dynamics.guards import Guardrails
from tamis.evaluation.dynamics.plan import NVE, MdRun, supercell
from tamis.evaluation.dynamics.trajectory import FINISHED, Trajectory
from tamis.models.base import Potential
from tamis.store import Store

FAMILIES = ("snap", "ace", "gap", "nnp", "chimes")
LIMITS = Guardrails(closest=0.5, hotter_by=1e6, volume_factor=1e3)
"""A potential fitted to a few structures may do what it likes here: only its time counts."""
KELVIN = 300.0


@dataclass(frozen=True, eq=False)
class ThroughCalculator(Potential):
    """A potential without its pair style."""

    inner: Potential

    def calculator(self) -> Calculator:
        """The potential's own."""
        return self.inner.calculator()

    def write(self, folder: Path) -> list[Path]:
        """No files."""
        return []

    def lammps(self, folder: Path) -> None:
        """No lines."""


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    options.add_argument("--steps", type=int, default=50, help="of each repeat")
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--structures", type=int, default=30, help="to fit to")
    options.add_argument("--out", type=Path, default=RESULTS / "md.csv")
    given = options.parse_args()
    one_thread()
    rows = []
    for family in given.families:
        with tempfile.TemporaryDirectory() as scratch:
            rows += measure(
                family, fitted(family, given.structures, Path(scratch)), given.steps, given.repeats
            )
    report("64 silicon atoms; processor time of a step", rows, given.out)


def fitted(family: str, n: int, scratch: Path) -> Potential:
    """The family's potential of ``n`` structures, evenly taken."""
    config = configure(["dataset=sw_silicon", f"model={family}"])
    dataset = instantiate(config.dataset).load()
    kept = dataset.subset(np.linspace(0, len(dataset) - 1, n).round().astype(int))
    model, store = instantiate(config.model, _convert_="all"), Store(scratch, 1)
    potential: Potential = model.fit(kept, kept.subset([]), store, np.random.default_rng(0))
    return potential


def measure(family: str, potential: Potential, steps: int, repeats: int) -> list[dict[str, str | float]]:
    """Rows of the table: through the calculator, and through the pair style if there is one."""
    start = supercell(Crystal(structure="diamond", element="Si", a=5.431), 64)
    run = MdRun(NVE, "NVE", 0, start, KELVIN, KELVIN, 1.0, steps, 1)
    how = Integration(timestep=1.0, damping=0.5, barostat=1.0, watch_every=10, sample_every=50)
    task = Task(run, ThroughCalculator(potential), how, LIMITS, 1e6)
    places = Trajectory.of(
        run, list(integrate(replace(task, integration=replace(how, watch_every=1, sample_every=1))))
    )
    cases: dict[str, Callable[[], float]] = {
        "fix external": lambda: seconds_of_md(task) / steps,
        "calculator": lambda: seconds_of_calls(potential, start, places),
    }
    if has_pair_style(potential):
        native = replace(task, forces=potential)
        cases |= {
            "pair style": lambda: seconds_of_md(native) / steps,
            "LAMMPS": lambda: seconds_of_lammps(native) / steps,
        }
    times: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, case in cases.items():
            times[name].append(case())
    best = {name: 1000.0 * min(found) for name, found in times.items()}
    pairs = [("fix external", "calculator"), ("pair style", "LAMMPS")][: len(cases) // 2]
    return [
        {
            "family": family,
            "way": way,
            "ms_a_step": best[way],
            "bare": bare,
            "bare_ms": best[bare],
            "ratio": best[way] / best[bare],
        }
        for way, bare in pairs
    ]


def seconds_of_md(task: Task) -> float:
    """Processor time of the steps, the start not counted."""
    trajectory = Trajectory.of(task.run, list(integrate(task)))
    if trajectory.end != FINISHED:
        raise SystemExit(f"the run ended with {trajectory.end} ({trajectory.detail}); give more --structures")
    return trajectory.seconds


def seconds_of_calls(potential: Potential, start: Atoms, places: Trajectory) -> float:
    """Processor time of one call with the positions of a trajectory, as a user's loop would make it."""
    calculator, atoms = potential.calculator(), start.copy()
    calculator.get_property("forces", atoms)
    begin = time.process_time()
    for positions in places.positions[1:]:
        atoms.positions[:] = positions
        calculator.calculate(atoms, ["energy", "forces", "stress"], ["positions"])
    return (time.process_time() - begin) / (len(places.positions) - 1)


def has_pair_style(potential: Potential) -> bool:
    """Whether this LAMMPS evaluates the potential itself."""
    with tempfile.TemporaryDirectory() as folder:
        atoms = supercell(Crystal(structure="diamond", element="Si", a=5.431), 8)
        return load(potential, start_lammps(), atoms, Path(folder)) is None


def seconds_of_lammps(task: Task) -> float:
    """Processor time of the same steps in one ``run`` of LAMMPS, which nobody watches."""
    with tempfile.TemporaryDirectory() as folder:
        lmp = start_lammps()
        load(task.forces, lmp, task.run.atoms, Path(folder))
        for command in (
            "timestep 0.001",  # ps
            f"velocity all create {2 * KELVIN} {task.run.seed} mom yes rot no dist gaussian",
            "fix move all nve",
            "run 0 post no",
        ):
            lmp.command(command)
        begin = time.process_time()
        lmp.command(f"run {task.run.steps} pre no post no")
        return time.process_time() - begin


if __name__ == "__main__":
    main()
