"""Importing packages that only some choices need."""

from __future__ import annotations

import importlib
from typing import Any

from tamis.core.errors import MissingEngineError


def import_engine(module: str, needed_by: str, extra: str) -> Any:
    """A module of an optional package.

    Parameters
    ----------
    module : its dotted name. needed_by : the choice that needs it. extra : the extra of tamis that installs it.

    Raises
    ------
    MissingEngineError : it cannot be imported; says how to get it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingEngineError(
            f"{needed_by} needs the package {module.split('.')[0]}, which cannot be imported ({error}); "
            f'pip install "tamis[{extra}]"'
        ) from error
