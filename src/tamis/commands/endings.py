"""How tamis' commands end where something goes wrong: with a sentence and an exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from tamis.core.config_errors import explain, raised_by_hydra
from tamis.core.errors import TamisError
from tamis.core.interrupts import remember_interrupts
from tamis.core.messages import print_failure
from tamis.core.names import said_of

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
    except (HydraException, OmegaConfBaseException, TamisError, OSError) as error:
        print_failure(explain(error))
        sys.exit(1)
    except Exception as error:
        if reason := said_of(error):
            print_failure(reason)
            sys.exit(1)
        if isinstance(error.__cause__, OSError):  # logging says "Unable to configure handler" for a full disk
            print_failure(explain(error.__cause__))
            sys.exit(1)
        if not raised_by_hydra(error):
            raise
        reason = str(error) or type(error).__name__
        print_failure(f"what was typed is not understood ({reason}); write group=choice and key=value")
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
