"""A study and a sweep on a real Slurm of one node: pre-empted, out of time, killed, and complete in the end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tamis.study import slurm_queue
from tamis.study.slurm import Array, Watch, in_queue
from tamis.study.slurm_settings import Resources, Slurm
from tamis.study.slurm_task import Share, read_task
from tamis.study.trials import Trial
from tamis.study.worker import SharedParts, run_one
from tests.searches import check_whole, load
from tests.slurm_cluster import Cluster, cluster, why_not

from tamis.core.errors import MissingEngineError, TamisError
from tamis.records.record import COMPLETE, FAILED, read_record
from tamis.tracking import Tracker

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not() or "there is a cluster")

PLAN = ("experiment=study_quick", "dataset.seed=0", "budget.fractions=[0.2,1.0]")
PART = ("--block", "primary", "--only", "model=snap", "--only", "pruner=random,stratified")
SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.poll_s=0.5",
    "hydra.launcher.mem_gb=2",
    "hydra.launcher.rows=null",
)
NO_RESULT = ("seconds/", "memory/")
DEAR = ("gap", "nnp_quick")
PATIENCE_S = 600


@pytest.fixture(scope="module")
def slurm() -> Iterator[Cluster]:
    with cluster() as running:
        yield running


@dataclass(frozen=True)
class Running:
    """A command, and the file that it prints to."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def told(self) -> str:
        return self.log.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def start(slurm: Cluster, place: Path, module: str, *words: str) -> Running:
    kept = (f"store.root={place}/store", f"dataset.cache={place}/data")
    command = [sys.executable, "-m", module, *words, *kept]
    log = place / f"{time.monotonic_ns()}.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            command, cwd=place, env=slurm.environment, stdout=output, stderr=subprocess.STDOUT
        )
    return Running(process, log)


def ended(slurm: Cluster, running: Running, status: int = 0) -> str:
    """What it printed, when it has ended as it should."""
    ends = time.monotonic() + PATIENCE_S
    while running.process.poll() is None:
        assert time.monotonic() < ends, running.told + slurm.log()
        slurm.hurry()
        time.sleep(0.5)
    assert running.process.returncode == status, running.told
    return running.told


def until(is_so, running: Running | None = None) -> None:
    """Wait, while the command runs."""
    ends = time.monotonic() + PATIENCE_S
    while not is_so():
        assert running is None or running.process.poll() is None, running.told
        assert time.monotonic() < ends
        time.sleep(0.05)


def records(folder: Path) -> dict[str, dict[str, float]]:
    """Name -> metrics of the trials, all of which must be complete, without what differs from run to run."""
    found = {path.parent.name: read_record(path.parent) for path in folder.glob("*/record.json")}
    assert {(record.status, record.reason) for record in found.values()} == {(COMPLETE, "")}
    return {
        name: {key: value for key, value in record.metrics.items() if not key.startswith(NO_RESULT)}
        for name, record in found.items()
    }


def n_restarts(slurm: Cluster, task: str) -> int:
    told = slurm.run("scontrol", "--oneliner", "show", "job", task)
    return int(told.partition("Restarts=")[2].split()[0])


def n_runs(place: Path) -> int:
    """In MLflow, parents among them."""
    tracker = Tracker(f"sqlite:///{place}/mlruns/mlflow.db", place / "mlruns" / "artifacts", "tamis")
    client = tracker._client
    return len(client.search_runs([client.get_experiment_by_name("tamis").experiment_id]))


