"""Faults at counted steps: nothing is lost, nothing is there twice, no file is half (docs/faults.md)."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults import injector
from tests.faults.injector import DEADLY, KINDS, Fault, Injector

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(bool(injector.why_not()), reason=injector.why_not())


def campaign(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.faults.campaign", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def check(done: subprocess.CompletedProcess[str], least: int) -> None:
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    told = re.search(r"^(\d+) faults injected in \d+ cases, 0 with a violation", done.stdout, re.MULTILINE)
    assert told and int(told[1]) >= least


def test_files_survive_faults():
    check(campaign("--each", "15", "--only", "record", "archive"), 30)


def test_a_search_survives_faults():
    check(campaign("--each", "6", "--only", "search on SQLite"), 6)


def test_a_careless_program_is_found_out():
    done = campaign("--each", "25", "--only", "careless")
    assert done.returncode == 1
    assert "record.json is damaged" in done.stdout and "a stage is told twice" in done.stdout


def test_results_are_kept_and_not_run_again(tmp_path):
    results = tmp_path / "results.jsonl"
    check(campaign("--each", "3", "--only", "record", "--resume", str(results)), 3)
    before = results.read_text()
    results.write_text(before + '\n{"scenario": "rec')  # a kill while the next one was written
    check(campaign("--each", "5", "--only", "record", "--resume", str(results)), 5)
    assert results.read_text().startswith(before)
    lines = [line for line in results.read_text().splitlines() if line]
    assert len(lines) == len(set(lines))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("store", 200),
        ("tamis report", 100),
        ("tamis pick", 100),
        ("download", 200),
        ("search on SQLite", 100),
        ("search on a new SQLite", 20),
        ("trial, tamis sync", 60),
        ("sweep, tamis sync", 60),
        ("sweep, trials again", 60),
    ],
)
def test_whole_programs_survive_faults(name, n):
    check(campaign("--each", str(n), "--only", name), n)


WRITER = """
import os, sys
from pathlib import Path
from tests.faults.injector import Fault, Injector
kind, at, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
os.setsid()  # a group of its own, which may be killed
faults = Injector()
faults.arm(folder, Fault(kind, at) if kind else None)
(folder / "inside").mkdir()                    # step 1
with (folder / "inside" / "file").open("wb", buffering=0) as file:  # 2
    sys.stderr.write(str(file.write(b"x" * 100)))  # 3
(folder / "inside" / "file").rename(folder / "file")  # 4
(folder.parent / "outside").write_text("")     # no step
sys.stdout.write(f"{faults.steps} {faults.where}")
"""


@pytest.mark.parametrize("kind", ["", *KINDS])
def test_the_injector_does_what_it_says(tmp_path, kind):
    folder = tmp_path / "watched"
    folder.mkdir()
    command = [sys.executable, "-c", WRITER, kind, "3", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=injector.environment())
    size = {path.name: path.stat().st_size for path in folder.rglob("file")}
    if kind in DEADLY:
        assert done.returncode == -9 and size == {"file": 50 if kind == "torn" else 0}
    elif KINDS.get(kind, (0, 0))[0] in (injector.ERROR, injector.ERROR_FROM):
        assert os.strerror(KINDS[kind][1]) in done.stderr and size == {"file": 0}
    else:
        assert size == {"file": 50 if kind == "short write" else 100}
        where = f" write {folder}/inside/file" if kind else " "
        assert done.stdout == f"4{where}", done.stderr


def test_an_injector_that_is_not_loaded_says_so(monkeypatch):
    monkeypatch.delenv(injector.LOADED, raising=False)
    with pytest.raises(RuntimeError, match="start this program through tests.faults.campaign"):
        Injector()


def test_cases_of_one_seed_are_the_same():
    from argparse import Namespace
    from itertools import islice

    from tests.faults.campaign import _series

    given = Namespace(seed=3, kinds=list(KINDS))
    first, again = (list(islice(_series("one", 4, given), 100)) for _ in range(2))
    single = [case for case in first if len(case) == 1]
    assert first == again and len(set(single)) == 4 * len(KINDS)
    assert {fault.at for case in first for fault in case} == {1, 2, 3, 4}
    assert (Fault("killed", 1),) in single
