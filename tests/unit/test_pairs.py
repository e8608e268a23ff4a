"""Any two ways of choosing against each other: in the analysis, the terminal, the page and the report."""

import csv
from pathlib import Path

import numpy as np
import pytest
from tests.report_folders import FRACTIONS, report, write_trial
from tests.typed import typed

from tamis.analysis.arms import results_of
from tamis.analysis.pairs import MOST_ARMS, WHOLE_CURVE, Pair, pairs_at
from tamis.analysis.test_errors import CachedTestErrors
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands import compare
from tamis.commands.compare import compare_runs
from tamis.core.errors import TamisError
from tamis.report.links import Links

SEEDS = range(5)


def write_two(folder: Path, gain: float = 0.2, seeds=SEEDS, **more) -> Path:
    """FPS in ace, whose errors are exp(-gain) of those in soap, and random for snap."""
    for seed in seeds:
        write_trial(folder / f"ace-{seed}", "snap", "ace", seed=seed, level=0.1 * np.exp(-gain), **more)
        write_trial(folder / f"soap-{seed}", "snap", "soap", seed=seed, **more)
        write_trial(folder / f"random-{seed}", "snap", "none", "random", seed, **more)
    return folder


def pairs(folder: Path) -> list[Pair]:
    results = results_of(read_trials(find_trials([folder])))
    (ground,) = results.grounds
    return pairs_at(results, ground, CachedTestErrors())


def errors(path: Path, kept: int) -> float:
    """Mean test force error at a size, all structures being as large."""
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["kept_structures"]) == kept]
    return float(np.mean([float(row["force_mae_eV_per_A"]) for row in rows]))


def test_a_known_gain_is_found_at_each_budget_and_over_the_curve(tmp_path):
    found = pairs(write_two(tmp_path))
    places = list(dict.fromkeys(pair.where for pair in found))
    assert places[0].startswith(WHOLE_CURVE) and len(places) == len(FRACTIONS)  # the whole pool says nothing
    for pair in found:
        truth = 0.0 if {pair.first, pair.second} == {"random", "fps in soap"} else 0.2
        sign = -1 if pair.first == "fps in ace" else 1
        for effect in pair.effects.values():
            assert effect.n_seeds == len(SEEDS)
            low, high = effect.interval()
            assert low - 0.01 <= sign * truth <= high + 0.01 and high - low < 0.2
        assert pair.n_pairs == 3 and all(pair.p[e] >= pair.effects[e].p for e in pair.effects)
        assert truth == 0.0 or pair.p["forces"] < 0.05


def test_the_ratio_is_the_geometric_mean_over_splits_of_ratios_of_errors(tmp_path):
    write_two(tmp_path)
    pair = next(
        p
        for p in pairs(tmp_path)
        if p.where == "10 %" and {p.first, p.second} == {"fps in ace", "fps in soap"}
    )
    files = [f"{name.removeprefix('fps in ')}-{{}}/test_errors.csv" for name in (pair.first, pair.second)]
    ratios = [
        errors(tmp_path / files[0].format(s), 6) / errors(tmp_path / files[1].format(s), 6) for s in SEEDS
    ]
    assert pair.effects["forces"].ratio == pytest.approx(np.exp(np.mean(np.log(ratios))))


def test_single_budgets_are_compared_without_a_curve_and_two_splits_have_no_interval(tmp_path):
    found = pairs(write_two(tmp_path, fractions=(0.2,), seeds=range(2)))
    assert [pair.where for pair in found] == ["20 %"] * 3
    assert not any(effect.enough for pair in found for effect in pair.effects.values())


def test_more_ways_than_a_table_of_pairs_can_hold_are_left_out(tmp_path):
    for i in range(MOST_ARMS + 1):
        write_trial(tmp_path / str(i), "snap", "ace", f"pruner{i}", fractions=(0.1,))
    assert pairs(tmp_path) == []


def test_the_command_prints_the_pairs_of_a_folder_and_leaves_a_page(tmp_path, capsys):
    folder = write_two(tmp_path / "sweep")
    assert typed(compare, folder, "--out", tmp_path / "page.html") == 0
    told = capsys.readouterr().out
    assert "fps in ace against fps in soap" in told and "fps in ace against random" in told
    assert ("other splits of the same data" in told and "0.82 (" in told) or "1.22 (" in told
    assert "Any two" in (tmp_path / "page.html").read_text()


def test_a_folder_with_one_way_of_choosing_is_refused_in_a_sentence(tmp_path, capsys):
    write_trial(tmp_path / "sweep" / "0")
    assert typed(compare, tmp_path / "sweep") == 1
    assert "nothing to compare" in capsys.readouterr().err


def test_the_report_has_the_pairs(tmp_path):
    text = report(write_two(tmp_path))
    assert "## Any two ways of choosing" in text and "no difference shown" in text


def test_curves_are_compared_at_each_budget(tmp_path):
    write_trial(tmp_path / "a", "snap", "ace", level=0.05)
    write_trial(tmp_path / "b", "snap", "soap", level=0.1)
    document = compare_runs([tmp_path / "a", tmp_path / "b"], Links())
    (table,) = (p for s in document.sections for p in s.parts if getattr(p, "name", "") == "curves")
    rows = [row for row in table.rows if row[1] == "test/force_mae_eV_per_A"]
    assert len(rows) == len(FRACTIONS) and all(row[-1] == "2.000" for row in rows)
    write_trial(tmp_path / "c", "snap", "soap", fractions=(0.03, 1.0))
    document = compare_runs([tmp_path / "a", tmp_path / "c"], Links())
    (table,) = (p for s in document.sections for p in s.parts if getattr(p, "name", "") == "curves")
    assert len([row for row in table.rows if row[1] == "kept/atoms"]) == 2
    with pytest.raises(TamisError, match="give another"):
        compare_runs([tmp_path / "a"], Links())
