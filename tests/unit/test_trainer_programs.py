"""Outside programs: found or named as missing, timed, and ended with all that they have started."""

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from tests.training import built, program, stand_ins

from tamis.core.errors import MissingEngineError, TamisError
from tamis.models.trainers.programs import Program, workshop


def run(tmp_path: Path, text: str, limit: float = 20.0, scratch: Path | None = None, **more):
    with workshop(scratch, limit, 1) as shop:
        shop.run(str(program(tmp_path, text)), "one", makes=("result.txt",), **more)
        return shop


def test_a_program_that_works_is_timed_and_its_log_kept(tmp_path):
    # Bytes that are written, since memory that is only reserved is not resident; and held until they are seen.
    shop = run(
        tmp_path,
        """
        print('said')
        x = b'x' * 50_000_000
        time.sleep(0.3)
        pathlib.Path('result.txt').write_text('x')
        """,
    )
    assert shop.logs["fake.log"].decode().splitlines() == ["$ fake one", "said"]
    assert shop.figures["fake_wall_s"] > 0 and shop.figures["trainer_cpu_s"] > 0
    assert 50 < shop.figures["trainer_peak_MiB"] < 500
    assert not shop.folder.exists()


@pytest.mark.parametrize("status", [0, 3])
def test_a_program_that_writes_nothing_fails_whatever_its_status(tmp_path, status):
    with pytest.raises(
        TamisError, match=rf"fake ended with exit status {status} without writing result.txt"
    ) as error:
        run(tmp_path, f"print('no room left'); sys.exit({status})")
    assert "no room left" in str(error.value)


def test_an_empty_file_is_nothing(tmp_path):
    with pytest.raises(TamisError, match=r"without writing result\.txt"):
        run(tmp_path, "pathlib.Path('result.txt').touch()")


def test_a_program_that_writes_and_fails_has_failed(tmp_path):
    with pytest.raises(TamisError, match="failed with exit status 7"):
        run(tmp_path, "pathlib.Path('result.txt').write_text('half'); sys.exit(7)")


def test_a_program_that_is_killed_says_by_what(tmp_path):
    with pytest.raises(
        TamisError, match=r"killed by signal 9 \(SIGKILL\); did the machine run out of memory"
    ):
        run(tmp_path, "os.kill(os.getpid(), signal.SIGKILL)")


def test_only_the_end_of_a_long_log_is_in_the_reason(tmp_path):
    with pytest.raises(TamisError) as error:
        run(tmp_path, "[print('line', i) for i in range(1000)]; sys.exit(1)")
    assert "line 999" in str(error.value) and "line 980" not in str(error.value)


def test_something_that_is_no_program_is_a_reason(tmp_path):
    path = tmp_path / "text"
    path.write_text("hello")
    path.chmod(0o755)
    with pytest.raises(TamisError, match="cannot be started"), workshop(None, 10.0, 1) as shop:
        shop.run(str(path), makes=())


HANGING = """
    if sys.argv[-1] == 'child':
        pathlib.Path({pids!r}, 'child').write_text(str(os.getpid()))
        {child}
        time.sleep(600)
    subprocess.Popen([sys.executable, __file__, 'child'])
    pathlib.Path({pids!r}, 'parent').write_text(str(os.getpid()))
    {parent}
"""


