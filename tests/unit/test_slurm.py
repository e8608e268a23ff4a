"""What a cluster is asked for, what a task does when it begins again, and what it leaves."""

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hydra_plugins.tamis_slurm_launcher import SlurmLauncher
from tamis.core.errors import TamisError
from tamis.records.record import COMPLETE, FAILED, RUNNING, TrialRecord, read_record
from tamis.study import slurm_queue, slurm_task, slurm_workers
from tamis.study.slurm import Array, Watch, in_queue, run_all
from tamis.study.slurm_queue import TaskState, explained, last_words
from tamis.study.slurm_settings import Resources, Slurm
from tamis.study.slurm_task import (
    FAILURE,
    Command,
    Share,
    Task,
    alone,
    left_of,
    put_away,
    read_task,
    run_share,
    settle_cuts,
    write_task,
)
from tamis.study.trials import Trial
from tamis.study.worker import RUNNING_FOLDER, set_aside

DEFAULT = Resources(cpus_per_task=1, mem_gb=3, timeout_min=60)
SLURM = Slurm(partition=None, account=None, qos=None, constraint=None, default=DEFAULT)


def trial(name: str) -> Trial:
    return Trial(name, "block", {"store": {"n_jobs": -1}, "choices": {"model": "snap"}}, ("model=snap",))


def begun(folder: Path, name: str, number: int = 1) -> Path:
    """What a killed worker leaves."""
    place = folder / RUNNING_FOLDER / f"{name}.{number}"
    TrialRecord({}, status=RUNNING, metrics={"test/force": 1.0}).save(place)
    return place


def done(folder: Path, name: str, status: str = COMPLETE) -> None:
    TrialRecord({}, status=status).save(folder / name)


def test_the_last_entry_that_fits_and_says_it_counts():
    entries = [
        {"when": {"model": ["gap", "nnp"]}, "mem_gb": 8},
        {"when": {"evaluation": "full"}, "timeout_min": 600, "mem_gb": 6},
        {"when": {"model": "nnp", "dataset.element": "Mo"}, "timeout_min": 30},
    ]
    slurm = replace(SLURM, resources=entries)
    config = {"choices": {"model": "nnp", "evaluation": "full"}, "dataset": {"element": "Mo"}}
    assert slurm.of(config) == Resources(1, 6, 30)
    assert slurm.of({**config, "dataset": {"element": "Si"}}) == Resources(1, 6, 600)
    assert slurm.of({"choices": {"model": "gap"}}) == Resources(1, 8, 60)
    assert slurm.of({"choices": {"model": "snap"}}) == DEFAULT
    assert replace(SLURM, rows={"cpus_per_task": 8}).of_rows == Resources(8, 3, 60)
    assert SLURM.of_rows is None


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"default": Resources(0, 3, 60)}, "cpus_per_task is 0; a whole number from 1"),
        ({"default": Resources(1, "4GB", 60)}, "mem_gb is '4GB'; a number"),
        ({"default": Resources(1, 3, 0.5)}, "timeout_min is 0.5; a whole number"),
        ({"trials_per_task": 0}, "trials_per_task is 0"),
        ({"attempts": True}, "attempts is True"),
        ({"max_num_timeout": -1}, "max_num_timeout is -1"),
        ({"poll_s": 0}, "poll_s is 0"),
        ({"setup": "module load gcc"}, 'setup is .module load gcc.; write a list: setup=."module load gcc"'),
        ({"setup": [{"module load": "gcc"}]}, "setup is .*; write a list"),
        ({"default": Resources(1, 3, 1)}, "signal_delay_s is 60, and a task may have no more than 1 min"),
        ({"rows": {"timeout_min": 1}}, "signal_delay_s is 60"),
        ({"rows": {"cores": 3}}, "rows.cores is no resource"),
        ({"rows": {"mem_gb": 0}}, "rows.mem_gb is 0"),
        ({"resources": [{"model": "gap", "mem_gb": 3}]}, "write {when: {model: gap}, mem_gb: 8}"),
        ({"resources": [{"when": {"model": "gap"}, "mem_db": 3}]}, "did you mean mem_gb"),
    ],
)
def test_wrong_settings_are_told_by_their_names(given, told):
    with pytest.raises(TamisError, match=r"hydra\.launcher\..*" + told.replace("{", r"\{")):
        replace(SLURM, **given)


