"""Workers of sweeps: what a job leaves, also where its process dies, and what launchers hand in."""

import os
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import pytest
from distributed import LocalCluster
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.utils import instantiate
from tests.searches import Toy, check_whole

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.resolvers import register_resolvers
from tamis.records.record import COMPLETE, FAILED, read_record
from tamis.sweeps import execute
from tamis.sweeps.composing import Composer
from tamis.sweeps.execute import run_jobs
from tamis.sweeps.folder import SweepFolder
from tamis.sweeps.job import Job
from tamis.sweeps.on_dask import _ask
from tamis.sweeps.running import ALLOWED_DEATHS, RUNNING_FOLDER, leave_failure, run_job, set_aside
from tamis.sweeps.waiting import Rows, Waiting
from tamis.sweeps.workers import InThisProcess, WorkerDiedError, Workers, workers_of

QUEUES = {
    "dask_slurm": ("sbatch", "#SBATCH --mem="),
    "dask_pbs": ("qsub", "#PBS -l"),
    "dask_sge": ("qsub", "#$ -l h_rt="),
    "dask_lsf": ("bsub", "#BSUB -n 1"),
    "dask_htcondor": ("condor_submit", "RequestDisk"),
}


@pytest.fixture(scope="module")
def config(tmp_path_factory, furnished) -> dict:
    place = furnished(tmp_path_factory.mktemp("kept"), "data")
    register_resolvers()
    lines = ("model=snap", "model.basis.twojmax=2", "pruner=random", "dataset.seed=0", "artifacts=false")
    kept = (f"store.root={place}/store", f"dataset.cache={place}/data", "store.n_jobs=1")
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        return Composer([*lines, *kept]).config(())


def launcher(name: str, folder: Path, *more: str) -> Launcher:
    register_resolvers()
    lines = [f"hydra/launcher={name}", f"hydra.sweep.dir={folder}", *more]
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        return instantiate(compose("config", lines, return_hydra_config=True).hydra.launcher)


def test_a_job_leaves_its_folder_once(config, tmp_path):
    job = Job("block/a", ("x=1",), config)
    assert run_job(job, tmp_path) == COMPLETE
    written = (tmp_path / "block/a/record.json").stat().st_mtime_ns
    assert run_job(job, tmp_path) == COMPLETE
    assert (tmp_path / "block/a/record.json").stat().st_mtime_ns == written
    assert not list((tmp_path / RUNNING_FOLDER / "block").iterdir())


def test_the_record_of_an_earlier_failure_stays(config, tmp_path):
    job = Job("a", (), {**config, "validation_fraction": 1.5})
    assert run_job(job, tmp_path) == FAILED
    set_aside(tmp_path / "a")
    assert run_job(Job("a", (), config), tmp_path) == COMPLETE
    assert read_record(tmp_path / "a").status == COMPLETE
    assert "validation_fraction" in (tmp_path / "a/earlier_1.json").read_text()


def test_a_trial_that_kills_each_worker_fails_alone_and_keeps_what_it_had(config, tmp_path):
    job = Job("a", (), config)
    for i in range(ALLOWED_DEATHS + 1):
        (tmp_path / RUNNING_FOLDER / f"a.{i}").mkdir(parents=True)
    with pytest.raises(WorkerDiedError, match=f"died {ALLOWED_DEATHS + 1} times.*memory"):
        run_job(job, tmp_path)
    assert run_job(Job("b", (), config), tmp_path) == COMPLETE
    (tmp_path / RUNNING_FOLDER / "a.0/record.json").write_bytes((tmp_path / "b/record.json").read_bytes())
    leave_failure(job, tmp_path, "it died")
    record = read_record(tmp_path / "a")
    assert (record.status, record.reason) == (FAILED, "it died") and record.metrics


def test_the_objective_is_told_and_a_trial_stopped(config, tmp_path):
    told = []

    def listen(value: float, step: int) -> bool:
        told.append((value, step))
        return True

    workers = InThisProcess()
    with workers.listening(listen) as watch:
        assert workers.submit(run_job, Job("a", (), config), tmp_path, watch).result() == "stopped"
    (point,) = told
    assert point == (read_record(tmp_path / "a").metrics[config["objective"]], 0)


def test_only_launchers_with_workers_have_them():
    from hydra._internal.core_plugins.basic_launcher import (
        BasicLauncher,
    )  # Hydra makes it anew when it starts

    with workers_of(BasicLauncher()) as workers:
        assert isinstance(workers, InThisProcess) and workers.n == 1

    class Elsewhere(Launcher):
        setup = launch = None

    with workers_of(Elsewhere()) as workers:
        assert workers is None


def jobs_of(config: dict, n: int, prefix: str = "job", **more) -> list[Job]:
    return [
        Job(f"{prefix}{i}", (), {**config, "seed": {**config["seed"], "select": i}} | more) for i in range(n)
    ]


class Threads(Workers):
    """Two workers in threads of this process, which count what is under way."""

    n = 2

    def __init__(self) -> None:
        self.pool, self.under_way, self.most = ThreadPoolExecutor(self.n), 0, 0

    def submit(self, fn, /, *args, **kwargs):
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        return self.pool.submit(fn, *args, **kwargs)

    def listening(self, listen):
        raise NotImplementedError


def test_a_few_jobs_are_under_way_for_each_worker_and_the_others_wait(config, tmp_path):
    workers, jobs = Threads(), jobs_of(config, 12, validation_fraction=1.5)  # which fails at once
    ended = []
    for job in execute._as_they_end(jobs, tmp_path, workers):
        workers.under_way -= 1
        ended.append(job.name)
    assert sorted(ended) == sorted(job.name for job in jobs)
    assert workers.n < workers.most <= execute.AHEAD * workers.n + 1, (
        "and the rows, which are counted as well"
    )


