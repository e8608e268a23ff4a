"""A retrain by tamis against one by the field's own trainer: time, errors, memory, on the same kept structures.

tamis: ``Model.fit`` from a warm store, with its grid and folds. ``featurise`` is filling the store with all structures
that may be kept, which is spent once; ``spread`` is a retrain with a hundredth of it. The trainer: ``Model.fit`` of
``upstream_<name>``, which starts from the positions every time. Each side runs in a process of its own, on one core,
one after the other. Ratios are of processor time: by the clock, what else the machine does counts as well.

The functions of the basis are equal (not for pacemaker, whose model is another); gap_fit gets the kernels and sparse
points of tamis, and the sigmas in the middle of its grid; networks are one on either side. The rest is as in the YAML
files unless said with --ours, --theirs. Errors are those of the data set's test structures, which decide nothing here.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from fitsnap import FitSnap
from harness import RESULTS, configure, cpu_seconds, dataset_overrides, on_cores, one_thread, report
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from tamis.core.errors import MissingEngineError, TamisError
from tamis.data.dataset import Dataset
from tamis.evaluation.errors import Residuals
from tamis.models.base import Model, Potential
from tamis.models.gap.model import GapModel
from tamis.models.trainers.pacemaker import Pacemaker
from tamis.store import Store

PAIRS = {
    "snap": "fitsnap",
    "gap": "upstream_gap_fit",
    "nnp": "upstream_n2p2",
    "chimes": "upstream_chimes_lsq",
    "ace": "upstream_pacemaker",
}
Times = dict[str, float]
"""Seconds, memory and errors of a retrain."""
RETRAINS = 100
"""Retrains over which the featurising is spread."""
ONE_NETWORK = "model.n_networks=1"
"""What n2p2 trains."""


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="local copy of mlearn; without it: sw_silicon")
    options.add_argument("--element", default="Si", help="of mlearn")
    options.add_argument("--families", nargs="+", default=list(PAIRS), choices=list(PAIRS))
    options.add_argument(
        "--fractions", nargs="+", type=float, default=[1.0, 0.1], help="of the structures, kept"
    )
    options.add_argument(
        "--repeats", type=int, default=3, help="of the retrain by tamis; the trainer runs once"
    )
    options.add_argument("--basis", nargs="*", default=[], help="for both: twojmax=6")
    options.add_argument("--ours", nargs="*", default=[], help="overrides as for tamis: model.n_sparse=500")
    options.add_argument("--theirs", nargs="*", default=[], help="overrides of the trainers")
    options.add_argument("--limit", type=float, default=3600.0, help="seconds for one run of a trainer")
    options.add_argument("--fitsnap-python", default="python", help="interpreter that has fitsnap3 and tamis")
    options.add_argument(
        "--store", type=Path, help="keep the rows here; featurising is then not measured anew"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "retrain.csv")
    given = options.parse_args()
    one_thread()
    data = dataset_overrides(given.root, given.element)
    dataset = instantiate(configure(data).dataset).load()
    rows = []
    with tempfile.TemporaryDirectory() as scratch, on_cores(1):
        store = Store(given.store or Path(scratch), 1)
        for family in given.families:
            try:
                ours, theirs = models(family, data, given)
            except MissingEngineError as error:
                print(f"{family}: left out, {error}")
                continue
            rows += compare(family, ours, theirs, dataset, given.fractions, given.repeats, store)
    if not rows:
        raise SystemExit("no trainer is there: nothing to compare")
    report(f"retrains on {given.element if given.root else 'sw_silicon'}", rows, given.out)


def models(family: str, data: Sequence[str], given: argparse.Namespace) -> tuple[Model, Model]:
    """Model of tamis and trainer of a family, on the same functions."""
    basis = [f"model.basis.{override}" for override in given.basis]
    one = [ONE_NETWORK] if family == "nnp" else []
    ours = build([*data, f"model={family}", *one, *basis, *given.ours])
    if family == "snap":
        settings = {"energy_weight": 20.0, "stress_weight": 1.0, "python": given.fitsnap_python}
        return ours, FitSnap(given.limit, 1, None, ours.basis, **settings)
    same = kernels(ours) if isinstance(ours, GapModel) else []
    theirs = build(
        [*data, f"model={PAIRS[family]}", f"model.time_limit_s={given.limit}", *same, *basis, *given.theirs]
    )
    return ours, theirs if isinstance(theirs, Pacemaker) else replace(theirs, basis=ours.basis)


def kernels(ours: GapModel) -> list[str]:
    """Overrides by which gap_fit has the kernels of a GAP of tamis, and sigmas in the middle of its grid."""
    settings = {"zeta": ours.zeta, "delta": ours.delta, "n_sparse": ours.n_sparse, "jitter": ours.jitter}
    if ours.pair is not None:
        settings |= {"n_sparse_2b": ours.pair.n_points, "theta_2b": ours.pair.theta}
        settings |= {"delta_2b": ours.pair_delta}
    force = max(ours.force_sigmas)
    sigmas = {"force_sigma": force}
    for name, ratios in (("energy_sigma", ours.energy_ratios), ("virial_sigma", ours.virial_ratios)):
        sigmas[name] = force * sorted(ratios)[len(ratios) // 2]
    return [f"model.{name}={value}" for name, value in (settings | sigmas).items()]


def build(overrides: Sequence[str]) -> Any:
    """The model of a configuration; its own error where a program is missing."""
    try:
        return instantiate(configure(overrides).model)
    except InstantiationException as error:
        raise error.__cause__ or error from None


def compare(
    family: str,
    ours: Model,
    theirs: Model,
    dataset: Dataset,
    fractions: Sequence[float],
    repeats: int,
    store: Store,
) -> list[dict[str, object]]:
    """Two rows of the table a fraction, tamis and the trainer, with the ratios of times."""
    pool = np.flatnonzero(~dataset.is_test)
    order = np.random.default_rng(0).permutation(pool)
    test = dataset.subset(np.flatnonzero(dataset.is_test))
    featurise = alone(prepare, ours, dataset.subset(pool), store)
    rows = []
    for fraction in fractions:
        kept = dataset.subset(np.sort(order[: max(1, round(fraction * len(pool)))]))
        mine = alone(retrain, ours, kept, test, store, repeats)
        try:
            other = alone(retrain, theirs, kept, test, store, 1)
        except TamisError as error:
            print(f"{family}, {len(kept)} structures: {error}")
            other = dict.fromkeys(mine, float("nan"))
        case = {"family": family, "kept": len(kept)}
        rows.append({**case, "by": "tamis", **against(other, mine, featurise)})
        rows.append(
            {**case, "by": PAIRS[family], **shown(other, other["cpu_s"]), "ratio": 1.0, "ratio_spread": 1.0}
        )
    return rows


def against(other: Times, mine: Times, featurise: Times) -> dict[str, object]:
    """Times and errors of a retrain by tamis; the ratios say how often it fits into one by the trainer."""
    spread = mine["cpu_s"] + featurise["cpu_s"] / RETRAINS
    row = shown(mine | {"MiB": max(mine["MiB"], featurise["MiB"])}, spread)
    return row | {"ratio": other["cpu_s"] / mine["cpu_s"], "ratio_spread": other["cpu_s"] / spread}


def shown(times: Times, spread: float) -> dict[str, object]:
    """The columns of a row."""
    return {"wall_s": times["wall_s"], "cpu_s": times["cpu_s"], "spread_s": spread} | {
        name: times[name] for name in SHOWN
    }


def alone(work: Callable[..., Times], *arguments: object) -> Times:
    """Do ``work`` in a new process, so that its peak memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(work, *arguments).result()


