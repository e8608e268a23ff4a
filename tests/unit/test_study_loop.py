"""One process' work on a study whose trials others may give up."""

import optuna
import pytest
from hydra.core.utils import JobReturn, JobStatus
from optuna.trial import TrialState

from hydra_plugins.tamis_study_sweeper import _shared
from hydra_plugins.tamis_study_sweeper._domain import FLOAT, Parameter
from hydra_plugins.tamis_study_sweeper._loop import Loop
from hydra_plugins.tamis_study_sweeper._observer import Silent
from hydra_plugins.tamis_study_sweeper._presence import Presence
from hydra_plugins.tamis_study_sweeper._shared import SharedStudy
from hydra_plugins.tamis_study_sweeper._space import Space
from hydra_plugins.tamis_study_sweeper._storage import open_storage

OUT_OF_SIGHT = "another-machine:1:abc"


def make(folder, presence: Presence, stale_after_s: float, on_server: bool = False) -> SharedStudy:
    storage = open_storage(str(folder / "study.journal"))
    study = optuna.create_study(storage=storage, study_name="s", load_if_exists=True)
    return SharedStudy(study, storage, presence, 3, 1, stale_after_s, on_server)


class Once:
    """Calls ``act`` when it is called for the first time."""

    def __init__(self, act) -> None:
        self.act, self.is_done = act, False

    def __call__(self) -> None:
        if not self.is_done:
            self.is_done = True
            self.act()


class Sampler(optuna.samplers.RandomSampler):
    def __init__(self, before) -> None:
        super().__init__(seed=0)
        self.before = before

    def sample_independent(self, *arguments):
        self.before()
        return super().sample_independent(*arguments)


class Launcher:
    def __init__(self, before) -> None:
        self.before = before

    def launch(self, jobs, initial_job_idx):
        self.before()
        return [JobReturn(status=JobStatus.COMPLETED, _return_value=1.0) for _ in jobs]


class Told(Silent):
    def __init__(self) -> None:
        self.numbers: list[int] = []

    def trial_ended(self, study, trial, folder) -> None:
        self.numbers.append(trial.number)


def loop(shared: SharedStudy, launcher: Launcher, observer: Silent, batch_size: int = 1) -> Loop:
    return Loop(
        shared=shared,
        space=Space({}, (Parameter("x", FLOAT, low=0, high=1),)),
        launcher=launcher,
        observer=observer,
        folder=shared.presence.folder,
        repeats=[[]],
        rules=[],
        max_failure_rate=0.0,
        batch_size=batch_size,
        may_stop=False,
        turns=None,
        wants_to_go_on=lambda: True,
    )


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("when", ["ask", "suggest", "job"])
def test_a_trial_that_another_process_gives_up_is_not_ours(tmp_path, caplog, when, batch_size):
    """Its result was taken for told; before that, the search ended with Optuna's exception."""
    (tmp_path / "elsewhere").mkdir()
    with (
        Presence(tmp_path, token=OUT_OF_SIGHT) as presence,
        Presence(tmp_path / "elsewhere") as other,
    ):
        shared, nothing = make(tmp_path, presence, 1e6), lambda: None
        take_away = Once(lambda: make(tmp_path, other, -1.0).reap())
        shared.study.sampler = Sampler(take_away if when == "suggest" else nothing)
        ask = shared.study.ask

        def asked():
            trial = ask()
            if when == "ask":
                take_away()
            return trial

        shared.study.ask = asked
        told = Told()
        loop(shared, Launcher(take_away if when == "job" else nothing), told, batch_size).run()
        assert take_away.is_done
        counted = shared.trials()
        assert [trial.state for trial in counted] == [TrialState.COMPLETE] * 3
        assert sorted(told.numbers) == [trial.number for trial in counted]
        lost = [trial for trial in shared.study.trials if "void" in trial.user_attrs]
        assert lost and all(trial.state == TrialState.FAIL for trial in lost)
        assert caplog.text.count("was given up by another process") == (0 if when == "ask" else len(lost))


def test_what_others_ended_in_another_way_is_not_told(tmp_path):
    with Presence(tmp_path) as presence:
        study = make(tmp_path, presence, 1e6).study
        trial = study.ask()
        study.tell(trial.number, state=TrialState.FAIL)
        with pytest.raises(optuna.exceptions.UpdateFinishedTrialError, match="another process"):
            _shared.end(study, trial.number, TrialState.COMPLETE, 1.0)


@pytest.mark.parametrize("on_server", [True, False])
def test_a_young_trial_without_a_worker_is_anybodys_on_a_server(tmp_path, monkeypatch, on_server):
    """Who took it may work in another folder and name itself in a moment; a killed one leaves it to a later start."""
    with Presence(tmp_path) as presence:
        shared = make(tmp_path, presence, 1e6, on_server)
        shared.study.ask()
        assert shared.reap() == (0 if on_server else 1)
        monkeypatch.setattr(_shared, "NEWBORN_S", -1.0)  # a minute later
        assert shared.reap() == (1 if on_server else 0)
        assert shared.trials() == []
        assert shared.take() is not None


@pytest.mark.parametrize(("age_s", "n_complete"), [(None, 3), (-1e6, 2)])
def test_a_search_does_not_end_one_short_of_a_young_trial(tmp_path, monkeypatch, age_s, n_complete):
    """It waits for it, but not for long: the clock of the machine that began it may be another."""
    monkeypatch.setattr(_shared, "NEWBORN_S", 0.5)
    monkeypatch.setattr(_shared, "POLL_S", 0.05)
    with Presence(tmp_path) as presence:
        shared = make(tmp_path, presence, 1e6, on_server=True)
        shared.study.ask()  # by a process that was killed then
        if age_s is not None:
            monkeypatch.setattr(SharedStudy, "_age", lambda *_: age_s)
        loop(shared, Launcher(lambda: None), Silent()).run()
        assert [trial.state.name for trial in shared.ended()] == ["COMPLETE"] * n_complete
