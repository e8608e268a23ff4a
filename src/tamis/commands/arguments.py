"""Arguments that commands share, and names of what they write."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError

if TYPE_CHECKING:
    from tamis.report.links import Links


def set_help(parser: argparse.ArgumentParser, description: str, *examples: str) -> None:
    """Set the description and the examples of ``--help``."""
    parser.description = textwrap.fill(description, 80)
    parser.epilog = "\n".join(["examples:", *(f"  {example}" for example in examples)])
    parser.formatter_class = argparse.RawDescriptionHelpFormatter


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Folders of trials."""
    parser.add_argument(
        "folders",
        nargs="+",
        type=Path,
        metavar="FOLDER",
        help="of a sweep, or of anything with trials below it",
    )


def add_tracking(parser: argparse.ArgumentParser) -> None:
    """Addresses of MLflow, for links to the trials' runs."""
    parser.add_argument("--tracking", metavar="URI", help="of MLflow; default: that of the configuration")
    parser.add_argument(
        "--ui", metavar="URL", help="where mlflow ui runs; default: port 5000 of this machine"
    )


def links_of(arguments: argparse.Namespace) -> Links:
    """The runs that ``add_tracking``'s arguments lead to."""
    from omegaconf import OmegaConf  # help is shown without

    from tamis.report.links import UI, read_links

    uri = arguments.tracking or OmegaConf.load(config_folder() / "config.yaml").tracking.uri
    return read_links(uri, arguments.ui or UI)


def percent(text: str) -> float:
    """``10%`` or ``10`` as 10.0."""
    return amount(text.removesuffix("%"))


def amount(text: str) -> float:
    """A number of at least 0."""
    value = float(text)  # argparse makes a sentence of a ValueError
    if not 0.0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not allowed; give a number of at least 0")
    return value


def new_name(wanted: Path) -> Path:
    """The path, or one with a number behind its name: nothing is overwritten."""
    path, n = wanted, 1
    while path.exists():
        n += 1
        path = wanted.with_name(f"{wanted.stem}-{n}{wanted.suffix}")
    return path


@contextmanager
def appears_whole(folder: Path) -> Iterator[Path]:
    """A scratch folder that is renamed to ``folder`` at the end of the block; after an error or a kill it is not.

    Raises
    ------
    TamisError : something cannot be written there.
    """
    scratch = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        yield scratch
        scratch.rename(folder)
    except OSError as error:
        reason = error.strerror or str(error)  # copying a folder tells all its errors in one
        raise TamisError(
            f"cannot write {folder} ({reason}); make room or rights there, or choose another folder with --out"
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
