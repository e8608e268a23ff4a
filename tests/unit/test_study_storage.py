"""Where studies are kept, whose they are, and what is refused."""

import fcntl
import json
import os
import subprocess
import sys
import threading
from errno import EIO

import optuna
import pytest
from optuna.trial import TrialState

from hydra_plugins.tamis_study_sweeper import _presence
from hydra_plugins.tamis_study_sweeper._definition import check_definition, check_folder
from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._presence import FOLDER, Presence
from hydra_plugins.tamis_study_sweeper._shared import FAR, SharedStudy, end
from hydra_plugins.tamis_study_sweeper._storage import KernelLock, open_storage, storage_address


def make(address: str, presence: Presence, n_trials: int = 3, **more) -> SharedStudy:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    storage = open_storage(address)
    study = optuna.create_study(
        storage=storage, study_name="s", load_if_exists=True, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    given = {"retries": 1, "stale_after_s": 1e6, "on_server": False, **more}
    return SharedStudy(study, storage, presence, n_trials, **given)


def tell(shared: SharedStudy, trial, value: float = 1.0) -> None:
    end(shared.study, trial.number, TrialState.COMPLETE, value)


@pytest.fixture(params=["study.db", "study.journal"])
def address(request, tmp_path) -> str:
    path = tmp_path / request.param
    return f"sqlite:///{path}" if path.suffix == ".db" else str(path)


def test_addresses(tmp_path):
    assert storage_address(None, tmp_path, 1) == f"sqlite:///{tmp_path}/study.db"
    assert storage_address(None, tmp_path, 2) == str(tmp_path / "study.journal")
    assert storage_address("postgresql://x/y", tmp_path, 2) == "postgresql://x/y"
    (tmp_path / "study.journal").touch()
    assert storage_address(None, tmp_path, 1) == str(tmp_path / "study.journal"), (
        "a study that is there goes on"
    )


def test_sqlite_is_for_one_process(tmp_path):
    (tmp_path / "study.db").touch()
    for storage in (None, "sqlite:///x.db"):
        with pytest.raises(StudyError, match=r"for one process, and hydra\.sweeper\.n_jobs is 2"):
            storage_address(storage, tmp_path, 2)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql+psycopg://user:secret@127.0.0.1:9/none?connect_timeout=2", "cannot be opened"),
        ("sqlite:////proc/nowhere/study.db", "no folder for"),
        ("/proc/nowhere/study.journal", "cannot be written"),
        ("oracle+nothing://x/y", "cannot be opened"),
    ],
)
def test_storage_that_cannot_be_reached(address, words):
    with pytest.raises(StudyError) as caught:
        open_storage(address)
    assert words in str(caught.value)
    assert "secret" not in str(caught.value)


