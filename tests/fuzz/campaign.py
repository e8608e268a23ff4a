"""``python -m tests.fuzz.campaign --n 100000 --resume state.json --seconds 400``: many cases, in slices."""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tests.fuzz.kinds import HANG, REFUSED, RIGHT, Kind
from tests.fuzz.workers import Result, run_cases

MODULES = ("structures", "data_files", "other_formats", "potentials", "records", "configs", "trials")
"""One file a kind of input."""
SLICE = 1000
"""Cases in a process, so that one has not all that an engine leaks."""
SLICE_S = 60.0
LEAST_S = 3.0


def all_kinds() -> dict[str, Kind]:
    """By name."""
    found = [kind for name in MODULES for kind in importlib.import_module(f"tests.fuzz.{name}").KINDS]
    return {kind.name: kind for kind in found}


def share(n: int, kinds: dict[str, Kind]) -> dict[str, int]:
    """How many of ``n`` cases each kind gets."""
    total = sum(kind.share for kind in kinds.values())
    return {name: max(round(n * kind.share / total), 1) for name, kind in kinds.items()}


def run_part(kind: Kind, first: int, last: int, seconds: float) -> list[Result]:
    """The results from ``first`` on, as many as come in ``seconds``, at least one."""
    start, results = time.monotonic(), []
    cases = run_cases(kind, first, last)
    for result in cases:
        results.append(result)
        if time.monotonic() - start > seconds:
            break
    cases.close()  # type: ignore[attr-defined] # a generator
    return results


def main() -> int:
    """Run until the time is over; the exit status is 1 where any outcome is bad."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.campaign", description=__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="cases of all kinds together")
    parser.add_argument("--resume", type=Path, default=None, help="keeps the state; default: nothing is kept")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="of this slice")
    parser.add_argument("--kinds", default="", help="names or their beginnings, with commas; default: all")
    parser.add_argument(
        "--case", type=int, default=None, help="run this case of one kind here, without limits"
    )
    given = parser.parse_args()
    wanted = tuple(given.kinds.split(",")) if given.kinds else ("",)
    kinds = {name: kind for name, kind in all_kinds().items() if name.startswith(wanted)}
    if given.case is not None:
        return _here(next(iter(kinds.values())), given.case)
    state = json.loads(given.resume.read_text()) if given.resume and given.resume.exists() else {}
    goals, end = share(given.n, kinds), time.monotonic() + given.seconds
    while time.monotonic() < end:
        left = [name for name in kinds if state.get(name, {}).get("done", 0) < goals[name]]
        if not left:
            break
        name = min(left, key=lambda name: state.get(name, {}).get("done", 0) / goals[name])
        one = state.setdefault(name, {"done": 0, "seconds": 0.0, "tally": {}, "bad": []})
        start = time.monotonic()
        last = min(goals[name], one["done"] + SLICE)
        results = run_part(
            kinds[name], one["done"], last, min(SLICE_S, max((end - start) / len(left), LEAST_S))
        )
        one["done"] += len(results)
        one["seconds"] += time.monotonic() - start
        one["tally"] = Counter(one["tally"]) + Counter(result.outcome for result in results)
        one["bad"] += [vars(result) for result in results if result.outcome not in (RIGHT, REFUSED)]
        if given.resume:
            given.resume.write_text(json.dumps(state, indent=1))
    _tell(state, goals)
    return int(any(one["bad"] for one in state.values()))


def _here(kind: Kind, number: int) -> int:
    """One case in this process, with its traceback."""
    import tempfile

    import numpy as np

    folder = Path(tempfile.mkdtemp(prefix="tamis-fuzz-"))
    kind.run(np.random.default_rng([number, *kind.name.encode()]), kind.prepare(folder), folder)
    print("right")
    return 0


def _tell(state: dict[str, dict], goals: dict[str, int]) -> None:
    columns = (RIGHT, REFUSED, "wrong", "leak", "memory", HANG, "crash")
    print(f"{'kind':<24}{'done':>8}{'of':>8}{'s':>8}" + "".join(f"{name:>9}" for name in columns))
    total: Counter[str] = Counter()
    for name, goal in goals.items():
        one = state.get(name, {"done": 0, "seconds": 0.0, "tally": {}})
        tally = Counter(one["tally"])
        total += tally
        print(
            f"{name:<24}{one['done']:>8}{goal:>8}{one['seconds']:>8.0f}"
            + "".join(f"{tally[c]:>9}" for c in columns)
        )
    print(
        f"{'all':<24}{total.total():>8}{sum(goals.values()):>8}{'':>8}"
        + "".join(f"{total[c]:>9}" for c in columns)
    )


if __name__ == "__main__":
    sys.exit(main())
