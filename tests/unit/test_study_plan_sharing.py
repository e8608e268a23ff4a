"""What trials of one process keep for each other, and what a study leaves out."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from mlflow import MlflowClient
from omegaconf import DictConfig, OmegaConf
from tests.composing import composed

from tamis.exceptions import TamisError
from tamis.record import COMPLETE, TrialRecord
from tamis.store import BYTES_PER_MIB, PARTS_OF_MEMORY, Store
from tamis.study.worker import SharedParts
from tamis.tracking import Tracker
from tamis.trial import NO_TRIAL, resolved, run_resolved, run_trial


def blocks(store: Store, basis, dataset) -> list[np.ndarray]:
    """What both ways of reading rows give."""
    found = [rows.forces for rows in store.design(basis, dataset.structures)]
    return found + [rows.forces.copy() for rows in store.stream(basis, dataset.structures)]


@pytest.fixture
def remembering(store) -> Store:
    return replace(store, memory_MiB=100)


def test_what_was_read_is_kept(store, remembering, snap_basis, rattled):
    first = blocks(remembering, snap_basis, rattled)
    alone = blocks(Store(store.root, 1), snap_basis, rattled)
    shutil.rmtree(store.root)
    again = blocks(remembering, snap_basis, rattled)
    for a, b, c in zip(first, alone, again, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    assert not store.root.exists()


def test_streamed_rows_do_not_overwrite_each_other_in_memory(remembering, snap_basis, rattled):
    for _ in range(2):  # the first time makes the files, the second reads them through one buffer
        remembering.prepare(snap_basis, rattled.structures)
    assert len(remembering._memory.blocks) == len(rattled)
    kept = [rows.forces for rows in remembering.stream(snap_basis, rattled.structures)]
    for mine, alone in zip(
        kept, Store(remembering.root, 1).design(snap_basis, rattled.structures), strict=True
    ):
        np.testing.assert_array_equal(mine, alone.forces)


def test_a_store_without_memory_keeps_nothing(store, snap_basis, rattled):
    store.design(snap_basis, rattled.structures)
    assert not store._memory.blocks


def test_memory_has_a_bound(store, remembering, snap_basis, rattled):
    remembering.design(snap_basis, rattled.structures)
    blocks_read = list(remembering._memory.blocks.values())
    two = blocks_read[0].nbytes + blocks_read[1].nbytes
    memory = type(remembering._memory)()
    for number, block in enumerate(blocks_read):
        memory.keep(store.root / str(number), block, two)
        assert memory.n_bytes == sum(kept.nbytes for kept in memory.blocks.values()) <= two
    assert store.root / str(len(blocks_read) - 1) in memory.blocks


def test_large_files_are_not_kept(store, snap_basis, rattled):
    small = replace(store, memory_MiB=1)
    small.design(snap_basis, rattled.structures)
    assert all(block.nbytes <= BYTES_PER_MIB / PARTS_OF_MEMORY for block in small._memory.blocks.values())
    assert len(small._memory.blocks) < len(rattled)


def test_a_negative_memory_is_refused(store):
    with pytest.raises(TamisError, match="memory_MiB is -1"):
        replace(store, memory_MiB=-1)


def record() -> TrialRecord:
    point = {"test/force_mae_eV_per_A": 0.1, "test/force_mae_eV_per_A/Elastic": 0.2, "kept/atoms": 8.0}
    metrics = point | {"md/steps/nve": 3.0, "seconds/fit": 1.0}
    curve = [{"n_structures": 2, "metrics": point | {"md/steps/nve": 3.0}}]
    return TrialRecord(config={"choices": {}}, metrics=metrics, curve=curve, status=COMPLETE)


def test_what_mlflow_gets_is_chosen(tmp_path):
    folder = tmp_path / "trial"
    record().save(folder)
    uri, client = f"sqlite:///{tmp_path}/m.db", MlflowClient(f"sqlite:///{tmp_path}/m.db")
    for everything in (True, False):
        tracker = Tracker(uri, tmp_path / "artifacts", "tamis", everything, everything)
        run = client.get_run(tracker.write(record(), folder, None))
        assert ("test/force_mae_eV_per_A/Elastic" in run.data.metrics) == everything
        assert {"test/force_mae_eV_per_A", "md/steps/nve", "seconds/fit"} < set(run.data.metrics)
        assert bool(client.list_artifacts(run.info.run_id)) == everything


SMALL = ("model.basis.twojmax=2", "descriptor.twojmax=2", "budget=curve", "budget.fractions=[0.1,0.2]")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory) -> tuple[str, ...]:
    place = tmp_path_factory.mktemp("data")
    return (f"dataset.cache={place}/data", f"store.root={place}/store", "store.n_jobs=1")


def of_a_trial(*overrides: str) -> DictConfig:
    config = composed(*overrides)
    return OmegaConf.masked_copy(config, [key for key in config if key not in NO_TRIAL])


def test_a_shared_trial_is_the_same_trial(tmp_path, elsewhere):
    """The command's way and a study's way to run a trial: the same numbers, and fewer files."""
    overrides = (*SMALL, *elsewhere)
    alone = run_trial(of_a_trial(*overrides), {"model": "snap"}, tmp_path / "alone")
    shared, config = SharedParts(), resolved(composed(*overrides, "artifacts=false", "store.memory_MiB=100"))
    for number in range(2):  # the second has its rows from memory
        folder = tmp_path / str(number)
        folder.mkdir()
        one = run_resolved(config, folder, (), shared)
        assert one.status == alone.status == COMPLETE and one.selection == alone.selection
        for a, b in zip(one.curve, alone.curve, strict=True):
            assert a["metrics"] == pytest.approx(b["metrics"], rel=1e-9)
        assert {path.name for path in folder.iterdir()} == {"record.json", "test_errors.csv"}
    assert (tmp_path / "alone" / "kept.extxyz").exists()


def test_artifacts_is_true_or_false(tmp_path):
    assert "artifacts is 'no'" in run_trial(of_a_trial("artifacts='no'"), {}, tmp_path).reason


def test_a_plan_is_no_part_of_a_trial():
    assert "study" not in resolved(composed("experiment=study_quick"))
