"""A database that goes away for a while is waited for; whatever else goes wrong is told at once."""

import sqlite3

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState
from sqlalchemy.exc import OperationalError, PendingRollbackError

from hydra_plugins.tamis_study_sweeper import _patience
from hydra_plugins.tamis_study_sweeper._errors import StudyError
from hydra_plugins.tamis_study_sweeper._patience import is_away, make_patient
from hydra_plugins.tamis_study_sweeper._shared import end


@pytest.fixture
def storage(tmp_path) -> optuna.storages.RDBStorage:
    return optuna.storages.RDBStorage(f"sqlite:///{tmp_path}/study.db")


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(_patience, "FIRST_WAIT_S", 0.001)


class Outage:
    """The first ``n`` commits fail, as if the server had gone."""

    def __init__(self, storage: optuna.storages.RDBStorage, n: int) -> None:
        self.n, self.calls = n, 0
        sqlalchemy.event.listen(storage.engine, "commit", self.fail)

    def fail(self, *_: object) -> None:
        self.calls += 1
        if self.calls <= self.n:
            raise OperationalError("commit", {}, sqlite3.OperationalError("server closed the connection"))


def test_an_outage_shorter_than_the_patience_is_not_noticed(storage, quick, caplog):
    make_patient(storage, 60.0)
    study = optuna.create_study(storage=optuna.storages.get_storage(storage))
    outage = Outage(storage, 3)
    trial = study.ask()
    assert outage.calls > 3
    trial.suggest_float("x", 0, 1)
    study.tell(trial, 1.0)
    assert [one.state for one in study.trials] == [TrialState.COMPLETE]
    assert caplog.text.count("does not answer (server closed the connection)") == 1
    assert caplog.text.count("answers again") == 1


def test_a_longer_one_is_told(storage, quick):
    make_patient(storage, 0.01)
    study = optuna.create_study(storage=optuna.storages.get_storage(storage))
    Outage(storage, 10**6)
    with pytest.raises(
        StudyError, match=r"has not answered .*patience_s=0\.01 \(server closed the connection\)"
    ):
        study.set_user_attr("a", 1)


def test_one_that_lasts_is_waited_for_once(storage, monkeypatch):
    """What a search still reads to end in order would wait each time anew; when the server is back all is as before."""
    make_patient(storage, 1.0)
    study = optuna.create_study(storage=optuna.storages.get_storage(storage))
    now, outage = [0.0], Outage(storage, 10**6)
    monkeypatch.setattr(_patience.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(_patience.time, "sleep", lambda seconds: now.append(now.pop() + seconds))
    for _ in range(3):
        with pytest.raises(StudyError, match="has not answered for 1 s"):
            study.set_user_attr("a", 1)
        assert now == [pytest.approx(1.0)]
    outage.n = 0
    study.set_user_attr("a", 1)
    outage.n, outage.calls = 10**6, 0
    with pytest.raises(StudyError):
        study.set_user_attr("a", 2)
    assert now == [pytest.approx(2.0)]


def test_other_errors_are_not_waited_for(storage):
    make_patient(storage, 60.0)
    with pytest.raises(KeyError):
        storage.get_trial(17)
    storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "one")
    with pytest.raises(optuna.exceptions.DuplicatedStudyError):
        storage.create_new_study([optuna.study.StudyDirection.MINIMIZE], "one")


def test_what_was_told_before_the_answer_was_lost_counts(storage):
    study = optuna.create_study(storage=storage)
    trial = study.ask()
    frozen = storage.get_trial(trial._trial_id)
    study.tell(trial, 1.0)
    with pytest.raises(optuna.exceptions.UpdateFinishedTrialError):
        storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, [1.0])
    tell = study.tell

    def tell_again(*arguments):
        """As a second try does, which looked at the trial before the first came through."""
        storage.set_trial_state_values(frozen._trial_id, TrialState.COMPLETE, [1.0])
        tell(*arguments)

    study.tell = tell_again
    assert end(study, trial.number, TrialState.COMPLETE, [1.0]) is True, "taken for a sampler without points"
    assert study.trials[0].value == 1.0


def test_a_lost_connection_is_found_behind_other_errors():
    lost = OperationalError("select", {}, Exception("gone"))
    try:
        try:
            try:
                raise lost
            except OperationalError:
                raise PendingRollbackError("roll back first")  # noqa: B904 # as SQLAlchemy does
        except PendingRollbackError as error:
            raise optuna.exceptions.StorageInternalError("during the commit") from error
    except optuna.exceptions.StorageInternalError as error:
        assert is_away(error)
    assert not is_away(optuna.exceptions.StorageInternalError("too long"))
    assert not is_away(KeyError("x"))
