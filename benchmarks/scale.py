"""How choosing and featurising grow with the data: time, peak memory, exponents, and what that comes to for more.

``fps``: farthest point sampling of many points, beside fpsample and scikit-matter, from the same start. ``growth``:
every pruner on more and more structures, with the exponent of its time, and an extrapolation. ``stream``: structures
that are never all in memory, through the store and a latent space to a selection, in the memory that ``--memory-gib``
states.

Each case runs in a process of its own, whose peak resident memory is counted from after its data were made. What is in
``--out`` already is not run again, so a long campaign may be stopped and repeated; ``--seconds`` begins no case later.
The structures of ``stream`` are cells of 8 silicon atoms, strained by up to 3 % and rattled by up to 0.2 Å.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk
from harness import RESULTS, configure, one_thread, report
from hydra.utils import instantiate
from numpy.typing import NDArray

from tamis.bases.base import Basis
from tamis.selection.base import Features, Limit, Pruner
from tamis.selection.distance import by_distance
from tamis.selection.information import Information
from tamis.selection.latent import LatentSpace
from tamis.selection.row_sources import StoredRows
from tamis.store import Store

LIBRARIES = ("tamis", "fpsample", "skmatter")
PRUNERS = ("fps", "cur", "kmeans", "msc", "maxvol", "direct", "anti")
N_STRUCTURES = (6_250, 12_500, 25_000, 50_000, 100_000)
"""Of ``growth``; structures of ``ATOMS`` atoms, of which ``KEPT`` are chosen."""
ATOMS, COLUMNS, KEPT = 10, 32, 200
EXTRAPOLATED = (1_000_000, 10_000_000)
MIB, GIB = 2**20, 2**30


def main() -> None:
    """Run the cases that are missing, then print the tables."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("part", choices=("fps", "growth", "stream"))
    options.add_argument("--out", type=Path, default=RESULTS / "scale.jsonl", help="one line a case")
    options.add_argument("--seconds", type=float, default=np.inf, help="begin no case after so many")
    options.add_argument(
        "--points", type=int, nargs=3, default=(1_000_000, 64, 1000), metavar=("N", "D", "K")
    )
    options.add_argument("--libraries", nargs="+", default=LIBRARIES, choices=LIBRARIES)
    options.add_argument("--pruners", nargs="+", default=PRUNERS, choices=PRUNERS)
    options.add_argument("--sizes", type=int, nargs="+", default=N_STRUCTURES, help="structures of growth")
    options.add_argument("--structures", type=int, default=100_000, help="of stream")
    options.add_argument("--memory-gib", type=float, default=0.25, help="store.memory_gib of stream")
    options.add_argument("--store", type=Path, help="of stream; it stays")
    options.add_argument("--case", help=argparse.SUPPRESS)  # a child's
    given = options.parse_args()
    one_thread()
    if given.case:
        print(json.dumps(CASES[given.part](**json.loads(given.case))))
        return
    found = run_missing(list(cases(given)), given)
    table, title = {"fps": fps_table, "growth": growth_table, "stream": stream_table}[given.part](found)
    report(title, table, given.out.with_name(f"scale_{given.part}.csv"))


