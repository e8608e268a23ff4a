"""What the upstream programs are told of weights, of missing forces, and of isolated atoms."""

from dataclasses import replace
from itertools import pairwise

import ase.io
import numpy as np
import pandas as pd
import pytest
from ase import Atoms
from tests.training import built, fit, rattled_silicon, stand_ins

from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.models.trainers import chimes_lsq, gap_fit, pacemaker
from tamis.models.trainers.base import reference_energies

GAP = (
    *("model.basis.n_max=4", "model.basis.l_max=3", "model.n_sparse=25", "model.n_sparse_2b=6"),
    *("model.energy_sigma=0.002", "model.force_sigma=0.02", "model.virial_sigma=0.04"),
)
ACE = (
    *("model.basis.n_functions_per_element=3", "model.basis.nradmax_by_orders=[2,1]"),
    *("model.basis.lmax_by_orders=[0,0]", "model.max_iterations=3", "model.evaluator=pyace"),
)


@pytest.fixture(scope="module")
def silicon() -> Dataset:
    return rattled_silicon()


def without_forces(dataset: Dataset, *members: int) -> Dataset:
    return replace(
        dataset,
        forces=tuple(np.full_like(f, np.nan) if i in members else f for i, f in enumerate(dataset.forces)),
    )


def weighted(dataset: Dataset, *rows: tuple[float, float, float]) -> Dataset:
    return replace(dataset, weights=np.tile(rows, (len(dataset), 1))[: len(dataset)])


def energies_of(potential, dataset: Dataset) -> np.ndarray:
    calculator = potential.calculator()
    return np.array([calculator.get_property("energy", atoms) for atoms in dataset.structures])


def test_weights_are_sigmas_of_structures_to_gap_fit(silicon, tmp_path):
    """As the program itself takes them: weights of 1 are the sigmas of all, those of 4 are half of them."""
    model = built("upstream_gap_fit", *GAP)
    halved = built("upstream_gap_fit", *GAP[:4], *(f"model.{kind}_sigma={s}" for kind, s in
                   (("energy", 0.001), ("force", 0.01), ("virial", 0.02))))  # fmt: skip
    kept = silicon.subset([0, 1, 2, 4])
    none, ones, fours, half = (
        energies_of(fit(a_model, some, tmp_path), silicon)
        for a_model, some in (
            (model, kept),
            (model, weighted(kept, (1.0, 1.0, 1.0))),
            (model, weighted(kept, (4.0, 4.0, 4.0))),
            (halved, kept),
        )
    )
    np.testing.assert_allclose(ones, none, atol=1e-6)
    np.testing.assert_allclose(fours, half, atol=1e-6)
    assert np.abs(half - none).max() > 1e-5


def test_labels_that_do_not_count_are_not_written_for_gap_fit(silicon, tmp_path):
    kept = without_forces(weighted(silicon, (1.0, 1.0, 1.0), (0.0, 1.0, 0.0), (4.0, 0.0, 1.0)), 0)
    gap_fit.write_structures(tmp_path / "x.xyz", kept, 5.0, (0.1, 0.2, 0.3))
    frames = ase.io.read(tmp_path / "x.xyz", ":")
    assert ["ref_forces" in frame.arrays for frame in frames[:3]] == [False, True, False]
    assert ["ref_energy" in frame.info for frame in frames[:3]] == [True, False, True]
    assert ["ref_virial" in frame.info for frame in frames[:3]] == [True, False, True]
    assert frames[2].info["energy_ref_sigma"] == pytest.approx(0.05 * np.sqrt(len(frames[2])))
    assert frames[1].info["force_ref_sigma"] == pytest.approx(0.2)
    assert not any("nan" in text for text in (tmp_path / "x.xyz").read_text().lower().split())
    potential = fit(built("upstream_gap_fit", *GAP), kept, tmp_path)
    assert np.abs(energies_of(potential, silicon) - silicon.energies).max() < 10.0


def test_pacemaker_gets_weights_that_sum_to_one(silicon, tmp_path):
    kept = without_forces(weighted(silicon, (1.0, 1.0, 1.0), (3.0, 0.5, 1.0)), 2)
    pacemaker.write_structures(tmp_path / "x.pckl.gzip", kept, {"Si": -4.0}, 5.0)
    table = pd.read_pickle(tmp_path / "x.pckl.gzip", compression="gzip")
    assert table["w_energy"].sum() == pytest.approx(1.0)
    assert table["w_energy"][1] == pytest.approx(3.0 * table["w_energy"][0])
    of_forces = table["w_forces"].tolist()
    assert sum(map(np.sum, of_forces)) == pytest.approx(1.0)
    assert of_forces[0][0] == pytest.approx(2.0 * of_forces[1][0]) and not of_forces[2].any()
    assert np.isfinite(np.concatenate(table["forces"].tolist())).all()
    pacemaker.write_structures(tmp_path / "x.pckl.gzip", silicon, {"Si": -4.0}, 5.0)
    assert "w_energy" not in pd.read_pickle(tmp_path / "x.pckl.gzip", compression="gzip")


