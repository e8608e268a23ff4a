"""Dynamics as a whole: a good potential is found good, a bad one bad, and neither takes the trial with it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from tests.composing import composed
from tests.potentials import Faulty, stillinger_weber, with_hole

from tamis.data.sources.base import Source
from tamis.evaluation.base import Subject
from tamis.evaluation.dynamics import Dynamics, guards
from tamis.store import Store

SHORT = [
    "dynamics.plan.n_atoms=8",
    "dynamics.plan.n_temperatures=2",
    "dynamics.plan.nve=0.05",
    "dynamics.plan.nvt=0.4",
    "dynamics.plan.npt=0.2",
    "dynamics.plan.heating=0.05",
    "dynamics.plan.compression=0.05",
    "dynamics.plan.compress_to=0.9",
    "dynamics.integration.sample_every=10",
    "dynamics.extrapolation.space.twojmax=4",
    "dynamics.extrapolation.frames=10",
    "dynamics.extrapolation.pool_environments=2000",
    "dynamics.run_seconds=100.0",
    "dynamics.patience=100.0",
    "dynamics.plots=false",
]


@pytest.fixture(scope="module")
def source(sw_silicon) -> Source:
    return instantiate(composed(f"dataset.cache={sw_silicon.cache_folder}").dataset, _convert_="all")


def dynamics(*overrides: str) -> Dynamics:
    config = composed("+evaluation/dynamics@dynamics=quick", *SHORT, *overrides)
    return instantiate(config.dynamics, _convert_="all")


def subject(source: Source, potential, folder: Path, **changes) -> Subject:
    dataset = source.load()
    pool = dataset.subset(np.flatnonzero(~dataset.is_test))
    given = Subject(
        potential=potential,
        pool=pool,
        kept=pool.subset(range(0, len(pool), 10)),
        crystal=source.crystal,
        reference={},
        label_giver=source.label_giver(),
        store=Store(folder / "store", 1),
        folder=folder,
        seed=0,
        label_giver_name="Stillinger and Weber",
        cache=folder / "cache",
    )
    return replace(given, **changes)


@pytest.mark.slow
def test_the_label_giver_has_no_error_and_is_stable(source, tmp_path):
    judged = subject(source, stillinger_weber(tmp_path), tmp_path)
    found = dynamics().measure(judged)
    assert found.problems == {}
    metrics = found.metrics
    assert metrics["md/stable_fraction"] == 1.0 and metrics["md/failures"] == 0.0
    names = {"NVE_300K", "NPT_300K", "NVT_300K", "NVT_3500K", "heating", "compression"}
    assert {n.removeprefix("md/stable_fraction/") for n in metrics if "stable_fraction/" in n} == names
    assert all(metrics[f"md/stable_fraction/{name}"] == 1.0 for name in names)
    assert metrics["md/steps/NVT_3500K"] == 400.0
    errors = [n for n in metrics if "error" in n]
    assert sorted(errors) == [
        "md/diffusion_error_percent",
        "md/rdf_error/NVT_300K",
        "md/rdf_error/NVT_3500K",
        "md/volume_error_percent",
    ]
    assert all(metrics[name] == 0.0 for name in errors)
    assert all(np.isfinite(value) for value in metrics.values())
    assert {path.name for path in (tmp_path / "dynamics").iterdir()} == {
        "dynamics.json",
        "last_frames.extxyz",
    }
    told = json.loads((tmp_path / "dynamics" / "dynamics.json").read_text())
    assert told["metrics"] == metrics and len(told["runs"]) == len(names)
    assert len(list((tmp_path / "cache").glob("md-reference-*.json"))) == 1


def test_a_hole_in_the_wall_makes_md_fail_and_the_cause_is_told(source, tmp_path):
    found = dynamics("dynamics.plan.nve=0.0", "dynamics.plan.npt=0.0").measure(
        subject(source, with_hole(tmp_path), tmp_path, label_giver=None)
    )
    metrics = found.metrics
    assert metrics["md/stable_fraction"] < 0.8
    assert metrics["md/stable_fraction/NVT_3500K"] < 0.5
    assert metrics["md/failures_too_close"] + metrics["md/failures_too_hot"] == metrics["md/failures"] > 0
    assert metrics["md/time_to_failure_ps/NVT_3500K"] < 0.4
    assert "ps (" in found.problems["md/NVT_3500K"]
    assert not (tmp_path / "dynamics" / "temperature.png").exists()


def test_without_a_label_giver_frames_of_the_pool_are_the_reference(source, tmp_path):
    overrides = ("dynamics.plan.nve=0.0", "dynamics.plan.npt=0.0", "dynamics.plan.heating=0.0")
    found = dynamics(*overrides, "dynamics.extrapolation=null", "dynamics.plan.n_temperatures=1").measure(
        subject(source, stillinger_weber(tmp_path), tmp_path, label_giver=None)
    )
    assert not [name for name in found.metrics if "outside" in name]
    assert "md/rdf_error/NVT_3500K" not in found.metrics, "8 frames in the pool are too few"
    told = json.loads((tmp_path / "dynamics" / "dynamics.json").read_text())
    assert "pool" in told["reference"]["source"]


def test_a_potential_that_kills_its_process_fails_alone(source, tmp_path):
    overrides = ("dynamics.plan.npt=0.0", "dynamics.plan.heating=0.0", "dynamics.plan.compression=0.0")
    found = dynamics(*overrides, "dynamics.plan.n_temperatures=1").measure(
        subject(source, Faulty("kill", 3), tmp_path, label_giver=None)
    )
    metrics = found.metrics
    assert metrics["md/failures_crashed"] == metrics["md/failures"] == 2.0
    assert metrics["md/stable_fraction"] == 0.0
    assert set(found.problems) == {"md/NVE_300K", "md/NVT_3500K"}
    assert all(np.isfinite(value) for value in metrics.values())


def test_own_space_comes_beside_the_common_one(source, snap_basis, tmp_path):
    overrides = ("dynamics.plan.nve=0.0", "dynamics.plan.npt=0.0", "dynamics.plan.compression=0.0")
    judged = subject(source, stillinger_weber(tmp_path), tmp_path, label_giver=None, own=snap_basis)
    cold = [i for i, block in enumerate(judged.pool.blocks) if block == "MD 300 K"]
    judged = replace(judged, kept=judged.pool.subset(cold))
    metrics = dynamics(*overrides, "dynamics.plan.heating=0.0").measure(judged).metrics
    for space in ("common", "own"):
        whole = f"md/outside_kept_{space}_space_fraction"
        apart = [metrics[f"{whole}/{name}"] for name in ("NVT_300K", "NVT_3500K")]
        assert metrics[whole] == pytest.approx(np.mean(apart))
        assert apart[0] < apart[1], "the melt is further from cold frames than the crystal"


def test_no_crystal_no_md(source, tmp_path):
    found = dynamics().measure(subject(source, Faulty("kill", 0), tmp_path, crystal=None))
    assert found.metrics == {} and "dataset.crystal" in found.problems["md"]


def test_no_temperatures_no_md(source, tmp_path):
    found = dynamics("dynamics.plan.trajectory_groups=[other]").measure(
        subject(source, Faulty("kill", 0), tmp_path)
    )
    assert found.metrics == {} and "dynamics.plan.temperatures" in found.problems["md"]


def test_causes_are_metrics_whether_they_happen_or_not(source, tmp_path):
    overrides = [f"dynamics.plan.{kind}=0.0" for kind in ("npt", "nvt", "heating", "compression")]
    judged = subject(source, stillinger_weber(tmp_path), tmp_path)
    metrics = dynamics(*overrides, "dynamics.plots=true").measure(judged).metrics
    assert (tmp_path / "dynamics" / "energy.png").exists()
    assert {f"md/failures_{cause}" for cause in guards.CAUSES} <= set(metrics)
    assert "md/stable_fraction" not in metrics, "without NVT there is no mean over temperatures"
