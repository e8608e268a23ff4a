"""The ``tamis`` command: its first word chooses a subcommand; without one Hydra reads the rest."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from tamis.commands import COMMANDS, FLAGS
from tamis.commands.endings import in_a_sentence
from tamis.core.plugins import config_folders
from tamis.core.suggestions import suggest
from tamis.core.threads import decide

HELP = """\
tamis prunes the training set of an interatomic potential, retrains, and measures what that did.

  tamis model=ace pruner=fps descriptor=soap budget.fraction=0.2    one trial
  tamis -m model=snap,ace pruner=random,fps                        every combination; the same command again resumes
  tamis -m experiment=demo                                         a planned sweep (--dry-run: measures a few trials)
  tamis -m search=fraction                                         a search by Optuna
{commands}
tamis COMMAND --help says more of each. Choices of each group, typed as group=choice:

{groups}
tamis --cfg job shows the configuration, whose values are typed as key=value; tamis --hydra-help the flags of Hydra.
"""


def main() -> None:
    """Entry point of the console script."""
    decide()
    words = sys.argv[1:]
    if words and words[0] in COMMANDS:
        sys.exit(_run(words[0], words[1:]))
    if words in (["--help"], ["-h"]):
        with in_a_sentence():
            print(_help(), flush=True)
        return
    if words and words[0].isidentifier():
        hint = suggest(words[0], COMMANDS)
        sys.exit(
            f"tamis {words[0]} is no command; {hint}there are {', '.join(COMMANDS)}, and settings as key=value"
        )
    sys.argv[1:] = [FLAGS.get(word, word) for word in words]
    importlib.import_module("tamis.commands.run").main()


def _help() -> str:
    """Commands and choices, without the seconds that Hydra takes for its page."""
    choices: dict[str, list[str]] = {}
    for folder in config_folders():
        for path in sorted(folder.glob("*/**/*.yaml")):
            choices.setdefault(str(path.parent.relative_to(folder)), []).append(path.stem)
    return HELP.format(
        commands="\n".join(f"  tamis {name:<12} {what}" for name, what in COMMANDS.items()),
        groups="\n".join(f"  {group:<22} {', '.join(names)}" for group, names in choices.items()),
    )


def _run(name: str, words: Sequence[str]) -> int:
    module = importlib.import_module(f"tamis.commands.{name}")
    parser = argparse.ArgumentParser(
        prog=f"tamis {name}",
        description=module.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    module.add_arguments(parser)
    with in_a_sentence():
        return int(module.run(parser.parse_intermixed_args(words)))


if __name__ == "__main__":
    main()
