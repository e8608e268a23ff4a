"""Nothing rests on ``assert``, which ``python -O`` takes away; and where a library's do, commands say so."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.crossing import crossed

SOURCE = Path(__file__).parents[2] / "src"


def test_no_module_asserts():
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in sorted(SOURCE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Assert)
    ]
    assert not found, "raise an error, or let the types say it"


@pytest.mark.parametrize(("words", "how"), crossed(["model=snap", "sync here"], ["-O", "PYTHONOPTIMIZE"]))
def test_commands_say_that_python_runs_without_asserts(words, how, tmp_path):
    """ASE's reader of extended XYZ, for one, takes a failed assert for its way to another format."""
    options = ["-O"] if how == "-O" else []
    environment = {**os.environ, **({"PYTHONOPTIMIZE": "1"} if not options else {})}
    done = subprocess.run(
        [sys.executable, *options, "-m", "tamis.cli", *words.split()],
        cwd=tmp_path, capture_output=True, text=True, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "unset PYTHONOPTIMIZE" in done.stderr and "Traceback" not in done.stderr
