"""The published table of half-pools: what its columns mean, and that it can be read again."""

import csv
import json

import numpy as np
import pytest
from tests import report_folders

from tamis.analysis.half_pools.answers import ALL
from tamis.analysis.half_pools.table import force_mae, read_rows, rows_of, stratum_of, write_rows
from tamis.analysis.trials import find_trials, read_trials
from tamis.core.errors import TamisError


def write_half(folder, repetition, half, *args, changes=None, **more):
    """A trial of one half-pool; ``changes`` are of its record's configuration."""
    path = report_folders.write_trial(folder, *args, split="halves", block="errors", **more)
    record = json.loads((path / "record.json").read_text())
    record["config"]["dataset"] |= {"repetition": repetition, "half": half}
    for group, part in (changes or {}).items():
        record["config"][group] |= part
    (path / "record.json").write_text(json.dumps(record))


@pytest.fixture
def trials(tmp_path):
    for half in (0, 1):
        write_half(tmp_path / f"own{half}", 2, half, "snap", "snap")
        write_half(tmp_path / f"random{half}", 2, half, "snap", "none", "random", 7, level=0.2)
    return read_trials(find_trials([tmp_path]))


def test_rows_have_the_metrics_of_the_trial(trials):
    rows, missing = rows_of(trials)
    assert missing == []
    assert len(rows) == len(trials) * len(report_folders.FRACTIONS)
    of_own = [row for row in rows if (row.half, row.pruner) == (1, "fps")]
    assert [row.fraction for row in of_own] == list(report_folders.FRACTIONS)
    assert [row.kept_atoms for row in of_own] == [10, 60, 120, 300, 600]
    assert {(r.repetition, r.own, r.setting, r.block, r.pool_atoms) for r in of_own} == {
        (2, True, "", "errors", 600)
    }
    assert {(row.own, row.descriptor, row.seed) for row in rows if row.pruner == "random"} == {
        (False, "none", 7)
    }
    for row in of_own:  # structures scatter by 2 % about the level
        level = 0.1 * (row.kept_structures / 60) ** -0.3
        assert row.forces[ALL] == pytest.approx(level, rel=0.03)
        assert row.energies[ALL] == pytest.approx(50 * row.forces[ALL])
        assert set(row.forces) == {ALL, "MD", "strained", "surface"}
        strata = [row.forces[name] for name in ("MD", "strained", "surface")]  # of four equal structures each
        assert np.mean(strata) == pytest.approx(row.forces[ALL])


def test_a_table_says_the_same_when_read_again(trials, tmp_path):
    rows, _ = rows_of(trials)
    write_rows(tmp_path / "points.csv", rows[::-1])
    again = read_rows(tmp_path / "points.csv")
    assert [vars(row) | {"forces": 0, "energies": 0} for row in again] == [
        vars(row) | {"forces": 0, "energies": 0} for row in rows
    ]
    for row, same in zip(rows, again, strict=True):
        assert same.forces == pytest.approx(row.forces, rel=1e-7)
        assert same.energies == pytest.approx(row.energies, rel=1e-7)
    write_rows(tmp_path / "again.csv", again)
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "points.csv").read_bytes()


def test_another_configuration_is_a_setting_and_another_half_is_none(trials, tmp_path):
    write_half(tmp_path / "global", 3, 0, "snap", "snap", changes={"latent": {"pooling": "sum"}})
    rows, _ = rows_of(read_trials(find_trials([tmp_path])))
    assert {(row.repetition, row.setting) for row in rows} == {(2, ""), (3, "latent (pooling=sum)")}


def test_other_splits_are_passed_over_and_missing_errors_are_told(trials, tmp_path):
    report_folders.write_trial(tmp_path / "published")
    (tmp_path / "own0" / "test_errors.csv").unlink()
    rows, missing = rows_of(read_trials(find_trials([tmp_path])))
    assert [folder.name for folder in missing] == ["own0"]
    assert {(row.half, row.pruner) for row in rows} == {(1, "fps"), (0, "random"), (1, "random")}


@pytest.mark.parametrize(
    ("element", "group", "block", "stratum"),
    [
        ("Si", "AIMD-NVT", "AIMD-NVT 1518 K", "cold"),
        ("Si", "AIMD-NVT", "AIMD-NVT 2530 K", "hot"),
        ("Mo", "AIMD-NVT", "AIMD-NVT 3000 K", "hot"),
        ("Li", "AIMD-NVT", "AIMD-NVT shrunken 408 K", "cold"),
        ("Li", "AIMD-NVT", "AIMD-NVT expanded 680 K", "hot"),
        ("Ge", "Vacancy", "Vacancy hot", "hot"),
        ("Li", "Vacancy", "Vacancy cold", "cold"),
        ("Si", "Surface", "Surface (1_1_1)_reconstructed", "surface"),
        ("Mo", "Elastic", "Elastic Mo 3x3x3 cell relaxed", "strained"),
        ("Si", "Liquid", "Liquid", "Liquid"),
    ],
)
def test_every_block_of_mlearn_has_its_stratum(element, group, block, stratum):
    assert stratum_of("mlearn", element, group, block) == stratum
    assert stratum_of("other", element, group, block) == group


def test_force_errors_are_means_over_atoms_that_have_some():
    assert force_mae(np.array([0.1, 0.4, np.nan]), np.array([30.0, 10.0, 50.0])) == pytest.approx(0.175)
    assert np.isnan(force_mae(np.array([np.nan]), np.array([1.0])))
    assert np.isnan(force_mae(np.array([1e-15, 3e-14]), np.array([2.0, 2.0])))


@pytest.mark.parametrize(
    ("column", "text", "says"),
    [("half", "x", "record 2"), ("own", "2", "record 2"), ("model", None, "no column")],
)
def test_a_damaged_table_is_refused(trials, tmp_path, column, text, says):
    path = tmp_path / "points.csv"
    write_rows(path, rows_of(trials)[0])
    header, *lines = csv.reader(path.open(newline=""))
    place = header.index(column)
    if text is None:
        header[place] = "other"
    else:
        lines[0][place] = text
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *lines])
    with pytest.raises(TamisError, match=says):
        read_rows(path)
