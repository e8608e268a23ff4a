"""Whoever is told of a study may fail: that ends nothing, and does not hold up the trials."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hydra_plugins.tamis_study_sweeper import _observer
from hydra_plugins.tamis_study_sweeper._observer import Patient, Silent

PLACE = Path()


@dataclass
class Away(Silent):
    """Cannot be reached until it is there."""

    is_there: bool = False
    heard: list[int] = field(default_factory=list)
    asked: int = 0

    def trial_ended(self, study, trial, folder) -> None:
        self.asked += 1
        if not self.is_there:
            raise ConnectionError("nobody there")
        self.heard.append(trial)


@pytest.fixture
def now(monkeypatch) -> list[float]:
    """The time, which the test sets."""
    clock = [1000.0]
    monkeypatch.setattr(_observer.time, "monotonic", lambda: clock[0])
    return clock


def test_an_observer_that_is_away_is_told_once_and_left_alone_for_a_while(now, caplog):
    observer = Away()
    patient = Patient(observer)
    for number in range(50):
        patient.trial_ended(None, number, PLACE)
    assert observer.asked == 1
    now[0] += _observer.PAUSE_S
    patient.trial_ended(None, 50, PLACE)
    assert observer.asked == 2
    assert caplog.text.count("Away missed trial_ended (nobody there)") == 1


def test_it_hears_of_trials_again_when_it_is_back(now, caplog):
    observer = Away()
    patient = Patient(observer)
    patient.trial_ended(None, 0, PLACE)
    observer.is_there = True
    now[0] += _observer.PAUSE_S
    patient.trial_ended(None, 1, PLACE)
    patient.trial_ended(None, 2, PLACE)
    assert observer.heard == [1, 2]
    observer.is_there = False
    patient.trial_ended(None, 3, PLACE)
    assert caplog.text.count("missed") == 2, "it went away a second time"
