"""Files of the MD runs: dynamics.json, plots, last frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tamis.core.files import write_atomically
from tamis.core.units import FS_PER_PS
from tamis.evaluation.dynamics.reference import Averages, MdReference
from tamis.evaluation.dynamics.structure import every_frame, squared_displacements
from tamis.evaluation.dynamics.trajectory import POTENTIAL, TEMPERATURE, TIME, Trajectory
from tamis.models.base import Array

FOLDER = "dynamics"


def as_json(trajectory: Trajectory, timestep: float) -> dict[str, Any]:
    """The results of one run; ``timestep`` in fs."""
    run = trajectory.run
    lags, squares = squared_displacements(trajectory)
    return {
        "name": run.name,
        "repeat": run.repeat,
        "seed": run.seed,
        "planned_steps": run.steps,
        "steps": trajectory.steps,
        "seconds": round(trajectory.seconds, 3),
        "end": trajectory.end,
        "detail": trajectory.detail,
        "time_to_failure_ps": trajectory.steps * timestep / FS_PER_PS if trajectory.failed else None,
        "msd_lags_ps": lags.tolist(),
        "msd_A2": squares.tolist(),
    }


def write_json(folder: Path, content: Mapping[str, Any]) -> None:
    """dynamics.json, whole or not at all."""
    write_atomically(folder / "dynamics.json", json.dumps(content, indent=1).encode())


def write_last_frames(folder: Path, trajectories: Sequence[Trajectory]) -> None:
    """last_frames.extxyz: the last frame of each run at which no limit was broken."""
    from ase.io import write

    frames = []
    for trajectory in trajectories:
        if len(trajectory.times):
            run, frame = trajectory.run, every_frame(trajectory)[-1]
            frame.wrap()
            frame.info = {
                "run": run.name,
                "repeat": run.repeat,
                "time_ps": float(trajectory.times[-1]),
                "end": trajectory.end,
            }
            frames.append(frame)
    if frames:
        write(folder / "last_frames.extxyz", frames, format="extxyz")


def draw(
    folder: Path,
    trajectories: Sequence[Trajectory],
    averages: Mapping[str, Averages],
    reference: MdReference,
    bins: Mapping[str, Array],
) -> None:
    """temperature.png, energy.png and, where there is a g(r), rdf.png."""
    _draw_thermo(folder / "temperature.png", trajectories, TEMPERATURE, "temperature (K)")
    _draw_thermo(folder / "energy.png", trajectories, POTENTIAL, "potential energy (eV/atom)")
    named = [name for name, found in averages.items() if found.rdf is not None]
    if not named:
        return
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.0, 2.2 * len(named) + 0.5), layout="constrained")
    for ax, name in zip(np.ravel(figure.subplots(len(named), 1, squeeze=False)), named, strict=True):
        middles = 0.5 * (bins[name][1:] + bins[name][:-1])
        there = reference.averages.get(name, Averages()).rdf
        if there is not None:
            ax.plot(middles, there, color="0.4", lw=2.5, alpha=0.5, label=f"reference: {reference.source}")
        ax.plot(middles, averages[name].rdf, color="#2f6fb0", lw=1.2, label=name)
        ax.set(ylabel="g(r)", xlabel="r (Å)")
        ax.legend(fontsize=7, frameon=False)
    figure.savefig(folder / "rdf.png", dpi=120)


def _draw_thermo(path: Path, trajectories: Sequence[Trajectory], column: int, label: str) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.0), layout="constrained")
    ax = figure.subplots()
    ax.set(xlabel="time (ps)", ylabel=label)
    for trajectory in trajectories:
        values = trajectory.thermo[:, column]
        if column == POTENTIAL:
            values = values / len(trajectory.run.atoms)
        name = f"{trajectory.run.name} #{trajectory.run.repeat}"
        failed = f": {trajectory.end}" if trajectory.failed else ""
        (line,) = ax.plot(trajectory.thermo[:, TIME], values, lw=0.8, label=name + failed)
        if trajectory.failed and len(values):
            ax.plot(trajectory.thermo[-1, TIME], values[-1], "x", color=line.get_color())
    if ax.lines:
        ax.legend(fontsize=6, frameon=False, ncols=2)
    figure.savefig(path, dpi=120)
