"""One command: its subcommands, its help, its short forms."""

import importlib
import re
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from tamis import cli
from tamis.commands import COMMANDS, store
from tamis.core.errors import TamisError
from tamis.core.suggestions import unknown_setting


@pytest.fixture
def typed(monkeypatch):
    """What Hydra would be given."""

    def run(*words: str) -> list[str]:
        seen: list[str] = []
        monkeypatch.setattr(cli, "decide", lambda: None)
        monkeypatch.setattr(sys, "argv", ["tamis", *words])
        monkeypatch.setattr("tamis.commands.run.main", lambda: seen.extend(sys.argv[1:]))
        cli.main()
        return seen

    return run


@pytest.mark.parametrize("name", COMMANDS)
def test_every_subcommand_has_help_and_says_what_it_does(name):
    module = importlib.import_module(f"tamis.commands.{name}")
    parser = ArgumentParser(description=module.__doc__)
    module.add_arguments(parser)
    assert callable(module.run) and module.__doc__
    assert parser.format_help()


def test_help_says_what_one_can_do_and_choose(typed, capsys):
    assert typed("--help") == []
    said = capsys.readouterr().out
    assert all(f"tamis {name}" in said for name in COMMANDS) and "tamis -m" in said
    assert re.search(r"model +ace, chimes, gap", said) and re.search(
        r"evaluation/dynamics +comparison, full, quick", said
    )


@pytest.mark.parametrize("words", [["--help"], ["report", "--help"]])
def test_help_does_not_wait_for_large_libraries(words):
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted({'numpy', 'hydra', 'omegaconf', 'rich'} & sys.modules.keys())))\n"
        "from tamis.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stdout + done.stderr


def test_short_forms_are_settings_of_the_sweep(typed):
    given = typed("-m", "experiment=demo", "--dry-run", "--retry-failed")
    assert given == ["-m", "experiment=demo", "hydra.sweeper.dry_run=true", "hydra.sweeper.retry_failed=true"]


def test_a_word_that_is_no_command_is_told(typed):
    with pytest.raises(SystemExit, match=r"reprot is no command; did you mean report\? there are report"):
        typed("reprot")


def test_help_of_a_subcommand_has_examples():
    done = subprocess.run(
        [sys.executable, "-m", "tamis.cli", "store", "--help"], capture_output=True, text=True
    )
    assert "--clear DAYS" in done.stdout and "tamis store --clear 30" in done.stdout, done.stderr


def stored(root: Path, **sizes: int) -> Path:
    for name, size in sizes.items():
        (root / name / "values" / "a").mkdir(parents=True)
        (root / name / "values" / "a" / "1.npy").write_bytes(b"x" * size)
    return root


def run_store(*words: object) -> int:
    parser = ArgumentParser()
    store.add_arguments(parser)
    return store.run(parser.parse_args([str(word) for word in words]))


def test_the_store_shows_what_it_holds_and_clears_what_is_old(tmp_path, capsys):
    root = stored(tmp_path / "store", SnapBasis=3_000_000, AceBasis=1_000_000)
    assert run_store("--root", root) == 0
    said = capsys.readouterr().out
    assert said.index("SnapBasis") < said.index("AceBasis") and "4.0 MB" in said
    assert run_store("--root", root, "--clear", 1) == 0 and len(list(root.iterdir())) == 2
    assert run_store("--root", root, "--clear", 0) == 0 and not list(root.iterdir())


def test_a_store_that_is_not_there_is_told(tmp_path):
    with pytest.raises(TamisError, match="there is no store"):
        run_store("--root", tmp_path / "none")
    with pytest.raises(TamisError, match="--clear is -1"):
        run_store("--root", tmp_path, "--clear", -1)


def test_who_names_files_is_told_the_choice_that_takes_them():
    said = unknown_setting("dataset.train", ["elements", "reference"])
    assert said == "dataset.train is a setting of dataset=file; add dataset=file"
    assert "has elements" in unknown_setting("dataset.trian", ["elements", "reference"])
