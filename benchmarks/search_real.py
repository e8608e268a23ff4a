"""What a search finds on real data with 40 trials: TPE, against random points and a grid, over seeds of the sampler.

Each trial is a SNAP potential of silicon (mlearn), trained on 10 % of the atoms; the objective is the energy MAE of the
outer validation set, mean over three splits. Searched are the potential's cutoff, ridge and weights (one setting, no
folds), the pruner, its own settings, the latent space and how it is pooled and scaled. Searches are run by
``hydra/sweeper=study`` in this process: only how the points are chosen differs. ``tpe, resumed`` is the same search,
ended after 13 and after 27 trials and started again.
A point that was measured once is not measured again (``--known``), so many seeds cost little.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import hydra
import numpy as np
import optuna
from harness import RESULTS, configure, dataset_overrides, on_cores, one_thread, report
from matplotlib.figure import Figure
from omegaconf import DictConfig, OmegaConf
from tamis.study.worker import SharedParts

from tamis.core.conf_folder import config_folder
from tamis.core.files import write_atomically
from tamis.parts import resolved
from tamis.trial import run_resolved

CUTOFFS = (4.641, 4.777, 4.914, 5.051, 5.187, 5.324, 5.46, 5.733)
"""Å, 1.7 to 2.1 times the spacing of the atoms; 1.9 is what ``model=snap`` has."""
SPLITS = (0, 1, 2)
OBJECTIVE = "validation/energy_mae_meV_per_atom"
N_TRIALS = 40
STOPS = (13, 27)
"""Trials after which the interrupted search ends, and is started again."""
PRUNERS = ("random", "fps", "cur", "kmeans", "direct", "maxvol")
DESCRIPTORS = ("snap", "soap", "acsf", "chimes")
FIT = {"ridge": "ridges", "energy_weight": "energy_weights", "stress_weight": "stress_weights"}
"""Keys of the fit, and what the model calls the list of which each is the only member."""
SEARCHED = {
    "cutoff": "range(0, 8)",  # number in CUTOFFS
    "ridge": "tag(log, interval(1e-12, 1e-2))",
    "energy_weight": "tag(log, interval(0.3, 300))",
    "stress_weight": "tag(log, interval(0.01, 30))",
    "chosen_by": f"choice({', '.join(PRUNERS)})",
}
CONDITIONAL = [
    {
        "when": {"chosen_by": list(PRUNERS[1:])},
        "params": {
            "seen_in": f"choice({', '.join(DESCRIPTORS)})",
            "pooling": "choice(mean, mean_std)",
            "scaling": "choice(none, standard, global)",
        },
    },
    {"when": {"chosen_by": "fps"}, "params": {"start": "choice(center, random)"}},
    {"when": {"chosen_by": "cur"}, "params": {"n_vectors": "int(tag(log, interval(1, 8)))"}},
]
GRID = {
    "cutoff": "choice(2, 4)",
    "chosen_by": "choice(random, fps)",
    "ridge": "choice(1e-10, 1e-7, 1e-4)",
    "energy_weight": "choice(3, 10, 30)",
    "stress_weight": "choice(1)",
}
"""36 points that a person would try."""
DEFAULTS = {"cutoff": 4, "chosen_by": "fps", "seen_in": "snap", "pooling": "mean", "scaling": "standard"}
DEFAULTS |= {"start": "center", "n_vectors": 1, "ridge": 1e-8, "energy_weight": 10.0, "stress_weight": 1.0}
DRAWN_FROM = 5
COLOURS = {"tpe": "#1f5fbf", "tpe, resumed": "#e07b00", "random": "#777777", "grid": "#2a8c4a"}


@dataclass
class Measured:
    """The objective of a point of the space; known: where what was measured is kept.

    Every configuration is composed before, since Hydra does not within a job.
    """

    data: Sequence[str]
    known: Path
    parts: SharedParts = field(default_factory=SharedParts)

    def __post_init__(self) -> None:
        self.values: dict[str, float] = json.loads(self.known.read_text()) if self.known.exists() else {}
        self.with_pruner = {one: self.composed(f"pruner={one}") for one in PRUNERS}
        self.with_descriptor = {one: self.composed("pruner=fps", f"descriptor={one}") for one in DESCRIPTORS}

    def composed(self, *chosen: str) -> dict[str, Any]:
        """A trial's configuration, every value worked out."""
        amount = ("budget=fraction", "budget.fraction=0.1", "budget.of=atoms", "artifacts=false")
        return {"choices": {}, **resolved(configure([*self.data, "model=snap", *chosen, *amount]))}

    def __call__(self, job: DictConfig) -> float:
        point = {key: job[key] for key in DEFAULTS}
        unused = {"fps": ["n_vectors"], "cur": ["start"]}.get(point["chosen_by"], ["start", "n_vectors"])
        if point["chosen_by"] == "random":
            unused += ["seen_in", "pooling", "scaling"]
        name = json.dumps({key: value for key, value in point.items() if key not in unused})
        if name not in self.values:
            self.values[name] = float(np.mean([self.trial(point, split) for split in SPLITS]))
            write_atomically(self.known, json.dumps(self.values, indent=0).encode())
        return self.values[name]

    def trial(self, point: Mapping[str, Any], split: int) -> float:
        """Select, retrain, measure: a trial of tamis without Hydra and MLflow."""
        config = deepcopy(self.with_pruner[point["chosen_by"]])
        config["seed"]["split"] = split
        config["model"]["basis"]["r_cut"] = CUTOFFS[point["cutoff"]]
        config["model"] |= {name: [point[key]] for key, name in FIT.items()}
        if point["chosen_by"] != "random":
            config["descriptor"] = self.with_descriptor[point["seen_in"]]["descriptor"]
            config["latent"] |= {key: point[key] for key in ("pooling", "scaling")}
        for pruner, key in (("fps", "start"), ("cur", "n_vectors")):
            if point["chosen_by"] == pruner:
                config["pruner"][key] = point[key]
        with tempfile.TemporaryDirectory() as folder:
            record = run_resolved(config, Path(folder), (), self.parts)
        if OBJECTIVE not in record.metrics:
            raise SystemExit(f"{dict(point)}: {record.status}, {record.reason}")
        return record.metrics[OBJECTIVE]


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, required=True, help="local copy of mlearn")
    options.add_argument("--store", type=Path, required=True, help="rows; filled where they are missing")
    options.add_argument("--known", type=Path, default=RESULTS / "search_real.json")
    options.add_argument("--seeds", type=int, default=10)
    options.add_argument("--figure", type=Path, help="also as PNG and SVG, without the ending")
    options.add_argument("--out", type=Path, default=RESULTS / "search_real.csv")
    given = options.parse_args()
    one_thread()
    data = [*dataset_overrides(given.root, "Si"), f"store.root={given.store.absolute()}"]
    data += ["store.n_jobs=1", "store.memory_gib=2.0", "store.remember=true"]
    given.known.parent.mkdir(parents=True, exist_ok=True)
    measured = Measured(data, given.known.absolute())
    with tempfile.TemporaryDirectory() as scratch, on_cores(1):
        search = partial(values_of, measured, config_in(Path(scratch)))
        found = {
            "tpe": [search("tpe", seed, [N_TRIALS]) for seed in range(given.seeds)],
            "tpe, resumed": [search("tpe", seed, [*STOPS, N_TRIALS]) for seed in range(given.seeds)],
            "random": [search("random", seed, [N_TRIALS]) for seed in range(given.seeds)],
            "grid": [search("grid", seed, [N_TRIALS]) for seed in range(given.seeds)],
        }
    best = {name: np.array([best_so_far(one) for one in runs]) for name, runs in found.items()}
    default = measured(OmegaConf.create(DEFAULTS))
    title = f"best {OBJECTIVE}, {given.seeds} seeds, {len(measured.values)} points; default {default:.3f}"
    report(title, [row_of(name, best) for name in best], given.out)
    if given.figure:
        draw(best, default, given.figure)


