"""Where the configuration files are."""

from __future__ import annotations

from pathlib import Path


def config_folder() -> Path:
    """``tamis/conf`` of an installed package, or ``conf`` at the top of a checkout."""
    installed = Path(__file__).parents[1] / "conf"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "conf"
