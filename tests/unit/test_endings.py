"""Commands end in a sentence; what is a mistake of the program's own keeps its traceback."""

from errno import ENOSPC
from logging.config import dictConfig

import pytest
from hydra.errors import ConfigCompositionException
from omegaconf import OmegaConf

from tamis.endings import in_a_sentence
from tamis.exceptions import TamisError


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
