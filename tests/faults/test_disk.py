"""A real file system that is full, or may only be read."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.records.record import RECORD_FILE, TrialRecord, read_record
from tamis.store import Store

KIB = 1024


def mount(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["mount", *arguments], capture_output=True, text=True)


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """An empty file system of 256 KiB in memory."""
    place = tmp_path / "disk"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    done = mount("-t", "tmpfs", "-o", f"size={256 * KIB}", "tmpfs", str(place))
    if done.returncode:
        pytest.skip(f"no file system can be mounted here ({done.stderr.strip()})")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def change(disk: Path, option: str) -> None:
    done = mount("-o", f"remount,{option}", str(disk))
    assert done.returncode == 0, done.stderr


def fill(disk: Path) -> None:
    """Leave no room."""
    with pytest.raises(OSError), (disk / "ballast").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4 * KIB)


def test_a_record_on_a_full_disk_is_the_old_one_whole(disk):
    record = TrialRecord(config={"text": "x" * 10_000})
    record.save(disk)
    before = (disk / RECORD_FILE).read_bytes()
    fill(disk)
    record.status = "complete"
    with pytest.raises(TamisError, match="cannot write .*No space left on device.*make room"):
        record.save(disk)
    assert (disk / RECORD_FILE).read_bytes() == before
    assert {path.name for path in disk.iterdir()} == {RECORD_FILE, "ballast"}, "scratch files take room"
    (disk / "ballast").unlink()
    record.save(disk)
    assert read_record(disk).status == "complete"


def test_a_store_on_a_full_disk_goes_on_where_it_was(disk, snap_basis, rattled):
    store = Store(disk / "store", 1)
    store.prepare(snap_basis, rattled.structures[:1])
    fill(disk)
    with pytest.raises(TamisError, match="No space left on device"):
        store.prepare(snap_basis, rattled.structures[:3])
    kept = {path: path.read_bytes() for path in store.root.glob("*/*/*/*.npy")}
    (disk / "ballast").unlink()
    store.prepare(snap_basis, rattled.structures[:3])
    assert kept and all(path.read_bytes() == content for path, content in kept.items())
    assert len(list(store.root.glob("*/*/*/*.npy"))) == 3


def test_a_read_only_disk_is_named(disk):
    write_atomically(disk / "file", b"before")
    change(disk, "ro")
    with pytest.raises(TamisError, match="Read-only file system.*rights"):
        write_atomically(disk / "file", b"after")
    assert (disk / "file").read_bytes() == b"before"
    change(disk, "rw")
    write_atomically(disk / "file", b"after")


def test_an_error_without_a_file_name_is_told_without_one():
    """The system names a file when it is opened, not when it is written."""
    said = explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert said.startswith("cannot write a file (No space left on device)")
    assert "record.json" in explain(OSError(errno.EROFS, os.strerror(errno.EROFS), "record.json"))


def tamis(disk: Path, *more: str) -> subprocess.CompletedProcess[str]:
    typed = [
        "model=snap",
        "model.basis.twojmax=2",
        "descriptor=none",
        "pruner=random",
        "store.n_jobs=1",
        *more,
    ]
    command = [sys.executable, "-m", "tamis.cli", *typed]
    return subprocess.run(command, cwd=disk, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full", "ro"])
def test_a_sweep_on_a_disk_that_fails_says_so_and_can_be_run_again(disk, tmp_path, fault):
    change(disk, f"size={32 * KIB * KIB}")
    sweep = ("-m", "seed.split=0,1")
    first = tamis(disk, *sweep, "hydra.sweep.dir=first")
    assert first.returncode == 0, first.stdout + first.stderr
    before = {path: path.read_bytes() for path in (disk / "first").rglob(RECORD_FILE)}
    fill(disk) if fault == "full" else change(disk, "ro")
    done = tamis(disk, *sweep, "hydra.sweep.dir=second")
    said = done.stdout + done.stderr
    assert done.returncode != 0 and "Traceback" not in said
    assert ("No space left" if fault == "full" else "Read-only file system") in said
    assert before == {path: path.read_bytes() for path in (disk / "first").rglob(RECORD_FILE)}
    (disk / "ballast").unlink() if fault == "full" else change(disk, "rw")
    assert tamis(disk, *sweep, "hydra.sweep.dir=third").returncode == 0
    records = [json.loads(path.read_text()) for path in (disk / "third").rglob(RECORD_FILE)]
    assert [one["status"] for one in records] == ["complete"] * 2
