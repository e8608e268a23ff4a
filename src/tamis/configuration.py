"""Where the configuration files are, and the few functions that they may call."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from tamis.exceptions import TamisError


def config_folder() -> Path:
    """``tamis/conf`` of an installed package, ``conf`` on top of a checkout."""
    installed = Path(__file__).parent / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "conf"


def register_resolvers() -> None:
    """Make ``${tamis.times:a,b}`` and ``${tamis.by:key,{...}}`` known to OmegaConf."""
    OmegaConf.register_new_resolver("tamis.times", _times, replace=True)
    OmegaConf.register_new_resolver("tamis.by", _by, replace=True)


def _times(a: float, b: float) -> float:
    return round(float(a) * float(b), 6)  # a config is read by people, and hashed


def _by(key: str, table: Mapping[str, Any]) -> Any:
    if key not in table:
        raise TamisError(f"{key!r} is unknown; choose one of {', '.join(map(str, table))}")
    return table[key]
