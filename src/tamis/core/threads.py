"""How many threads numerical libraries compute on: one, unless ``TAMIS_THREADS`` says otherwise.

Many trials run side by side, each on a core. A library that starts a thread for every core of the machine beside them
is slower by the clock, and takes several times the processor time; and sums would depend on the machine. Libraries read
their number when they are loaded, so it is decided before the first of them is, in the environment: other settings that
stand there (OMP_NUM_THREADS, say) are meant for other programs, and overruled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tamis.core.errors import TamisError

ASKED = "TAMIS_THREADS"
"""The environment variable in which a user asks for more."""
OF_LIBRARIES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS"),
    "VECLIB_MAXIMUM_THREADS",
)
OF_NUMBA = "NUMBA_NUM_THREADS"


def asked() -> int:
    """Threads of one trial.

    Raises
    ------
    TamisError : ``TAMIS_THREADS`` is no positive whole number.
    """
    text = os.environ.get(ASKED, "1")
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise TamisError(
            f"{ASKED} is {text!r}; give the threads of one trial as a whole number from 1 on, or unset it"
        )
    return int(text)


def environment(n: int) -> dict[str, str]:
    """What a process that loads its libraries later computes on ``n`` threads with."""
    return dict.fromkeys((*OF_LIBRARIES, OF_NUMBA), str(n))


def decide() -> None:
    """For a command and the processes that it starts, before the first numerical library is loaded.

    Ends the program with a sentence where ``TAMIS_THREADS`` is no number.
    """
    try:
        os.environ.update(environment(asked()))
    except TamisError as error:
        sys.exit(str(error))


@contextmanager
def limited() -> Iterator[None]:
    """Inside, libraries keep to the number that is asked for: those that are loaded now, and those that will be.

    For a process that somebody else has started, such as a notebook: afterwards its settings are its own again.
    """
    from threadpoolctl import threadpool_limits

    n = asked()
    before = {
        name: os.environ.get(name) for name in OF_LIBRARIES
    }  # numba, once loaded, allows no other number
    os.environ.update(dict.fromkeys(OF_LIBRARIES, str(n)))
    try:
        with threadpool_limits(n):
            yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
