import yaml
from tests.typed import typed

from tamis.commands import doctor
from tamis.commands.doctor import Finding, _package, _program, _run_python, engines, look_at_lammps
from tamis.core.conf_folder import config_folder


def test_the_default_set_works_here(capsys):
    status = typed(doctor)
    said = capsys.readouterr().out
    assert status == 0, said
    assert "the default set works" in said
    for engine in engines():
        assert engine.name in said


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


def test_every_program_that_a_trainer_calls_is_asked_for():
    called = {
        str(value)
        for path in (config_folder() / "model").glob("upstream_*.yaml")
        for key, value in yaml.safe_load(path.read_text()).items()
        if key == "program" or key.endswith("_program")
    }
    assert {"gap_fit", "pacemaker", "nnp-scaling", "nnp-train", "chimes_lsq", "chimes_lsq.py"} <= called
    assert called <= {engine.name for engine in engines()}


def test_a_program_is_found_where_a_trainer_finds_it(tmp_path, monkeypatch):
    program = tmp_path / "nnp-scaling"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _program("nnp-scaling", "", "").look() == Finding("found", str(program))
