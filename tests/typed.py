"""Commands as they are typed, in this process, which saves seconds of imports."""

import argparse
import contextlib
import io
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from unittest import mock

from tamis.cli import FLAGS
from tamis.commands.endings import in_a_sentence


def typed(command: ModuleType, *arguments: object) -> int:
    """The exit status of a module of ``tamis.commands`` with these arguments; errors end as on the command line."""
    parser = argparse.ArgumentParser(prog=f"tamis {command.__name__.rpartition('.')[2]}")
    command.add_arguments(parser)
    try:
        with in_a_sentence():
            return int(command.run(parser.parse_args(list(map(str, arguments)))))
    except SystemExit as ended:
        return int(ended.code or 0)


def tamis_here(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``tamis <words>`` typed in ``folder``; sweeps run on the basic launcher, and MLflow has its database there."""
    from tamis.commands.run import main
    from tamis.sweeps import running

    given = ["tamis", *(FLAGS.get(word, word) for word in words)]
    if not any(word.startswith(("tracking=", "tracking.uri=")) for word in words):
        given.append(f"tracking.uri={database(folder)}")
    if "-m" in words and not any(word.startswith("hydra/launcher=") for word in words):
        given.append("hydra/launcher=basic")
    running._built.cache_clear()  # what has relative paths belongs to another folder
    out, err = io.StringIO(), io.StringIO()
    handlers, level = logging.root.handlers[:], logging.root.level
    with (
        contextlib.chdir(folder),
        mock.patch.dict(os.environ),
        mock.patch.object(sys, "argv", given),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        os.environ.pop("HYDRA_FULL_ERROR", None)  # set by an earlier call: errors would go to developers
        try:
            main()
            status = 0
        except SystemExit as end:
            status = int(end.code or 0)
        finally:
            logging.root.handlers[:] = handlers
            logging.root.setLevel(level)
    return subprocess.CompletedProcess(given, status, out.getvalue(), err.getvalue())


def database(folder: Path) -> str:
    """The address of the database that ``tamis`` makes there; a relative one would stay in the first folder."""
    return f"sqlite:///{folder}/mlruns/mlflow.db"
