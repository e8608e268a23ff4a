"""Structures without forces, and weights: what is checked, told and written."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from tests.labelled import copper
from tests.report_folders import comparisons, write_study

from tamis.analysis.test_errors import Reader
from tamis.core.errors import TamisError
from tamis.core.metrics import TEST, TRAIN
from tamis.data.checks import check_dataset
from tamis.data.dataset import split_dataset, with_isolated
from tamis.data.extxyz_writer import write_extxyz
from tamis.data.plausibility.fillers import constant_energies, find_fillers, zero_stress_fillers
from tamis.data.signal import still_force
from tamis.data.sources.archive import read_archive, write_archive
from tamis.evaluation.errors import Errors
from tamis.models.base import Predictions


def without_forces(dataset, *members):
    return replace(
        dataset,
        forces=tuple(np.full_like(f, np.nan) if i in members else f for i, f in enumerate(dataset.forces)),
    )


def test_the_checks_accept_structures_without_forces_and_tell_of_them(caplog):
    doubts = check_dataset(without_forces(copper(20), 1, 3, 4), ["Cu"])
    assert doubts == ("3 of 20 structures have no forces",)
    doubts = check_dataset(without_forces(copper(20), *range(20)), ["Cu"])
    assert doubts == ("20 of 20 structures have no forces",)


def test_a_single_missing_number_is_refused():
    data = copper(5)
    forces = [f.copy() for f in data.forces]
    forces[2][1, 0] = np.nan
    with pytest.raises(TamisError, match=r"set.xyz#2: force\[1, 0\] is nan; it must be finite"):
        check_dataset(replace(data, forces=tuple(forces)), ["Cu"])
    with pytest.raises(TamisError, match=r"set.xyz#2: forces have shape \(3, 3\) for 4 atoms"):
        check_dataset(
            replace(data, forces=(*data.forces[:2], np.full((3, 3), np.nan), *data.forces[3:])), ["Cu"]
        )


def test_missing_forces_are_neither_fillers_nor_hide_them():
    data = without_forces(copper(12), *range(6))
    zeros = replace(data, forces=tuple(np.where(np.isnan(f), f, 0.0) for f in data.forces))
    problems, _ = find_fillers(zeros)
    assert "every force of every structure is 0" in problems[0]
    constant = replace(data, energies=np.full(12, -3.0))
    assert constant_energies(constant) == list(range(12))
    assert constant_energies(without_forces(constant, *range(12))) == []
    still = replace(data.subset([0, 1]), stresses=np.zeros((2, 6)))
    same = replace(still, structures=(still.structures[0],) * 2)
    assert zero_stress_fillers(same) == []  # without forces nothing says that there is stress


def test_missing_forces_do_not_count_in_what_is_usual():
    data = copper(12)
    assert still_force(without_forces(data, 0, 1).forces) == still_force(data.subset(range(2, 12)).forces)
    assert still_force(without_forces(data, *range(12)).forces) == still_force(())


@pytest.mark.parametrize("seed", range(4))
def test_the_validation_set_gets_forces(seed):
    data = without_forces(copper(20), *range(16))
    split = split_dataset(data, 0.1, np.random.default_rng(seed))
    assert data.has_forces[split.validation].any() and data.has_forces[split.pool].any()


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [1.0, np.nan, 1.0]])
def test_weights_are_checked(weights):
    data = copper(4)
    changed = np.ones((4, 3))
    changed[2] = weights
    with pytest.raises(
        TamisError, match=r"set.xyz#2: weights of energy, forces, stress are .*give 0 or more"
    ):
        check_dataset(replace(data, weights=changed), ["Cu"])
    with pytest.raises(TamisError, match=r"weights must have shape \(4, 3\)"):
        replace(data, weights=np.ones((3, 3)))


def test_some_energy_must_count():
    data = copper(4)
    weights = np.ones((4, 3))
    weights[:, 0] = 0.0
    with pytest.raises(TamisError, match="the weight of every energy is 0"):
        check_dataset(replace(data, weights=weights), ["Cu"])
    weights[2, 0] = 0.1
    assert check_dataset(replace(data, weights=weights), ["Cu"]) == ()


def test_weights_of_one_are_none_to_the_fingerprint_and_others_enter_it():
    data = copper(4)
    ones, twos = (replace(data, weights=np.full((4, 3), w)) for w in (1.0, 2.0))
    assert data.fingerprint == ones.fingerprint != twos.fingerprint
    assert twos.subset([2]).weights.tolist() == [[2.0] * 3]
    joined = with_isolated(replace(twos, isolated=data.subset([0])))
    assert joined.weights.tolist() == [[1.0] * 3] + [[2.0] * 3] * 4
    assert with_isolated(replace(data, isolated=data.subset([0]))).weights is None


def test_a_label_that_is_not_there_has_no_weight():
    data = without_forces(copper(3), 1)
    stresses = data.stresses.copy()
    stresses[2] = np.nan
    assert replace(data, stresses=stresses).label_weights.tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 0]]


def test_missing_forces_are_written_as_none(tmp_path):
    from ase.io import read

    write_extxyz(tmp_path / "kept.extxyz", without_forces(copper(3), 1))
    written = read(tmp_path / "kept.extxyz", index=":")
    assert ["forces" in atoms.calc.results for atoms in written] == [True, False, True]
    assert "nan" not in (tmp_path / "kept.extxyz").read_text().lower()


class Run:
    """As much of a trial as the reader of test errors looks at."""

    def __init__(self, folder, n_points):
        self.folder, self.points = folder, [None] * n_points


def test_errors_of_structures_without_forces_are_written_and_read(tmp_path):
    data = without_forces(copper(4), 1)
    said = Predictions(data.energies + 0.1, tuple(np.zeros_like(f) for f in data.forces), data.stresses)
    errors = Errors(by_group=False, parity_plot=False)
    errors.measure(lambda _: said, {TRAIN: data, TEST: data}, tmp_path)
    with (tmp_path / "test_errors.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[2][-2:] == ["nan", "nan"]
    found = Reader().read(Run(tmp_path, 1))
    assert np.isnan(found.forces).tolist() == [[False, True, False, False]]
    assert np.isfinite(found.energies).all()
    (tmp_path / "test_errors.csv").write_text(
        (tmp_path / "test_errors.csv").read_text().replace(rows[1][-3], "nan")
    )
    assert Reader().read(Run(tmp_path, 1)) is None


def test_an_archive_keeps_missing_forces(tmp_path):
    data = without_forces(copper(3), 1)
    write_archive(tmp_path / "set.npz", data)
    assert read_archive(tmp_path / "set.npz").has_forces.tolist() == [True, False, True]


def change_errors(folder, change):
    """Apply ``change`` to the cells of each line of every test_errors.csv; None leaves the line out."""
    for path in folder.glob("*/test_errors.csv"):
        with path.open(newline="") as file:
            header, *lines = csv.reader(file)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows([header, *filter(None, map(change, lines))])


def test_a_comparison_of_force_errors_is_that_of_the_structures_with_forces(tmp_path):
    def silent(cells):
        return int(cells[1].split("#")[1]) % 2

    found = []
    for name, change in (
        ("missing", lambda cells: [*cells[:-2], "nan", "nan"] if silent(cells) else cells),
        ("left out", lambda cells: None if silent(cells) else cells),
        ("none", lambda cells: [*cells[:-2], "nan", "nan"]),
    ):
        write_study(tmp_path / name, models=("ace", "snap"), seeds=range(2))
        change_errors(tmp_path / name, change)
        found.append(comparisons(tmp_path / name))
    (missing,), (left_out,), none = found
    np.testing.assert_allclose(missing.mean_curves.means, left_out.mean_curves.means, rtol=1e-12)
    assert missing.n_blocks == pytest.approx(left_out.n_blocks)
    assert np.isfinite(missing.verdict.pooled.estimate)
    assert none == []


def test_errors_are_not_weighted(tmp_path):
    data = copper(6)
    heavy = replace(data, weights=np.arange(18.0).reshape(6, 3))
    said = Predictions(data.energies + np.arange(6), tuple(2.0 * f for f in data.forces), 2.0 * data.stresses)
    plain, weighted = (
        Errors(by_group=True, parity_plot=False).measure(lambda _: said, {TRAIN: some}, tmp_path)
        for some in (data, heavy)
    )
    assert plain == weighted
