"""Thousands of faults, in slices: ``python -m tests.faults.campaign --n 10000 --resume faults.jsonl --seconds 400``.

Each case takes a copy of what its scenario prepared, runs the program with one fault after the other, then without
any, and checks what has to hold after each of these runs. Every second case has one fault: in the end every kind has
hit every step. The others are chains of up to eight faults at random steps.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.faults import injector
from tests.faults.injector import KINDS, Fault
from tests.faults.scenarios import SCENARIOS, chosen

LONGEST_CHAIN = 8


class Case(NamedTuple):
    """scenario: its name; faults: that hit its runs, one each, before the run that nothing hits."""

    scenario: str
    faults: tuple[Fault, ...]


def main() -> None:
    """Entry point; the process starts itself again with the injector in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--n", type=int, default=10000, help="faults that are to be injected, all slices together"
    )
    parser.add_argument(
        "--resume", type=Path, help="file of results, one a line; what is there is not run again"
    )
    parser.add_argument(
        "--seconds", type=float, default=float("inf"), help="of this slice, from when all is warm"
    )
    parser.add_argument("--each", type=int, help="faults for each scenario, in place of its share of --n")
    parser.add_argument("--only", nargs="*", default=[], help="beginnings of names of scenarios")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--seed", type=int, default=0, help="of the order of cases and of the chains")
    parser.add_argument("--list", action="store_true", help="say how many steps there are, and end")
    given = parser.parse_args()
    if reason := injector.why_not():
        sys.exit(reason)
    if injector.LOADED not in os.environ:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.faults.campaign", *sys.argv[1:]],
            injector.environment(),
        )
    sys.exit(run(given))


def run(given: argparse.Namespace) -> int:
    """Run what is left; returns the exit status: 0 where nothing was lost, doubled or damaged."""
    from tests.faults.bench import Bench  # imports much: not for --help

    results = _read(given.resume)
    with tempfile.TemporaryDirectory(prefix="tamis-faults-", dir=_fast_folder()) as root:
        bench = Bench(Path(root), chosen(given.only))
        ends = time.monotonic() + given.seconds
        try:
            if given.list:
                for name, steps in bench.steps.items():
                    print(f"{name:<28} {steps:>6} steps")
                return 0
            for case in cases(bench.steps, results, given):
                if time.monotonic() > ends:
                    break
                results.append(bench.run(case))
                _append(given.resume, results[-1])
        finally:
            bench.close()
    print(tally(results))
    return 1 if any(one["wrong"] for one in results) else 0


def cases(
    steps: Mapping[str, int], results: Sequence[dict[str, Any]], given: argparse.Namespace
) -> Iterator[Case]:
    """What is left to be run, in random order, until each scenario has had its share of the faults.

    ``results`` grows meanwhile.
    """
    done = {(one["scenario"], tuple(Fault(*fault) for fault in one["asked"])) for one in results}
    whole = sum(entry.share for entry in SCENARIOS.values())
    left = {name: given.each or math.ceil(given.n * SCENARIOS[name].share / whole) for name in steps}
    for one in results:
        if one["scenario"] in left:
            left[one["scenario"]] -= len(one["faults"])
    series = {name: _series(name, n, given) for name, n in steps.items()}
    rng = random.Random(given.seed)
    while names := [name for name, n in left.items() if n > 0]:
        name = rng.choices(names, [left[name] for name in names])[0]
        case = Case(name, next(series[name]))
        if case not in done:
            yield case
            left[name] -= len(results[-1]["faults"])


def _series(name: str, n_steps: int, given: argparse.Namespace) -> Iterator[tuple[Fault, ...]]:
    """By turns one fault, every kind at every step in random order, and a chain; the same ones for the same seed."""
    rng = random.Random(f"{given.seed} {name}")
    single = [(Fault(kind, at),) for at in range(1, n_steps + 1) for kind in given.kinds]
    rng.shuffle(single)
    while True:
        if single:
            yield single.pop()
        length = rng.randint(2, LONGEST_CHAIN)
        yield tuple(Fault(rng.choice(given.kinds), rng.randint(1, n_steps)) for _ in range(length))


def tally(results: Sequence[dict[str, Any]]) -> str:
    """Faults by scenario and kind, how the programs ended, at which points, and what went wrong."""
    faults = [(one["scenario"], *fault) for one in results for fault in one["faults"]]
    wrong = sum(bool(one["wrong"]) for one in results)
    lines = [f"{len(faults)} faults injected in {len(results)} cases, {wrong} with a violation"]
    lines += ["", "by scenario and kind:"]
    for (scenario, kind), n in sorted(Counter((s, kind) for s, kind, *_ in faults).items()):
        ends = Counter(how for s, k, how, _ in faults if (s, k) == (scenario, kind))
        lines.append(
            f"  {scenario:<26} {kind:<13} {n:>6}  "
            + ", ".join(f"{n} {how}" for how, n in sorted(ends.items()))
        )
    lines += ["", "by point:"]
    points = Counter((scenario, _point(where)) for scenario, _, _, where in faults)
    lines += [f"  {scenario:<26} {n:>6}  {point}" for (scenario, point), n in sorted(points.items())]
    lines += [
        "",
        *(f"WRONG {one['scenario']} {one['asked']}: {wrong}" for one in results for wrong in one["wrong"]),
    ]
    return "\n".join(lines)


def _point(where: str) -> str:
    """A step without what differs from run to run."""
    return re.sub(r"/tmp\w{8}|[0-9a-f]{8,}|\d+", "#", where)


def _fast_folder() -> str | None:
    """Memory, where there is some: a file system that writes to a disk is no different for a process that dies."""
    return (
        "/dev/shm" if os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2**30 else None
    )


def _read(path: Path | None) -> list[dict[str, Any]]:
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]}")]


def _append(path: Path | None, result: dict[str, Any]) -> None:
    if path is not None:
        with path.open("a") as file:
            file.write("\n" + json.dumps(result))  # a line that a kill has cut stays alone


if __name__ == "__main__":
    main()