def test_a_study_with_a_preempted_and_a_timed_out_job_has_the_local_metrics(slurm, tmp_path):
    """Each task is cut in its first trial, which makes the rows: seconds in which it can be met."""
    study = tmp_path / "multirun" / "study"
    words = (*PLAN, *PART, "study.blocks.primary.seeds=1", *SLURM, "hydra.launcher.trials_per_task=1")
    running = start(slurm, tmp_path, "tamis.study.cli", *words)
    until(lambda: len({one.name for one in study.glob(".running/*")}) == 2, running)
    preempted, timed_out = sorted(task for task, state in slurm.tasks().items() if state == "RUNNING")
    slurm.run("scontrol", "requeue", preempted)
    slurm.run("scancel", "--signal=USR2", timed_out)  # what Slurm sends signal_delay_s before the limit
    told = ended(slurm, running)
    assert "2 complete, 0 failed" in told
    assert n_restarts(slurm, preempted) == n_restarts(slurm, timed_out) == 1
    assert len(list(study.glob(".slurm/cuts/*"))) == 1, "only time that runs out counts as an attempt"
    assert not list(study.glob(".running/*")) and not list(study.glob(".slurm/[0-9]*"))
    assert n_runs(tmp_path) == 3
    assert (study / ".slurm" / "logs").stat().st_mode & 0o777 == 0o700, "others may write what tasks unpickle"

    shared = SharedParts()
    for path in study.glob("*/record.json"):
        record = read_record(path.parent)
        run_one(Trial(path.parent.name, "primary", record.config, ()), tmp_path / "here", shared)
    check_equal(records(study), records(tmp_path / "here"))


def at_a_dear_one(study: Path) -> set[str]:
    """The tasks that train a model which takes long enough to be met."""
    found = set()
    for path in study.glob(".slurm/[0-9]*/[0-9]*.json"):
        trials = {trial.name for trial in read_task(path).trials if trial.config["choices"]["model"] in DEAR}
        if trials & trials_that_run(study):
            found.add(f"{(path.parent / 'job').read_text()}_{path.stem}")
    return found


@pytest.mark.slow
def test_the_whole_quick_study_has_the_local_metrics(slurm, tmp_path):
    """All of its blocks, one task pre-empted, one out of time; the same command then runs it on this machine."""
    there, here = tmp_path / "there", tmp_path / "here"
    for place in (there, here):
        place.mkdir()
    words = ("experiment=study_quick", "dataset.seed=0")
    early = "hydra.launcher.signal_delay_s=59"  # so that a limit of a minute is near at once
    running = start(slurm, there, "tamis.study.cli", *words, *SLURM, early)
    study = there / "multirun" / "study"
    until(lambda: at_a_dear_one(study), running)
    slurm.run("scontrol", "requeue", preempted := at_a_dear_one(study).pop())
    until(lambda: at_a_dear_one(study) - {preempted}, running)
    timed_out = (at_a_dear_one(study) - {preempted}).pop()
    slurm.run("scontrol", "update", f"JobId={timed_out}", "TimeLimit=1")
    until(lambda: n_restarts(slurm, timed_out), running)
    slurm.run("scontrol", "update", f"JobId={timed_out}", "TimeLimit=60")
    told = ended(slurm, running)
    assert n_restarts(slurm, preempted) >= 1 <= n_restarts(slurm, timed_out), told
    assert len(list(study.glob(".slurm/cuts/*"))) >= 1, "time that ran out was not counted"
    ended(slurm, start(slurm, here, "tamis.study.cli", *words))
    found = records(study)
    check_equal(found, records(here / "multirun" / "study"))
    parents = n_runs(here) - len(found)
    assert n_runs(there) == len(found) + parents


def check_equal(found: dict[str, dict[str, float]], wanted: dict[str, dict[str, float]]) -> None:
    """QUIP's SOAP has another last digit in another process now and then; with it go the points of a GAP."""
    assert found.keys() == wanted.keys()
    for name, metrics in wanted.items():
        near = {"rel": 1e-4, "abs": 1e-5} if name.startswith("gap-") else {"rel": 1e-9}
        assert found[name] == pytest.approx(metrics, **near), name


SETTINGS = Slurm(None, None, None, None, Resources(1, 1, 5))


def submit(slurm: Cluster, folder: Path, monkeypatch, **settings) -> str:
    """Hand in one share, without a program around it."""
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    own = {key: settings.pop(key) for key in tuple(settings) if key in ("mem_gb", "timeout_min")}
    resources = replace(SETTINGS.default, **own)
    given = replace(SETTINGS, **settings)
    return slurm_queue.submit(given, [Share(str(folder), 0)], resources, folder / "logs", "test")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"partition": "gpu"}, "hydra.launcher.partition"),
        ({"mem_gb": 1000}, "mem_gb"),
        ({"timeout_min": 100_000}, "timeout_min"),
        ({"additional_parameters": {"nodelist": "nowhere"}}, "nowhere|node"),
    ],
)
def test_what_slurm_refuses_is_told_with_what_to_do(slurm, tmp_path, monkeypatch, settings, told):
    with pytest.raises(TamisError, match="Slurm refuses the job .*" + told):
        submit(slurm, tmp_path, monkeypatch, **settings)


