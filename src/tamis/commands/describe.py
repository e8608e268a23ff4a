"""``tamis describe``: what is in files of structures, before anything is computed from them."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra import compose, initialize_config_dir
from rich.console import Console
from rich.markup import escape

from tamis.commands.arguments import new_name, set_help
from tamis.core.conf_folder import config_folder
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.core.messages import listed
from tamis.core.names import printable, quoted
from tamis.core.resolvers import register_resolvers
from tamis.data.checks import examine
from tamis.data.dataset import Dataset
from tamis.data.dealing import test_in_words
from tamis.data.overview import Overview
from tamis.data.sources.file import File
from tamis.data.sources.spacing import spacing_of
from tamis.data.trajectories import trajectories
from tamis.parts import build_part
from tamis.report.document import count
from tamis.report.overview import group_table, picture
from tamis.report.terminal import console_of, show

SETTING = re.compile(r"[+~]{0,2}dataset\.[\w.@]+(=|$)")
SHOWN = 10
"""Problems or doubts of a kind."""


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
    source = source_of(arguments.words)
    dataset, problems = source.read()
    console = console_of(width=160)
    for line in dataset.read_as.splitlines():
        _say(console, "read", line)
    if not len(dataset):
        raise TamisError("nothing is left of the data set; correct dataset.drop")
    overview = Overview.of(dataset)
    for line in sentences(overview):
        _say(console, "has", line)
    show(group_table(overview), console)
    found = examine(dataset, source.elements or dataset.elements, source.tolerances, source.typed_factors)
    for line in on_dependence(source, found.sound):
        _say(console, "test", line)
    _tell(console, "refused", "red", [*problems, *found.problems])
    _tell(console, "look at", "yellow", found.doubts)
    if not arguments.no_picture:
        path = arguments.out or new_name(Path("described.png"))
        write_atomically(path, picture(overview).png)
        _say(console, "picture", str(path))
    return 1 if problems or found.problems else 0


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
    register_resolvers()
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        # both follow from the data otherwise, which would be read for it
        config = compose(
            "config", ["dataset=file", train, "dataset.elements=null", "dataset.atom_spacing=null", *settings]
        )
    check_config(config.dataset, "dataset.")
    source: File = build_part("dataset", config.dataset)
    return source


def sentences(overview: Overview) -> Iterator[str]:
    """Sizes, elements and periodicity."""
    dataset, whole = overview.dataset, overview.whole()
    groups = count(len(overview.groups()), "group")
    yield f"{count(whole.structures, 'structure')} with {whole.atoms:,} atoms, in {groups}"
    elements = ", ".join(f"{symbol} ({n:,} atoms)" for symbol, n in overview.atoms_of_elements())
    yield f"elements {elements}; {count(overview.compositions, 'composition')}"
    directions = [int(atoms.pbc.sum()) for atoms in dataset.structures]
    kinds = ((3, "periodic"), (2, "slabs"), (1, "wires"), (0, "not periodic"))
    yield "; ".join(f"{directions.count(n):,} {name}" for n, name in kinds if n in directions)
    try:
        yield f"atom_spacing {spacing_of(dataset):g} Å, by which default cutoffs scale"
    except TamisError as error:
        yield str(error)


def on_dependence(source: File, sound: Dataset) -> Iterator[str]:
    """Trajectories, what kind of test a trial would make, and free atoms."""
    found = [f"{sound.ids[a]} to {sound.ids[b]}" for a, b in trajectories(sound.structures, sound.groups)]
    if found:
        yield f"trajectories, by the positions: {listed(found, 3)}"
    if len(sound):
        drawn = source.with_test(sound)
        yield test_in_words(drawn.test_kind, int(drawn.is_test.sum()), len(drawn))
        yield from drawn.notes


def _tell(console: Console, what: str, colour: str, lines: Sequence[str]) -> None:
    for line in lines[:SHOWN]:
        _say(console, what, line, colour)
    if len(lines) > SHOWN:
        _say(console, what, f"... and {len(lines) - SHOWN} more", colour)


def _say(console: Console, what: str, line: str, colour: str = "bold") -> None:
    console.print(f"[{colour}]{f'{what}:':<9}[/]{escape(printable(line))}", highlight=False, soft_wrap=True)
