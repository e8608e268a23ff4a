"""How tamis' commands end where something goes wrong: with a sentence and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from tamis.core.interrupts import remember_interrupts
from tamis.core.messages import print_failure

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


@contextmanager
def in_a_sentence(interrupted: str = "nothing that was there is changed") -> Iterator[None]:
    """End the program with a sentence if the block fails; ``interrupted`` says what Ctrl-C leaves behind."""
    prepare()
    try:
        yield
    except BrokenPipeError:  # whoever reads the output, such as head, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        from tamis.core.config_errors import sentence  # hydra, which most commands do without

        if not (reason := sentence(error)):
            raise
        print_failure(reason)
        sys.exit(1)
    except KeyboardInterrupt:
        print_failure(f"interrupted; {interrupted}")
        sys.exit(INTERRUPTED)


def prepare() -> None:
    """Remember Ctrl-C; let the terminal show any name of a file; end the program under ``python -O``.

    ASE's reader of extended XYZ leans on ``assert``, which is gone then, and so may other libraries.
    """
    remember_interrupts()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    if sys.flags.optimize:
        print_failure(
            f"Python runs without its assert statements (PYTHONOPTIMIZE={sys.flags.optimize}, or python -O), on which "
            "libraries that tamis uses rest, ASE among them; unset PYTHONOPTIMIZE and leave out -O"
        )
        sys.exit(1)