def wait_for(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return bool(condition())


def running(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def pid_in(folder: Path, name: str) -> int:
    path = folder / name
    assert wait_for(lambda: path.exists() and path.read_text())
    return int(path.read_text())


def test_a_hanging_program_and_its_children_are_ended_at_the_limit(tmp_path):
    """Also those that do not listen to a polite request."""
    stubborn = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    text = HANGING.format(pids=str(tmp_path), child=stubborn, parent="time.sleep(600)")
    start = time.monotonic()
    with pytest.raises(TamisError, match=r"had not finished in model\.time_limit_s = 1\.5 s"):
        run(tmp_path, text, limit=1.5)
    assert time.monotonic() - start < 10
    assert wait_for(lambda: not running(pid_in(tmp_path, "child")))
    assert not running(pid_in(tmp_path, "parent"))


def test_a_time_limit_is_told_against_who_used_it_up(tmp_path):
    """The second program is ended, yet the first took the time."""
    first = program(tmp_path, "time.sleep(1.2); pathlib.Path('matrix').write_text('x')", "first")
    second = program(tmp_path, "time.sleep(600)", "second")
    with pytest.raises(TamisError) as error, workshop(None, 1.6, 1) as shop:
        shop.run(str(first), makes=("matrix",))
        shop.run(str(second), makes=("result.txt",))
    said = str(error.value)
    assert re.search(
        r"^second was ended: .* = 1\.6 s; time spent: first 1\.\d s, second 0\.\d s, tamis 0", said
    )


def test_a_program_that_is_left_no_time_is_not_started(tmp_path):
    started = tmp_path / "started"
    late = program(tmp_path, f"pathlib.Path({str(started)!r}).write_text('x')")
    with (
        pytest.raises(TamisError, match=r"^fake was not started: .* time spent: tamis 0\.\d s\."),
        workshop(None, 0.2, 1) as shop,
    ):
        time.sleep(0.3)  # what tamis does before, such as writing the input
        shop.run(str(late), makes=("result.txt",))
    assert not started.exists()


def test_children_left_behind_by_a_program_that_ends_are_ended(tmp_path):
    leave = f"""
    while not pathlib.Path({str(tmp_path)!r}, 'child').exists(): time.sleep(0.01)
    pathlib.Path('result.txt').write_text('x')
    """
    text = HANGING.format(pids=str(tmp_path), child="pass", parent="pass") + textwrap.indent(
        textwrap.dedent(leave), "    "
    )
    run(tmp_path, text)
    assert wait_for(lambda: not running(pid_in(tmp_path, "child")))


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_ends_the_program_and_removes_its_files(tmp_path):
    fake = program(tmp_path, HANGING.format(pids=str(tmp_path), child="pass", parent="time.sleep(600)"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    caller = f"""
from tamis.models.trainers.programs import workshop
with workshop(None, 600.0, 1) as shop:
    shop.run({str(fake)!r}, makes=())
"""
    process = subprocess.Popen(
        [sys.executable, "-c", caller], env=os.environ | {"TMPDIR": str(scratch)}, stderr=subprocess.PIPE
    )
    pids = [pid_in(tmp_path, name) for name in ("child", "parent")]
    assert any(scratch.iterdir())
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert b"KeyboardInterrupt" in said
    assert wait_for(lambda: not any(running(pid) for pid in pids))
    assert not any(scratch.iterdir())


def test_the_files_of_a_failure_stay_where_a_scratch_folder_is_named(tmp_path):
    scratch = tmp_path / "kept"
    with pytest.raises(TamisError, match="Its files are in") as error:
        run(tmp_path, "pathlib.Path('half.txt').write_text('x'); sys.exit(1)", scratch=scratch)
    [folder] = scratch.iterdir()
    assert str(folder) in str(error.value) and (folder / "half.txt").exists()
    run(tmp_path, "pathlib.Path('result.txt').write_text('x')", scratch=scratch)
    assert list(scratch.iterdir()) == [folder]  # those of a success do not


def test_programs_see_one_thread_no_input_and_no_job_of_ours(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("PMIX_RANK", "1")
    text = """
    names = [k for k in os.environ if k.startswith(("SLURM_", "PMI"))]
    print(names, os.environ["OMP_NUM_THREADS"], repr(sys.stdin.read()))
    pathlib.Path('result.txt').write_text('x')
    """
    assert run(tmp_path, text).logs["fake.log"].decode().splitlines()[-1] == "[] 1 ''"


MISSING = {
    "upstream_gap_fit": ("program", "quippy-ase"),
    "upstream_pacemaker": ("program", "python-ace"),
    "upstream_n2p2": ("train_program", "v2.3.0"),
    "upstream_chimes_lsq": ("solve_program", "rk-lindsey/chimes_lsq"),
}


@pytest.mark.parametrize("model", MISSING)
def test_a_missing_program_is_told_when_the_configuration_is_built(model, tmp_path):
    argument, get = MISSING[model]
    with pytest.raises(MissingEngineError, match="nowhere") as error:
        built(model, *stand_ins(model, tmp_path), f"model.{argument}=nowhere")
    said = str(error.value)
    assert model in said and get in said and f"model.{argument}=/path/to/nowhere" in said


def test_programs_are_found_by_path_on_the_path_and_beside_python(tmp_path, monkeypatch):
    fake = program(tmp_path, "", "some-trainer")
    rule = Program("m", "get it")
    assert rule.apply("program", str(fake)) == str(fake)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert rule.apply("program", "some-trainer") == str(fake)
    assert rule.apply("program", Path(sys.executable).name).endswith(Path(sys.executable).name)
    fake.chmod(0o644)
    with pytest.raises(MissingEngineError, match="get it"):
        rule.apply("program", str(fake))
