"""Several commands on one study stop at the total together: on a journal file, and on a real PostgreSQL."""

import os
import signal
import time
from collections.abc import Iterator

import pytest
from tests.searches import load, tamis
from tests.servers import Postgres

from tamis.sweeps.search.studies import SWEEP, counted

TOTAL = 12


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URL of a database of its own."""
    with Postgres() as server:
        yield server.create("optuna")


@pytest.fixture(params=["journal", "postgres"])
def address(request, tmp_path) -> str:
    if request.param == "journal":
        return str(tmp_path / "study.journal")
    return request.getfixturevalue("postgres")


@pytest.mark.slow
def test_three_commands_and_a_kill_make_the_total(tmp_path, address):
    """Each has its own folder; the killed one's trial is run by whoever starts next."""
    name = tmp_path.name  # one database serves several tests
    typed = [
        f"hydra.sweeper.study_name={name}",
        f"hydra.sweeper.storage='{address}'",
        f"hydra.sweeper.n_trials={TOTAL}",
        "seed.select=range(0,999)",
        "hydra/launcher=basic",
        "tracking=null",
    ]
    processes = [tamis(tmp_path, *typed, f"hydra.sweep.dir=out{i}") for i in range(3)]
    while not (tmp_path / "out0" / "sweep.json").exists():
        time.sleep(0.1)
    os.killpg(processes[0].pid, signal.SIGKILL)
    assert [process.wait() for process in processes[1:]] == [0, 0]
    again = tamis(tmp_path, *typed, "hydra.sweep.dir=out0")
    assert again.wait() == 0, again.stdout.read()
    study = load(address, name)
    trials = counted(study)
    assert all(trial.state.is_finished() for trial in study.trials)
    assert TOTAL <= len(trials) <= TOTAL + 1, "two commands may begin the last trial together"
    assert len({trial.user_attrs[SWEEP]["folder"] for trial in trials}) > 1
    assert len({trial.params["seed.select"] for trial in trials}) > TOTAL / 2, "they draw the same points"
    assert tamis(tmp_path, *typed, "hydra.sweep.dir=out0").wait() == 0
    assert len(load(address, name).trials) == len(study.trials), "a full study grew"
