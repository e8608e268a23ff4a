"""What a command loads, and what kernels may not hold: both are seconds that a user waits."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
HEAVY = ("mlflow", "matplotlib", "pandas", "sklearn", "sqlalchemy", "dask")


@pytest.mark.slow
def test_a_trial_loads_no_library_that_it_does_not_use(tmp_path, furnished):
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print('loaded', sorted({set(HEAVY)} & sys.modules.keys())))\n"
        "from tamis.cli import main; main()"
    )
    typed = [sys.executable, "-c", code, "pruner=random", "descriptor=none", "tracking=null"]
    done = subprocess.run(typed, cwd=furnished(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "loaded []"


def test_a_program_that_imports_tamis_waits_for_nothing():
    code = "import sys, tamis; assert 'prune' in dir(tamis); print(sorted({'numpy', 'hydra'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_the_python_interface_loads_no_library_that_it_does_not_use():
    code = f"import sys, tamis; tamis.prune; print(sorted({set(HEAVY)} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def kernels(source: str) -> Iterator[ast.FunctionDef]:
    """Functions that numba compiles."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef) and any("njit" in ast.unparse(d) for d in node.decorator_list):
            yield node


def slices_set_to_arrays(kernel: ast.FunctionDef) -> list[str]:
    """Assignments of anything but a number to a part of an array, such as ``a[:n] = b``."""
    found = []
    for node in ast.walk(kernel):
        if not isinstance(node, ast.Assign):
            continue
        targets, values = node.targets, [node.value] * len(node.targets)
        if isinstance(targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple):
            targets, values = targets[0].elts, node.value.elts
        for one, value in zip(targets, values, strict=True):
            parts = any(isinstance(part, ast.Slice) for part in ast.walk(one))
            if isinstance(one, ast.Subscript) and parts and not isinstance(value, ast.Constant):
                found.append(ast.unparse(node))
    return found


def test_kernels_set_no_slice_to_an_array():
    """For the sentence about shapes that differ, numba compiles all it knows of strings: seconds for each kernel."""
    found = [
        f"{path.relative_to(SOURCE)}, {kernel.name}: {line}"
        for path in sorted(SOURCE.rglob("*.py"))
        for kernel in kernels(path.read_text())
        for line in slices_set_to_arrays(kernel)
    ]
    assert not found


def test_the_look_at_kernels_finds_what_it_looks_for():
    kernel = (
        "@njit(cache=True)\ndef f(a, b, n):\n    a[:] = 0.0\n    a[n] = b[n]\n    a[:n], b[n] = b[1:], 1.0\n"
    )
    (one,) = kernels(kernel)
    assert len(slices_set_to_arrays(one)) == 1
