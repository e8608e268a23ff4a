"""The loop of a search: what Optuna is told, what is run again, what ends it; trials compute a number at once."""

import os
import shutil
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import optuna
import pytest
from optuna.storages._rdb.models import TrialModel
from optuna.trial import TrialState
from tests.searches import Toy, check_whole, points, run_toy

from tamis.core.errors import TamisError
from tamis.core.interrupts import Interrupts
from tamis.records.record import read_record
from tamis.sweeps.folder import Sweep, SweepFolder
from tamis.sweeps.job import Job
from tamis.sweeps.search.studies import SWEEP, counted
from tamis.sweeps.workers import InThisProcess, WorkerDiedError, Workers

KINDS = {"x": "interval(-5, 5)", "kind": "choice(a, b)"}
TPE = {"_target_": "optuna.samplers.TPESampler", "seed": 0, "multivariate": True, "group": True}


class Threads(ThreadPoolExecutor, Workers):
    """Two trials at a time."""

    n = 2

    def __init__(self):
        super().__init__(max_workers=2)

    @contextmanager
    def listening(self, listen):
        yield listen


def killed(folder, number: int, **changes) -> Toy:
    """A search whose command was killed while trial ``number`` ran, which Optuna takes for running since."""

    def run(job, *more):
        if job.name.split("/")[0] == str(number):
            raise SystemError("killed")
        return run_toy(job, *more)

    toy = Toy(folder, run=run, **changes)
    with pytest.raises(SystemError):
        toy.run()
    trial_id = toy.study.trials[number]._trial_id
    storage = toy.study._storage
    if hasattr(storage, "_backend"):  # RDB: Optuna has seen the error and told it, a kill does not
        with storage._backend.engine.begin() as connection:
            connection.exec_driver_sql(f"update trials set state='RUNNING' where trial_id={trial_id}")
    return toy


def test_a_search_has_its_trials_and_the_same_command_finds_them(tmp_path):
    first = Toy(tmp_path / "a", sampler=TPE, params=KINDS)
    study = first.run()
    check_whole(study, 12)
    found = points(study)
    assert sorted(path.name for path in (tmp_path / "a").glob("[0-9]*")) == sorted(map(str, range(12)))
    for trial in study.trials:
        assert trial.value == read_record(tmp_path / "a" / str(trial.number)).metrics["error"]
    assert sorted(first.published) == sorted(map(str, range(12)))
    assert study.metric_names == ["error"]
    assert points(Toy(tmp_path / "b", sampler=TPE, params=KINDS).run()) == found, (
        "the same seed, other trials"
    )
    assert points(Toy(tmp_path / "a", sampler=TPE, params=KINDS).run()) == found, "a full study grew"
    longer = Toy(tmp_path / "a", sampler=TPE, params=KINDS, n_trials=15, stream=[12]).run()
    check_whole(longer, 15)
    assert points(longer)[:12] == found


def test_as_many_trials_run_at_once_as_there_are_workers(tmp_path):
    both = threading.Barrier(2, timeout=10)

    def run(job, *more):
        both.wait()  # each waits for another trial
        return run_toy(job, *more)

    with Threads() as workers:
        check_whole(Toy(tmp_path, workers, run).run(), 12)


def test_what_optuna_is_told(tmp_path):
    toy = Toy(
        tmp_path,
        params={"x": "interval(-5, 5)", "kind": "choice(a, c, fail, wrong)"},
        enqueue=[{"kind": "a"}, {"kind": "c"}, {"kind": "fail", "x": 2.0}, {"kind": "wrong"}],
        n_trials=4,
    )
    a, c, fail, wrong = toy.run().trials
    assert (a.state, c.state, fail.state, wrong.state) == (
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.FAIL,
    )
    assert toy.search.n_failed == 2
    assert c.user_attrs["error"] == "c means nothing"
    assert fail.user_attrs["error"] == "x is 2.0"
    assert wrong.user_attrs["error"] == "kind=wrong is not a choice"


