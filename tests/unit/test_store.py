import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from tamis.bases.base import Basis
from tamis.core.errors import TamisError
from tamis.core.files import write_atomically
from tamis.store import Store, basis_key, read_block


def block_files(store):
    return sorted(store.root.glob("*/*/*/*.npy"))


def test_what_is_made_and_what_is_read_is_what_the_basis_computes(store, snap_basis, rattled):
    made = store.design(snap_basis, rattled.structures[:3])
    rows = store.design(snap_basis, rattled.structures[:3])
    np.testing.assert_array_equal(made[0].forces, rows[0].forces)
    assert not made[0].forces.flags.writeable and not rows[0].forces.flags.writeable
    for atoms, stored in zip(rattled.structures, rows, strict=False):
        values, computed = snap_basis.evaluate(atoms)
        np.testing.assert_array_equal(stored.forces, computed.forces)
        np.testing.assert_array_equal(stored.strain_gradient, computed.strain_gradient)
        np.testing.assert_array_equal(stored.energy, values.sum(axis=0))
    values = store.values(snap_basis, rattled.structures[:1])[0]
    np.testing.assert_array_equal(values, snap_basis.evaluate(rattled.structures[0])[0])


def test_a_new_structure_costs_only_itself(store, snap_basis, rattled, monkeypatch):
    store.prepare(snap_basis, rattled.structures[:5])
    before = {path: path.stat().st_mtime_ns for path in block_files(store)}
    store.prepare(snap_basis, rattled.structures[:6])
    after = {path: path.stat().st_mtime_ns for path in block_files(store)}
    assert len(after) == 6
    assert all(after[path] == before[path] for path in before)


def test_values_come_from_design_rows_where_these_exist(store, snap_basis, rattled):
    store.prepare(snap_basis, rattled.structures[:2])
    store.values(snap_basis, rattled.structures[:2])
    assert {path.parent.parent.name for path in block_files(store)} == {"design"}


