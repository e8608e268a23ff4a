"""Where the console scripts begin: the number of threads is decided, then the command's own module is loaded."""

from __future__ import annotations

import argparse
import importlib
import sys

from tamis.core.threads import decide


def tamis() -> None:
    """``tamis``."""
    _run("tamis.commands.run")


def study() -> None:
    """``tamis-study``."""
    _run("tamis.study.cli")


def best() -> None:
    """``tamis-best``."""
    _run("tamis.commands.best")


def report() -> None:
    """``tamis-report``."""
    _run_with_arguments("tamis.commands.report")


def compare() -> None:
    """``tamis-compare``."""
    _run_with_arguments("tamis.commands.compare")


def pick() -> None:
    """``tamis-pick``."""
    _run_with_arguments("tamis.commands.pick")


def sync() -> None:
    """``tamis-sync``."""
    _run("tamis.commands.sync")


def doctor() -> None:
    """``tamis-doctor``."""
    _run("tamis.commands.doctor")


def _run(module: str) -> None:
    decide()
    importlib.import_module(module).main()


def _run_with_arguments(module: str) -> None:
    decide()
    command, endings = importlib.import_module(module), importlib.import_module("tamis.commands.endings")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    with endings.in_a_sentence():
        sys.exit(command.run(parser.parse_args()))