def test_too_many_failures_end_a_search(tmp_path):
    fails = {"x": "interval(-5, 5)", "kind": "choice(a, fail)"}
    toy = Toy(tmp_path, params=fails, n_trials=60, max_failure_rate=0.2)
    with pytest.raises(
        TamisError, match=r"max_failure_rate=0\.2 allows: 1\d of 60 trials .*; 1 failed: x is"
    ):
        toy.run()
    assert 10 <= len(toy.study.trials) < 60


def test_an_error_of_the_last_trials_ends_a_search(tmp_path):
    def run(job, *more):
        raise OSError("no room")

    with Threads() as workers, pytest.raises(OSError, match="no room"):
        Toy(tmp_path, workers, run, n_trials=2).run()
    check_whole(Toy(tmp_path, n_trials=2).run(), 2)


def test_too_many_failures_among_the_last_trials_are_told(tmp_path):
    def run(job, *more):
        config = dict(job.config) | {"kind": "a" if job.name == "0" else "fail"}
        return run_toy(Job(job.name, job.overrides, config), *more)

    with Threads() as workers, pytest.raises(TamisError, match="max_failure_rate"):
        Toy(tmp_path, workers, run, n_trials=10).run()


def test_nothing_complete(tmp_path):
    toy = Toy(tmp_path, params={"x": "interval(0, 1)", "kind": "choice(fail)"}, n_trials=3)
    with pytest.raises(
        TamisError, match=r"no trial of study toy is complete: 3 of 3 trials have ended \(3 fail\)"
    ):
        toy.run()


def test_repeats_constraints_and_conditions(tmp_path):
    study = Toy(
        tmp_path,
        params=KINDS,
        conditional=[{"when": {"kind": "b"}, "params": {"depth": "int(interval(1, 3))"}}],
        repeat={"draw": [10, 20]},
        constraints=["x <= 0"],
        sampler=TPE,
    ).run()
    for trial in study.trials:
        assert ("depth" in trial.params) == (trial.params["kind"] == "b")
        more = (trial.params["kind"] == "b") + 0.1 * trial.params.get("depth", 0) + 0.01 * 15
        assert trial.value == pytest.approx((trial.params["x"] - 1) ** 2 + more)
        assert (tmp_path / str(trial.number) / "1" / "record.json").exists()
        assert trial.constraints == {"x <= 0": trial.params["x"]}
    assert study.best_trial.params["x"] <= 0


def test_two_objectives(tmp_path):
    study = Toy(tmp_path, direction=["minimize", "maximize"], objectives=("error", "x")).run()
    assert all(trial.values[1] == trial.params["x"] for trial in study.trials)
    assert len(study.best_trials) > 1


def test_the_stopper_ends_a_job_early(tmp_path):
    median = {"_target_": "optuna.pruners.MedianPruner", "n_startup_trials": 3}
    with Threads() as workers:
        trials = Toy(tmp_path, workers, stopper=median, n_trials=20).run().trials
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    assert stopped and all("stopped by the search" in trial.user_attrs["error"] for trial in stopped)
    assert all(len(trial.intermediate_values) == 4 for trial in trials if trial.state == TrialState.COMPLETE)


def test_the_stopper_ends_a_trial_between_its_jobs(tmp_path):
    wilcoxon = {"_target_": "optuna.pruners.WilcoxonPruner", "p_threshold": 0.4, "n_startup_steps": 1}
    study = Toy(tmp_path, stopper=wilcoxon, repeat={"draw": [1, 2, 3, 4]}, n_trials=20).run()
    stopped = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert stopped
    for trial in stopped:
        n = len(trial.intermediate_values)
        assert n < 4 and trial.user_attrs["error"] == f"stopped after {n} of 4 jobs"
        assert len(list((tmp_path / str(trial.number)).iterdir())) == n


