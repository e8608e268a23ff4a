"""Time of filling an empty store, against the bare engine in a loop over the same structures.

For each family: the loop that a user would write with the engine alone (one core, results in memory), ``Store`` with
n_jobs=1 (checks, conversion, checksums and files included), ``Store`` with n_jobs=2 (starting the workers included),
and a second trial, which finds everything in the store. The cases take turns; ratios are of the fastest repeats, by
the clock and by processor time, which suffers less from what else the machine does. ``free cores`` says how many cores
the machine gave to two programs that only count; where others work on it, the speed-up on 2 is judged against that.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from ase import Atoms
from harness import RESULTS, configure, dataset_overrides, interleave, one_thread, report, spin
from hydra.utils import instantiate

from tamis.bases.base import Basis, LinearBasis
from tamis.store import Store

FAMILIES = ("snap", "ace", "soap", "acsf", "chimes", "soap_dscribe", "acsf_dscribe", "quests")


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--root", type=Path, help="local copy of mlearn; without it: sw_silicon")
    options.add_argument("--element", default="Si", help="of mlearn")
    options.add_argument("--every", type=int, default=1, help="take every n-th structure")
    options.add_argument(
        "--copies", type=int, default=1, help="of each structure, rattled by 0.01 Å, for a larger set"
    )
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--families", nargs="+", default=FAMILIES, choices=FAMILIES)
    options.add_argument("--scratch", type=Path, help="where to make the stores, which are removed again")
    options.add_argument("--out", type=Path, default=RESULTS / "featurise.csv")
    given = options.parse_args()
    one_thread()
    data = dataset_overrides(given.root, given.element)
    structures = several(instantiate(configure(data).dataset).load().structures[:: given.every], given.copies)
    rows = []
    for family in given.families:
        basis = instantiate(configure([*data, f"descriptor={family}"]).descriptor)
        for design in (False, True) if isinstance(basis, LinearBasis) else (False,):
            with tempfile.TemporaryDirectory(dir=given.scratch) as scratch:
                numbers = measure(basis, design, structures, Path(scratch), given.repeats)
            rows.append({"family": family, "rows": "design" if design else "values"} | numbers)
    report(f"{len(structures)} structures, {sum(map(len, structures))} atoms; seconds", rows, given.out)


def several(structures: Sequence[Atoms], copies: int) -> list[Atoms]:
    """Every structure, and ``copies`` - 1 of it that no store takes for the same."""
    found = [atoms.copy() for atoms in structures for _ in range(copies)]
    for seed, atoms in enumerate(found):
        if seed % copies:
            atoms.rattle(0.01, seed=seed)
    return found


def measure(
    basis: Basis, design: bool, structures: Sequence[Atoms], scratch: Path, repeats: int
) -> dict[str, str | float]:
    """One row of the table."""
    from bare_loops import bare_loop  # here, because workers import this file and need no other engine

    engine, loop = bare_loop(basis, design)
    warm = Store(scratch / "warm", 1)
    new_folder = (scratch / str(number) for number in count())
    cases: dict[str, Callable[[], object]] = {
        "bare": lambda: [loop(atoms) for atoms in structures],
        "one": lambda: fill(Store(next(new_folder), 1), basis, design, structures),
        "two": lambda: fill(Store(next(new_folder), 2), basis, design, structures),
        "spin one": lambda: spin(1),
        "spin two": lambda: spin(2),
    }
    # once outside the clock: engines load and compilers run when first called
    loop(structures[0])
    fill(warm, basis, design, structures)
    cases["second trial"] = lambda: read(Store(warm.root, 1), basis, design, structures)
    times = interleave(cases, repeats)
    wall = {name: min(seconds.wall) for name, seconds in times.items()}
    cpu = {name: min(seconds.cpu) for name, seconds in times.items()}
    return {
        "engine": engine,
        "bare_s": wall["bare"],
        "store/bare": wall["one"] / wall["bare"],
        "store/bare_cpu": cpu["one"] / cpu["bare"],
        "speed-up_on_2": wall["one"] / wall["two"],
        "free_cores": 2 * wall["spin one"] / wall["spin two"],
        "cpu_two/one": cpu["two"] / cpu["one"],
        "second_trial_s": wall["second trial"],
    }


def fill(store: Store, basis: Basis, design: bool, structures: Sequence[Atoms]) -> None:
    """What the first trial asks of an empty store."""
    if design:
        store.prepare(basis, structures)
    else:
        store.values(basis, structures)


def read(store: Store, basis: Basis, design: bool, structures: Sequence[Atoms]) -> None:
    """What a trial asks for when everything is there: values for the pruner, rows for the model."""
    store.values(basis, structures)
    if design and isinstance(basis, LinearBasis):
        store.prepare(basis, structures)
        store.design(basis, structures)


if __name__ == "__main__":
    main()
