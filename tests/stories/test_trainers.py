"""Upstream trainers in whole trials: through the configuration, from outside, and with the real n2p2 and chimes_lsq."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from tests.composing import composed
from tests.training import (
    built,
    check_calculator,
    fit,
    force_residual,
    program,
    rattled_silicon,
    with_germanium,
)

from tamis.bases.chimes.basis import ChimesBasis
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.extxyz_writer import write_extxyz
from tamis.evaluation.errors import Residuals
from tamis.models.base import Predictions
from tamis.models.free_atoms import FreeAtoms
from tamis.models.normal_equations import Weights, gather_rows, solve_rows
from tamis.models.trainers.chimes_lsq import setup_text
from tamis.models.trainers.n2p2 import write_structures
from tamis.models.trainers.programs import workshop
from tamis.store import Store
from tamis.trial import run_trial


@pytest.fixture(scope="module")
def silicon() -> Dataset:
    return rattled_silicon()


@pytest.fixture(scope="module")
def place(silicon, tmp_path_factory) -> Path:
    """A folder with training and test structures."""
    folder = tmp_path_factory.mktemp("place")
    write_extxyz(folder / "train.xyz", silicon.subset([0, 1, 2, 3, 5, 7]))
    write_extxyz(folder / "test.xyz", silicon.subset([4]))
    return folder


def overrides(place: Path, *more: str) -> list[str]:
    return [
        *("dataset=file", "dataset.elements=[Si]", "dataset.atom_spacing=2.7", "validation_fraction=0.3"),
        *(f"dataset.train={place / 'train.xyz'}", f"dataset.test={place / 'test.xyz'}"),
        *("budget=all", "pruner=random", f"store.root={place / 'store'}", "store.n_jobs=1"),
        *("model=upstream_gap_fit", "model.basis.n_max=3", "model.basis.l_max=2", "model.n_sparse=10"),
        *more,
    ]


def trial(place: Path, folder: Path, *more: str):
    folder.mkdir()
    return run_trial(composed(*overrides(place, *more)), {}, folder)


def test_a_trial_with_an_upstream_trainer_leaves_its_files_logs_and_times(place, tmp_path):
    record = trial(place, tmp_path / "trial")
    assert (record.status, record.reason) == ("complete", "")
    for metric in (
        "fit/trainer_cpu_s",
        "fit/trainer_peak_MiB",
        "fit/gap_fit_wall_s",
        "test/force_mae_eV_per_A",
    ):
        assert record.metrics[metric] > 0
    files = {path.name for path in (tmp_path / "trial" / "potential").rglob("*")}
    assert {"gap.xml", "gap_fit.log", "in.potential"} <= files


MISBEHAVIOUR = {
    "fails": ("print('out of luck'); sys.exit(3)", "out of luck"),
    "writes nothing": ("print('all is well')", "status 0 without writing gap.xml"),
    "is killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed by signal 9"),
    "hangs": ("print('thinking', flush=True); time.sleep(600)", "time_limit_s = 1 s"),
}


@pytest.mark.parametrize("what", MISBEHAVIOUR)
def test_a_trainer_that_misbehaves_is_a_recorded_reason(place, tmp_path, what):
    text, reason = MISBEHAVIOUR[what]
    fake = program(tmp_path, text)
    limit = "1.0" if what == "hangs" else "60.0"
    record = trial(place, tmp_path / "trial", f"model.program={fake}", f"model.time_limit_s={limit}")
    saved = json.loads((tmp_path / "trial" / "record.json").read_text())
    assert saved["status"] == record.status == "failed"
    assert reason in saved["reason"] and "Traceback" not in saved["reason"]
    assert not (tmp_path / "trial" / "traceback.txt").exists()
    assert saved["selection"]["ids"]  # what was done before is kept


def test_a_missing_program_stops_a_trial_before_anything_is_computed(place, tmp_path):
    record = trial(place, tmp_path / "trial", "model.program=no-such-program")
    assert record.status == "failed" and not record.dataset.pool
    assert "with model.program=/path/to/no-such-program" in record.reason and "quippy-ase" in record.reason


# ---- the real n2p2 and chimes_lsq, where they are

# few functions, since ten epochs on eight structures cannot find the weights of many
QUICK_BASIS = ("model.basis.angular_eta=[1.0]", "model.basis.angular_zeta=[1.0,4.0]")
QUICK_NETWORK = ("model.epochs=10", "model.hidden_nodes=[6]", *QUICK_BASIS)
QUICK_CHIMES = ("model.basis.order_2b=6", "model.basis.order_3b=3", "model.basis.order_4b=2")


def needs(*programs: str) -> None:
    for name in programs:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not on the PATH")


@pytest.mark.upstream
@pytest.mark.parametrize("elements", ["[Si]", "[Ge,Si]"])
def test_n2p2_trains_a_network_and_our_reader_gives_what_nnp_predict_gives(silicon, elements, tmp_path):
    needs("nnp-scaling", "nnp-train", "nnp-predict")
    if "Ge" in elements:
        silicon = with_germanium(silicon)
    potential = fit(built("upstream_n2p2", *QUICK_NETWORK, f"dataset.elements={elements}"), silicon, tmp_path)
    assert force_residual(potential, silicon, tmp_path) < 0.9
    check_calculator(potential, silicon.structures[0])
    assert 0 <= potential.diagnostics["epoch"] <= 10
    calculator = potential.calculator()
    for i in (0, 1, 6):  # a cubic cell, a primitive one shorter than the cutoff, a free cluster
        folder = tmp_path / f"predict {i}"
        potential.write(folder)
        one = silicon.subset([i])
        write_structures(folder / "input.data", one, np.zeros(1, dtype=bool), 6.0)
        subprocess.run(["nnp-predict", "0"], cwd=folder, check=True, capture_output=True)
        [energy] = columns(folder / "energy.out", "Ennp")
        assert calculator.get_property("energy", one.structures[0]) == pytest.approx(energy[0], rel=1e-7)
        forces = np.stack(columns(folder / "nnforces.out", "fx", "fy", "fz"), axis=1)
        np.testing.assert_allclose(calculator.get_property("forces", one.structures[0]), forces, atol=1e-7)


def columns(path: Path, *names: str) -> list[np.ndarray]:
    """Columns of one of nnp-predict's tables by name: their order differs between versions."""
    comments = [line.lstrip("# ").split() for line in path.read_text().splitlines() if line[0] == "#"]
    header = [words for words in comments if set(names) <= set(words)][-1]
    table = np.loadtxt(path, ndmin=2)
    return [table[:, header.index(name)] for name in names]


