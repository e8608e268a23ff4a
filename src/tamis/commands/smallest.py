"""``tamis smallest``: the smallest training set that keeps a model within some percent of the whole pool's errors."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

from tamis.commands import FLAGS
from tamis.commands.arguments import set_help

SETTINGS = ("within", "errors", "pruners", "splits", "resolution")
"""Settings of the search, typed under their own names."""
LISTS = ("errors", "pruners")
SWEEPER = "hydra.sweeper"
PLACE = "hydra.sweep.dir"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    set_help(
        parser,
        "Find the smallest training set that keeps a model's validation errors within some percent of those of the "
        "whole pool: tries several ways of choosing, narrows the size down, and leaves the set, its potential and a "
        "page that says why. The same command again resumes.",
        "tamis smallest data=my_set.xyz model=ace within=10",
        "tamis smallest dataset=mlearn dataset.element=Ge model=snap within=5 splits=5",
        "tamis smallest data=my_set.xyz model=ace pruners=fps,random descriptor=soap,ace errors=forces",
    )
    parser.add_argument(
        "words",
        nargs="*",
        metavar="KEY=VALUE",
        help="within (%%, default 10), splits (3), errors (forces,energies), pruners (optimal,fps,stratified,random), "
        "resolution (%%, 4); data=FILE is short for dataset=file dataset.train=FILE; and all that may be typed for a "
        "trial, but for its pruner, budget and seeds",
    )
    for flag, what in zip(
        FLAGS, ("say how long the first rounds would take", "run failed trials again"), strict=True
    ):
        parser.add_argument(flag, action="store_true", help=what)


def run(arguments: argparse.Namespace) -> int:
    """Hand the words to Hydra as a sweep; returns the exit status."""
    from tamis.commands.run import main  # hydra: help is shown without

    flags = [setting for flag, setting in FLAGS.items() if getattr(arguments, flag[2:].replace("-", "_"))]
    sys.argv[1:] = [*overrides(arguments.words), *flags]
    main()
    return 0


def overrides(words: Sequence[str]) -> list[str]:
    """The words as Hydra reads them; the sweep's folder is named after those that a trial depends on."""
    from tamis.sweeps.job import sweep_name

    given = [line for word in words for line in _lines(word)]
    place = f"{PLACE}=multirun/{sweep_name('smallest', given)}"
    named = any(line.startswith(f"{PLACE}=") for line in given)
    return ["-m", "hydra/sweeper=smallest", *given, *([] if named else [place])]


def _lines(word: str) -> Iterator[str]:
    key, sign, value = word.partition("=")
    if key == "data" and sign:
        yield from ("dataset=file", f"dataset.train={value}")
    elif key in SETTINGS and sign:
        value = value.removesuffix("%")
        yield f"{SWEEPER}.{key}={f'[{value}]' if key in LISTS and not value.startswith('[') else value}"
    else:
        yield word
