import subprocess
import sys

from tamis.doctor import Finding, _package, _program, _run_python, engines, look_at_lammps


def test_the_default_set_works_here():
    ended = subprocess.run(
        [sys.executable, "-m", "tamis.doctor"], capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stdout
    assert "the default set works" in ended.stdout
    for engine in engines():
        assert engine.name in ended.stdout


def test_lammps_is_started_and_its_styles_are_told():
    finding = look_at_lammps()
    assert int(finding.version) > 20230000 and "snap" in finding.detail


def test_a_broken_package_is_not_called_working():
    finding = _package("pytest", "no_such_module", "", "").look()
    assert finding.version == "" and "no_such_module" in finding.detail


def test_what_is_missing_is_missing():
    assert _package("no-such-package", "x", "", "").look() == Finding("")
    assert _program("no-such-program", "", "").look() == Finding("")


def test_a_program_that_dies_is_survived():
    assert _run_python("import os; os.kill(os.getpid(), 11)")[0] is False
