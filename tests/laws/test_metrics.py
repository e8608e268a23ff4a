"""Metrics have their names from ``tamis.core.metrics``, which has the unit and the direction of each."""

import ast
import re
from pathlib import Path

import pytest

from tamis.core import metrics
from tamis.core.metrics import unit_of

SOURCE = Path(__file__).parents[2] / "src"
LISTED = [name for names in metrics.METRICS.values() for name in names]
A_NAME = re.compile(
    "|".join(re.escape(name).replace(r"\{\}", "[^/ ]*") for name in LISTED)
    + r"|.*_error_(percent|eV).*|(train|validation|test|kept|fit|seconds|memory|properties|md)/.*",
    re.DOTALL,
)


def literals(path: Path) -> list[tuple[int, str]]:
    """Line and text of all strings in a file, but for those that document something."""
    tree = ast.parse(path.read_text())
    documents = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents
    ]


def test_no_name_of_a_metric_is_a_literal():
    found = [
        f"{path.relative_to(SOURCE)}:{line} {text}"
        for path in sorted(SOURCE.rglob("*.py"))
        if path != SOURCE / "tamis" / "core" / "metrics.py"
        for line, text in literals(path)
        if A_NAME.fullmatch(text)
    ]
    assert not found


def test_no_metric_is_listed_twice():
    assert len(set(LISTED)) == len(LISTED)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("test/force_mae_eV_per_A", "eV/Å"),
        ("validation/stress_rmse_GPa/a group, or\nwhat a user calls one", "GPa"),
        ("train/energy_mae_meV_per_atom", "meV/atom"),
        ("kept/atoms", ""),
        ("seconds/fit", "s"),
        ("memory/process_peak_MiB", "MiB"),
        ("fit/energy_weight_per_A", "1/Å"),
        ("properties/elastic_C11_GPa", "GPa"),
        ("properties/elastic_C11_error_percent", "%"),
        ("properties/vacancy_formation_error_eV", "eV"),
        ("properties/surface_110_unrelaxed_J_per_m2", "J/m²"),
        ("properties/phonon_gamma_lowest_THz", "THz"),
        ("properties/failed", ""),
        ("md/stable_fraction/NVT_300K", ""),
        ("md/nve_drift_meV_per_atom_per_ps", "meV/atom/ps"),
        ("md/ms_per_step", "ms/step"),
        ("md/outside_kept_own_space_fraction/NVT_300K", ""),
        ("properties/from_another_package_eV", "eV"),
    ],
)
def test_a_name_tells_the_unit(name, unit):
    assert unit_of(name) == unit
