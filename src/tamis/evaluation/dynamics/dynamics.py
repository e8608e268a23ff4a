"""MD of a potential: its stability, the material's structure and diffusion, and extrapolation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import numpy as np
from ase import Atoms

from tamis.bases.base import Basis
from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked
from tamis.core.metrics import of_group
from tamis.core.units import FS_PER_PS
from tamis.evaluation.base import Findings, Subject
from tamis.evaluation.dynamics import artifacts, reference, structure
from tamis.evaluation.dynamics.engine import Integration, Task, follow
from tamis.evaluation.dynamics.extrapolation import Extrapolation
from tamis.evaluation.dynamics.forces import ForceField
from tamis.evaluation.dynamics.guards import CAUSES, Guardrails, Guards
from tamis.evaluation.dynamics.plan import COMPRESSION, HEATING, NVE, NVT, MdRun, Schedule, evenly
from tamis.evaluation.dynamics.reference import Averages, MdReference, by_name
from tamis.evaluation.dynamics.trajectory import FINISHED, OUT_OF_TIME, Trajectory
from tamis.models.base import Array

STAGE = "md"
REFERENCE_SECONDS = 3600.0
"""Limit for a run of the label-giver, which is made once and must not end early."""


@dataclass(frozen=True)
class Dynamics(Checked):
    """MD in LAMMPS, each run in a process of its own.

    plan: the runs. integration: how they are integrated. guards: when a run has failed.
    extrapolation: when an environment is outside the kept structures; None: not measured.
    rdf_bin: width of the bins of g(r), Å.
    run_seconds: processor time of each run; a run that is out of time has not failed.
    patience: s without a sign of life after which a run is ended and has failed; the engine must start in this time.
    plots: draw temperature, energy and g(r).
    """

    plan: Schedule
    integration: Integration
    guards: Guards
    extrapolation: Extrapolation | None
    rdf_bin: Annotated[float, Above(0, "Å")]
    run_seconds: Annotated[float, Above(0, "s")]
    patience: Annotated[float, Above(0, "s")]
    plots: bool

    def measure(self, subject: Subject) -> Findings:
        """Metrics ``md/...``; failures of runs are metrics and problems, too. Writes <folder>/dynamics/."""
        try:
            if subject.crystal is None:
                raise TamisError("MD starts from a crystal, and the data set names none; set dataset.crystal")
            limits = self.guards.limits(subject.pool)
            runs = list(
                self.plan.runs(subject.crystal, subject.pool, self.integration.timestep, subject.seed)
            )
        except TamisError as error:
            return Findings(problems={STAGE: str(error)})
        bins = {run.name: self._bins(run) for run in runs}
        trajectories = [self._follow(run, subject.potential, limits, self.run_seconds) for run in runs]
        averages = reference.averages_of(trajectories, bins)
        compared, total = self._reference(subject, runs, limits, bins)
        total = self._stability(trajectories).plus(total)
        total = total.plus(Findings(dict(ramps(trajectories))))
        total = total.plus(Findings(dict(self._structure(averages, compared, trajectories))))
        total = total.plus(self._extrapolation(subject, trajectories))
        folder = subject.folder / artifacts.FOLDER
        content = {
            "metrics": total.metrics,
            "problems": total.problems,
            "limits": asdict(limits),
            "runs": [artifacts.as_json(t, self.integration.timestep) for t in trajectories],
            "bins_A": {name: edges.tolist() for name, edges in bins.items()},
            "averages": {name: asdict(numbers) for name, numbers in averages.items()},
            "reference": asdict(compared),
        }
        artifacts.write_json(folder, content)
        artifacts.write_last_frames(folder, trajectories)
        if self.plots:
            artifacts.draw(folder, trajectories, averages, compared, bins)
        return total

    def _follow(self, run: MdRun, forces: ForceField, limits: Guardrails, seconds: float) -> Trajectory:
        return follow(Task(run, forces, self.integration, limits, seconds), self.patience)

    def _bins(self, run: MdRun) -> Array:
        """Edges of the bins of g(r), Å, up to half the width of the cell: beyond it atoms meet their own images."""
        widest = 0.5 * float(np.cbrt(run.atoms.cell.volume))
        return np.arange(0.0, widest, self.rdf_bin)

    def _stability(self, trajectories: Sequence[Trajectory]) -> Findings:
        """Survived fractions, steps, failures and their causes."""
        metrics: dict[str, float] = {names.MD_FAILURES_OF_CAUSE.format(cause): 0.0 for cause in CAUSES}
        problems: dict[str, str] = {}
        for name, found in by_name(trajectories).items():
            metrics[of_group(names.STABLE_FRACTION, name)] = self._stable_fraction(found)
            metrics[of_group(names.STEPS, name)] = float(np.mean([t.steps for t in found]))
            failed = [t for t in found if t.failed]
            if failed:
                times = [t.steps * self.integration.timestep / FS_PER_PS for t in failed]
                metrics[of_group(names.TIME_TO_FAILURE, name)] = float(np.mean(times))
                problems[f"{names.MD}{name}"] = "; ".join(
                    _told(t, time) for t, time in zip(failed, times, strict=True)
                )
            for trajectory in failed:
                metrics[names.MD_FAILURES_OF_CAUSE.format(trajectory.end)] += 1.0
        metrics[names.MD_FAILURES] = float(sum(t.failed for t in trajectories))
        metrics[names.OUT_OF_TIME] = float(sum(t.end == OUT_OF_TIME for t in trajectories))
        steps = sum(t.steps for t in trajectories)
        if steps:
            metrics[names.MS_PER_STEP] = 1000.0 * sum(t.seconds for t in trajectories) / steps
        if melts := [t for t in trajectories if t.run.kind == NVT]:
            metrics[names.STABLE_FRACTION] = self._stable_fraction(melts)
        return Findings(metrics, problems)

    def _stable_fraction(self, trajectories: Sequence[Trajectory]) -> float:
        return float(np.mean([t.stable_fraction(self.run_seconds) for t in trajectories]))

    def _reference(
        self, subject: Subject, runs: Sequence[MdRun], limits: Guardrails, bins: dict[str, Array]
    ) -> tuple[MdReference, Findings]:
        """Averages of the label-giver, which are computed once; without one, of the pool's frames."""
        if subject.label_giver is None:
            return reference.from_frames(self.plan, subject.pool, runs, bins), Findings()
        needed = reference.needed(runs)
        name = subject.label_giver_name or type(subject.label_giver).__name__
        file = reference.cached_at(subject.cache, name, needed, self.integration, bins)
        if (content := file.read()) is not None:
            return MdReference.of_json(content), Findings()
        trajectories = [self._follow(run, subject.label_giver, limits, REFERENCE_SECONDS) for run in needed]
        problems = {
            f"{names.MD}reference {t.run.name}": f"the label-giver's own run: {t.end} ({t.detail})"
            for t in trajectories
            if t.failed
        }
        made = MdReference(reference.averages_of(trajectories, bins), "MD of the label-giver")
        if not problems:
            file.write(asdict(made))
        return made, Findings(problems=problems)

    def _structure(
        self,
        averages: Mapping[str, Averages],
        compared: MdReference,
        trajectories: Sequence[Trajectory],
    ) -> Iterator[tuple[str, float]]:
        """Metrics of the material, with errors where there is a reference."""
        for name, found in averages.items():
            there = compared.averages.get(name, Averages())
            if found.rdf is not None and there.rdf is not None:
                error = structure.distribution_error(np.array(found.rdf), np.array(there.rdf))
                yield of_group(names.RDF_ERROR, name), error
            if found.volume is not None:
                yield names.MD_VOLUME, found.volume
                if there.volume is not None:
                    yield names.MD_VOLUME_ERROR, 100.0 * (found.volume / there.volume - 1.0)
        melts = [t for t in trajectories if t.run.kind == NVT]
        if melts:
            name = max(melts, key=lambda t: t.run.kelvin).run.name
            mine, theirs = averages[name].diffusion, compared.averages.get(name, Averages()).diffusion
            if mine is not None:
                yield names.DIFFUSION, mine
                if theirs:
                    yield names.DIFFUSION_ERROR, 100.0 * (mine / theirs - 1.0)
        drift = structure.mean_of([structure.energy_drift(t) for t in trajectories if t.run.kind == NVE])
        if drift is not None:
            yield names.NVE_DRIFT, drift

    def _extrapolation(self, subject: Subject, trajectories: Sequence[Trajectory]) -> Findings:
        """Share of the environments of all runs that lie outside the kept structures."""
        if self.extrapolation is None:
            return Findings()
        settings, total = self.extrapolation, Findings()
        frames: list[Atoms] = []
        runs: list[str] = []
        for name, found in by_name(trajectories).items():
            chosen = evenly([frame for t in found for frame in structure.every_frame(t)], settings.frames)
            frames, runs = frames + chosen, runs + [name] * len(chosen)
        if not frames:
            return total
        spaces: dict[str, Basis | None] = {"common": settings.space, "own": subject.own}
        for space, basis in spaces.items():
            if basis is None:
                continue
            metric = names.OUTSIDE_KEPT.format(space)
            try:
                shares = settings.outside(basis, subject.pool, subject.kept, frames, subject.store)
            except TamisError as error:
                total = total.plus(Findings(problems={metric: str(error)}))
                continue
            apart = {name: float(shares[np.array(runs) == name].mean()) for name in dict.fromkeys(runs)}
            total = total.plus(Findings({of_group(metric, name): share for name, share in apart.items()}))
            total = total.plus(Findings({metric: float(np.mean(list(apart.values())))}))
        return total


def ramps(trajectories: Sequence[Trajectory]) -> Iterator[tuple[str, float]]:
    """Where heating (K, of the thermostat) and compression (volume by that of the start) ended, mean over seeds.

    Beside it the fractions of runs that survived, whose place is a bound, and of those that the clock stopped. Where
    there is one of these, the place of failure is not known, and absent.
    """
    for kind, metric in ((HEATING, names.HEATING_FAILURE), (COMPRESSION, names.COMPRESSION_FAILURE)):
        found = [t for t in trajectories if t.run.kind == kind]
        if not found:
            continue
        stopped = float(np.mean([t.end == OUT_OF_TIME for t in found]))
        yield names.RAMP_OUT_OF_TIME.format(kind), stopped
        yield names.RAMP_SURVIVED.format(kind), float(np.mean([t.end == FINISHED for t in found]))
        if not stopped:
            at = [t.run.kelvin_at(t.steps) if kind == HEATING else t.run.volume_at(t.steps) for t in found]
            yield metric, float(np.mean(at))


def _told(trajectory: Trajectory, picoseconds: float) -> str:
    return f"run {trajectory.run.repeat}: {trajectory.end} after {picoseconds:g} ps ({trajectory.detail})"
