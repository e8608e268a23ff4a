"""A trial computes on one thread, whatever the machine's settings and whoever starts it; a user may ask for more."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from tamis import cli as commands
from tamis.core import threads
from tamis.core.errors import TamisError

TRIAL = (
    *("dataset=sw_silicon", "descriptor=snap", "descriptor.twojmax=2", "model=snap", "model.basis.twojmax=2"),
    *(
        "budget=structures",
        "budget.n_structures=4",
        "tracking=null",
        "artifacts=false",
        "hydra.run.dir=out",
    ),
)
AT_THE_END = """
import atexit, json, sys
def tell():
    import numba
    from threadpoolctl import threadpool_info, threadpool_limits
    found = [pool["num_threads"] for pool in threadpool_info()]
    print("\\nTHREADS", json.dumps([found, numba.get_num_threads()]))
atexit.register(tell)
"""
BY_SCRIPT = "from tamis.cli import main; main()"
BY_MODULE = "import runpy; runpy.run_module('tamis.cli', run_name='__main__')"


def told(program: str, arguments: tuple[str, ...], folder: Path, **settings: str) -> tuple[list[int], int]:
    """Threads of every pool that a command has loaded, and of numba, at its end."""
    many = {
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "4",
        "NUMBA_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "5",
    }
    clean = {k: v for k, v in os.environ.items() if k not in (*threads.environment(1), threads.ASKED)}
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_END + program, *arguments],
        **{"cwd": folder, "env": clean | many | settings},
        **{"capture_output": True, "text": True},
    )
    assert done.returncode == 0, done.stderr
    found, of_numba = json.loads(done.stdout.split("THREADS ")[1])
    return found, of_numba


def test_a_trial_computes_on_one_thread(tmp_path, furnished):
    pools, of_numba = told(BY_SCRIPT, (*TRIAL, f"store.root={tmp_path}/store"), furnished(tmp_path))
    assert len(pools) > 1 and set(pools) == {of_numba} == {1}
    assert (tmp_path / "out" / "record.json").exists()


def test_the_module_decides_as_the_script_does(tmp_path):
    pools, of_numba = told(BY_MODULE, ("--help",), tmp_path)
    assert set(pools) == {of_numba} == {1}


def test_a_user_may_ask_for_more(tmp_path):
    pools, _ = told(BY_SCRIPT, ("--help",), tmp_path, TAMIS_THREADS="2")
    assert set(pools) == {2}


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5", "", "²"])
def test_what_is_no_number_of_threads_is_told(text, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", BY_SCRIPT, "--help"],
        **{"env": {**os.environ, "TAMIS_THREADS": text}, "capture_output": True, "text": True},
    )
    assert done.returncode == 1 and done.stderr.startswith(f"TAMIS_THREADS is {text!r}; give ")


def test_inside_somebody_elses_process_settings_come_back(monkeypatch):
    import numpy as np  # noqa: F401 - a pool

    monkeypatch.delenv(threads.ASKED, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with threadpool_limits(2):
        before = [pool["num_threads"] for pool in threadpool_info()]
        with pytest.raises(TamisError), threads.limited():
            assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
            raise TamisError("a trial fails")
        assert os.environ["OMP_NUM_THREADS"] == "3" and "MKL_NUM_THREADS" not in os.environ
        assert [pool["num_threads"] for pool in threadpool_info()] == before and 2 in before


def test_importing_tamis_decides_nothing():
    program = "import os; before = dict(os.environ); import tamis.trial; assert dict(os.environ) == before"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_every_script_decides_before_it_loads_anything():
    scripts = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]["scripts"]
    for name, place in scripts.items():
        module, function = place.split(":")
        assert module == "tamis.cli", f"{name} begins elsewhere"
        assert callable(getattr(commands, function))
    loaded = "import sys, tamis.cli; assert not {'numpy', 'scipy', 'hydra'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)


def test_the_command_decides_before_it_imports_what_it_runs(monkeypatch):
    started = []
    monkeypatch.setattr(sys, "argv", ["tamis"])
    monkeypatch.setattr(commands, "decide", lambda: started.append("decided"))
    monkeypatch.setattr(
        commands.importlib, "import_module", lambda module: started.append(module) or Main(started)
    )
    commands.main()
    assert started == ["decided", "tamis.commands.run", "main"]


class Main:
    def __init__(self, started):
        self.main = lambda: started.append("main")