def test_workers_give_the_same_numbers(tmp_path, snap_basis, rattled, monkeypatch):
    # start workers however little there is to do
    monkeypatch.setattr("tamis.store.workers.WORTH_WORKERS_S", 0.0)
    one = Store(tmp_path / "one", 1).design(snap_basis, rattled.structures)
    two = Store(tmp_path / "two", 2).design(snap_basis, rattled.structures)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.forces, b.forces)


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "header"])
def test_a_damaged_file_is_found_and_made_again(store, snap_basis, rattled, damage):
    before = np.array(store.design(snap_basis, rattled.structures[:1])[0].forces)
    path = block_files(store)[0]
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-100] ^= 1
    elif damage == "header":
        data[20] ^= 1
    path.write_bytes(data[: len(data) // 2] if damage == "cut" else b"" if damage == "empty" else bytes(data))
    assert read_block(path) is None
    np.testing.assert_array_equal(store.design(snap_basis, rattled.structures[:1])[0].forces, before)


def test_streamed_rows_are_the_stored_ones(store, snap_basis, rattled):
    """One file is missing at the start, one later, one is damaged, and sizes differ."""
    structures = [rattled.structures[0], bulk("Si"), *rattled.structures[1:5]]
    expected = store.design(snap_basis, structures)
    paths = store._paths(snap_basis, structures, "design")
    for i in (0, 3):
        paths[i].unlink()
    paths[4].write_bytes(paths[4].read_bytes()[:-1])
    streamed = store.stream(snap_basis, structures)
    for rows, kept in zip(streamed, expected, strict=True):
        for name in ("energy", "forces", "strain_gradient"):
            np.testing.assert_array_equal(getattr(rows, name), getattr(kept, name))
        assert not rows.forces.flags.writeable


def test_a_stream_holds_one_structure_at_a_time(store, snap_basis, rattled):
    """The memory is used again: rows of a structure turn into those of the next."""
    moved = rattled.structures[0].copy()
    moved.rattle(0.05, seed=1)
    stream = store.stream(snap_basis, [rattled.structures[0], moved])
    first = next(stream).forces
    before = first.copy()
    second = next(stream).forces
    assert not np.array_equal(first, before)
    np.testing.assert_array_equal(first, second)


def test_a_disk_that_damages_what_it_writes_is_named(store, snap_basis, rattled, monkeypatch):
    monkeypatch.setattr("tamis.store.block_files.write_atomically", lambda path, *parts: None)
    with pytest.raises(TamisError, match="look at the disk"):
        list(store.stream(snap_basis, rattled.structures[:1]))


def test_key_follows_config_revision_and_nothing_else(snap_basis, monkeypatch):
    from dataclasses import replace

    key = basis_key(snap_basis)
    assert basis_key(replace(snap_basis)) == key
    assert basis_key(replace(snap_basis, r_cut=4.3)) != key
    monkeypatch.setattr(type(snap_basis), "revision", 2)
    assert basis_key(snap_basis) != key


def test_store_says_what_a_key_stands_for(store, snap_basis, rattled):
    store.prepare(snap_basis, rattled.structures[:1])
    text = next(store.root.glob("*/basis.json")).read_text()
    assert json.loads(text)["config"]["r_cut"] == 4.2


def test_a_folder_that_cannot_be_written_is_named(tmp_path, snap_basis, rattled):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TamisError, match="cannot write .*choose another folder"):
        Store(tmp_path / "file" / "store", 1).prepare(snap_basis, rattled.structures[:1])


def as_nobody(action) -> None:
    """Run ``action`` in a child process that has no rights of root's (root may write anywhere)."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setuid(65534)
            action()
            os._exit(0)
        except BaseException as error:
            print(error, file=sys.stderr)
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_read_only_store_still_serves_what_it_has(snap_basis, rattled):
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), 1)
        store.prepare(snap_basis, rattled.structures[:1])
        for path in [store.root, *store.root.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)

        def use() -> None:
            store.design(snap_basis, rattled.structures[:1])
            with pytest.raises(TamisError, match="cannot write"):
                store.design(snap_basis, rattled.structures[:2])

        as_nobody(use)
        for path in [store.root, *store.root.rglob("*")]:
            path.chmod(0o755)


def test_values_that_are_not_finite_are_refused(store):
    class Broken(Basis):
        elements, r_cut, n_features, __dataclass_fields__ = ("Si",), 1.0, 1, {}

        def values(self, atoms):
            return np.full((len(atoms), 1), np.nan)

    with pytest.raises(TamisError, match="NaN or infinity.*Si2"):
        store.values(Broken(), [bulk("Si")])


@pytest.mark.parametrize("memory_gib", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_memory_gib_is_checked(tmp_path, memory_gib):
    with pytest.raises(TamisError, match=r"memory_gib is .*; it must be above 0 and at most 1e\+06"):
        Store(tmp_path, 1, memory_gib)


@pytest.mark.parametrize("n_jobs", [0, -2])
def test_n_jobs_is_checked(tmp_path, n_jobs):
    with pytest.raises(TamisError, match="n_jobs"):
        Store(tmp_path, n_jobs)


def test_a_kill_while_writing_leaves_whole_files_or_none(tmp_path):
    program = (
        "import sys; from pathlib import Path; from tamis.core.files import write_atomically\n"
        "print('on', flush=True)\n"
        "for i in range(10**6): write_atomically(Path(sys.argv[1]) / f'{i % 50}.bin', bytes([i % 256]) * 200_000)"
    )
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE)
        writer.stdout.readline()
        time.sleep(0.1)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        for path in tmp_path.glob("*.bin"):
            data = path.read_bytes()
            assert len(data) == 200_000 and len(set(data)) == 1


def test_failed_writes_leave_no_scratch_files(tmp_path):
    (tmp_path / "target").mkdir()  # a folder cannot be replaced by a file
    with pytest.raises(TamisError):
        write_atomically(tmp_path / "target", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["target"]