def test_a_worker_is_told_nothing_that_is_for_the_launcher(tmp_path, monkeypatch):
    told = []
    monkeypatch.setattr(slurm_workers, "run_workers", lambda slurm, command, *others: told.extend(command))
    kept = ["-m", "tamis.commands.run", "-m", "search=fast", "+tracking.uri=here"]
    for_launcher = ["hydra/launcher=slurm", "hydra.launcher.mem_gb=4", "++hydra.launcher.mem_gb=4"]
    for_launcher += ["+hydra.launcher.additional_parameters.nice=1", "~hydra.launcher.resources"]
    monkeypatch.setattr(sys, "orig_argv", ["python", *kept, *for_launcher])
    launcher = SlurmLauncher(None, None, None, None, 1, 3, 60, None, None, 1, 1, 1, 1, 1, 1, None, None)
    launcher.config = OmegaConf.create(
        {"hydra": {"sweep": {"dir": str(tmp_path)}, "runtime": {"choices": {}}}}
    )
    launcher.run_workers(2, [], lambda: False, lambda: 0)
    ours = ["hydra/launcher=basic", "hydra.sweeper.n_jobs=1", "hydra.sweeper.observer=null"]
    assert told == [sys.executable, *kept, *ours]


def test_a_refusal_is_told_with_what_was_asked_for():
    told = explained("sbatch: error: invalid partition specified: gpu\nsbatch: error: Batch failed", DEFAULT)
    assert told.startswith("Slurm refuses the job (1 cores, 3 GB, 60 min a task): invalid partition")
    assert "Batch failed" in told and "hydra.launcher.partition" in told
    assert explained("", DEFAULT).endswith("no reason given")


def test_a_log_that_is_not_there_is_told(tmp_path):
    assert "does the node see" in last_words(tmp_path, "7_1")
    (tmp_path / "7_1_0_log.out").write_text("\n".join(f"line {i}" for i in range(9)))
    assert "line 3" not in last_words(tmp_path, "7_1") and "line 8" in last_words(tmp_path, "7_1")


def test_a_task_is_read_as_it_was_written(tmp_path):
    task = Task([trial("a"), trial("b")], Resources(2, 1.5, 30), attempts=3)
    write_task(tmp_path / "0.json", task)
    assert read_task(tmp_path / "0.json") == task


def test_a_trial_on_a_node_has_one_core_for_missing_rows():
    assert alone(trial("a")).config["store"]["n_jobs"] == 1
    assert trial("a").config["store"]["n_jobs"] == -1


def test_what_was_cut_is_begun_again_and_given_up_after_so_many_attempts(tmp_path):
    trials = [trial("cut"), trial("waiting"), trial("done")]
    done(tmp_path, "done")
    for attempt in (1, 2):
        begun(tmp_path, "cut", attempt)
        assert settle_cuts(tmp_path, trials, 3, "killed") == 1
        assert left_of(tmp_path, trials) == trials[:2]
        assert not list((tmp_path / RUNNING_FOLDER).iterdir())
    begun(tmp_path, "cut", 3)
    assert settle_cuts(tmp_path, trials, 3, "killed") == 1
    record = read_record(tmp_path / "cut")
    assert record.status == FAILED and record.reason.startswith("killed; it was begun 3 times")
    assert record.metrics == {"test/force": 1.0}, "what was measured is kept"
    assert left_of(tmp_path, trials) == [trials[1]]
    assert settle_cuts(tmp_path, trials, 3, "killed") == 0


def test_a_name_that_begins_like_another_is_another(tmp_path):
    place = begun(tmp_path, "snap-fps", 7)
    put_away(tmp_path, trial("snap"))
    assert place.is_dir() and settle_cuts(tmp_path, [trial("snap")], 1, "killed") == 0


def test_a_task_that_is_done_starts_no_worker(tmp_path):
    done(tmp_path, "a")
    run_share(tmp_path, Task([trial("a")], DEFAULT, 3))
    assert read_record(tmp_path / "a").status == COMPLETE


