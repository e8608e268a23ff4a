"""Time of one retrain with its whole grid, store warm, beside the arithmetic that it cannot do without.

A retrain is ``Model.fit`` on every structure that is not for testing, in a process that remembers what it has read, as
that of a sweep does. The arithmetic is the Gram matrix of all force rows and 90 Cholesky factorisations: 18 settings,
5 folds. A curve is eight retrains on nested parts. For linear models the predictions are compared with those of a QR of
the stacked rows with the chosen setting: the largest |difference| of any predicted number over the root mean square of
the predictions of its kind (energies per atom less those of free atoms, forces, stresses). One core, processor time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from harness import RESULTS, configure, dataset_overrides, interleave, on_cores, one_thread, report
from hydra.utils import instantiate
from scipy.linalg import blas, lapack

from tamis.data.dataset import Dataset
from tamis.models.free_atoms import FreeAtoms
from tamis.models.gap.model import GapModel
from tamis.models.linear import LinearModel, LinearPotential
from tamis.models.normal_equations import Weights, gather_rows, solve_rows
from tamis.store import Store

CURVE = (0.05, 0.1, 0.15, 0.2, 0.33, 0.5, 0.7, 1.0)
"""Parts of the structures, nested."""


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="local copy of mlearn; without it: sw_silicon")
    options.add_argument("--element", default="Si", help="of mlearn")
    options.add_argument("--models", nargs="+", default=["snap", "ace", "chimes"], help="those, gap")
    options.add_argument("--repeats", type=int, default=5)
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
        store = Store(given.store or Path(scratch), 1, memory_gib=8.0, remember=True)
        rows = []
        for name in given.models:
            model = instantiate(configure([*data, f"model={name}", *given.overrides]).model)
            rows.append({"model": name} | measure(model, kept, store, given.repeats))
    report(f"retrain on {len(kept)} structures, {kept.n_atoms.sum()} atoms", rows, given.out)


def measure(
    model: LinearModel | GapModel, kept: Dataset, store: Store, repeats: int
) -> dict[str, str | float]:
    """One row of the table."""
    model.prepare(kept, store)
    order = np.random.default_rng(0).permutation(len(kept))
    parts = [kept.subset(np.sort(order[: round(fraction * len(kept))])) for fraction in CURVE]
    fitted: list[LinearPotential] = []
    found = fit(model, kept, store).diagnostics  # reads the rows
    size = int(found.get("n_columns") or found["n_sparse"] + found["n_pair_points"])
    times = interleave(
        {
            "fit": lambda: fitted.append(fit(model, kept, store)),
            "arithmetic": arithmetic(size, 3 * int(kept.n_atoms.sum())),
            "curve": lambda: [fit(model, part, store) for part in parts],
        },
        repeats,
    )
    best = {name: min(found.cpu) for name, found in times.items()}
    is_linear = isinstance(model, LinearModel)
    deviation, _ = compare_with_qr(fitted[-1], kept, store) if is_linear else (np.nan, np.nan)
    return {
        "columns": size,
        "settings": int(found["settings_tried"]),
        "folds": model.n_folds,
        "fit_cpu_s": best["fit"],
        "arithmetic_cpu_s": best["arithmetic"],
        "fit/arithmetic": best["fit"] / best["arithmetic"],
        "curve/fit": best["curve"] / best["fit"],
        "deviation_from_QR": deviation,
    }


def fit(model: LinearModel | GapModel, kept: Dataset, store: Store) -> LinearPotential:
    """One retrain."""
    return model.fit(kept, kept.subset([]), store, np.random.default_rng(0))


def arithmetic(n_columns: int, n_rows: int) -> Callable[[], None]:
    """The Gram matrix of so many rows, and 90 factorisations."""
    rows = np.asfortranarray(np.random.default_rng(0).normal(size=(n_columns, n_rows)))

    def compute() -> None:
        gram = blas.dsyrk(1.0, rows)
        for _ in range(90):
            lapack.dpotrf(gram.copy(order="F"), overwrite_a=True, clean=False)

    return compute


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