@pytest.mark.slow
def test_pacemaker_fits_what_the_weights_say(silicon, tmp_path):
    """Equal weights are none; a structure that counts for nothing may be anything."""
    pytest.importorskip("pyace")
    model = built("upstream_pacemaker", *ACE, "model.reference_energies={Si: -4.0}")
    kept = silicon.subset([0, 1, 6])
    wrong = replace(kept, energies=np.append(kept.energies[:2], 50.0))
    none, equal = (
        energies_of(fit(model, some, tmp_path), kept) for some in (kept, weighted(kept, (2.0,) * 3))
    )
    np.testing.assert_allclose(equal, none, atol=1e-5)
    right, ignored = (
        energies_of(
            fit(model, weighted(some, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), (0.0, 1.0, 1.0)), tmp_path), kept
        )
        for some in (kept, wrong)
    )
    np.testing.assert_allclose(ignored, right, atol=1e-6)
    with pytest.raises(TamisError, match="pacemaker needs the forces of one structure at least"):
        fit(model, without_forces(kept, 0, 1, 2), tmp_path)


def test_rows_of_chimes_lsq_are_weighted_by_structures():
    kept = rattled_silicon().subset([0, 1, 2])
    plain = chimes_lsq.row_weights(kept, 7.0, 3.0, 2.0)
    ones = chimes_lsq.row_weights(weighted(kept, (5.0, 5.0, 5.0)), 7.0, 3.0, 2.0)
    np.testing.assert_allclose(ones, plain, rtol=1e-12)
    heavy = chimes_lsq.row_weights(
        replace(kept, weights=np.array([[1.0, 1, 1], [2, 2, 2], [0, 0, 0]])), 7.0, 3.0, 2.0
    )
    twice = chimes_lsq.row_weights(kept.subset([0, 1, 1]), 7.0, 3.0, 2.0)
    ends = np.cumsum([3 * len(frame) + 12 for frame, _ in chimes_lsq._frames(kept.subset([0, 1, 1]), 2.0)])
    first, second, third = (twice[a:b] for a, b in pairwise([0, *ends]))
    np.testing.assert_allclose(heavy[: ends[0]], first, rtol=1e-12)
    np.testing.assert_allclose(heavy[ends[0] : ends[1]] ** 2, second**2 + third**2, rtol=1e-12)
    assert not heavy[ends[1] :].any()


def test_missing_forces_weigh_nothing_to_chimes_lsq(tmp_path):
    kept = rattled_silicon().subset([0, 1])
    some = without_forces(kept, 1)
    rows = chimes_lsq.row_weights(some, 7.0, 3.0, 2.0)
    frames = [frame for frame, _ in chimes_lsq._frames(kept, 2.0)]
    end = 3 * len(frames[0]) + 12
    assert rows[: 3 * len(frames[0])].all() and not rows[end : end + 3 * len(frames[1])].any()
    assert rows[-3:].all()
    chimes_lsq.write_structures(tmp_path / "x.xyzf", some, 2.0)
    assert "nan" not in (tmp_path / "x.xyzf").read_text()


def test_n2p2_refuses_what_it_does_not_have(tmp_path):
    model = built("upstream_n2p2", *stand_ins("upstream_n2p2", tmp_path))
    kept = rattled_silicon()
    with pytest.raises(
        TamisError, match=r"nnp-train trains on the forces of every structure, and made#1, made#4"
    ):
        fit(model, without_forces(kept, 1, 4), tmp_path)
    with pytest.raises(
        TamisError, match=r"nnp-train knows no weights of structures.*dataset\.weight_key=null"
    ):
        fit(model, weighted(kept, (1.0, 1.0, 1.0), (2.0, 1.0, 1.0)), tmp_path)
    with pytest.raises(TamisError, match="without writing"):  # the program that does nothing
        fit(model, weighted(kept, (2.0, 1.0, 1.0)), tmp_path)


def test_programs_are_told_the_energies_of_isolated_atoms(silicon, tmp_path):
    kept = replace(silicon, free_energies={"Si": -1.25})
    assert reference_energies(kept, ("Si",), None) == {"Si": -1.25}
    assert reference_energies(kept, ("Si",), {"Si": -3.0}) == {"Si": -3.0}
    assert "e0={Si:-1.25}" in built("upstream_gap_fit", *GAP).arguments(kept, 1)
    pytest.importorskip("pyace")
    potential = fit(built("upstream_pacemaker", *ACE), kept.subset([0, 1]), tmp_path)
    assert potential.calculator().get_property("energy", Atoms("Si")) == pytest.approx(-1.25, abs=1e-6)