def test_rows_come_before_the_trials_that_need_them(config):
    other = {**config["model"], "n_folds": 3}
    waiting = Waiting([*jobs_of(config, 2, "a"), *jobs_of(config, 1, "b", model=other)])
    first, second = waiting.next(5)
    assert isinstance(first, Rows) and isinstance(second, Rows) and not waiting.next(1)
    assert waiting.made(second, well=True) == [] and [job.name for job in waiting.next(5)] == ["b0"]
    assert [job.name for job in waiting.made(first, well=False)] == ["a0", "a1"] and not waiting


@pytest.mark.slow
def test_rows_that_kill_their_workers_are_begun_a_few_times_and_their_trials_fail(config, tmp_path):
    notes = tmp_path / "notes"
    deadly = {"_target_": "tests.deadly.Deadly", "notes": str(notes), "elements": ["Si"]}
    jobs = [*jobs_of(config, 2, "good"), *jobs_of(config, 3, "bad", dataset=deadly)]
    folder = SweepFolder(tmp_path / "sweep")
    folder.path.mkdir()
    local = launcher("dask", tmp_path, "hydra.launcher.cluster.n_workers=1")
    run_jobs(jobs, folder, local, publish=lambda name: None)
    records = {job.name: folder.record(job.name) for job in jobs}
    assert {name: one.status for name, one in records.items()} == {
        **dict.fromkeys(("good0", "good1"), COMPLETE),
        **dict.fromkeys(("bad0", "bad1", "bad2"), FAILED),
    }
    assert "died 4 times" in records["bad2"].reason
    assert len(notes.read_text().splitlines()) == ALLOWED_DEATHS + 1


def die_unless_told(path: Path) -> int:
    if not path.exists():
        path.touch()
        os._exit(1)
    return os.getpid()


def test_local_workers_answer_die_and_run_again(tmp_path):
    with workers_of(launcher("dask", tmp_path, "hydra.launcher.cluster.n_workers=2")) as workers:
        assert workers.n == 2
        futures = [workers.submit(die_unless_told, tmp_path / f"told{i % 3}") for i in range(12)]
        assert os.getpid() not in {future.result(120) for future in as_completed(futures)}
        with workers.listening(lambda value, step: value > step) as watch:
            assert [workers.submit(watch, 1.0, step).result(60) for step in (0, 2)] == [True, False]
        with workers.listening(lambda value, step: 1 / 0) as watch:
            assert workers.submit(watch, 1.0, 0).result(60) is False
        assert workers.submit(_ask, "a queue that nobody reads", 0.5, 1.0, 0).result(60) is False


def die(*_) -> None:
    os._exit(1)


def test_workers_that_die_before_a_trial_begins_do_not_cost_a_search_the_trial(tmp_path):
    dask = launcher("dask", tmp_path, "hydra.launcher.cluster.n_workers=1")
    dask.settings["distributed.scheduler.allowed-failures"] = 0
    with pytest.raises(TamisError, match="die before a trial begins"), workers_of(dask) as workers:
        Toy(tmp_path, workers, die, n_trials=1).run()
    check_whole(Toy(tmp_path, n_trials=1).run(), 1)


def test_other_sweepers_are_refused(tmp_path):
    with pytest.raises(HydraException, match="choose one of these"):
        launcher("dask", tmp_path).launch([[]], 0)


def test_a_scheduler_that_ends_is_told(tmp_path):
    with LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=None, silence_logs=50) as cluster:
        address = f"hydra.launcher.address={cluster.scheduler_address}"
        with (
            pytest.raises(TamisError, match="scheduler is gone"),
            workers_of(launcher("dask_address", tmp_path, address)) as workers,
            workers.listening(lambda value, step: True) as watch,
        ):
            future = workers.submit(watch, 1.0, 0)
            cluster.close()
            future.result(60)


@pytest.mark.parametrize("name", QUEUES)
def test_a_job_is_handed_in_with_what_its_worker_needs(name, tmp_path, monkeypatch):
    command, header = QUEUES[name]
    for program in (command, "qdel", "bkill", "condor_rm", "scancel", "lsid", "badmin"):
        (tmp_path / program).write_text(
            f'#!/bin/sh\ncat "$@" >> {tmp_path}/script\necho "Job <1.0> submitted to cluster 1"\n'
        )
        (tmp_path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with workers_of(launcher(name, tmp_path / "sweep")) as workers:
        assert workers.n == 16, "the most that there may be"
    script = (tmp_path / "script").read_text()
    assert (
        header in script and f"cd {Path.cwd()}" in script and "distributed.cli.dask_worker tls://" in script
    )
    assert "DASK_DISTRIBUTED__WORKER__DAEMON=False" in script and "OMP_NUM_THREADS" in script
    keys = list((tmp_path / "sweep/.dask").glob(".dask-jobqueue*"))
    assert all(path.stat().st_mode & 0o077 == 0 for path in keys)


def test_what_a_queue_refuses_is_told(tmp_path, monkeypatch):
    (tmp_path / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    (tmp_path / "sbatch").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(TamisError, match="no such partition"), workers_of(launcher("dask_slurm", tmp_path)):
        pass


def test_a_scheduler_that_does_not_answer_is_told(tmp_path):
    wrong = launcher("dask_address", tmp_path, "hydra.launcher.address=tcp://127.0.0.1:1")
    wrong.settings["distributed.comm.timeouts.connect"] = "1s"
    with pytest.raises(TamisError, match="no Dask scheduler answers at tcp://127.0.0.1:1"), workers_of(wrong):
        pass