@pytest.mark.parametrize("sampler", ["GridSampler", "BruteForceSampler"])
def test_a_grid_ends_when_it_is_used_up(tmp_path, sampler):
    grid = {"params": {"kind": "a,b", "depth": "range(0, 3)"}, "n_trials": 50}
    grid["sampler"] = {"_target_": f"optuna.samplers.{sampler}", "seed": 0}
    for _ in range(2):
        trials = Toy(tmp_path, **grid).run().trials
        assert len({(trial.params["kind"], trial.params["depth"]) for trial in trials}) == len(trials) == 6


def test_a_trial_of_a_killed_command_is_run_again_with_its_values(tmp_path):
    before = killed(tmp_path, 3).study.trials[3]
    toy = Toy(tmp_path)
    study = toy.run()
    check_whole(study, 12)
    (again,) = [trial for trial in study.trials if trial.system_attrs.get("retry_history")]
    assert again.params == before.params
    assert study.trials[3].user_attrs["error"] == "its command ended before it did"
    assert not (tmp_path / "3").exists()
    check_whole(Toy(tmp_path).run(), 12)


def test_a_grid_whose_command_was_killed_is_complete(tmp_path):
    grid = {"params": {"kind": "a,b", "depth": "range(0, 3)"}, "n_trials": 50}
    grid["sampler"] = {"_target_": "optuna.samplers.GridSampler", "seed": 0}
    killed(tmp_path, 5, **grid)
    trials = counted(Toy(tmp_path, **grid).run())
    assert len({(trial.params["kind"], trial.params["depth"]) for trial in trials}) == len(trials) == 6
    assert all(trial.state == TrialState.COMPLETE for trial in trials)


def test_a_record_that_was_left_is_told(tmp_path):
    """A worker had ended the trial, its command was killed before it told Optuna."""
    toy = killed(tmp_path, 3, repeat={"draw": [10, 20]}, constraints=["x <= 0"])
    x = toy.study.trials[3].params["x"]
    for i, seed in enumerate((10, 20)):
        record = read_record(tmp_path / "0" / str(i))
        record.metrics = {"error": (x - 1) ** 2 + 0.01 * seed, "x": x}
        (tmp_path / "3" / str(i)).mkdir(parents=True)
        record.save(tmp_path / "3" / str(i))
    study = Toy(tmp_path, repeat={"draw": [10, 20]}, constraints=["x <= 0"]).run()
    check_whole(study, 12)
    assert study.trials[3].state == TrialState.COMPLETE
    assert study.trials[3].value == pytest.approx((x - 1) ** 2 + 0.15)
    assert study.trials[3].constraints == {"x <= 0": x}
    assert len(study.trials) == 12


def test_jobs_of_a_trial_that_is_run_again_count_no_more(tmp_path):
    """One of two jobs had ended: its record is set aside, so that MLflow has no run of it beside the repetition."""
    killed(tmp_path, 3, repeat={"draw": [10, 20]})
    shutil.copytree(tmp_path / "0" / "0", tmp_path / "3" / "0")
    toy = Toy(tmp_path, repeat={"draw": [10, 20]})
    toy.search.settle()
    assert "3/0" not in toy.folder.names() and (tmp_path / "3/0/earlier_1.json").exists()
    check_whole(toy.run(), 12)


def test_a_trial_that_kills_its_command_again_and_again_fails(tmp_path):
    numbers = [0]
    for _ in range(3):
        killed(tmp_path, numbers[-1], retries=2)
        numbers.append(numbers[-1] + 1)
    study = Toy(tmp_path, retries=2).run()
    check_whole(study, 12)
    assert [trial.number for trial in counted(study) if trial.state == TrialState.FAIL] == [2]


def test_failed_trials_are_run_again_on_demand(tmp_path):
    fails = {"x": "interval(-5, 5)", "kind": "choice(a, fail)"}
    n_failed = sum(trial.state == TrialState.FAIL for trial in Toy(tmp_path, params=fails).run().trials)
    assert n_failed

    def mended(job, *more):
        job.config["kind"] = "a"
        return run_toy(job, *more)

    study = Toy(tmp_path, run=mended, params=fails, retry_failed=True).run()
    check_whole(study, 12)
    assert all(trial.state == TrialState.COMPLETE for trial in counted(study))
    assert not any("error" in trial.user_attrs for trial in counted(study))


