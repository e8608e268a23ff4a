"""References of MD: the same runs under the label-giver, or the pool's own MD frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tamis.data.dataset import Dataset, structure_key
from tamis.evaluation.cached import CachedFile
from tamis.evaluation.dynamics import structure
from tamis.evaluation.dynamics.engine import Integration
from tamis.evaluation.dynamics.plan import NPT, NVT, MdRun, Schedule
from tamis.evaluation.dynamics.trajectory import Trajectory
from tamis.models.base import Array

REVISION = 2
"""Goes up when the same runs give other averages; older cached references are then computed again."""


@dataclass(frozen=True)
class Averages:
    """Averages over all runs of one name.

    rdf: g(r), (n_bins,), of NVT runs. diffusion: Å²/ps, of NVT runs. volume: Å³/atom, of NPT runs. None: too short.
    """

    rdf: list[float] | None = None
    diffusion: float | None = None
    volume: float | None = None

    @classmethod
    def of(cls, trajectories: Sequence[Trajectory], edges: Array) -> Averages:
        """Over the trajectories of one name; ``edges``: of the bins, Å."""
        kind = trajectories[0].run.kind
        if kind == NPT:
            return cls(volume=structure.mean_of([structure.volume_per_atom(t) for t in trajectories]))
        if kind != NVT:
            return cls()
        found = [structure.radial_distribution(structure.frames_of(t), edges) for t in trajectories]
        whole = [g for g in found if g is not None]
        return cls(
            rdf=np.mean(whole, axis=0).tolist() if whole else None,
            diffusion=structure.mean_of([structure.diffusion(t) for t in trajectories]),
        )


@dataclass(frozen=True)
class MdReference:
    """Averages that those of the potential are compared with.

    averages: by the runs' names. source: their origin, for people. noise: by name, the error (see
    ``distribution_error``) of every second frame of the reference against the others, where frames are few.
    """

    averages: dict[str, Averages] = field(default_factory=dict)
    source: str = "none"
    noise: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of_json(cls, content: Mapping[str, Any]) -> MdReference:
        """From what ``asdict`` made."""
        averages = {name: Averages(**numbers) for name, numbers in content["averages"].items()}
        return cls(averages, content["source"], content["noise"])


def by_name(trajectories: Sequence[Trajectory]) -> dict[str, list[Trajectory]]:
    """Trajectories by the names of their runs, in their order."""
    found: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        found.setdefault(trajectory.run.name, []).append(trajectory)
    return found


def averages_of(trajectories: Sequence[Trajectory], bins: Mapping[str, Array]) -> dict[str, Averages]:
    """Averages by the names of the runs."""
    return {name: Averages.of(found, bins[name]) for name, found in by_name(trajectories).items()}


def from_frames(
    plan: Schedule, pool: Dataset, runs: Sequence[MdRun], bins: Mapping[str, Array]
) -> MdReference:
    """g(r) of the pool's frames of the same temperature; a few frames give nothing else."""
    averages, noise = {}, {}
    for run in runs:
        frames = plan.frames(pool, run.kelvin) if run.kind == NVT else []
        found = structure.radial_distribution(frames, bins[run.name])
        if found is not None:
            averages[run.name] = Averages(rdf=found.tolist())
        even, odd = (structure.radial_distribution(frames[i::2], bins[run.name]) for i in (0, 1))
        if even is not None and odd is not None:
            noise[run.name] = structure.distribution_error(even, odd)
    return MdReference(averages, "frames of the pool at the same temperature", noise)


def needed(runs: Sequence[MdRun]) -> list[MdRun]:
    """The runs that have averages."""
    return [run for run in runs if run.kind in (NVT, NPT)]


def cached_at(
    folder: Path | None, label_giver: str, runs: Sequence[MdRun], how: Integration, bins: Mapping[str, Array]
) -> CachedFile:
    """The file for the averages of these runs under this label-giver."""
    identity: dict[str, Any] = {
        "revision": REVISION,
        "label giver": label_giver,
        "integration": asdict(how),
        "bins": {name: edges.tolist() for name, edges in bins.items()},
        "runs": [
            (r.kind, r.name, r.kelvin, r.last_kelvin, r.last_volume, r.steps, r.seed, structure_key(r.atoms))
            for r in runs
        ],
    }
    return CachedFile(folder, "md-reference", identity)
