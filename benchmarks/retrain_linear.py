"""Time of one retrain with its whole grid, store warm, and how far its predictions are from a QR of the stacked rows.

A retrain is ``Model.fit`` on every structure that is not for testing: rows from the store, Gram matrices of the folds,
the grid of ``conf/model/<model>.yaml`` judged by its folds, the final solve with its check. One core. The QR solves the
chosen setting from the stacked rows; the deviation is the largest |difference| of any predicted number over the root
mean square of the predictions of its kind (energies per atom less those of free atoms, forces, stresses).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import RESULTS, configure, dataset_overrides, interleave, on_cores, one_thread, report
from hydra.utils import instantiate

from tamis.data.dataset import Dataset
from tamis.models.free_atoms import FreeAtoms
from tamis.models.linear import LinearModel, LinearPotential
from tamis.models.normal_equations import Weights, gather_rows, solve_rows
from tamis.store import Store


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="local copy of mlearn; without it: sw_silicon")
    options.add_argument("--element", default="Si", help="of mlearn")
    options.add_argument("--models", nargs="+", default=["snap", "ace"])
    options.add_argument("--repeats", type=int, default=7)
    options.add_argument(
        "--overrides", nargs="*", default=[], help="for all models, as for tamis: model.n_folds=10"
    )
    options.add_argument(
        "--store", type=Path, help="keep the rows here; without it they are made and removed"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "retrain_linear.csv")
    given = options.parse_args()
    one_thread()
    data = dataset_overrides(given.root, given.element)
    dataset = instantiate(configure(data).dataset).load()
    kept = dataset.subset(np.flatnonzero(~dataset.is_test))
    with tempfile.TemporaryDirectory() as scratch, on_cores(1):
        store = Store(given.store or Path(scratch), 1)
        rows = []
        for name in given.models:
            model = instantiate(configure([*data, f"model={name}", *given.overrides]).model)
            rows.append({"model": name} | measure(model, kept, store, given.repeats))
    report(f"retrain on {len(kept)} structures, {kept.n_atoms.sum()} atoms", rows, given.out)


def measure(model: LinearModel, kept: Dataset, store: Store, repeats: int) -> dict[str, str | float]:
    """One row of the table."""
    model.prepare(kept, store)
    nothing = kept.subset([])
    fitted: list[LinearPotential] = []
    times = interleave(
        {
            "fit": lambda: fitted.append(model.fit(kept, nothing, store, np.random.default_rng(0))),
            "read": lambda: [rows.forces.sum() for rows in store.design(model.basis, kept.structures)],
        },
        repeats,
    )
    deviation, qr = compare_with_qr(fitted[-1], kept, store)
    return {
        "functions": model.basis.n_features,
        "settings": len(model.grid),
        "folds": model.n_folds,
        "fit_s_median": float(np.median(times["fit"].wall)),
        "fit_s_min": min(times["fit"].wall),
        "fit_cpu_s_min": min(times["fit"].cpu),
        "reading_rows_s": min(times["read"].wall),
        "one_QR/fit": qr / min(times["fit"].wall),
        "deviation_from_QR": deviation,
        "solved_by_qr": fitted[-1].diagnostics["solved_by_qr"],
    }


def compare_with_qr(fitted: LinearPotential, kept: Dataset, store: Store) -> tuple[float, float]:
    """Largest relative deviation of the predictions for ``kept``, and the seconds of the QR."""
    elements, found = fitted.basis.elements, fitted.diagnostics
    free = FreeAtoms.of(kept, elements, {})  # as the fit does: large numbers stay out
    rows = gather_rows(store.design(fitted.basis, kept.structures), kept, elements, free)
    start = time.perf_counter()
    weights = Weights(found["energy_weight_per_A"], found["stress_weight_per_A"])
    exact = solve_rows(rows, np.arange(len(kept)), weights, found["ridge"], len(elements))
    seconds = time.perf_counter() - start
    ours = np.concatenate([fitted.coefficients, fitted.offsets - free.energies])
    deviations = []
    for blocks in rows.kinds(np.arange(len(kept))):
        expected = np.concatenate([block.times(exact) for block in blocks])
        difference = np.concatenate([block.times(ours) for block in blocks]) - expected
        deviations.append(np.abs(difference).max() / np.sqrt(np.mean(expected**2)))
    return float(max(deviations)), seconds


if __name__ == "__main__":
    main()
