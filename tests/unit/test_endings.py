"""Commands end in a sentence; what is a mistake of the program's own keeps its traceback."""

from dataclasses import replace
from errno import ENOSPC
from logging.config import dictConfig

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from tamis.commands.endings import in_a_sentence
from tamis.core.errors import TamisError
from tamis.records.record import TrialRecord
from tamis.sweeps.search.outcome import without_objective


def full_disk() -> None:
    raise OSError(ENOSPC, "No space left on device", "/there/file")


def unlogged() -> None:
    """As Hydra does it for the log of a job."""
    handler = {"class": "logging.FileHandler", "filename": "/dev/null/tamis.log"}
    dictConfig({"version": 1, "handlers": {"file": handler}})


def refused() -> None:
    raise TamisError("seed.fit is -1")


def interrupted() -> None:
    raise KeyboardInterrupt


def stumbled() -> None:
    OmegaConf.create("a: 1").merge_with(3)  # a ValueError that OmegaConf raises


def speechless() -> None:
    raise ConfigCompositionException  # what Hydra raises for budget='${.}'


@pytest.mark.parametrize(
    ("failing", "status", "words"),
    [
        (full_disk, 1, "cannot write /there/file (No space left on device); make room"),
        (unlogged, 1, "cannot write /dev/null/tamis.log (Not a directory)"),
        (refused, 1, "failed: seed.fit is -1"),
        (interrupted, 130, "interrupted; all is well"),
        (stumbled, 1, "what was typed is not understood"),
        (speechless, 1, "what was typed is not understood"),
    ],
)
def test_what_goes_wrong_is_told(failing, status, words, capsys):
    with pytest.raises(SystemExit) as leaving, in_a_sentence("all is well"):
        failing()
    assert leaving.value.code == status
    assert words in capsys.readouterr().err


def test_a_mistake_of_the_program_is_not_hidden():
    with pytest.raises(ValueError, match="our own"), in_a_sentence():
        raise ValueError("our own")


def test_errors_of_the_test_set_are_never_advised_as_objective():
    metrics = {"test/force_mae_eV_per_A": 1.0, "train/force_mae_eV_per_A": 1.0, "validation/energy_mae": 1.0}
    record = TrialRecord({}, metrics=metrics)
    said = without_objective(record, "validation/force_mae_eV_per_A")
    assert "force_mae_eV_per_A is none" in said and "test/" not in said and "train/" not in said
    assert "did you mean validation/energy_mae?" in without_objective(record, "validation/energy_maee")
    told = without_objective(
        replace(record, problems={"validation": "no forces"}), "validation/force_mae_eV_per_A"
    )
    assert told.endswith("; no forces")
