"""Where the console scripts begin: the number of threads is decided, then the command's own module is loaded."""

from __future__ import annotations

import importlib

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
    _run("tamis.commands.report")


def compare() -> None:
    """``tamis-compare``."""
    _run("tamis.commands.compare")


def pick() -> None:
    """``tamis-pick``."""
    _run("tamis.commands.pick")


def selections() -> None:
    """``tamis-selections``."""
    _run("tamis.commands.selections")


def sync() -> None:
    """``tamis-sync``."""
    _run("tamis.commands.sync")


def doctor() -> None:
    """``tamis-doctor``."""
    _run("tamis.commands.doctor")


def _run(module: str) -> None:
    decide()
    importlib.import_module(module).main()
