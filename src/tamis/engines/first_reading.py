"""Reading a file in another process first: python-ace and QUIP end the process over some damaged files."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from tamis.core.errors import TamisError

LIMIT_S = 120.0
"""A large potential is read in seconds, and the imports take some on a busy machine."""


def read_elsewhere_first(read: Callable[[Path], object], path: Path) -> None:
    """Call ``read(path)`` in a new process, for files that tamis did not write itself.

    Parameters
    ----------
    read : a function of a module, which is imported by its name. path : its argument.

    Raises
    ------
    TamisError : that process died, raised an exception or did not end; says why as far as that is known.
    """
    code = (
        "import sys; from pathlib import Path\n"
        f"from {read.__module__} import {read.__name__} as read\n"
        "read(Path(sys.argv[1]))"
    )
    command = [sys.executable, "-c", code, str(path)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        reason = f"no end after {LIMIT_S:g} s"
    else:
        if done.returncode == 0:
            return
        said = done.stderr.strip().splitlines()
        reason = said[-1][:300] if said else f"the process ended with code {done.returncode}"
    raise TamisError(
        f"{path} cannot be read ({reason}); fit or write the potential again, or copy all its files"
    )


def use_once(calculator: Calculator, elements: Sequence[str]) -> None:
    """Evaluate two atoms of each element, 2.4 Å apart on a cubic grid: some damage shows only then."""
    symbols = [*elements, *elements]
    places = np.argwhere(np.ones((2, 2, len(symbols))))[: len(symbols)]
    calculator.get_property("forces", Atoms(symbols, 2.4 * places))
