"""A slice of the campaign in each run of the tests: the same cases each time, in processes with limits."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.fuzz.kinds import CRASH, HANG, LEAK, MEMORY, REFUSED, RIGHT, WRONG, Kind, WrongAnswer, judge
from tests.fuzz.mutate import spoiled, spoiled_json
from tests.fuzz.workers import run_cases

from tamis.core.errors import TamisError
from tamis.core.trust import check_trusted
from tamis.data.sources.labels import voigt
from tamis.records.record import RECORD_FILE, read_record

ROOT = Path(__file__).parents[2]
FILES = ("extxyz", "text ", "mlearn json", "archive", "store block", "checks", "beside records", "record")
FORMATS = ("pickled", "deepmd", "npz", "colabfit", "schnetpack", "program", "cp2k", "any")
POTENTIALS = (
    "chimes files",
    "snap files",
    "n2p2 files",
    "basis snap",
    "config",
    "command line",
    "trial",
    "options",
)


def campaign(folder: Path, n: int, *kinds: str) -> None:
    """Run ``n`` cases; fail with the first that ends badly of each kind."""
    state = folder / "state.json"
    command = [sys.executable, "-m", "tests.fuzz.campaign", "--n", str(n), "--resume", str(state)]
    subprocess.run(
        [*command, "--kinds", ",".join(kinds)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    found = json.loads(state.read_text())
    assert all(any(name.startswith(kind) for name in found) for kind in kinds)
    for name, one in found.items():
        assert not one["bad"], f"{name} {one['bad'][0]['number']}: {one['bad'][0]['detail']}"
        assert sum(one["tally"].values()) == one["done"]
        assert set(one["tally"]) <= {RIGHT, REFUSED}


def test_files_at_random(tmp_path):
    campaign(tmp_path, 500, *FILES)


def test_formats_of_other_programs_at_random(tmp_path):
    campaign(tmp_path, 200, *FORMATS)


def test_potentials_and_configurations_at_random(tmp_path):
    campaign(tmp_path, 45, *POTENTIALS)


@pytest.mark.slow
def test_everything_at_random(tmp_path):
    campaign(tmp_path, 5000, "")


# the judge


def fault(what: str) -> Kind:
    """A kind whose third case goes wrong."""

    def run(rng: np.random.Generator, shared: None, folder: Path) -> None:
        count = len(list(folder.glob("case*")))
        (folder / f"case{count}").touch()
        if count != 2:
            raise TamisError("refused")
        if what == CRASH:
            os.kill(os.getpid(), 11)
        if what == HANG:
            while True:
                pass
        if what == MEMORY:
            bytearray(2**31)
        if what == WRONG:
            raise WrongAnswer("3")
        if what == LEAK:
            raise KeyError("x")

    return Kind("fault", lambda folder: None, run, 1)


@pytest.mark.parametrize("what", [CRASH, HANG, MEMORY, WRONG, LEAK, RIGHT])
def test_every_bad_end_is_counted_and_the_cases_behind_it_are_run(what, monkeypatch):
    monkeypatch.setattr("tests.fuzz.workers.LIMIT_S", 0.3)
    monkeypatch.setattr("tests.fuzz.workers.LOOK_S", 0.1)
    outcomes = [result.outcome for result in run_cases(fault(what), 0, 4)]
    # in a new process, and so a new folder, behind one that is gone
    assert outcomes == [REFUSED, REFUSED, what, REFUSED]


def test_an_error_without_words_is_a_leak(tmp_path):
    def run(rng: np.random.Generator, shared: None, folder: Path) -> None:
        raise TamisError("  ")

    assert judge(Kind("silent", lambda folder: None, run, 1), None, 0, tmp_path)[0] == LEAK


def test_a_case_is_the_same_each_time(tmp_path):
    data, content = b"Si 1.0 2.0\nGe 3.0 4.0\n" * 20, {"a": [1, {"b": 2.5}], "c": "d"}
    seen = set()
    for number in range(50):
        first, again = (spoiled(np.random.default_rng(number), data) for _ in range(2))
        assert first == again
        one, two = (spoiled_json(np.random.default_rng(number), content) for _ in range(2))
        assert repr(one) == repr(two) and content == {"a": [1, {"b": 2.5}], "c": "d"}
        seen.add(first)
    assert len(seen) > 40


# small readers, with inputs that shrink

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PARTS = (
    "config",
    "metrics",
    "curve",
    "status",
    "dataset",
    "selection",
    "versions",
    "problems",
    "overrides",
    "started",
)
QUICK = settings(derandomize=True, max_examples=60, deadline=None, database=None)


@QUICK
@given(st.dictionaries(st.sampled_from(PARTS), JSON) | JSON)
def test_any_json_is_a_record_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / RECORD_FILE).write_text(json.dumps(content))
        try:
            record = read_record(Path(folder))
        except TamisError:
            return
    assert isinstance(record.config, dict)
    assert all(np.isfinite(value) for value in record.metrics.values())


@QUICK
@given(st.binary(max_size=40) | st.text(max_size=40))
def test_any_bytes_are_no_record(data):
    with tempfile.TemporaryDirectory() as folder, pytest.raises(TamisError):
        (Path(folder) / RECORD_FILE).write_bytes(data.encode() if isinstance(data, str) else data)
        read_record(Path(folder))


@QUICK
@given(st.dictionaries(st.sampled_from(["_target_", "program", "a", "_args_"]), JSON, max_size=3))
def test_what_a_record_names_is_refused_or_ours(config):
    try:
        check_trusted({"model": config}, "record.json")
    except TamisError:
        return
    assert "_target_" not in config and "_args_" not in config
    assert "/" not in str(config.get("program", ""))


@QUICK
@given(JSON)
def test_any_stress_is_six_numbers_or_none(value):
    found = voigt(value)
    assert found is None or (found.shape == (6,) and found.dtype == np.float64)
