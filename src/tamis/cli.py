"""The ``tamis`` command: its first word chooses a subcommand; without one Hydra reads the rest."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from tamis.commands import COMMANDS, FLAGS
from tamis.core.suggestions import suggest
from tamis.core.threads import decide

HELP = """\
tamis prunes the training set of an interatomic potential, retrains, and measures what that did.

  tamis model=ace pruner=fps descriptor=soap budget.fraction=0.2    one trial
  tamis -m model=snap,ace pruner=random,fps                        every combination; the same command again goes on
  tamis -m experiment=demo                                         a planned sweep (--dry-run: measures a few trials)
  tamis -m search=fraction                                         a search by Optuna
{commands}
tamis COMMAND --help says more of each. What follows is Hydra's page: groups, choices and today's configuration.
"""


def main() -> None:
    """Entry point of the console script."""
    decide()
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        sys.exit(_run(words[0], words[1:]))
    if words in (["--help"], ["-h"]):
        lines = "\n".join(f"  tamis {name:<12} {what}" for name, what in COMMANDS.items())
        with importlib.import_module("tamis.commands.endings").in_a_sentence():
            print(HELP.format(commands=lines), flush=True)
    if words and words[0].isidentifier():
        hint = suggest(words[0], COMMANDS)
        sys.exit(
            f"tamis {words[0]} is no command; {hint}there are {', '.join(COMMANDS)}, and settings as key=value"
        )
    sys.argv[1:] = [FLAGS.get(word, word) for word in words]
    importlib.import_module("tamis.commands.run").main()


def _run(name: str, words: Sequence[str]) -> int:
    endings = importlib.import_module("tamis.commands.endings")
    module = importlib.import_module(f"tamis.commands.{name}")
    parser = argparse.ArgumentParser(
        prog=f"tamis {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    with endings.in_a_sentence():
        return int(module.run(parser.parse_intermixed_args(words)))


if __name__ == "__main__":
    main()