def config_in(folder: Path) -> Path:
    """Configuration of a Hydra application that has the searched keys and nothing else."""
    sweeper = {"study_name": "real", "params": SEARCHED, "conditional": CONDITIONAL}
    config = {
        "defaults": [{"override hydra/sweeper": "study"}, "_self_"],
        **DEFAULTS,
        "hydra": {
            "searchpath": [f"file://{config_folder()}"],
            "output_subdir": None,
            "sweep": {"dir": "unset", "subdir": "${hydra.job.num}"},
            "sweeper": sweeper,
        },
    }
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    return folder


def values_of(
    measured: Callable[[DictConfig], float], folder: Path, sampler: str, seed: int, totals: Sequence[int]
) -> list[float]:
    """Objectives of a search's trials, in their order; it ends at each of ``totals`` and goes on."""
    place = folder / f"{sampler}-{len(totals)}-{seed}"
    command = hydra.main(version_base="1.3", config_path=str(folder), config_name="config")(measured.__call__)
    space = [f"{key}={domain}" for key, domain in GRID.items()] if sampler == "grid" else []
    if sampler == "grid":  # it has no conditions, and its keys are there always
        space.append("hydra.sweeper.conditional=null")
    for total in totals:
        typed = [
            *(f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.sampler.seed={seed}"),
            *(f"hydra.sweep.dir={place}", f"hydra.sweeper.n_trials={total}"),
            *("hydra/hydra_logging=none", "hydra/job_logging=none", *space),
        ]
        with (
            mock.patch.object(sys, "argv", [sys.argv[0], "-m", *typed]),
            mock.patch.dict(os.environ, {"HYDRA_FULL_ERROR": "1"}),
        ):
            command()
    study = optuna.load_study(study_name="real", storage=f"sqlite:///{place}/study.db")
    return [trial.value for trial in study.trials if trial.value is not None]


def best_so_far(values: Sequence[float]) -> np.ndarray:
    """After each of N_TRIALS trials; a grid that is used up stays where it is."""
    lowest = np.minimum.accumulate(values)
    return np.concatenate([lowest, np.full(N_TRIALS - len(lowest), lowest[-1])])


def row_of(name: str, best: Mapping[str, np.ndarray]) -> dict[str, str | float]:
    """Means over seeds in meV/atom, and how often this one is below, equal to and above TPE in the end."""
    mine, other = best[name], best["tpe"]
    low, same = (mine[:, -1] < other[:, -1]).sum(), (mine[:, -1] == other[:, -1]).sum()
    return {
        "search": name,
        **{f"after {n}": float(mine[:, n - 1].mean()) for n in (N_TRIALS // 4, N_TRIALS // 2, N_TRIALS)},
        "standard error": float(mine[:, -1].std(ddof=1) / np.sqrt(len(mine))),
        "worst seed": float(mine[:, -1].max()),
        "below, equal, above tpe": f"{low}, {same}, {len(mine) - low - same}",
    }


def draw(best: Mapping[str, np.ndarray], default: float, path: Path) -> None:
    """Best so far against trials: mean over seeds, and its standard error. The first few are anywhere."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.subplots()
    trials = np.arange(DRAWN_FROM, N_TRIALS + 1)
    for name, values in best.items():
        values = values[:, DRAWN_FROM - 1 :]
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        ax.plot(trials, mean, label=name, color=COLOURS[name], lw=1.8, ls="--" if "," in name else "-")
        ax.fill_between(trials, mean - error, mean + error, color=COLOURS[name], alpha=0.15, lw=0)
    ax.axhline(default, color="#aaaaaa", lw=1, ls=":", label="one fixed setting")
    ax.set(xlabel="trials", ylabel="best validation energy MAE, meV/atom", xlim=(DRAWN_FROM, N_TRIALS))
    ax.set_title(f"SNAP, Si (mlearn), 10 % of the atoms; mean of {len(best['tpe'])} seeds", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=8.5)
    for ending in (".png", ".svg"):
        figure.savefig(path.with_suffix(ending), dpi=130)


if __name__ == "__main__":
    main()
