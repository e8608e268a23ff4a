"""The example of a plug-in is installed, passes the laws that tamis offers, and is swept outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tamis.records.record import COMPLETE, read_record

EXAMPLE = Path(__file__).parents[2] / "examples" / "plugin"


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """Variables with which Python finds the installed example."""
    source = shutil.copytree(
        EXAMPLE, tmp_path_factory.mktemp("source") / "plugin"
    )  # building leaves files there
    target = tmp_path_factory.mktemp("installed")
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    subprocess.run(
        [*install, "--target", str(target), str(source)], check=True, capture_output=True, timeout=120
    )
    places = [str(target), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(places)}


def call(environment: dict[str, str], folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_example_passes_the_laws(environment, tmp_path):
    tests = shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    said = call(environment, tmp_path, "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", str(tests))
    assert "passed" in said


def test_a_sweep_has_the_choice_of_the_plug_in(environment, tmp_path):
    parts = ("descriptor=radial_moments,snap", "pruner=fps", "model=snap", "tracking=null")
    small = ("model.basis.twojmax=4", "hydra/launcher=basic", "hydra.sweep.dir=sweep")
    call(environment, tmp_path, "tamis.cli", "-m", *parts, *small)
    records = [read_record(path.parent) for path in (tmp_path / "sweep").glob("*/record.json")]
    assert [record.status for record in records] == [COMPLETE, COMPLETE]
    assert {record.config["choices"]["descriptor"] for record in records} == {"radial_moments", "snap"}


def test_the_doctor_names_it(environment, tmp_path):
    assert "descriptor/radial_moments" in call(environment, tmp_path, "tamis.cli", "doctor")
