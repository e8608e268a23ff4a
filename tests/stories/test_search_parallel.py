"""Several processes on one study stop at the total together: on a journal file, and on a real PostgreSQL."""

import itertools
import os
import signal
import time
from collections.abc import Iterator

import pytest
from tests.servers import Postgres
from tests.studies import check_whole, counted, load, make_app, search, start

TOTAL = 24
OVERRIDES = ["x=interval(-5, 5)", "kind=a,b", "sleep=0.2", f"hydra.sweeper.n_trials={TOTAL}"]
NO_TURNS = "hydra.sweeper.at_once=4"
"""As many as there are processes: nobody waits for anybody."""


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of a database of its own."""
    with Postgres() as server:
        yield server.create("optuna")


@pytest.fixture(params=["journal", pytest.param("postgres", marks=pytest.mark.slow)])
def address(request, tmp_path) -> str:
    if request.param == "journal":
        return str(tmp_path / "study.journal")
    return request.getfixturevalue("postgres")


def check_nobody_idle(study) -> None:
    """When a process has told its last trial, the others have begun all that is left, but for one each."""
    trials = counted(study)
    workers = {trial.user_attrs["worker"] for trial in trials}
    for worker in workers:
        last = max(trial.datetime_complete for trial in trials if trial.user_attrs["worker"] == worker)
        assert sum(trial.datetime_start > last for trial in trials) < len(workers) + 1


def test_four_commands_and_a_kill_make_the_exact_total(tmp_path, address):
    folder = make_app(tmp_path / "project")
    name = tmp_path.name  # one database serves several tests
    overrides = [
        *OVERRIDES,
        NO_TURNS,
        f"hydra.sweeper.storage='{address}'",
        f"hydra.sweeper.study_name={name}",
    ]
    processes = [start(folder, *overrides) for _ in range(4)]
    while (tmp_path / "project" / "jobs.txt").exists() is False:
        time.sleep(0.1)
    os.killpg(processes[0].pid, signal.SIGKILL)
    assert [process.wait() for process in processes[1:]] == [0, 0, 0]
    again = search(folder, *overrides)  # what the killed one ran, where the others had left by then
    assert again.returncode == 0, again.stderr
    study = load(address, name)
    check_whole(study, TOTAL)
    check_nobody_idle(study)
    folders = (folder / "jobs.txt").read_text().split()
    assert len(folders) == len(set(folders))
    once_more = search(folder, *overrides)
    assert once_more.returncode == 0
    assert len(load(address, name).trials) == len(study.trials), "a full study grew"


@pytest.mark.slow
def test_workers_of_one_command(tmp_path):
    folder = make_app(tmp_path)
    done = search(folder, *OVERRIDES, NO_TURNS, "hydra.sweeper.n_jobs=2")
    assert done.returncode == 0, done.stderr
    study = load(str(folder / "out" / "study.journal"))
    check_whole(study, TOTAL)
    assert len({trial.user_attrs["worker"] for trial in study.trials}) == 2
    check_nobody_idle(study)


@pytest.mark.slow
def test_a_turn_is_several_short_trials(tmp_path):
    """Two workers on one core: what a trial left in its caches serves the next one."""
    folder = make_app(tmp_path)
    done = search(folder, *OVERRIDES, "hydra.sweeper.at_once=1", "hydra.sweeper.n_jobs=2")
    assert done.returncode == 0, done.stderr
    study = load(str(folder / "out" / "study.journal"))
    check_whole(study, TOTAL)
    by_start = sorted(study.trials, key=lambda trial: trial.datetime_start)
    assert all(one.datetime_complete <= two.datetime_start for one, two in itertools.pairwise(by_start))
    turns = [worker for worker, _ in itertools.groupby(trial.user_attrs["worker"] for trial in by_start)]
    assert len(set(turns)) == 2
    assert len(turns) <= TOTAL / 4


@pytest.mark.slow
def test_a_worker_that_fails_ends_the_command(tmp_path):
    folder = make_app(tmp_path)
    done = search(folder, *OVERRIDES, "hydra.sweeper.n_jobs=2", "two=true")
    assert done.returncode != 0
    assert "the job returned 2 values" in done.stderr
    assert "a worker ended with status" in done.stderr
