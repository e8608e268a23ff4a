"""Imports go down only (docs/architecture.md): a module imports what stands on lower floors, or its own package."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "tamis"
FLOORS = (
    ("exceptions", "units", "configuration", "files", "progress", "secrets", "geometry", "trust"),
    ("lammps", "statistics", "copies", "dealing", "signal"),
    ("dataset", "crystal", "trajectories"),
    ("checks", "sources"),
    ("bases",),
    ("store", "memory"),
    ("pruners", "latent"),
    ("models",),
    ("evaluation",),
    ("record", "record_shape", "retired", "parents", "tracking"),
    ("parts", "trial"),
    ("report", "search_plots", "search_runs", "best", "sweep", "app", "doctor", "endings", "sync", "study"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}


def modules() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if "conf" not in path.parts)


def imported(path: Path) -> set[str]:
    """First names below ``tamis`` that a file imports, also inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tamis."):
            names.add((node.module or "").split(".")[1])
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tamis.")}
    return names


def unit_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_every_module_has_a_floor():
    assert {unit_of(path) for path in modules()} - {"__init__"} == set(FLOOR)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_down(path):
    own = unit_of(path)
    if own != "__init__":
        upwards = {name for name in imported(path) if name != own and FLOOR[name] > FLOOR[own]}
        assert not upwards, f"{path.name} on floor {FLOOR[own]} imports {upwards} from above"
