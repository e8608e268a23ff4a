"""Whether MD finds potentials of five frames of mlearn's silicon: five random ones, five with a cold or hot vacancy.

Prints which part of each run was survived, and the cause where it failed: the table "Bad potentials" of
docs/dynamics.md. 64 atoms; NVT at 3374 K for 2 ps, heating to 6748 K in 5 ps, compression to 0.7 of the volume in 2 ps.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from harness import RESULTS, configure, one_thread, report
from hydra.utils import instantiate

from tamis.data.dataset import Dataset
from tamis.data.sources.base import Source
from tamis.evaluation.base import Subject
from tamis.evaluation.dynamics import guards
from tamis.store import Store

FAMILIES = ("chimes", "ace", "gap")
SETS = ("random", "Vacancy cold", "Vacancy hot")
FRAMES = 5
RUNS = ("NVT_3374K", "heating", "compression")
PLAN = {
    "temperatures": "[3374]",
    "nvt": 2,
    "heating": 5,
    "compression": 2,
    "heat_to": 2.0,
    "nve": 0,
    "npt": 0,
}


def main() -> None:
    """Fit and run what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="a local copy of mlearn; without it, it is downloaded")
    options.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    options.add_argument("--sets", nargs="+", default=SETS, choices=SETS)
    options.add_argument("--out", type=Path, default=RESULTS / "few_frames.csv")
    given = options.parse_args()
    one_thread()
    overrides = ["dataset=mlearn", *([] if given.root is None else [f"dataset.root={given.root.absolute()}"])]
    source = instantiate(configure(overrides).dataset, _convert_="all")
    dataset = source.load()
    pool = dataset.subset(np.flatnonzero(~dataset.is_test))
    rows = []
    for family in given.families:
        for name in given.sets:
            rows.append(
                {"family": family, "frames": name} | survived(family, chosen(pool, name), source, pool)
            )
            print(rows[-1], flush=True)
    report("survived part of the run, and the cause of a failure", rows, given.out)


def chosen(pool: Dataset, name: str) -> Dataset:
    """Five frames of a block, or of all."""
    members = [i for i, block in enumerate(pool.blocks) if name in (block, "random")]
    return pool.subset(np.sort(np.random.default_rng(0).permutation(members)[:FRAMES]))


def survived(family: str, kept: Dataset, source: Source, pool: Dataset) -> dict[str, object]:
    """Part of the steps of each run that were survived, with the cause where it ended early."""
    plan = [f"evaluation.dynamics.plan.{key}={value}" for key, value in {**PLAN, "seeds": 1}.items()]
    rest = [f"evaluation.dynamics.{key}" for key in ("extrapolation=null", "plots=false", "run_seconds=3000")]
    config = configure([f"model={family}", "dataset=mlearn", "evaluation=full", *plan, *rest])
    model = instantiate(config.model, _convert_="all")
    dynamics = instantiate(config.evaluation, _convert_="all").dynamics
    with tempfile.TemporaryDirectory() as scratch:
        store = Store(Path(scratch) / "store", 1)
        potential = model.fit(kept, kept.subset([]), store, np.random.default_rng(0))
        subject = Subject(
            potential=potential,
            pool=pool,
            kept=kept,
            crystal=source.crystal,
            reference={},
            label_giver=None,
            store=store,
            folder=Path(scratch),
            seed=0,
            label_giver_name="",
            cache=None,
        )
        found = dynamics.measure(subject)
    told: dict[str, object] = {}
    for run in RUNS:
        part = found.metrics.get(f"md/stable_fraction/{run}", np.nan)
        cause = next((c for c in guards.CAUSES if c in found.problems.get(f"md/{run}", "")), "")
        told[run] = f"{part:.2g} {cause}".strip()
    return told


if __name__ == "__main__":
    main()
