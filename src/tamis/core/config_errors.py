"""Errors of Hydra and OmegaConf, in words that a user can act on."""

from __future__ import annotations

import re

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import ConfigKeyError, OmegaConfBaseException

from tamis.core.errors import DataError, TamisError, causes
from tamis.core.messages import reason_of
from tamis.core.names import printable, said_of
from tamis.core.plugins import problems
from tamis.core.suggestions import suggest, unknown_setting


def sentence(error: Exception) -> str:
    """What a user is told of an error; empty where it is a fault of the program, which needs its traceback."""
    if isinstance(error, HydraException | OmegaConfBaseException | TamisError | OSError):
        return explain(error)
    if reason := said_of(error):
        return reason
    if isinstance(error.__cause__, OSError):  # logging says "Unable to configure handler" for a full disk
        return explain(error.__cause__)
    if not raised_by_hydra(error):
        return ""
    return f"what was typed is not understood ({reason_of(error)}); write group=choice and key=value"


def explain(error: Exception) -> str:
    """Turn an error of Hydra or OmegaConf into a sentence that says what is allowed and what to do."""
    if data := _data_error(error):
        return str(data)
    cause = error if isinstance(error, OmegaConfBaseException) else error.__cause__
    if isinstance(error, MissingConfigException) and error.options and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.rpartition("/")
        options = ", ".join(error.options)
        broken = "".join(f"; {problem}" for problem in problems())
        return f"{group}={choice} is not a choice; {suggest(choice, error.options)}choose one of {options}{broken}"
    if isinstance(cause, ConfigKeyError | AttributeError) and isinstance(cause, OmegaConfBaseException):
        parent = cause.parent_node
        return unknown_setting(str(cause.full_key), parent if isinstance(parent, DictConfig) else ())
    if missing := re.search(r"Missing mandatory value: (\S+)", str(cause)):
        return f"{missing[1]} has no value; give it, as {missing[1]}=..."
    if isinstance(cause, OmegaConfBaseException) and cause.full_key:
        reason = str(cause).splitlines()[0].split("while resolving interpolation: ")[-1]
        return f"{cause.full_key} cannot be worked out: {reason}"
    if isinstance(error, OverrideParseException) and printable(error.override) != error.override:
        return (
            f"{printable(error.override)} is no UTF-8, which Hydra takes between quotes only: write "
            """'key="value"', or give the file another name"""
        )
    if isinstance(error, OverrideParseException):
        return (
            f"{error.override} is not understood; write key=value, and double quotes inside single ones around values "
            """with # : { } and the like, such as 'dataset.drop=["train.xyz#12"]'"""
        )
    if isinstance(error, OSError) and not isinstance(error, HydraException):
        return (
            f"cannot write {error.filename or 'a file'} ({error.strerror or error}); make room or rights there, or "
            "choose another folder with hydra.run.dir=... (a single run) or hydra.sweep.dir=... (a sweep)"
        )
    return (
        str(error)
        or f"what was typed is not understood ({type(error).__name__}); write group=choice and key=value"
    )


def _data_error(error: BaseException | None) -> DataError | None:
    """The error that a resolver raised, unwrapped from those of OmegaConf and Hydra."""
    return next((one for one in causes(error) if isinstance(one, DataError)), None)


def raised_by_hydra(error: Exception) -> bool:
    """Whether Hydra or OmegaConf raised the error, over input such as ``model=1.5`` or ``model=[1]``."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    name = "" if place is None else str(place.tb_frame.f_globals.get("__name__", ""))
    return name.split(".")[0] in ("hydra", "omegaconf")
