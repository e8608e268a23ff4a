"""Records of earlier versions: keys that are no longer there are read as those of today."""

import json
from dataclasses import fields
from pathlib import Path

import pytest
from hydra.utils import get_class
from omegaconf import OmegaConf
from tests.composing import composed

from tamis.analysis.trials import read_trials
from tamis.commands.best import run_again
from tamis.commands.pick_files import retrain
from tamis.parts import resolved
from tamis.records.record import COMPLETE, RECORD_FILE, read_record
from tamis.records.retired import RETIRED, in_todays_keys
from tamis.trial import run_trial

STORE = "tamis.store.Store"
CHOICES = {"model": "snap", "descriptor": "none", "pruner": "random", "budget": "curve"}


@pytest.mark.parametrize(("target", "key"), RETIRED)
def test_a_retired_key_is_gone_and_means_keys_that_are_there(target, key):
    known = {one.name for one in fields(get_class(target)) if one.init}
    assert key not in known and set(RETIRED[target, key](100)) <= known


@pytest.mark.parametrize(("mib", "gib", "remember"), [(0, 4.0, False), (1500, 4.0, True), (8192, 8.0, True)])
def test_what_was_remembered_still_is(mib, gib, remember):
    node = {"_target_": STORE, "root": "rows", "n_jobs": 1, "memory_MiB": mib}
    expected = {"_target_": STORE, "root": "rows", "n_jobs": 1, "memory_gib": gib, "remember": remember}
    assert in_todays_keys({"a": {"store": node}, "b": [1]}) == {"a": {"store": expected}, "b": [1]}
    assert in_todays_keys({**node, "memory_gib": 2.0})["memory_gib"] == 2.0


@pytest.mark.parametrize("node", [{"memory_MiB": 5}, {"_target_": STORE, "memory_MiB": "much"}])
def test_what_is_no_setting_of_an_earlier_version_stays(node):
    assert in_todays_keys(node) == node


def test_a_configuration_of_today_stays_as_it_is():
    config = resolved(composed())
    assert in_todays_keys(config) == config


def test_names_of_labels_that_nobody_typed_may_be_missing_as_before():
    older = {
        "_target_": "tamis.data.sources.extxyz.Extxyz",
        "energy_key": "energy",
        "stress_key": "stress",
        "virial_key": None,
        "group_key": "mine",
    }
    expected = {**older, "stress_key": "auto"}
    assert in_todays_keys({"dataset": older}) == {"dataset": expected}
    assert in_todays_keys(older | {"units": None}) == older | {"units": None}


@pytest.fixture(scope="module")
def old(tmp_path_factory) -> Path:
    """A trial whose record looks as if an earlier version had written it."""
    place = tmp_path_factory.mktemp("old")
    typed = ("model.basis.twojmax=2", "descriptor=none", "pruner=random", "budget=curve", "store.n_jobs=1")
    config = resolved(composed(*typed, "budget.fractions=[0.3,1.0]", f"store.root={place}/store"))
    record = run_trial(OmegaConf.create(config), CHOICES | {"dataset": "sw_silicon"}, place / "trial")
    assert record.status == COMPLETE, record.reason
    path = place / "trial" / RECORD_FILE
    content = json.loads(path.read_text())
    for name in ("memory_gib", "remember"):
        del content["config"]["store"][name]
    content["config"]["store"]["memory_MiB"] = 1500
    path.write_text(json.dumps(content))
    return place / "trial"


def test_an_old_trial_is_run_again_to_the_same_metrics(old, tmp_path):
    assert read_record(old).config["store"]["remember"] is True
    assert run_again(old, tmp_path / "again") == []


def test_a_point_of_an_old_curve_is_retrained(old, tmp_path):
    (trial,) = read_trials([old])
    retrain(trial, 0, tmp_path)
    assert (tmp_path / "kept.extxyz").is_file()
