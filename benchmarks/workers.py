"""Many workers of one search on PostgreSQL against workers that are alone: how much of their sum is left.

A search over budgets and splits of a fast model (snap on the embedded silicon set, farthest points, from a warm store),
with Optuna on PostgreSQL, and with ``--mlflow`` every trial logged to an MLflow server on PostgreSQL. First as many
workers as there are ``--cores`` work alone, each on a study of its own; then ``--n`` workers work on one together. The
servers are on the same cores.

Rates are taken while all are at work: from the moment at which every worker has ended its first trial (imports and
first readings are behind it) to that at which the first of them has ended its last. The sum of the workers alone is
what the cores give where nobody shares anything but the servers. ``processor`` compares processor seconds a trial,
workers and servers together, which other programs on the cores disturb least. A virtual core is not equally fast at
all times: a short loop is timed every second, and ``at equal speed`` counts processor seconds in units of it. Trials
are drawn at random, so that a trial costs the same early and late in a study. Both servers are started by this
command (PostgreSQL's programs must be installed).

``--only`` runs one of the two and keeps its figures in ``--scratch``; the table is printed when both are there.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import optuna
import psutil
from harness import RESULTS, on_cores, one_thread, report

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.servers import MlflowServer, Postgres

CASES = ("alone", "together")
SAMPLE_S = 1.0


@dataclass(frozen=True)
class Outcome:
    """Figures of one case: n_all, n_runs, n_failed count Optuna's trials, MLflow's runs of trials and failures;
    n_runs None: without MLflow.

    n: trials in the window. seconds, cpu: of the window, by the clock and of the processor. loop_s: processor seconds
    of a loop that is always the same, the mean over the window. all_s: of the command.
    """

    workers: int
    cores: int
    n_all: int
    n_runs: int | None
    n_failed: int
    n: int
    seconds: float
    cpu: float
    loop_s: float
    all_s: float


def command(workers: int, trials: int, storage: str, tracking: str | None, store: Path) -> list[str]:
    """Of the search."""
    observer = "{_target_:tamis.search_runs.SearchRuns,tracker:${tracking},plots:false}"
    logged = [
        *(f"+hydra.sweeper.observer={observer}", f"tracking.uri={tracking}"),
        *("tracking.by_group=false", "tracking.artifacts=false"),
    ]
    return [
        *(
            sys.executable,
            "-m",
            "tamis.commands.run",
            "-m",
            "hydra/sweeper=study",
            "hydra/sweeper/sampler=random",
        ),
        *("dataset=sw_silicon", "model=snap", "pruner=fps", "descriptor=snap", "artifacts=false"),
        *(
            "budget.fraction=interval(0.05,0.5)",
            "seed.split=range(0,20)",
            f"store.root={store}",
            "dataset.cache=../../data",
        ),
        *(f"hydra.sweeper.n_trials={trials}", f"hydra.sweeper.n_jobs={workers}"),
        *(f"hydra.sweeper.storage='{storage}'", "hydra.sweeper.study_name=workers", "hydra.sweep.dir=out"),
        *(logged if tracking is not None else []),
    ]


def tree_seconds(roots: list[int]) -> float:
    """Processor seconds of these processes and all below them, those that have ended and were waited for included.

    Raises psutil.NoSuchProcess where one of them has ended.
    """
    total = 0.0
    for root in roots:
        for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system + times.children_user + times.children_system
    return total


def loop_seconds() -> float:
    """Processor seconds of work that is always the same, without its first half, which warms up."""
    for _ in range(2):
        begin = time.thread_time()
        table = {f"{i}": i for i in range(20_000)}
        sum(table[f"{i}"] for i in range(20_000))
    return time.thread_time() - begin


@contextmanager
def sampled(roots: list[int]) -> Iterator[list[tuple[float, float, float]]]:
    """(time, processor seconds of the trees, ``loop_seconds``) from time to time while the block runs."""
    samples: list[tuple[float, float, float]] = []
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(SAMPLE_S):
            with suppress(psutil.NoSuchProcess):
                samples.append((time.time(), tree_seconds(roots), loop_seconds()))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def measure(
    workers: Sequence[int], cores: int, trials: int, folder: Path, store: Path, with_mlflow: bool
) -> Outcome:
    """Run one case in a new folder, with new servers: ``workers`` on each study, ``trials`` of each."""
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        postgres = stack.enter_context(Postgres())
        storages = [postgres.create(f"optuna{i}") for i in range(len(workers))]
        roots = [int((postgres.folder / "data" / "postmaster.pid").read_text().split()[0])]
        server = None
        if with_mlflow:
            server = stack.enter_context(MlflowServer(postgres.create("mlflow"), folder / "server"))
            assert server.process is not None
            roots.append(server.process.pid)
        output = stack.enter_context((folder / "output.txt").open("w"))
        begin = time.perf_counter()
        searches = []
        for i, (n, storage) in enumerate(zip(workers, storages, strict=True)):
            (place := folder / f"{i}").mkdir()
            words = command(n, trials, storage, server.uri if server else None, store)
            searches.append(subprocess.Popen(words, cwd=place, stdout=output, stderr=output))
        with sampled([*(search.pid for search in searches), *roots]) as samples:
            statuses = [search.wait() for search in searches]
        seconds = time.perf_counter() - begin
        if any(statuses):
            raise SystemExit((folder / "output.txt").read_text()[-3000:])
        ended = [t for one in storages for t in optuna.load_study(study_name="workers", storage=one).trials]
        n_runs = logged(server.uri) if server else None
        return outcome(ended, sum(workers), cores, samples, seconds, n_runs)


def logged(uri: str) -> int:
    """Runs of trials in MLflow."""
    from mlflow import MlflowClient

    client, n, page = MlflowClient(uri), 0, None
    experiment = client.get_experiment_by_name("tamis").experiment_id
    while True:
        runs = client.search_runs(
            [experiment], "tags.`tamis.kind` = 'trial'", max_results=200, page_token=page
        )
        n, page = n + len(runs), runs.token
        if not page:
            return n


def outcome(
    trials: Sequence[optuna.trial.FrozenTrial],
    workers: int,
    cores: int,
    samples: list[tuple[float, float, float]],
    seconds: float,
    n_runs: int | None,
) -> Outcome:
    """The figures of the window in which all workers were at work."""
    trials = [trial for trial in trials if "void" not in trial.user_attrs]
    ends: dict[str, list[float]] = {}
    for trial in trials:
        ends.setdefault(trial.user_attrs["worker"], []).append(trial.datetime_complete.timestamp())
    if len(ends) != workers:
        raise SystemExit(f"{len(ends)} of {workers} workers had a trial; take more trials")
    start, stop = max(min(times) for times in ends.values()), min(max(times) for times in ends.values())
    if stop <= start:
        raise SystemExit("the first worker had ended before the last had begun; take more trials")
    times, cpu, loops = np.array(samples).T
    return Outcome(
        workers=workers,
        cores=cores,
        n_all=len(trials),
        n_runs=n_runs,
        n_failed=sum(trial.state.name != "COMPLETE" for trial in trials),
        n=sum(start < time <= stop for times in ends.values() for time in times),
        seconds=stop - start,
        cpu=float(np.interp(stop, times, cpu) - np.interp(start, times, cpu)),
        loop_s=float(loops[(times > start) & (times < stop)].mean()),
        all_s=seconds,
    )


def table(alone: Outcome, together: Outcome) -> list[dict[str, object]]:
    """One row a case; the ratios say which part of the sum is left."""
    return [
        {
            "workers": one.workers,
            "cores": one.cores,
            "trials": one.n_all,
            "runs in MLflow": "-" if one.n_runs is None else one.n_runs,
            "failed": one.n_failed,
            "counted": one.n,
            "trials/s": one.n / one.seconds,
            "of the sum": (one.n / one.seconds) / (alone.n / alone.seconds),
            "processor s a trial": one.cpu / one.n,
            "of the sum, processor": (alone.cpu / alone.n) / (one.cpu / one.n),
            "of the sum, at equal speed": (alone.cpu / alone.n / alone.loop_s)
            / (one.cpu / one.n / one.loop_s),
            "cores used": one.cpu / one.seconds,
            "command, s": one.all_s,
        }
        for one in (alone, together)
    ]


def main() -> None:
    """Measure what the command line names."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--n", type=int, default=16, help="workers")
    options.add_argument("--cores", type=int, default=1, help="of both cases, servers included")
    options.add_argument("--trials", type=int, default=500, help="of the study of all workers together")
    options.add_argument("--alone", type=int, default=150, help="trials of the study of one worker")
    options.add_argument("--mlflow", action="store_true", help="log every trial to an MLflow server")
    options.add_argument("--only", choices=CASES, help="run this case; default: both")
    options.add_argument(
        "--store", type=Path, help="a store; default: one in the scratch folder, filled first"
    )
    options.add_argument(
        "--scratch", type=Path, required=True, help="folder of the runs and of their figures"
    )
    options.add_argument("--out", type=Path, default=RESULTS / "workers.csv")
    given = options.parse_args()
    one_thread()
    store = (given.store or given.scratch / "store").absolute()
    for case in [given.only] if given.only else CASES:
        workers, trials = ([1] * given.cores, given.alone) if case == "alone" else ([given.n], given.trials)
        folder = given.scratch / f"{case}-{time.strftime('%H%M%S')}"
        with on_cores(given.cores):
            found = measure(workers, given.cores, trials, folder.absolute(), store, given.mlflow)
            (given.scratch / f"{case}.json").write_text(json.dumps(asdict(found)))
            print(found, flush=True)
    files = [given.scratch / f"{case}.json" for case in CASES]
    if all(path.exists() for path in files):
        alone, together = (Outcome(**json.loads(path.read_text())) for path in files)
        title = f"{together.workers} workers on PostgreSQL against workers alone, {together.cores} cores"
        report(title, table(alone, together), given.out)


if __name__ == "__main__":
    main()