def loss(basis: ChimesBasis, predictions: Predictions, kept: Dataset, weights: Weights) -> float:
    residuals = Residuals.of(predictions, kept)
    strain = (predictions.stresses - kept.stresses) * kept.volumes[:, None] / kept.n_atoms[:, None]
    return float(
        weights.energy**2 * np.mean((residuals.energies / 1000.0) ** 2)
        + np.mean(np.concatenate(residuals.forces) ** 2)
        + weights.stress**2 * np.nanmean(strain**2)
    )


@pytest.mark.upstream
@pytest.mark.parametrize(
    ("solver", "elements"),
    [(s, "[Si]") for s in ("svd", "fast_svd", "ridge", "ridgecv", "lasso", "lassolars")]
    + [("svd", "[Ge,Si]")],
)
def test_chimes_lsq_finds_the_minimum_of_our_loss(silicon, tmp_path, solver, elements):
    """Its rows, units, weights and repeated cells are ours: least squares on our own rows is no better."""
    needs("chimes_lsq", "chimes_lsq.py")
    functions: tuple[str, ...] = QUICK_CHIMES
    if "Ge" in elements:
        silicon, functions = with_germanium(silicon), (*QUICK_CHIMES, "model.basis.order_4b=0")
    settings = (
        f"dataset.elements={elements}",
        f"model.solver={solver}",
        "model.eps=1e-12" if solver == "svd" else "model.eps=1e-7",
        "model.alpha=1e-12",
        "model.energy_weight=5.0",
    )
    model = built("upstream_chimes_lsq", *functions, *settings)
    potential = fit(model, silicon, tmp_path)
    check_calculator(potential, silicon.structures[0])
    store, weights = Store(tmp_path / "store", 1), Weights(5.0, 1.0)
    theirs, offsets = potential.predict(silicon, store), np.zeros(len(model.elements))
    rows = gather_rows(
        store.design(model.basis, silicon.structures), silicon, model.elements, FreeAtoms.fitted(offsets)
    )
    solution = solve_rows(rows, np.arange(len(silicon)), weights, 1e-14, len(offsets))
    blocks = rows.kinds(np.arange(len(silicon)))
    squares = [np.mean(np.concatenate([b.times(solution) - b.target for b in kind]) ** 2) for kind in blocks]
    best = float(np.dot([25.0, 1.0, 1.0], squares))
    nothing = float(
        np.dot([25.0, 1.0, 1.0], [np.mean(np.concatenate([b.target for b in k]) ** 2) for k in blocks])
    )
    found = loss(model.basis, theirs, silicon, weights)
    tolerance = {"svd": 1e-3, "fast_svd": 1e-2}.get(solver, 10.0)  # the others have a penalty
    assert best * (1 - 1e-6) <= found <= best * (1 + tolerance) and found < 0.01 * nothing


@pytest.mark.upstream
def test_chimes_lsq_that_cannot_work_says_so(silicon, tmp_path):
    """With a cell that it cannot bin, the real program stops with status 0 and without a matrix."""
    needs("chimes_lsq", "chimes_lsq.py")
    model = built("upstream_chimes_lsq", *QUICK_CHIMES)
    with (
        pytest.raises(TamisError, match=r"status \d+ without writing A\.txt"),
        workshop(None, 60.0, 1) as shop,
    ):
        text = setup_text(model.basis, 5)
        (shop.folder / "fm_setup.in").write_text(text)  # 5 frames, but no file with frames
        shop.run(shutil.which("chimes_lsq"), "fm_setup.in", makes=("A.txt",))