def test_a_job_that_the_folder_does_not_know_does_nothing(tmp_path, monkeypatch):
    """Whoever handed it in was killed before writing its number down, and has handed in another one since."""
    place = tmp_path / ".slurm" / "1"
    place.mkdir(parents=True)
    write_task(place / "0.json", Task([trial("a")], DEFAULT, 3))
    monkeypatch.setattr(slurm_task, "CONFIRMED_S", 0)
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "12")
    with pytest.raises(TamisError, match="does not know job 12"):
        Share(str(place), 0)()
    (place / "job").write_text("13")
    with pytest.raises(TamisError, match="does not know job 12"):
        Share(str(place), 0)()
    assert not (tmp_path / RUNNING_FOLDER).exists()


def test_a_command_knows_its_parent_and_its_failure_is_told(tmp_path, monkeypatch):
    (tmp_path / "job").write_text("12")
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    place = str(tmp_path)
    Command(("sh", "-c", f"echo $PARENT > {tmp_path}/told"), "PARENT", place)()
    assert (tmp_path / "told").read_text() == f"{os.getpid()}\n"
    with pytest.raises(TamisError, match="ended with status 3"):
        Command(("sh", "-c", "exit 3"), "PARENT", place)()
    with pytest.raises(TamisError, match="by signal 9"):
        Command(("sh", "-c", "kill -9 $$"), "PARENT", place)()


def test_a_worker_of_a_job_that_the_folder_does_not_know_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_task, "CONFIRMED_S", 0)
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    with pytest.raises(TamisError, match="does not know job"):
        Command(("touch", str(tmp_path / "told")), "PARENT", str(tmp_path / "gone"))()
    assert not (tmp_path / "told").exists()


def settled(folder: Path, state: str, n_trials: int = 2) -> tuple[Watch, list[Trial]]:
    """What becomes of a task that Slurm says has ended, after two looks."""
    place = folder / ".slurm" / "1"
    place.mkdir(parents=True)
    trials = [trial(f"t{i}") for i in range(n_trials)]
    array = Array(place, "5", {0: Task(trials, DEFAULT, 2)}, 1)
    watch = Watch(folder, SLURM)
    look = {"5": TaskState(state)}
    assert watch.settle(array, look) == [] and array.tasks, "one look may be too early"
    again = watch.settle(array, look)
    assert not array.tasks and not place.exists()
    return watch, again


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_what_the_cluster_took_away_is_handed_in_again_without_counting(tmp_path, state):
    begun(tmp_path, "t0")
    watch, again = settled(tmp_path, state)
    assert [one.name for one in again] == ["t0", "t1"] and not watch.problems
    assert not (tmp_path / ".slurm" / "cuts").exists()


@pytest.mark.parametrize(
    ("state", "told"), [("OUT_OF_MEMORY", "mem_gb"), ("TIMEOUT", "timeout_min"), ("FAILED", "killed")]
)
def test_a_task_that_was_killed_counts_against_the_trial_that_it_was_at(tmp_path, state, told):
    begun(tmp_path, "t0")
    _, again = settled(tmp_path, state)
    assert [one.name for one in again] == ["t0", "t1"]
    begun(tmp_path, "t0")
    _, again = settled(tmp_path, state)
    assert [one.name for one in again] == ["t1"]
    assert told in read_record(tmp_path / "t0").reason


def test_a_task_that_never_began_and_one_that_was_cancelled_are_not_handed_in_again(tmp_path):
    watch, again = settled(tmp_path / "a", "FAILED")
    assert again == [] and "before it began a trial" in watch.problems[0]
    begun(tmp_path / "b", "t0")
    watch, again = settled(tmp_path / "b", "CANCELLED")
    assert again == [] and "was cancelled; the same command" in watch.problems[0]
    assert not list((tmp_path / "b" / RUNNING_FOLDER).iterdir())


def test_a_task_with_all_records_has_ended_well_however_slurm_calls_it(tmp_path):
    place = tmp_path / ".slurm" / "1"
    place.mkdir(parents=True)
    done(tmp_path, "t0")
    array = Array(place, "5", {0: Task([trial("t0")], DEFAULT, 2)}, 1)
    watch = Watch(tmp_path, SLURM)
    assert watch.settle(array, {"5": TaskState("RUNNING")}) == [] and array.tasks
    assert watch.settle(array, {"5": TaskState("OUT_OF_MEMORY")}) == [] and not array.tasks
    assert not watch.problems


