"""How many threads numerical libraries compute on: one, unless ``TAMIS_THREADS`` says otherwise.

Many trials run side by side, each on one core. A library that starts a thread for every core slows all of them down and
makes sums depend on the machine. Libraries read the number of threads from the environment when they are loaded, so it
is set there before the first of them is loaded. Settings such as OMP_NUM_THREADS are meant for other programs, and are
overruled.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tamis.core.errors import TamisError

ASKED = "TAMIS_THREADS"
"""The environment variable with which a user asks for more."""
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
    """Environment variables that give a new process ``n`` threads."""
    return dict.fromkeys((*OF_LIBRARIES, OF_NUMBA), str(n))


def decide() -> None:
    """Set the number of threads of this command and the processes that it starts; call before numerical imports.

    Ends the program with a sentence if ``TAMIS_THREADS`` is no number.
    """
    try:
        os.environ.update(environment(asked()))
    except TamisError as error:
        sys.exit(str(error))


@contextmanager
def limited() -> Iterator[None]:
    """Limit the threads of libraries inside the block, loaded or not yet; restore the settings afterwards.

    For a process that somebody else has started, such as a notebook.
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