def test_a_job_that_nobody_lets_begin_is_told(slurm, tmp_path, monkeypatch, caplog):
    job = submit(slurm, tmp_path, monkeypatch, additional_parameters={"hold": True})
    (tmp_path / ".slurm" / "1").mkdir(parents=True)
    (tmp_path / ".slurm" / "1" / "job").write_text(job)
    assert in_queue(tmp_path) == [job]
    watch = Watch(tmp_path, SETTINGS)
    array = Array(tmp_path / ".slurm" / "1", job, {}, 1)
    for _ in range(2):
        watch.look([array])
    assert caplog.text.count(f"job {job} waits: JobHeldUser") == 1
    slurm_queue.end([job])
    until(lambda: slurm.tasks()[job] == "CANCELLED")
    assert in_queue(tmp_path) == []


def test_without_slurm_the_launcher_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingEngineError, match="sbatch"):
        submit(Cluster(tmp_path, {"SLURM_CONF": "", "PATH": str(tmp_path)}), tmp_path, monkeypatch)
    assert in_queue(tmp_path) == []


def test_a_controller_that_does_not_answer_is_no_end_of_a_job(slurm, tmp_path, monkeypatch):
    for name in ("SLURM_CONF", "PATH"):
        monkeypatch.setenv(name, slurm.environment[name])
    assert slurm_queue.states(["999999"]) == {}, "Slurm answers that there is no such job"
    silent = (slurm.folder / "slurm.conf").read_text().replace("SlurmctldPort=", "SlurmctldPort=1 #")
    (tmp_path / "slurm.conf").write_text(silent + "\nSlurmctldTimeout=1\nMessageTimeout=1\n")
    monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
    assert slurm_queue.states(["1"]) is None
    away = Cluster(tmp_path, {**slurm.environment, "SLURM_CONF": str(tmp_path / "slurm.conf")})
    with pytest.raises(TamisError, match="slurmctld running"):
        submit(away, tmp_path, monkeypatch)


def trials_that_run(folder: Path) -> set[str]:
    return {place.name.rpartition(".")[0] for place in folder.glob(".running/*")}


def that_runs(slurm: Cluster) -> str:
    """The task of the newest job that runs."""
    running = [task for task, state in slurm.tasks().items() if state == "RUNNING"]
    return max(running, key=lambda task: int(task.partition("_")[0]))


def kill_task(folder: Path, trial: str) -> None:
    """Kill the process that runs a trial and the task above it, as the kernel does where memory is short."""
    worker = next(int(place.suffix[1:]) for place in folder.glob(f".running/{trial}.*"))
    task = int(Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()[1])
    assert "submitit" in Path(f"/proc/{task}/cmdline").read_text()
    os.kill(task, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)


@pytest.mark.slow
def test_a_sweep_goes_on_after_killed_tasks_and_after_the_one_who_watches_is_killed(slurm, tmp_path):
    """A task is killed with -9 twice, as Slurm does for memory: the trial that it was at is given up, no other."""
    sweep = tmp_path / "multirun" / "mine"
    words = ("-m", "model=nnp,snap", "pruner=random", "budget.fraction=0.9", "dataset.seed=0", *SLURM)
    words = (*words, f"hydra.sweep.dir={sweep}", "hydra.launcher.resources=null", "hydra.launcher.attempts=2")
    running = start(slurm, tmp_path, "tamis.commands.run", *words)
    for _ in range(2):
        until(lambda: "0" in trials_that_run(sweep), running)
        kill_task(sweep, "0")
        until(lambda: "0" not in trials_that_run(sweep), running)
    running.kill()
    told = ended(slurm, start(slurm, tmp_path, "tamis.commands.run", *words))
    found = {path.parent.name: read_record(path.parent) for path in sweep.glob("*/record.json")}
    assert {name: record.status for name, record in found.items()} == {"0": FAILED, "1": COMPLETE}, told
    assert "it was begun 2 times" in found["0"].reason
    assert [found[name].config["choices"]["model"] for name in "01"] == ["nnp", "snap"]
    assert n_runs(tmp_path) == 3 and (sweep / "results.csv").exists()
    times = {path: path.stat().st_mtime_ns for path in sweep.glob("*/record.json")}
    again = ended(slurm, start(slurm, tmp_path, "tamis.commands.run", *words))
    assert "2 of 2 trials have ended before" in again
    assert times == {path: path.stat().st_mtime_ns for path in sweep.glob("*/record.json")}
    other = start(
        slurm, tmp_path, "tamis.commands.run", *[word.replace("=random", "=stratified") for word in words]
    )
    assert "holds the trial of another sweep" in ended(slurm, other, status=1)