ERRORS = ("E_mae", "E_rmse", "F_mae", "F_rmse")
"""meV/atom and eV/Å on the test structures."""
SHOWN = ("MiB", *ERRORS)


def prepare(model: Model, pool: Dataset, store: Store) -> Times:
    """Fill the store."""
    start, cpu = time.perf_counter(), cpu_seconds()
    model.prepare(pool, store)
    wall, cpu = time.perf_counter() - start, cpu_seconds() - cpu
    return {"wall_s": wall, "cpu_s": cpu, "MiB": peak_MiB()}


def retrain(model: Model, kept: Dataset, test: Dataset, store: Store, repeats: int) -> Times:
    """Fastest of some fits, its processor time, the peak memory of the fits, errors on the test structures."""
    times, nothing = [], kept.subset([])
    for _ in range(repeats):
        start, cpu = time.perf_counter(), cpu_seconds()
        potential = model.fit(kept, nothing, store, np.random.default_rng(0))
        times.append((cpu_seconds() - cpu, time.perf_counter() - start))
    cpu, wall = min(times)
    memory = potential.diagnostics.get("trainer_peak_MiB", peak_MiB())
    return {"wall_s": wall, "cpu_s": cpu, "MiB": memory} | errors(potential, test, store)


def errors(potential: Potential, test: Dataset, store: Store) -> dict[str, float]:
    """Errors of energies (meV/atom) and forces (eV/Å)."""
    found = dict(Residuals.of(potential.predict(test, store), test).metrics(np.arange(len(test))))
    names = (
        "energy_mae_meV_per_atom",
        "energy_rmse_meV_per_atom",
        "force_mae_eV_per_A",
        "force_rmse_eV_per_A",
    )
    return dict(zip(ERRORS, (found[name] for name in names), strict=True))


def peak_MiB() -> float:  # noqa: N802 - a unit
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # Linux counts in KiB


if __name__ == "__main__":
    main()
