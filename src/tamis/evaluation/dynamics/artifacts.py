"""Files of the MD runs: dynamics.json, plots, last frames."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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
    named = {name: found.rdf for name, found in averages.items() if found.rdf is not None}
    if not named:
        return
    from matplotlib.axes import Axes

    from tamis.core.figures import BLUE, label, legend, panels, save

    figure, axes = panels([[f"radial distribution, {name}"] for name in named], (5.0, 2.6))
    each: list[Axes] = [*axes.flat]
    for ax, name in zip(each, named, strict=True):
        middles = 0.5 * (bins[name][1:] + bins[name][:-1])
        there = reference.averages.get(name, Averages()).rdf
        if there is not None:
            ax.plot(middles, there, color=BLUE, lw=5.0, alpha=0.3, label=f"reference: {reference.source}")
        ax.plot(middles, named[name], color=BLUE, lw=1.2, label="potential")
        label(ax, "r (Å)", "g(r)")
    legend(*each)
    save(figure, folder / "rdf.png")


def _draw_thermo(path: Path, trajectories: Sequence[Trajectory], column: int, quantity: str) -> None:
    """All runs: a colour a run, a cross where one failed."""
    from tamis.core.figures import PALETTE, label, legend, panel, save

    figure, ax = panel(f"{quantity.partition(' (')[0]} in MD", (5.4, 3.8))
    names = [*dict.fromkeys(trajectory.run.name for trajectory in trajectories)]
    for trajectory in trajectories:
        values = trajectory.thermo[:, column]
        if column == POTENTIAL:
            values = values / len(trajectory.run.atoms)
        name = f"{trajectory.run.name} #{trajectory.run.repeat}"
        failed = f": {trajectory.end}" if trajectory.failed else ""
        tint = PALETTE[names.index(trajectory.run.name) % len(PALETTE)]
        dashes = ("-", "--", ":", "-.")[trajectory.run.repeat % 4]
        ax.plot(trajectory.thermo[:, TIME], values, dashes, color=tint, lw=1.0, label=name + failed)
        if trajectory.failed and len(values):
            ax.plot(trajectory.thermo[-1, TIME], values[-1], "X", ms=8, color=tint)
    label(ax, "time (ps)", quantity)
    legend(ax)
    save(figure, path)