def test_a_worker_that_died_costs_its_trial(tmp_path):
    def run(job, *more):
        if job.name == "4":
            raise WorkerDiedError("its worker process died 4 times")
        return run_toy(job, *more)

    toy = Toy(tmp_path, run=run)
    module = pytest.importorskip("tamis.sweeps.search.search")
    left = module.leave_failure
    module.leave_failure = lambda job, folder, reason: run_toy(failing(job), folder)
    try:
        study = toy.run()
    finally:
        module.leave_failure = left
    check_whole(study, 12)
    assert [trial.number for trial in study.trials if trial.state == TrialState.FAIL] == [4]


def failing(job):
    job.config["kind"] = "fail"
    return job


@pytest.mark.parametrize("workers", [InThisProcess, Threads])
def test_ctrl_c_ends_a_search_at_once_and_its_trials_are_run_again(tmp_path, workers, monkeypatch):
    before, goes_on = signal.signal(signal.SIGINT, Interrupts()), threading.Event()

    def run(job, *more):
        if job.name == "5":
            os.kill(os.getpid(), signal.SIGINT)
            goes_on.wait(20)
        return run_toy(job, *more)

    toy = Toy(tmp_path, workers(), run)
    try:
        with pytest.raises(KeyboardInterrupt):
            toy.run()
    finally:
        goes_on.set()
        signal.signal(signal.SIGINT, before)
    assert not any(trial.state == TrialState.RUNNING for trial in toy.study.trials)
    n_ended = sum(trial.state.is_finished() for trial in counted(toy.study))
    assert n_ended in (5, 6)
    study = Toy(tmp_path).run()
    check_whole(study, 12)
    again = [trial for trial in study.trials if trial.system_attrs.get("retry_history")]
    assert 5 in {number for trial in again for number in trial.system_attrs["retry_history"]}


def test_first_trials_that_are_missing_are_added_and_no_other(tmp_path):
    """As after a kill between two of them; the same command again adds none."""
    starts = [{"x": x} for x in (0.5, -1.5, 2.5, 3.5, 0.5)]
    Toy(tmp_path, enqueue=starts[:2])
    for total in (5, 6):
        study = Toy(tmp_path, enqueue=starts, n_trials=total, stream=[total]).run()
        check_whole(study, total)
        assert [trial.params for trial in study.trials][:5] == starts


@pytest.fixture(params=["journal", "sqlite"])
def storage(request, tmp_path):
    return (
        str(tmp_path / "shared.journal") if request.param == "journal" else f"sqlite:///{tmp_path}/shared.db"
    )


def test_commands_that_share_a_study_stop_at_the_total(tmp_path, storage, monkeypatch):
    monkeypatch.setattr("tamis.sweeps.search.search.run_job", run_toy)

    def work(name: str) -> None:
        toy = Toy(tmp_path / name, storage=storage, n_trials=30, stream=[ord(name)])
        with toy.folder.alone():
            toy.search.settle()
            toy.search.run()

    open_first = Toy(tmp_path / "c", storage=storage, n_trials=30)
    threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    trials = counted(open_first.study)
    assert 30 <= len(trials) <= 31, "both may have begun the last one"
    folders = [path for name in "ab" for path in (tmp_path / name).glob("[0-9]*")]
    assert sorted(int(path.name) for path in folders) == list(range(len(trials)))


def test_only_trials_whose_command_is_gone_are_run_again(tmp_path, storage):
    """The command of a lives; that of b does not; c has the path of another machine; d cannot be seen."""
    asked = Toy(tmp_path / "own", storage=storage).study
    for place in "abcd":
        sweep = Sweep(place)
        if place != "d":
            (tmp_path / place).mkdir()
            SweepFolder(tmp_path / place).begin(Sweep("elsewhere") if place == "c" else sweep, None)
        trial = asked.ask({"x": optuna.distributions.FloatDistribution(-5, 5)})
        trial.set_user_attr(SWEEP, {"folder": str(tmp_path / place), "id": sweep.id})
    with SweepFolder(tmp_path / "a").alone():
        study = Toy(tmp_path / "own", storage=storage).run()
    states = [trial.state.name for trial in study.trials[:4]]
    assert states == ["RUNNING", "FAIL", "RUNNING", "RUNNING"]
    assert len(counted(study)) == 12, "trials that run elsewhere count"