def test_a_failure_that_is_tried_again_stays_as_an_earlier_one(tmp_path):
    done(tmp_path, "a", FAILED)
    set_aside(tmp_path / "a")
    assert left_of(tmp_path, [trial("a")]) == [trial("a")]
    assert json.loads((tmp_path / "a" / "earlier_1.json").read_text())["status"] == FAILED


class Queue:
    """In place of Slurm's commands: ``states`` as a test sets them, and what was handed in and ended."""

    def __init__(self, monkeypatch) -> None:
        self.states: dict[str, TaskState] = {}
        self.n_tasks: dict[str, int] = {}
        self.ended: list[str] = []
        for name in ("submit", "end"):
            monkeypatch.setattr(slurm_queue, name, getattr(self, name))
        monkeypatch.setattr(slurm_queue, "states", lambda jobs: self.states)

    def submit(self, slurm, tasks, resources, logs, name) -> str:
        job = f"{100 + len(self.n_tasks)}"
        self.n_tasks[job] = len(tasks)
        return job

    def end(self, jobs) -> None:
        self.ended += jobs

    def say(self, **states: str) -> None:
        """State by task, without the ``t`` that makes a name of a number."""
        self.states = {task.removeprefix("t"): TaskState(state) for task, state in states.items()}


@pytest.fixture
def queue(monkeypatch) -> Queue:
    return Queue(monkeypatch)


QUICK = replace(SLURM, poll_s=0.1, attempts=1)


def test_a_trial_that_the_watch_itself_gives_up_is_told_like_any_other(tmp_path, queue):
    """Its record is written after the look at the folder, and it is the last."""
    begun(tmp_path, "t0")
    queue.say(t100="OUT_OF_MEMORY")
    assert list(run_all([trial("t0")], tmp_path, QUICK)) == [trial("t0")]
    assert read_record(tmp_path / "t0").status == FAILED


def left_behind(folder: Path, job: str, *tasks: list[Trial]) -> Path:
    """The folder of an array that an earlier start handed in."""
    place = folder / ".slurm" / f"{job}000"
    place.mkdir(parents=True)
    for number, trials in enumerate(tasks):
        write_task(place / f"{number}.json", Task(trials, DEFAULT, 2))
    (place / "job").write_text(job)
    return place


def test_of_a_living_array_the_tasks_that_have_ended_are_not_waited_for(tmp_path, queue):
    """Their trials, cancelled or tried again, are handed in at once."""
    place = left_behind(tmp_path, "5", [trial("t0")], [trial("t1")])
    begun(tmp_path, "t0")
    queue.say(t5_0="CANCELLED", t5_1="RUNNING")
    (array,) = Watch(tmp_path, SLURM).found()
    assert list(array.tasks) == [1] and array.id_of(1) == "5_1" and place.exists()
    assert not list((tmp_path / RUNNING_FOLDER).iterdir()) and not (tmp_path / ".slurm" / "cuts").exists()

    queue.say(t5_0="CANCELLED", t5_1="COMPLETED", t100="COMPLETED")
    done(tmp_path, "t1")
    ending = run_all([trial("t0"), trial("t1")], tmp_path, QUICK)
    assert next(ending) == trial("t1")
    done(tmp_path, "t0")
    assert list(ending) == [trial("t0")] and queue.n_tasks == {"100": 1}


def test_a_trial_that_another_array_has_got_since_is_left_to_it(tmp_path, queue):
    """One task was lost and its trial handed in again, before the watch was killed."""
    left_behind(tmp_path, "5", [trial("t0")], [trial("t1")])
    left_behind(tmp_path, "6", [trial("t0")])
    place = begun(tmp_path, "t0")
    queue.say(t5_0="OUT_OF_MEMORY", t5_1="RUNNING", t6="RUNNING")
    found = Watch(tmp_path, SLURM).found()
    assert [(array.job, list(array.tasks)) for array in found] == [("5", [1]), ("6", [0])]
    assert place.exists() and not (tmp_path / ".slurm" / "cuts").exists()


def test_of_an_array_that_is_gone_nothing_is_left(tmp_path, queue):
    place = left_behind(tmp_path, "5", [trial("t0")])
    begun(tmp_path, "t0")
    assert Watch(tmp_path, SLURM).found() == [] and not place.exists()
    assert (tmp_path / ".slurm" / "cuts" / "t0").read_text() == "1"


