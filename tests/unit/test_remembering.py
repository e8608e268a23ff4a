"""What trials of one process keep for each other, and what a study leaves out."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from mlflow import MlflowClient
from omegaconf import DictConfig, OmegaConf
from tests.composing import composed

from tamis.core.errors import TamisError
from tamis.core.irrelevant import NO_TRIAL
from tamis.core.memory import N_PARTS, Memory
from tamis.parts import resolved
from tamis.records.record import COMPLETE, CurvePoint, TrialRecord
from tamis.store import Store
from tamis.sweeps.running import shared_parts
from tamis.tracking import Tracker
from tamis.trial import run_resolved, run_trial


def blocks(store: Store, basis, dataset) -> list[np.ndarray]:
    """What both ways of reading rows give."""
    found = [rows.forces for rows in store.design(basis, dataset.structures)]
    return found + [rows.forces.copy() for rows in store.stream(basis, dataset.structures)]


@pytest.fixture
def remembering(store) -> Store:
    return replace(store, memory_gib=0.1, remember=True)


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
    assert len(remembering.memory.blocks) == len(rattled)
    kept = [rows.forces for rows in remembering.stream(snap_basis, rattled.structures)]
    for mine, alone in zip(
        kept, Store(remembering.root, 1).design(snap_basis, rattled.structures), strict=True
    ):
        np.testing.assert_array_equal(mine, alone.forces)


def test_nothing_is_kept_unless_asked_for(store, snap_basis, rattled):
    store.design(snap_basis, rattled.structures)
    assert not store.memory.blocks


def test_memory_has_a_bound():
    memory = Memory(limit=8 * 2 * N_PARTS, remember=True)
    for number in range(2 * N_PARTS):
        memory.keep(str(number), np.zeros(2))
        assert memory.n_bytes == sum(kept.nbytes for kept in memory.blocks.values()) <= memory.limit
    assert len(memory.blocks) == N_PARTS and str(2 * N_PARTS - 1) in memory.blocks


def test_what_is_needed_takes_the_place_of_what_is_remembered():
    memory = Memory(limit=8 * 2 * N_PARTS, remember=True)
    for number in range(N_PARTS):
        memory.keep(str(number), np.zeros(2))
    with memory.holding():
        memory.reserve(memory.limit // 2, "numbers")
        assert memory.n_bytes <= memory.limit // 2
        memory.keep("another", np.zeros(2))
        assert memory.n_bytes + memory.reserved <= memory.limit
        with pytest.raises(TamisError, match="numbers take .* GiB .*store.memory_gib is .*raise it"):
            memory.reserve(memory.limit // 2 + 1, "numbers")
    assert memory.reserved == 0


def test_large_files_are_not_kept(store, snap_basis, rattled):
    small = replace(store, memory_gib=0.001, remember=True)
    small.design(snap_basis, rattled.structures)
    assert all(block.nbytes <= small.memory.limit / N_PARTS for block in small.memory.blocks.values())
    assert len(small.memory.blocks) < len(rattled)


@pytest.mark.parametrize("memory", [0.0, -1.0, float("nan")])
def test_no_memory_is_refused(store, memory):
    with pytest.raises(TamisError, match="memory_gib is .*above 0"):
        replace(store, memory_gib=memory)


def record() -> TrialRecord:
    point = {"test/force_mae_eV_per_A": 0.1, "test/force_mae_eV_per_A/Elastic": 0.2, "kept/atoms": 8.0}
    metrics = point | {"md/steps/nve": 3.0}
    curve = [CurvePoint(2, 8, metrics)]
    return TrialRecord(
        config={"choices": {}}, metrics=metrics, seconds={"fit": 1.0}, curve=curve, status=COMPLETE
    )


def test_what_mlflow_gets_is_chosen(tmp_path, mlflow_uri):
    folder = tmp_path / "trial"
    record().save(folder)
    client = MlflowClient(mlflow_uri)
    for everything in (True, False):
        tracker = Tracker(mlflow_uri, tmp_path / "artifacts", "tamis", everything, everything)
        run = client.get_run(tracker.write(record(), folder))
        assert ("test/force_mae_eV_per_A/Elastic" in run.data.metrics) == everything
        assert {"test/force_mae_eV_per_A", "md/steps/nve", "seconds/fit"} < set(run.data.metrics)
        assert bool(client.list_artifacts(run.info.run_id)) == everything


SMALL = ("model.basis.twojmax=2", "descriptor.twojmax=2", "budget=curve", "budget.fractions=[0.1,0.2]")


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory, furnished) -> tuple[str, ...]:
    place = furnished(tmp_path_factory.mktemp("data"), "data")
    return (f"dataset.cache={place}/data", f"store.root={place}/store", "store.n_jobs=1")


def of_a_trial(*overrides: str) -> DictConfig:
    config = composed(*overrides)
    return OmegaConf.masked_copy(config, [key for key in config if key not in NO_TRIAL])


def test_a_shared_trial_is_the_same_trial(tmp_path, elsewhere):
    """The command's way and a study's way to run a trial: the same numbers, and fewer files."""
    overrides = (*SMALL, *elsewhere)
    alone = run_trial(of_a_trial(*overrides), {"model": "snap"}, tmp_path / "alone")
    config = resolved(composed(*overrides, "artifacts=false", "store.memory_gib=0.1", "store.remember=true"))
    for number in range(2):  # the second has its rows from memory
        folder = tmp_path / str(number)
        folder.mkdir()
        one = run_resolved(config, folder, (), shared_parts)
        assert one.status == alone.status == COMPLETE and one.selection == alone.selection
        for a, b in zip(one.curve, alone.curve, strict=True):
            assert a.metrics == pytest.approx(b.metrics, rel=1e-9)
        assert {path.name for path in folder.iterdir()} == {"record.json", "test_errors.csv"}
    assert (tmp_path / "alone" / "kept.extxyz").exists()


def test_artifacts_is_true_or_false(tmp_path):
    assert "artifacts is 'no'" in run_trial(of_a_trial("artifacts='no'"), {}, tmp_path).reason


def test_a_plan_is_no_part_of_a_trial():
    assert "plan" not in resolved(composed("experiment=study_quick"))