@pytest.mark.parametrize(
    ("before", "now", "words"),
    [
        (
            {"params": KINDS},
            {"params": {**KINDS, "kind": "choice(a, b, c)"}},
            "kind: one of a, b -> one of a, b, c",
        ),
        ({"params": {"x": "choice(1.0, 2.0)"}}, {}, "x: one of 1.0, 2.0 -> float"),
        ({}, {"params": {"x": "int(interval(0, 3))"}}, "x: float -5.0 to 5.0 -> int 0 to 3"),
        ({"params": {"x": "interval(1, 3)"}}, {"params": {"x": "tag(log, interval(1, 3))"}}, "(log)"),
        ({}, {"direction": "maximize"}, "direction: ['minimize'] -> ['maximize']"),
        ({"constraints": ["x <= 9"]}, {}, "constraints: ['x <= 9'] -> []"),
    ],
)
def test_what_optuna_cannot_go_on_with_is_refused_and_changes_nothing(tmp_path, before, now, words):
    found = Toy(tmp_path, n_trials=2, **before).run()
    for more in ({}, {"on_change": "continue"}):
        with pytest.raises(TamisError, match="Optuna cannot go on with its trials") as caught:
            Toy(tmp_path, n_trials=4, **now, **more)
        assert words in str(caught.value)
    assert Toy(tmp_path, n_trials=2, **before).run().user_attrs == found.user_attrs
    check_whole(Toy(tmp_path, n_trials=4, stream=[2], **before).run(), 4)


@pytest.mark.parametrize("now", [{"x": "interval(-5, 6)"}, KINDS, {"depth": "interval(1, 2)"}])
def test_another_definition_is_refused_and_may_be_gone_on_with(tmp_path, now):
    Toy(tmp_path, n_trials=2).run()
    with pytest.raises(TamisError, match=r"study toy is another one \(.*->.*on_change=continue"):
        Toy(tmp_path, params=now, n_trials=4)
    study = Toy(tmp_path, params=now, n_trials=4, on_change="continue", stream=[2]).run()
    check_whole(study, 4)
    check_whole(Toy(tmp_path, params=now, n_trials=4).run(), 4)


def test_a_new_study_does_not_take_the_folders_of_another(tmp_path):
    Toy(tmp_path, n_trials=1).run()
    with pytest.raises(TamisError, match="holds trials, and there is no study other in its storage"):
        Toy(tmp_path, study_name="other")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("sqlite:////nowhere/study.db", "unable to open database file"),
        ("nosuch://user:hidden@host/base", "cannot be opened"),
        ("/proc/study.journal", "cannot be opened"),
    ],
)
def test_a_storage_that_cannot_be_opened(tmp_path, address, words):
    with pytest.raises(TamisError) as caught:
        Toy(tmp_path, storage=address)
    assert words in str(caught.value) and "hidden" not in str(caught.value)


pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")


def test_two_threads_never_take_the_same_waiting_trial(tmp_path, monkeypatch):
    """Optuna reads a row FOR UPDATE and then writes it, and SQLite has no such lock."""
    read = TrialModel.find_or_raise_by_id

    def read_slowly(trial_id, session, for_update=False):
        row = read(trial_id, session, for_update)
        time.sleep(0.05 * for_update)
        return row

    starts = [{"x": i / 10} for i in range(6)]
    toy = Toy(tmp_path, threads := Threads(), enqueue=starts, n_trials=6)
    monkeypatch.setattr(TrialModel, "find_or_raise_by_id", read_slowly)
    with threads:
        assert [trial.params for trial in toy.run().trials] == starts