@pytest.mark.slow
def test_a_task_that_reaches_its_limit_goes_back_to_the_queue_by_itself(slurm, tmp_path):
    """The true time-out: limits are whole minutes, and three networks on nearly all structures take longer."""
    sweep = tmp_path / "multirun" / "mine"
    words = ("-m", "model=nnp", "pruner=random", "budget.fraction=0.9", "dataset.seed=0", *SLURM)
    words = (
        *words,
        f"hydra.sweep.dir={sweep}",
        "hydra.launcher.timeout_min=1",
        "hydra.launcher.signal_delay_s=10",  # which Slurm takes for 10 to 40
    )
    words = (*words, "hydra.launcher.resources=null", "hydra.launcher.attempts=1")
    running = start(slurm, tmp_path, "tamis.commands.run", *words)
    until(lambda: trials_that_run(sweep), running)
    task = that_runs(slurm)
    told = ended(slurm, running)
    record = read_record(sweep / "0")
    assert record.status == FAILED and "reached its limit of 1 min" in record.reason, told
    assert n_restarts(slurm, task) == 1


@pytest.mark.slow
def test_a_signal_that_comes_before_a_task_is_ready_is_not_its_end(slurm, tmp_path):
    """Slurm sends it at once where a minute is left, while Python starts."""
    sweep = tmp_path / "multirun" / "mine"
    words = ("-m", "model=snap", "pruner=random", "budget.fraction=0.2", "dataset.seed=0", *SLURM)
    limits = ("timeout_min=1", "signal_delay_s=59", "resources=null")
    words = (*words, f"hydra.sweep.dir={sweep}", *(f"hydra.launcher.{limit}" for limit in limits))
    told = ended(slurm, start(slurm, tmp_path, "tamis.commands.run", *words))
    assert read_record(sweep / "0").status == COMPLETE, told


@pytest.mark.slow
def test_a_study_waits_for_the_jobs_of_its_earlier_start_and_ends_when_they_are_cancelled(slurm, tmp_path):
    study = tmp_path / "multirun" / "study"
    words = (*PLAN, *PART, "study.blocks.primary.seeds=1", "hydra.launcher.trials_per_task=1")
    first = start(slurm, tmp_path, "tamis.study.cli", *words, *SLURM, "hydra.launcher.array_parallelism=1")
    until(lambda: trials_that_run(study), first)
    slurm.run("scontrol", "hold", next(task for task, state in slurm.tasks().items() if state == "PENDING"))
    first.kill()
    words_here = [word for word in words if not word.startswith("hydra")]
    assert "are in Slurm's queue" in ended(
        slurm, start(slurm, tmp_path, "tamis.study.cli", *words_here), status=1
    )
    before = slurm.tasks().keys()
    second = start(slurm, tmp_path, "tamis.study.cli", *words, *SLURM)
    until(lambda: "are in the queue from an earlier start" in second.told, second)
    slurm.run("scontrol", "release", *(task for task, state in slurm.tasks().items() if state == "PENDING"))
    assert "2 complete" in ended(slurm, second)
    assert slurm.tasks().keys() == before, "what was in the queue was handed in again"

    more = (*words, *SLURM, "latent.pooling=mean_std")
    cancelled = start(slurm, tmp_path, "tamis.study.cli", *more)
    until(lambda: slurm.tasks().keys() - before, cancelled)
    slurm.run("scancel", *{task.partition("_")[0] for task in slurm.tasks().keys() - before})
    assert "was cancelled; the same command runs what it left" in ended(slurm, cancelled, status=1)
    assert "2 complete" in ended(slurm, start(slurm, tmp_path, "tamis.study.cli", *more))


