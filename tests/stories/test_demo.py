"""``make demo`` as it is typed: all five models on sets pruned with all five descriptors."""

import csv
import subprocess
import sys

import pytest

MODELS = {"snap", "ace", "chimes", "gap", "nnp_quick"}
DESCRIPTORS = {"snap", "ace", "chimes", "soap", "acsf"}
OWN = {"snap": "snap", "ace": "ace", "chimes": "chimes", "gap": "soap", "nnp_quick": "acsf"}


@pytest.mark.slow
def test_the_demo_fills_the_matrix(tmp_path):
    command = [sys.executable, "-m", "tamis.cli", "-m", "experiment=demo", "hydra.sweep.dir=sweep"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0 and "failed" not in done.stdout, done.stdout + done.stderr
    assert done.stdout.count("relative to random") == 2  # one matrix a budget
    with (tmp_path / "sweep" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    pruned = [row for row in rows if row["pruner"] == "fps"]
    assert {(row["model"], row["descriptor"]) for row in pruned} == {
        (m, d) for m in MODELS for d in DESCRIPTORS
    }
    assert {(row["model"], row["descriptor"]) for row in pruned if row["own"] == "True"} == set(OWN.items())
    assert {row["model"] for row in rows if row["pruner"] == "random"} == MODELS
    assert len(rows) == 2 * len(MODELS) * (1 + len(DESCRIPTORS))