@pytest.mark.parametrize("states", [{"t5": "RUNNING"}, {}])
def test_rows_of_an_earlier_start_are_made_again(tmp_path, queue, states):
    place = left_behind(tmp_path, "5", [])
    (place / "0.json").write_text("{}")
    (place / "rows").touch()
    queue.say(**states)
    assert Watch(tmp_path, SLURM).found() == [] and not place.exists()
    assert queue.ended == ["5"] * len(states)


def test_where_slurm_cannot_be_asked_a_folder_with_jobs_is_refused(tmp_path, monkeypatch):
    """Of live tasks on other machines the begun trials would be cleared away, and run again here."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert in_queue(tmp_path) == []
    left_behind(tmp_path, "5", [trial("t0")])
    with pytest.raises(
        TamisError, match=f"jobs 5 may run trials of {tmp_path}.*no squeue.*remove {tmp_path}"
    ):
        in_queue(tmp_path)


def test_where_slurm_does_not_answer_a_folder_with_jobs_is_refused(tmp_path, queue, monkeypatch):
    left_behind(tmp_path, "5", [trial("t0")])
    monkeypatch.setattr(slurm_queue, "is_here", lambda: True)
    queue.states = None
    with pytest.raises(TamisError, match="Slurm does not answer, and jobs 5 may"):
        in_queue(tmp_path)


def search(folder: Path, n: int, fullness: Sequence[bool]) -> int:
    """A command with ``n`` workers on a study that is full as listed, for good in the end; returns the dead."""
    full, dead = list(fullness), []
    arguments = (lambda: full.pop(0) if len(full) > 1 else full[0], lambda: dead.append(1) or 1, "PARENT")
    slurm_workers.run_workers(QUICK, ("true",), n, folder, {"choices": {}}, *arguments)
    return len(dead)


def interrupt(seconds: float) -> None:
    raise KeyboardInterrupt


def test_after_ctrl_c_the_same_search_finds_its_workers(tmp_path, queue, capsys):
    """One of the three has died meanwhile, and only that one is replaced."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(slurm_workers.time, "sleep", interrupt)
        search(tmp_path, 3, [False])
    assert queue.n_tasks == {"100": 3} and not queue.ended
    assert "jobs 100 stay in the queue; scancel 100 ends them" in capsys.readouterr().err
    queue.say(t100_0="RUNNING", t100_1="OUT_OF_MEMORY", t100_2="PENDING")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(slurm_workers.time, "sleep", interrupt)
        search(tmp_path, 3, [False])
    assert queue.n_tasks == {"100": 3, "101": 1} and not queue.ended
    queue.say(t100_0="COMPLETED", t100_2="COMPLETED", t101="COMPLETED")
    search(tmp_path, 3, [True])
    assert len(queue.n_tasks) == 2 and not list((tmp_path / ".slurm").glob("[0-9]*"))


def test_workers_of_a_full_study_are_not_begun(tmp_path, queue):
    search(tmp_path, 2, [True])
    assert not queue.n_tasks
    queue.say(t100_0="PENDING", t100_1="PENDING")
    search(tmp_path, 2, [False, True])
    assert queue.n_tasks == {"100": 2} and queue.ended == ["100"]
    assert not list((tmp_path / ".slurm").glob("[0-9]*"))


def test_a_worker_that_dies_is_replaced_and_its_trial_given_to_another(tmp_path, queue):
    queue.say(t100_0="COMPLETED", t100_1="NODE_FAIL", t101="COMPLETED")
    assert search(tmp_path, 2, [False]) == 1
    assert queue.n_tasks == {"100": 2, "101": 1}


@pytest.mark.parametrize(
    ("state", "words", "told"),
    [
        ("CANCELLED", "", "worker 100_0 was cancelled; the same command goes on"),
        ("FAILED", f"no such key\n{FAILURE} 1", "worker 100_0 ended with an error; .*no such key"),
        ("FAILED", "", "21 workers died"),
    ],
)
def test_an_error_of_a_worker_ends_the_others(tmp_path, queue, monkeypatch, state, words, told):
    monkeypatch.setattr(slurm_queue, "last_words", lambda *_: words)
    queue.say(**{f"t{100 + i}_{n}": state for i in range(21) for n in (0, 1)})
    with pytest.raises(TamisError, match="(?s)" + told):
        search(tmp_path, 2, [False])
    assert set(queue.ended) and not list((tmp_path / ".slurm").glob("[0-9]*"))
