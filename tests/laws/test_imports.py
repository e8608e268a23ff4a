"""Imports go down only (docs/architecture.md), in every module, plugins and names in strings included; no circles."""

import ast
import re
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
FLOORS = (
    "core",
    "engines",
    "data",
    "bases",
    "store",
    "selection",
    "models",
    "evaluation",
    "records",
    "analysis",
    "parts",
    "trial",
    "tracking",
    "report",
    "api",
    "testing",
    "sweeps",
    "commands",
    "cli",
    "hydra_plugins",
)
FLOOR = {name: number for number, name in enumerate(FLOORS)}
NAME = re.compile(r"(?:tamis|hydra_plugins)(?:\.\w+)+")
MODULES = {
    ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(SOURCE.rglob("*.py"))
}


def module_of(name: str) -> str | None:
    """The module that a dotted name leads to, or into; None where it leads nowhere."""
    parts = name.split(".")
    for n in range(len(parts), 1, -1):
        if (module := ".".join(parts[:n])) in MODULES:
            return module
    return None


@cache
def imported(module: str) -> frozenset[str]:
    """Modules that a file imports, also inside functions, and those that its strings name."""
    names = []
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and NAME.fullmatch(node.value):
            names.append(node.value)
    return frozenset(found for name in names if (found := module_of(name))) - {module}


def unit_of(module: str) -> str:
    """The part of the house that a module stands in."""
    first, *rest = module.split(".")
    return rest[0] if first == "tamis" and rest else first


def test_every_module_has_a_floor():
    assert {unit_of(module) for module in MODULES} == {*FLOOR, "tamis"}


def test_imports_go_down():
    upwards = [
        f"{module} (floor {FLOOR[unit_of(module)]}) imports {name}"
        for module in MODULES
        if module != "tamis"
        for name in imported(module)
        if name != "tamis" and FLOOR[unit_of(name)] > FLOOR[unit_of(module)]
    ]
    assert not upwards


def test_no_module_imports_a_plugin():
    for module in MODULES:
        if unit_of(module) != "hydra_plugins":
            assert not {name for name in imported(module) if unit_of(name) == "hydra_plugins"}, module


def test_only_tracking_imports_mlflow():
    importers = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (getattr(node, "module", None), *(alias.name for alias in node.names))
        if name and name.partition(".")[0] == "mlflow"
    }
    assert importers and {unit_of(module) for module in importers} == {"tracking"}


def test_modules_form_no_circle():
    graph = {module: imported(module) for module in MODULES}
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")
