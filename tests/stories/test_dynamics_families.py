"""MD of what the five families make of sw_silicon: from all of it, and from five frames."""

from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from tests.composing import composed

from tamis.data.dataset import Dataset
from tamis.data.sources.base import Source
from tamis.evaluation.base import Subject
from tamis.evaluation.dynamics import guards
from tamis.evaluation.dynamics.engine import Integration, Task, integrate
from tamis.evaluation.dynamics.guards import Guardrails
from tamis.evaluation.dynamics.plan import NVE, MdRun, supercell
from tamis.evaluation.dynamics.structure import energy_drift
from tamis.evaluation.dynamics.trajectory import FINISHED, Trajectory
from tamis.models.base import Potential
from tamis.store import Store

FAMILIES = ("snap", "ace", "chimes", "nnp", "gap")
STEPS = 5000


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("families")


@pytest.fixture(scope="module")
def source(folder) -> Source:
    return instantiate(composed(f"dataset.cache={folder}").dataset, _convert_="all")


def pool_of(source: Source) -> Dataset:
    dataset = source.load()
    return dataset.subset(np.flatnonzero(~dataset.is_test))


def fitted(family: str, kept: Dataset, folder: Path) -> Potential:
    model = instantiate(composed(f"model={family}").model, _convert_="all")
    return model.fit(kept, kept.subset([]), Store(folder / "store", 1), np.random.default_rng(0))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_conserves_energy(family, source, folder):
    """Below 0.1 meV/atom/ps of 64 atoms at 300 K: forces are derivatives of the energy, and smooth."""
    potential = fitted(family, pool_of(source), folder)
    run = MdRun(NVE, NVE, 0, supercell(source.crystal, 64), 300.0, 300.0, 1.0, STEPS, 1)
    how = Integration(timestep=1.0, damping=0.5, barostat=1.0, watch_every=10, sample_every=50)
    limits = Guardrails(closest=1.5, hotter_by=3000.0, volume_factor=2.0)
    found = Trajectory.of(run, list(integrate(Task(run, potential, how, limits, 1e6))))
    assert found.end == FINISHED, found.detail
    drift = energy_drift(found)
    print(f"NVE drift of {family}: {drift:.2g} meV/atom/ps")  # pytest -rP shows it
    assert drift < 0.1


@pytest.mark.slow
def test_five_cold_frames_make_no_melt(source, folder, tmp_path):
    """ChIMES: stable where it was trained, gone in the melt, with a cause; no exception comes out.

    (An ACE of the same frames keeps its atoms apart at 3500 K: stability alone does not tell a good potential.)
    """
    pool = pool_of(source)
    kept = pool.subset([i for i, block in enumerate(pool.blocks) if block == "MD 300 K"][:5])
    dynamics = instantiate(
        composed("+evaluation/dynamics@dynamics=quick", "dynamics.run_seconds=300.0").dynamics,
        _convert_="all",
    )
    subject = Subject(
        potential=fitted("chimes", kept, folder),
        pool=pool,
        kept=kept,
        crystal=source.crystal,
        reference={},
        label_giver=source.label_giver(),
        store=Store(folder / "store", 1),
        folder=tmp_path,
        seed=0,
        label_giver_name="Stillinger and Weber",
        cache=folder,
    )
    metrics = dynamics.measure(subject).metrics
    assert metrics["md/stable_fraction"] < 0.8
    assert metrics["md/stable_fraction/NVT_3500K"] < 0.5
    causes = {cause for cause in guards.CAUSES if metrics[f"md/failures_{cause}"]}
    assert causes <= {guards.TOO_CLOSE, guards.TOO_HOT, guards.LOST_ATOMS, guards.NON_FINITE} and causes
    # frames end with the failure, so that few are far: but more than in the crystal
    outside = "md/outside_kept_common_space_fraction"
    assert metrics[f"{outside}/NVT_3500K"] > metrics[f"{outside}/NVT_300K"]
