"""How tamis' commands end where something goes wrong: with a sentence and an exit status."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from tamis.configuration import explain, raised_by_hydra
from tamis.exceptions import TamisError
from tamis.report.tables import print_failure

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it: 128 + SIGINT."""


@contextmanager
def in_a_sentence(interrupted: str = "nothing that was there is changed") -> Iterator[None]:
    """End the program with a sentence if the block fails; ``interrupted`` says what Ctrl-C leaves behind."""
    try:
        yield
    except (HydraException, OmegaConfBaseException, TamisError, OSError) as error:
        print_failure(explain(error))
        sys.exit(1)
    except Exception as error:
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