def said_without_privileges(address: str) -> str:
    """What somebody who is not root is told; file modes mean nothing to root."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            open_storage(address)
        except Exception as error:
            os.write(write, f"{type(error).__name__} {error}".encode())
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        return pipe.read()


def test_storage_that_may_only_be_read(tmp_path, address):
    with Presence(tmp_path) as presence:
        make(address, presence)
    for path in tmp_path.iterdir():
        path.chmod(0o444 if path.is_file() else 0o555)
    # every folder of ours on the way may be passed, whatever the number that pytest makes
    folders = [folder for folder in (tmp_path, *tmp_path.parents) if "pytest-" in str(folder)]
    for folder in folders:
        folder.chmod(0o555)
    try:
        said = said_without_privileges(address)
    finally:
        for folder in reversed(folders):
            folder.chmod(0o700)
    assert said.startswith("StudyError")
    assert "may only be read" in said or "cannot be written" in said


def test_a_journal_cut_in_its_last_line_goes_on(tmp_path):
    path = tmp_path / "study.journal"
    with Presence(tmp_path) as presence:
        shared = make(str(path), presence)
        tell(shared, shared.take())
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines) + lines[-1][:17])
        again = make(str(path), presence)
        assert path.read_bytes().startswith(b"".join(lines) + b"{")
        assert all(json.loads(line) for line in path.read_text().splitlines())
        assert len(again.ended()) == 1
        tell(again, again.take())
        assert len(make(str(path), presence).ended()) == 2


def test_a_line_that_a_full_disk_has_torn_is_cut_before_the_next_one(tmp_path, caplog):
    """Its writer has ended with an error by then, and others go on."""
    path = tmp_path / "study.journal"
    with Presence(tmp_path) as presence:
        one, two = make(str(path), presence), make(str(path), presence)
        tell(one, one.take(), 1.0)
        with path.open("ab") as journal:
            journal.write(b'{"op_code":4,"worker')
        assert len(two.ended()) == 1, "a reader minds what has no end"
        tell(two, two.take(), 2.0)
        tell(one, one.take(), 3.0)
        for shared in (one, two, make(str(path), presence)):
            assert [trial.value for trial in shared.ended()] == [1.0, 2.0, 3.0]
    assert all(json.loads(line) for line in path.read_text().splitlines())
    assert caplog.text.count("ended in the middle of a line") == 1


def test_a_lock_whose_journal_is_gone_is_given_back(tmp_path):
    lock = KernelLock(tmp_path / "study.journal")
    with pytest.raises(FileNotFoundError):
        lock.acquire()
    with (tmp_path / "study.journal.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_journal_damaged_in_the_middle_is_refused(tmp_path):
    path = tmp_path / "study.journal"
    with Presence(tmp_path) as presence:
        tell(shared := make(str(path), presence), shared.take())
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:-9] + b"\n"
    path.write_bytes(b"".join(lines))
    with pytest.raises(StudyError, match="damaged in line 3"):
        open_storage(str(path))


def test_a_database_of_another_optuna(tmp_path):
    import sqlite3

    address = f"sqlite:///{tmp_path}/study.db"
    with Presence(tmp_path) as presence:
        make(address, presence)
    with sqlite3.connect(tmp_path / "study.db") as database:
        database.execute("UPDATE alembic_version SET version_num='v99.0.0.a'")
    with pytest.raises(StudyError, match="of another Optuna"):
        open_storage(address)


def test_a_study_of_a_newer_optuna(tmp_path):
    with Presence(tmp_path) as presence:
        shared = make(str(tmp_path / "study.journal"), presence)
        shared.study.set_user_attr("optuna_version", "99.1.0")
        with pytest.raises(StudyError, match=r"made by Optuna 99\.1\.0"):
            check_definition(shared.study, {}, [], "refuse", "here")


def test_a_changed_definition(tmp_path):
    with Presence(tmp_path) as presence:
        study = make(str(tmp_path / "study.journal"), presence).study
        check_definition(study, {"a": "1", "b": "2"}, [], "refuse", "here")
        check_definition(study, {"a": "1", "b": "2"}, [], "refuse", "here")
        with pytest.raises(StudyError) as caught:
            check_definition(study, {"a": "1", "b": "3", "c": "4"}, [], "refuse", "here")
        assert "b: 2 before, 3 now" in str(caught.value) and "c: not there before, 4 now" in str(caught.value)
        assert "a:" not in str(caught.value)
        check_definition(study, {"a": "1"}, [], "continue", "here")
        check_definition(study, {"a": "1"}, [], "refuse", "here")
        with pytest.raises(StudyError, match="refuse or continue"):
            check_definition(study, {"a": "1"}, [], "ignore", "here")


def test_a_new_study_does_not_take_the_folders_of_another(tmp_path):
    (tmp_path / "0").mkdir()
    with Presence(tmp_path) as presence:
        shared = make(str(tmp_path / "study.journal"), presence)
        with pytest.raises(StudyError, match="holds trials"):
            check_folder(shared.storage, "another", tmp_path, "here")
        check_folder(shared.storage, shared.study.study_name, tmp_path, "here")


def test_trials_are_handed_out_up_to_the_total(tmp_path, address):
    with Presence(tmp_path) as presence:
        shared = make(address, presence)
        taken = [shared.take() for _ in range(5)]
        assert [None if trial is None else trial.number for trial in taken] == [0, 1, 2, None, None]
        tell(shared, taken[0])
        assert shared.take() is None
        assert [trial.number for trial in shared.ended()] == [0]


@pytest.mark.parametrize(("n_trials", "n_read"), [(2, 1), (FAR + 2, 0)])
def test_an_older_reading_is_used_far_from_the_end_alone(tmp_path, n_trials, n_read):
    """With it nothing is read; near the end it would have many processes take one too many."""
    with Presence(tmp_path) as presence:
        shared = make(str(tmp_path / "study.journal"), presence, n_trials=n_trials)
        known, read, get_trials = shared.trials(), [], shared.study.get_trials
        shared.study.get_trials = lambda **options: read.append(1) or get_trials(**options)
        assert shared.take(known) is not None
        assert len(read) == n_read


def test_one_too_many_is_withdrawn_and_does_not_count(tmp_path):
    """Another process takes the last one between the look and the ask."""
    with Presence(tmp_path) as presence:
        shared = make(str(tmp_path / "study.journal"), presence, n_trials=1)
        ask, other = shared.study.ask, make(str(tmp_path / "study.journal"), presence, n_trials=1)

        def late(*arguments):
            if not other.trials():
                other.study.ask()
            return ask(*arguments)

        shared.study.ask = late
        assert shared.take() is None
        assert [t.user_attrs.get("void") for t in shared.study.trials] == [None, "one too many"]


def dead_token(folder) -> str:
    """Of a process that was there and is gone."""
    code = "import sys; from pathlib import Path; from hydra_plugins.tamis_study_sweeper._presence import Presence\n"
    code += (
        "p = Presence(Path(sys.argv[1])); p.__enter__(); print(p.token, flush=True); import os; os._exit(1)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True
    ).stdout.strip()


def abandon(shared: SharedStudy, token: str, value: float) -> None:
    """A trial that a process ran when it died."""
    trial = shared.take()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr("overrides", [])
    trial.set_user_attr("worker", token)


def test_trials_of_dead_processes_are_run_again_with_their_values(tmp_path, address):
    with Presence(tmp_path) as presence:
        shared = make(address, presence)
        abandon(shared, dead_token(tmp_path), 0.5)
        mine = shared.take()
        assert shared.reap() == 1
        assert shared.reap() == 0
        before, own, after = shared.study.trials
        assert (before.state, own.state, after.state) == (
            TrialState.FAIL,
            TrialState.RUNNING,
            TrialState.WAITING,
        )
        assert [trial.number for trial in shared.trials()] == [mine.number, 2]
        again = shared.take()
        assert again.number == 2
        assert again.suggest_float("x", 0, 1) == before.params["x"]
        assert shared.take() is not None
        assert shared.take() is None


def test_a_trial_that_kills_its_process_again_and_again_fails(tmp_path, address):
    with Presence(tmp_path) as presence:
        shared = make(address, presence, retries=2)
        for _ in range(3):
            abandon(shared, dead_token(tmp_path), 0.5)
            assert shared.reap() == 1
        assert [trial.state for trial in shared.trials()] == [TrialState.FAIL]
        assert "3 times" in shared.trials()[0].user_attrs["error"]
        assert len(shared.study.trials) == 3


def test_trials_of_processes_out_of_sight_wait(tmp_path):
    with Presence(tmp_path) as presence:
        shared = make(str(tmp_path / "study.journal"), presence)
        abandon(shared, "another-machine:1:abc", 0.5)
        assert shared.reap() == 0
        assert make(str(tmp_path / "study.journal"), presence, stale_after_s=-1.0).reap() == 1


def test_presence(tmp_path):
    code = "import sys; from pathlib import Path; from hydra_plugins.tamis_study_sweeper._presence import Presence\n"
    code += "p = Presence(Path(sys.argv[1])); p.__enter__(); print(p.token, flush=True); input()"
    with Presence(tmp_path) as presence:
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        token = other.stdout.readline().strip()
        assert presence.others() == [token]
        assert presence.is_alive(token) and presence.is_alive(presence.token)
        other.kill()
        other.wait()
        assert presence.is_alive(token) is False
        assert presence.others() == []
        presence.clear(presence.gone())
        assert [path.name for path in (tmp_path / ".workers").glob("*:*")] == [presence.token]
    assert not list((tmp_path / ".workers").glob("*:*"))
    host = presence.token.split(":")[0]
    assert presence.is_alive(f"{host}:{os.getpid()}:elsewhere") is True
    assert presence.is_alive(f"{host}:{2**22 + 1}:elsewhere") is False
    assert presence.is_alive("another:1:x") is None


def test_nobody_comes_in_while_another_looks_for_the_dead(tmp_path):
    """It would be taken for one between the making of its file and the lock, and be removed."""
    with Presence(tmp_path) as presence:
        late = Presence(tmp_path)
        coming = threading.Thread(target=late.__enter__)
        with presence.alone():
            coming.start()
            coming.join(0.3)
            assert [path.name for path in (tmp_path / ".workers").glob("*:*")] == [presence.token]
        coming.join()
        assert len(list((tmp_path / ".workers").glob("*:*"))) == 2
        late.__exit__()


def test_who_dies_while_others_are_reaped_is_reaped_later(tmp_path):
    """Of a process on another machine nothing but its file tells that it is dead."""
    code = "import sys; from pathlib import Path; from hydra_plugins.tamis_study_sweeper._presence import Presence\n"
    code += (
        "p = Presence(Path(sys.argv[1]), 'another:1:x'); p.__enter__(); print('here', flush=True); input()"
    )
    with Presence(tmp_path) as presence:
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        other.stdout.readline()
        shared = make(str(tmp_path / "study.journal"), presence)
        abandon(shared, "another:1:x", 0.5)
        clear = presence.clear

        def clear_late(*arguments):
            other.kill()
            other.communicate()
            clear(*arguments)

        presence.clear = clear_late
        assert shared.reap() == 0
        assert shared.reap() == 1


def test_optuna_itself_reads_the_journal(tmp_path):
    path = tmp_path / "study.journal"
    with Presence(tmp_path) as presence:
        tell(shared := make(str(path), presence), shared.take(), 4.0)
    assert all(json.loads(line) for line in path.read_text().splitlines())
    backend = optuna.storages.journal.JournalFileBackend(str(path))
    assert (
        optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(backend)).best_value == 4.0
    )


@pytest.mark.parametrize(
    ("error", "goes_on"), [(OSError(28, "no space"), True), (RuntimeError("stop"), False)]
)
def test_an_error_after_a_trial_is_told_is_not_taken_for_the_end_of_a_grid(tmp_path, error, goes_on):
    """A disk that was full for a moment made a search end before it had all its trials."""
    with Presence(tmp_path) as presence:
        shared = make(str(tmp_path / "study.journal"), presence)
        trial, tell_it = shared.take(), shared.study.tell

        def told_and_failed(*arguments):
            tell_it(*arguments)
            raise error

        shared.study.tell = told_and_failed
        assert end(shared.study, trial.number, TrialState.COMPLETE, 1.0) == goes_on


def test_a_disk_that_does_not_say_who_works_here_is_no_other_process(tmp_path, monkeypatch):
    with Presence(tmp_path) as mine:
        other = Presence(tmp_path, token="there:1:x")
        (tmp_path / FOLDER / other.token).touch()
        assert mine.others() == [] and mine.gone() == [other.token]

        def fail(*_: object) -> None:
            raise OSError(EIO, "Input/output error")

        monkeypatch.setattr(_presence.fcntl, "lockf", fail)
        with pytest.raises(OSError, match="Input/output error"):
            mine.others()
