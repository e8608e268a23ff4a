"""Arguments of the commands that read folders: paths, and options as ``key=value``, as everywhere in tamis."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from omegaconf import OmegaConf

from tamis.core.conf_folder import config_folder
from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest


def read_arguments(
    arguments: Sequence[str], options: Mapping[str, str], usage: str
) -> tuple[list[Path], dict[str, str]]:
    """Folders, and the options with their values or defaults.

    Raises
    ------
    TamisError : no folder, or an option that there is not. SystemExit : help was asked for and printed.
    """
    if any(argument in ("-h", "--help") for argument in arguments):
        print(usage)
        sys.exit(0)
    chosen = dict(options)
    folders = []
    for argument in arguments:
        if argument.startswith("--"):
            raise TamisError(f"{argument}: options are written key=value; {usage}")
        key, sign, value = argument.partition("=")
        # a folder may have a = in its name, as those of Hydra often do
        if not sign or _exists(argument):
            folders.append(Path(argument))
        elif key in options:
            chosen[key] = value
        else:
            raise TamisError(f"{key}=... is unknown; {suggest(key, options)}{usage}")
    if not folders:
        raise TamisError(usage)
    return folders, chosen


def _exists(argument: str) -> bool:
    try:
        return Path(argument).exists()
    except OSError:  # longer than any name
        return False


def number_of(options: Mapping[str, str], key: str) -> float:
    """An option as a number of at least 0."""
    try:
        value = float(options[key])
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise TamisError(f"{key}={options[key]}: a number of at least 0 is needed")
    return value


def default_uri() -> str:
    """Where trials are logged unless told otherwise."""
    return str(OmegaConf.load(config_folder() / "config.yaml").tracking.uri)


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
            f"cannot write {folder} ({reason}); make room or rights there, or choose another folder with out=..."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
