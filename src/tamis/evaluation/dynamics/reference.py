"""What runs are compared to: the same runs under the label-giver, or the pool's own MD frames."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tamis.core.files import write_atomically
from tamis.data.dataset import Dataset, structure_key
from tamis.evaluation.dynamics import structure
from tamis.evaluation.dynamics.engine import Integration
from tamis.evaluation.dynamics.plan import NPT, NVT, Plan, Run
from tamis.evaluation.dynamics.trajectory import Trajectory
from tamis.models.base import Array

REVISION = 2
"""Raised when the same runs give other averages; cached references of an older revision are made again."""


@dataclass(frozen=True)
class Averages:
    """Of all runs of one name.

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
class Reference:
    """averages: by the runs' names. source: where they come from, for people; noise: by name, the error (see
    ``distribution_error``) of every second frame of the reference against the others, where frames are few.
    """

    averages: dict[str, Averages] = field(default_factory=dict)
    source: str = "none"
    noise: dict[str, float] = field(default_factory=dict)


def by_name(trajectories: Sequence[Trajectory]) -> dict[str, list[Trajectory]]:
    """Trajectories by the names of their runs, in their order."""
    found: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        found.setdefault(trajectory.run.name, []).append(trajectory)
    return found


def from_frames(plan: Plan, pool: Dataset, runs: Sequence[Run], bins: dict[str, Array]) -> Reference:
    """g(r) of the pool's frames of the same temperature; nothing else can be had from a few frames."""
    averages, noise = {}, {}
    for run in runs:
        frames = plan.frames(pool, run.kelvin) if run.kind == NVT else []
        found = structure.radial_distribution(frames, bins[run.name])
        if found is not None:
            averages[run.name] = Averages(rdf=found.tolist())
        even, odd = (structure.radial_distribution(frames[i::2], bins[run.name]) for i in (0, 1))
        if even is not None and odd is not None:
            noise[run.name] = structure.distribution_error(even, odd)
    return Reference(averages, "frames of the pool at the same temperature", noise)


def needed(runs: Sequence[Run]) -> list[Run]:
    """The runs that have averages."""
    return [run for run in runs if run.kind in (NVT, NPT)]


def cache_file(
    cache: Path, label_giver: str, runs: Sequence[Run], how: Integration, bins: dict[str, Array]
) -> Path:
    """Where the averages of these runs under this label-giver are kept: its name says all that they depend on."""
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
    text = json.dumps(identity, sort_keys=True)
    return cache / f"md-reference-{hashlib.sha256(text.encode()).hexdigest()[:20]}.json"


def read(path: Path) -> Reference | None:
    """A cached reference; None where there is none, or it is damaged."""
    try:
        content = json.loads(path.read_text())
        averages = {name: Averages(**numbers) for name, numbers in content["averages"].items()}
        return Reference(averages, content["source"], content["noise"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def write(path: Path, reference: Reference) -> None:
    """Keep it."""
    write_atomically(path, json.dumps(asdict(reference)).encode())
