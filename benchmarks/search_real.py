"""What a search finds on real data with 40 trials: TPE, against random points and a grid, over seeds of the sampler.

Each trial is a SNAP potential of silicon (mlearn), trained on 10 % of the atoms; the objective is the energy MAE of the
outer validation set, mean over three splits. The space is conf/search/real.yaml beside this file. ``tpe, resumed`` is
the same search, ended after 13 and after 27 trials and started again. A search that is there is not run again.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from harness import RESULTS, dataset_overrides, one_thread, report
from matplotlib.figure import Figure

from tamis.records.record import read_record

OBJECTIVE = "validation/energy_mae_meV_per_atom"
N_TRIALS = 40
ARMS: Mapping[str, tuple[str, Sequence[int]]] = {
    "tpe": ("tpe", [N_TRIALS]),
    "tpe, resumed": ("tpe", [13, 27, N_TRIALS]),
    "random": ("random", [N_TRIALS]),
    "grid": ("grid", [N_TRIALS]),
}
"""Name -> sampler, and the numbers of trials after which the search ends and is started again."""
GRID = (
    "hydra.sweeper.conditional=null",
    "model.basis.r_cut=choice(4.914,5.187)",
    "pruner=choice(random,fps)",
    "tuned.ridge=choice(1e-10,1e-7,1e-4)",
    "tuned.energy_weight=choice(3,10,30)",
    "tuned.stress_weight=choice(1.0)",
)
"""36 points that a person would try."""


def main() -> None:
    """Run the searches, and compare the best values."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, required=True, help="local copy of mlearn")
    options.add_argument("--store", type=Path, required=True, help="rows; filled where they are missing")
    options.add_argument("--seeds", type=int, default=6)
    options.add_argument(
        "--searches", type=Path, default=RESULTS / "search_real", help="folders of the searches"
    )
    options.add_argument("--figure", type=Path, help="also as PNG and SVG, without the ending")
    options.add_argument("--out", type=Path, default=RESULTS / "search_real.csv")
    given = options.parse_args()
    one_thread()
    best: dict[str, list[np.ndarray]] = {name: [] for name in ARMS}
    for seed in range(given.seeds):
        for name, (sampler, totals) in ARMS.items():
            folder = given.searches.absolute() / f"{name.replace(', ', '_')}-{seed}"
            for total in totals:
                search(sampler, seed, total, folder, given.root, given.store)
            best[name].append(best_so_far(folder))
    curves = {name: np.array(one) for name, one in best.items()}
    rows = [row_of(name, curves) for name in curves]
    report(f"best {OBJECTIVE}, mean of {given.seeds} seeds", rows, given.out)
    if given.figure:
        draw(curves, given.figure)


def search(sampler: str, seed: int, total: int, folder: Path, root: Path, store: Path) -> None:
    """Go on with a search until it has ``total`` trials, one at a time."""
    command = [sys.executable, "-m", "tamis.cli", "--config-dir", f"{Path(__file__).parent}/conf", "-m"]
    command += ["search=real", f"hydra/sweeper/sampler={sampler}", f"hydra.sweeper.sampler.seed={seed}"]
    command += [f"hydra.sweeper.n_trials={total}", f"hydra.sweep.dir={folder}", "hydra/launcher=basic"]
    command += [*dataset_overrides(root, "Si"), f"store.root={store.absolute()}", "tracking=null"]
    subprocess.run([*command, *(GRID if sampler == "grid" else ())], check=True)


def best_so_far(folder: Path) -> np.ndarray:
    """After each of N_TRIALS trials, from the records; a grid that is used up stays where it is."""
    values = []
    for i in range(N_TRIALS):
        records = [read_record(path.parent) for path in folder.glob(f"{i}/*/record.json")]
        values.append(np.mean([one.metrics[OBJECTIVE] for one in records]) if records else np.inf)
    return np.minimum.accumulate(values)


def row_of(name: str, best: Mapping[str, np.ndarray]) -> dict[str, str | float]:
    """Means over seeds in meV/atom, and how often this one is below, equal to and above TPE in the end."""
    mine, other = best[name], best["tpe"]
    low, same = (mine[:, -1] < other[:, -1]).sum(), (mine[:, -1] == other[:, -1]).sum()
    return {
        "search": name,
        **{f"after {n}": float(mine[:, n - 1].mean()) for n in (N_TRIALS // 4, N_TRIALS // 2, N_TRIALS)},
        "standard error": float(mine[:, -1].std(ddof=1) / np.sqrt(len(mine))),
        "below, equal, above tpe": f"{low}, {same}, {len(mine) - low - same}",
    }


def draw(best: Mapping[str, np.ndarray], path: Path) -> None:
    """Best so far against trials: mean over seeds, and its standard error."""
    figure = Figure(figsize=(5.2, 3.6), layout="constrained")
    ax = figure.subplots()
    trials = np.arange(1, N_TRIALS + 1)
    for name, values in best.items():
        mean, error = values.mean(axis=0), values.std(axis=0, ddof=1) / np.sqrt(len(values))
        (line,) = ax.plot(trials, mean, label=name, ls="--" if "," in name else "-")
        ax.fill_between(trials, mean - error, mean + error, color=line.get_color(), alpha=0.15, lw=0)
    ax.set(xlabel="trials", ylabel="best validation energy MAE, meV/atom", xlim=(5, N_TRIALS))
    ax.set_title(f"SNAP, Si (mlearn), 10 % of the atoms; mean of {len(best['tpe'])} seeds", fontsize=10)
    ax.legend(frameon=False)
    for ending in (".png", ".svg"):
        figure.savefig(path.with_suffix(ending), dpi=130)


if __name__ == "__main__":
    main()
