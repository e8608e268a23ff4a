"""Where the console scripts begin: the number of threads is decided, then the command's own module is loaded."""

from __future__ import annotations

import importlib

from tamis.threads import decide


def tamis() -> None:
    """``tamis``."""
    _run("tamis.app")


def study() -> None:
    """``tamis-study``."""
    _run("tamis.study.cli")


def best() -> None:
    """``tamis-best``."""
    _run("tamis.best")


def report() -> None:
    """``tamis-report``."""
    _run("tamis.report.command")


def compare() -> None:
    """``tamis-compare``."""
    _run("tamis.report.compare")


def pick() -> None:
    """``tamis-pick``."""
    _run("tamis.report.pick")


def selections() -> None:
    """``tamis-selections``."""
    _run("tamis.study.selections")


def sync() -> None:
    """``tamis-sync``."""
    _run("tamis.sync")


def doctor() -> None:
    """``tamis-doctor``."""
    _run("tamis.doctor")


def _run(module: str) -> None:
    decide()
    importlib.import_module(module).main()
