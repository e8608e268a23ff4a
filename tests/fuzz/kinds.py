"""What a kind of input is, and how one case of it is judged."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from tamis.core.config_errors import explain, raised_by_hydra
from tamis.core.errors import TamisError

RIGHT, REFUSED = "right", "refused"
"""What may come of a case: an answer that was checked, or an error of ours."""
WRONG, LEAK, MEMORY, HANG, CRASH = "wrong", "leak", "memory", "hang", "crash"
"""What may not: a wrong answer, another exception, more memory than allowed, no end, a dead interpreter."""
OURS = (TamisError, HydraException, OmegaConfBaseException)
"""Errors that every command turns into a sentence."""


class WrongAnswer(Exception):  # noqa: N818 - it is no error of the program
    """Input was taken, and what came of it is not right."""


def as_told(error: Exception) -> Exception:
    """What ``tamis.commands.endings`` makes of an error; halves of characters cannot be typed."""
    if not isinstance(error, (*OURS, OSError, UnicodeEncodeError)) and not raised_by_hydra(error):
        return error
    return TamisError(explain(error)) if explain(error).strip() else WrongAnswer(f"no words for {error!r}")


@dataclass(frozen=True)
class Kind:
    """A kind of input.

    name: in tallies. prepare: makes what all cases share in a folder; it is called in each worker process.
    run: one case from its own random numbers; returns normally after a right answer, raises an error of ours where
    the input is refused, and ``WrongAnswer``. share: its part of a campaign. refusals: more errors that are
    told in a sentence where this input is read.
    """

    name: str
    prepare: Callable[[Path], Any]
    run: Callable[[np.random.Generator, Any, Path], None]
    share: float
    refusals: tuple[type[Exception], ...] = ()


def judge(kind: Kind, shared: Any, number: int, folder: Path) -> tuple[str, str]:
    """Outcome of the case ``number``, and the traceback of one that is not right."""
    rng = np.random.default_rng([number, *kind.name.encode()])
    try:
        kind.run(rng, shared, folder)
    except (*OURS, *kind.refusals) as error:
        return (REFUSED, "") if str(error).strip() else (LEAK, f"{type(error).__name__} without words")
    except WrongAnswer as error:
        return WRONG, str(error)
    except MemoryError:
        return MEMORY, traceback.format_exc(limit=-6)
    except Exception:
        return LEAK, traceback.format_exc(limit=-6)
    return RIGHT, ""
