"""Processor time of training networks, and their errors on structures of the validation set, over several splits.

A training is ``Model.fit`` from a warm store: reading rows, the grid, the iterations. Each seed is another validation
set, another draw of the kept structures, and other first weights. Each ``--overrides`` is a case beside the default;
cases take turns, so that whatever else the machine does meets all. Errors are geometric means over the seeds; ``noise``
is the standard deviation of the logarithm of the force error over seeds. With ``--test`` errors are those of the
data set's test structures: measure them once, when everything is decided.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from harness import RESULTS, configure, cpu_seconds, dataset_overrides, on_cores, one_thread, report
from hydra.utils import instantiate
from retrain import errors

from tamis.data.dataset import Dataset, split_dataset
from tamis.models.nnp.model import NnpModel
from tamis.store import Store

DEFAULT = "as configured"


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="local copy of mlearn; without it: sw_silicon")
    options.add_argument("--element", default="Si", help="of mlearn")
    options.add_argument("--networks", nargs="+", type=int, default=[1, 3])
    options.add_argument("--fractions", nargs="+", type=float, default=[1.0, 0.1], help="of the pool, kept")
    options.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    options.add_argument(
        "--overrides",
        nargs="+",
        action="append",
        default=[],
        help="a case, as for tamis: model.ridges=[1e-4]",
    )
    options.add_argument("--test", action="store_true", help="errors of test structures, not validation")
    options.add_argument(
        "--store", type=Path, help="keep the rows here; without it they are made and removed"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "train_network.csv")
    given = options.parse_args()
    one_thread()
    data = dataset_overrides(given.root, given.element)
    dataset = instantiate(configure(data).dataset).load()
    cases = {" ".join(overrides) or DEFAULT: overrides for overrides in ([], *given.overrides)}
    rows: list[dict[str, object]] = []
    with tempfile.TemporaryDirectory() as scratch, on_cores(1):
        store = Store(given.store or Path(scratch), 1)
        for n_networks in given.networks:
            models = {
                name: instantiate(
                    configure([*data, "model=nnp", f"model.n_networks={n_networks}", *overrides]).model
                )
                for name, overrides in cases.items()
            }
            for model in models.values():
                model.prepare(dataset, store)
            for fraction in given.fractions:
                rows += compare(models, dataset, fraction, given.seeds, store, given.test)
    report(f"networks of {given.element if given.root else 'sw_silicon'}", rows, given.out)


def compare(
    models: dict[str, NnpModel],
    dataset: Dataset,
    fraction: float,
    seeds: list[int],
    store: Store,
    with_test: bool,
) -> list[dict[str, object]]:
    """A row of the table for each model."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in models}
    for seed in seeds:
        split = split_dataset(dataset, 0.1, np.random.default_rng([seed, 0]))
        pool = np.random.default_rng([seed, 1]).permutation(split.pool)
        kept = dataset.subset(np.sort(pool[: round(fraction * len(pool))]))
        judged = dataset.subset(split.test if with_test else split.validation)
        for name, model in models.items():
            start = cpu_seconds()
            potential = model.fit(kept, kept.subset([]), store, np.random.default_rng([seed, 2]))
            seconds[name].append(cpu_seconds() - start)
            found[name].append(errors(potential, judged, store))
    rows = []
    for name, model in models.items():
        means = {key: geometric_mean([one[key] for one in found[name]]) for key in found[name][0]}
        rows.append(
            {
                "case": name,
                "kept": len(kept),
                "networks": model.n_networks,
                "cpu_s": float(np.median(seconds[name])),
                **means,
                "noise": float(np.std(np.log([one["F_mae"] for one in found[name]]))),
            }
        )
    return rows


def geometric_mean(values: list[float]) -> float:
    """Of positive numbers."""
    return float(np.exp(np.mean(np.log(values))))


if __name__ == "__main__":
    main()