@pytest.mark.slow
def test_the_rows_are_made_first_and_failed_trials_are_tried_again_when_asked(slurm, tmp_path):
    words = (*PLAN, *PART, "study.blocks.primary.seeds=1", *SLURM, "validation_fraction=1.5")
    words = (*words, "hydra.launcher.rows={cpus_per_task: 2}")
    assert "2 failed" in ended(slurm, start(slurm, tmp_path, "tamis.study.cli", *words), status=1)
    assert list((tmp_path / "store").glob("SnapBasis-*/design/*/*.npy")), "no rows were made"
    again = ended(slurm, start(slurm, tmp_path, "tamis.study.cli", *words, "--retry-failed"), status=1)
    assert "0 done before" in again and "2 failed" in again
    folders = [path.parent for path in (tmp_path / "multirun" / "study").glob("*/record.json")]
    assert len(folders) == 2 and all((folder / "earlier_1.json").exists() for folder in folders)


@pytest.mark.slow
def test_the_workers_of_a_search_share_one_study(slurm, tmp_path):
    words = ("-m", "search=study_of_tamis", "hydra.sweeper.study_name=mine", "hydra.sweeper.n_trials=6")
    words = (
        *words,
        "hydra.sweeper.repeat=null",
        "hydra.sweeper.observer.plots=false",
        "hydra.sweeper.n_jobs=2",
    )
    words = (*words, "model=snap", "pruner=random", "budget.fraction=interval(0.1,0.5)", "dataset.seed=0")
    running = start(slurm, tmp_path, "tamis.commands.run", *words, *SLURM)
    until(lambda: (tmp_path / "multirun" / "mine" / "0").exists(), running)
    slurm.run("scontrol", "requeue", that_runs(slurm))
    ended(slurm, running)
    study = load(str(tmp_path / "multirun" / "mine" / "study.journal"), "mine")
    check_whole(study, 6)
    assert {trial.state.name for trial in study.trials} <= {"COMPLETE", "FAIL"}
    assert n_runs(tmp_path) == 7


@pytest.mark.slow
def test_a_search_finds_its_workers_again_after_ctrl_c_and_after_a_kill(slurm, tmp_path):
    """One of two waits in the queue all the while: so there is something to be found."""
    words = ("-m", "search=study_of_tamis", "hydra.sweeper.study_name=mine", "hydra.sweeper.n_trials=6")
    words = (*words, "hydra.sweeper.repeat=null", "hydra.sweeper.observer.plots=false", "dataset.seed=0")
    words = (*words, "model=snap", "pruner=random", "budget.fraction=interval(0.1,0.5)")
    words = (*words, "hydra.sweeper.n_jobs=2", *SLURM, "++hydra.launcher.array_parallelism=1")
    before = slurm.tasks().keys()
    first = start(slurm, tmp_path, "tamis.commands.run", *words)
    until(lambda: (tmp_path / "multirun" / "mine" / "0").exists(), first)
    waits = next(task for task, state in slurm.tasks().items() if state == "PENDING")
    slurm.run("scontrol", "hold", waits)
    handed_in = slurm.tasks().keys() - before
    first.process.send_signal(signal.SIGINT)
    told = ended(slurm, first, status=130)
    job = waits.partition("_")[0]
    assert f"jobs {job} stay in the queue" in told
    assert "CANCELLED" not in {slurm.tasks()[task] for task in handed_in}
    second = start(slurm, tmp_path, "tamis.commands.run", *words)
    until(lambda: f"jobs {job} are in the queue from an earlier start" in second.told, second)
    second.kill()
    slurm.run("scontrol", "release", waits)
    ended(slurm, start(slurm, tmp_path, "tamis.commands.run", *words))
    assert slurm.tasks().keys() - before == handed_in, "more workers were handed in"
    check_whole(load(str(tmp_path / "multirun" / "mine" / "study.journal"), "mine"), 6)
    assert n_runs(tmp_path) == 7