def cases(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Arguments of the cases of a part, cheap ones first."""
    if given.part == "fps":
        n, d, k = given.points
        for data in ("normal", "clusters"):
            for library in given.libraries:
                yield {"library": library, "data": data, "n": n, "d": d, "k": k}
    elif given.part == "growth":
        for n in given.sizes:
            for pruner in given.pruners:
                yield {"pruner": pruner, "n": n}
    else:
        if given.store is None:
            raise SystemExit("stream needs --store FOLDER, which keeps what was made if it is stopped")
        for step, pruner in (("fill", ""), ("choose", "fps"), ("choose", "msc"), ("choose", "optimal")):
            yield {
                "step": step,
                "pruner": pruner,
                "n": given.structures,
                "memory_gib": given.memory_gib,
                "store": str(given.store.absolute()),
            }


def run_missing(wanted: list[dict[str, Any]], given: argparse.Namespace) -> list[dict[str, Any]]:
    """What is known of the wanted cases, after running as many of the others as the time allows."""
    begin = time.perf_counter()
    given.out.parent.mkdir(parents=True, exist_ok=True)
    lines = given.out.read_text().splitlines() if given.out.exists() else []
    known = {json.dumps(case): result for case, result in map(json.loads, lines)}
    for case in wanted:
        if json.dumps(case) not in known and time.perf_counter() - begin < given.seconds:
            command = [sys.executable, __file__, given.part, "--case", json.dumps(case)]
            output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            result = json.loads(output.splitlines()[-1])
            known[json.dumps(case)] = result
            with given.out.open("a") as file:
                file.write(json.dumps([case, result]) + "\n")
            print(case, result, flush=True)
    return [case | known[json.dumps(case)] for case in wanted if json.dumps(case) in known]


def peak_mib() -> float:
    """The largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What ``work`` returns, its seconds, and how far it took the memory above the peak before it."""
    before, start, cpu = peak_mib(), time.perf_counter(), time.process_time()
    result = work()
    return result, {
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,
        "memory_above_data_MiB": peak_mib() - before,
    }


def points(kind: str, n: int, d: int) -> NDArray[np.float64]:
    """``normal``: no structure at all. ``clusters``: 40 islands on a curved sheet of 8 dimensions, with some noise."""
    rng = np.random.default_rng(0)
    centres, turn = 3.0 * rng.normal(size=(40, 8)), 0.3 * rng.normal(size=(8, d))
    found = np.empty((n, d))
    for begin in range(0, n, 10_000):
        part = found[begin : begin + 10_000]
        part[:] = rng.normal(size=part.shape)
        if kind == "clusters":
            inside = rng.normal(size=(len(part), 8)) * 1.5 ** -np.arange(8)
            part[:] = np.tanh((inside + centres[rng.integers(40, size=len(part))]) @ turn) + 0.01 * part
    return found


def fps_case(library: str, data: str, n: int, d: int, k: int) -> dict[str, Any]:
    """One library; each gets the data in the type that it works in, and the first point to start from."""
    x = points(data, n, d)
    if library == "tamis":
        by_distance(x[:2000], [0], 10, farthest=True)
        order, numbers = measured(lambda: by_distance(x, [0], k, farthest=True))
    elif library == "skmatter":
        from skmatter.sample_selection import FPS

        order, numbers = measured(lambda: FPS(initialize=0, n_to_select=k).fit(x).selected_idx_)
    else:
        import fpsample

        single = x.astype(np.float32)
        del x
        # of its exact methods the plain one: those with trees refuse more than 8 columns
        order, numbers = measured(lambda: fpsample.fps_sampling(single, k, start_idx=0))
    return numbers | {"order": [int(i) for i in order]}


def fps_table(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Time, memory, and how many choices from the first on are those of tamis."""
    ours = {case["data"]: case["order"] for case in found if case["library"] == "tamis"}
    rows = []
    for case in found:
        order = case.pop("order")
        same = np.array(order) == np.array(ours.get(case["data"], order))
        rows.append(case | {"same_from_start": len(same) if same.all() else int(np.argmin(same))})
    return rows, "farthest point sampling; one process each"


def growth_case(pruner: str, n: int) -> dict[str, Any]:
    """Choose ``KEPT`` of ``n`` structures."""
    environments = points("clusters", n * ATOMS, COLUMNS)
    # what the atoms of one structure have in common: without it all means would be alike
    environments += np.repeat(points("clusters", n, COLUMNS), ATOMS, axis=0)
    vectors = environments.reshape(n, ATOMS, COLUMNS).mean(axis=1)
    owners = np.repeat(np.arange(n), ATOMS)
    features = Features(vectors, environments, owners, np.full(n, ATOMS), ("all",) * n)
    chooser = instantiate(configure([f"pruner={pruner}"]).pruner)
    few = Features(
        vectors[:300], environments[: 300 * ATOMS], owners[: 300 * ATOMS], np.full(300, ATOMS), ("all",) * 300
    )
    chooser.select(few, Limit(structures=20), np.random.default_rng(0))  # imports, and fills caches
    _, numbers = measured(lambda: chooser.select(features, Limit(structures=KEPT), np.random.default_rng(0)))
    return numbers


def growth_table(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """Seconds by number of structures, the exponent of the last sizes, and an extrapolation with it."""
    rows = []
    for pruner in dict.fromkeys(case["pruner"] for case in found):
        mine = sorted(
            (case["n"], case["cpu_s"], case["memory_above_data_MiB"])
            for case in found
            if case["pruner"] == pruner
        )
        n, seconds, memory = np.array(mine).T
        last = slice(-3, None)
        exponent = np.polyfit(np.log(n[last]), np.log(seconds[last]), 1)[0] if len(n) > 1 else np.nan
        row: dict[str, Any] = {"pruner": pruner}
        row |= {f"{int(size)}": float(s) for size, s in zip(n, seconds, strict=True)}
        row |= {"exponent": float(exponent), "memory_MiB": float(memory[-1])}
        row |= {
            f"~{size}": float(seconds[-1] * (size / n[-1]) ** max(1.0, exponent)) for size in EXTRAPOLATED
        }
        rows.append(row)
    return rows, f"cpu seconds to keep {KEPT} structures of {ATOMS} atoms, {COLUMNS} columns; ~ extrapolated"


def rattled_cells(n: int) -> Iterator[Atoms]:
    """``n`` different cells, one at a time."""
    cell = bulk("Si", "diamond", a=5.43, cubic=True)
    for seed in range(n):
        rng = np.random.default_rng(seed)
        atoms = cell.copy()
        atoms.set_cell(cell.cell.array @ (np.eye(3) + rng.uniform(-0.03, 0.03, (3, 3))), scale_atoms=True)
        atoms.positions += rng.uniform(0.0, 0.2) * rng.normal(size=atoms.positions.shape)
        yield atoms


def stream_case(step: str, pruner: str, n: int, memory_gib: float, store: str) -> dict[str, Any]:
    """``fill``: make what the store does not have. ``choose``: features, and a tenth of the structures."""
    basis = instantiate(configure(["dataset=sw_silicon", "descriptor=snap"]).descriptor)
    place = Store(Path(store), n_jobs=1, memory_gib=memory_gib)
    if step == "fill":
        _, numbers = measured(lambda: place.lazy_values(basis, rattled_cells(n)))
        files = [path.stat() for path in Path(store).rglob("*.npy")]
        on_disk = sum(512 * stat.st_blocks for stat in files) / GIB
        return numbers | {"files": len(files), "on_disk_GiB": on_disk, "peak_MiB": peak_mib()}
    chooser = instantiate(configure([f"pruner={pruner}"]).pruner)
    if chooser.needs_information:
        return rows_case(chooser, basis, place, n)
    latent = LatentSpace(pooling="mean", scaling="standard", pca_variance=None)
    values = place.lazy_values(basis, rattled_cells(n))
    program = peak_mib()
    features, making = measured(lambda: latent.features(values, ("all",) * n, chooser, place.memory))
    kept, choosing = measured(
        lambda: chooser.select(features, Limit(structures=n // 10), np.random.default_rng(0))
    )
    seen = features.vectors.nbytes + features.environments.nbytes
    return {
        "seconds": making["seconds"],
        "cpu_s": making["cpu_s"],
        "choose_cpu_s": choosing["cpu_s"],
        "features_MiB": seen / MIB,
        "above_program_MiB": peak_mib() - program,
        "peak_MiB": peak_mib(),
        "kept": len(kept.indices),
    }


def rows_case(chooser: Pruner, basis: Basis, place: Store, n: int) -> dict[str, Any]:
    """The same for a pruner that looks at design rows."""
    cells = list(rattled_cells(n))
    program = peak_mib()
    rows, reading = measured(lambda: Information.of(StoredRows.of(basis, cells, place), place.memory))
    nothing = np.empty((n, 0)), np.empty((0, 0)), np.empty(0, dtype=np.intp)
    features = Features(*nothing, np.full(n, len(cells[0])), ("all",) * n, rows)
    kept, choosing = measured(
        lambda: chooser.select(features, Limit(structures=n // 10), np.random.default_rng(0))
    )
    return {
        "seconds": reading["seconds"],
        "cpu_s": reading["cpu_s"],
        "choose_cpu_s": choosing["cpu_s"],
        "features_MiB": sum(block.nbytes for block in rows.blocks) / MIB,
        "above_program_MiB": peak_mib() - program,
        "peak_MiB": peak_mib(),
        "kept": len(kept.indices),
    }


def stream_table(found: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], str]:
    """As it is, with a column for each number that any step has."""
    names = list(dict.fromkeys(name for case in found for name in case if name != "store"))
    return [{name: case.get(name, "") for name in names} for case in found], "streamed structures"


CASES: dict[str, Callable[..., dict[str, Any]]] = {
    "fps": fps_case,
    "growth": growth_case,
    "stream": stream_case,
}

if __name__ == "__main__":
    main()
