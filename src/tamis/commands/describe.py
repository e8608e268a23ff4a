"""``tamis describe``: what is in files of structures, before anything is computed from them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from tamis.commands.arguments import new_name, set_help
from tamis.core.compose import composed
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.names import quoted
from tamis.data.sources.file import File
from tamis.parts import build_part
from tamis.report.description import WIDTH, Description, say
from tamis.report.overview import picture
from tamis.report.terminal import console_of

SETTING = re.compile(r"[+~]{0,2}dataset\.[\w.@]+(=|$)")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    set_help(
        parser,
        "Say what is in files of structures: what was taken for what, sizes, ranges of energies, forces and stresses "
        "by group, trajectories, what would be refused, and what is suspicious. Draw one picture.",
        "tamis describe set.xyz",
        "tamis describe runs/ 'more/*.xyz' dataset.units=atomic dataset.group_from=folder --out set.png",
    )
    parser.add_argument(
        "words",
        nargs="+",
        metavar="FILE",
        help="a file, a folder or a glob; settings such as dataset.units=atomic may follow",
    )
    parser.add_argument("--out", type=Path, metavar="PNG", help="of the picture; default: described.png here")
    parser.add_argument("--no-picture", action="store_true", help="draw none")


def run(arguments: argparse.Namespace) -> int:
    """Print all that is known; returns 1 if a trial would refuse the set, else 0."""
    description = Description.of_files(source_of(arguments.words))
    console = console_of(WIDTH)
    description.show(console)
    if not arguments.no_picture:
        path = arguments.out or new_name(Path("described.png"))
        write_atomically(path, picture(description.overview).png)
        say(console, "picture", str(path))
    return 1 if description.problems else 0


def source_of(words: Sequence[str]) -> File:
    """The data set of some files and settings, as they are typed.

    Raises
    ------
    TamisError : no file, or a setting that does not exist.
    """
    settings = [word for word in words if SETTING.match(word) and not Path(word).exists()]
    files = [word for word in words if word not in settings]
    if not files:
        raise TamisError("tamis describe needs a file, a folder or a glob beside the settings")
    train = f"dataset.train=[{','.join(map(quoted, files))}]"
    # both follow from the data otherwise, which would be read for it
    unknown = ("dataset.elements=null", "dataset.atom_spacing=null")
    config = composed("dataset=file", train, *unknown, *settings)
    check_config(config.dataset, "dataset.")
    source: File = build_part("dataset", config.dataset)
    return source
