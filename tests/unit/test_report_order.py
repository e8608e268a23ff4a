"""How the trials of a report are found and put in order: grounds, variants, curves."""

import pytest
from tests.report_folders import write_trial

from tamis.analysis.arms import name_variants, results_of
from tamis.analysis.trials import find_trials, read_trials
from tamis.core.errors import TamisError


def test_configurations_are_named_by_what_differs_from_the_usual_one():
    usual, other = '{"r_cut": 5.0, "n": 3}', '{"r_cut": 6.0, "n": 3}'
    names = name_variants([("ace", usual), ("ace", usual), ("ace", other), ("soap", other)])
    assert names == {("ace", usual): "ace", ("ace", other): "ace (r_cut=6.0)", ("soap", other): "soap"}


def test_data_sets_splits_and_settings_of_the_model_are_never_mixed(tmp_path):
    for i, more in enumerate(
        [{}, {"seed": 1}, {"split": "grouped"}, {"element": "Mo"}, {"model_r_cut": 6.0, "r_cut": 6.0}]
    ):
        write_trial(tmp_path / str(i), **more)
    results = results_of(read_trials(find_trials([tmp_path])))
    names = [ground.name for ground in results.grounds]
    assert names == ["mlearn Mo", "mlearn Si", "mlearn Si, basis.r_cut=6.0", "mlearn Si (split=grouped)"]
    assert all(curve.own for curve in results.curves)


def test_the_published_split_is_the_usual_one_however_many_trials_the_others_have(tmp_path):
    write_trial(tmp_path / "0")
    for seed in range(2):
        write_trial(tmp_path / f"g{seed}", seed=seed, split="grouped")
    names = [ground.name for ground in results_of(read_trials(find_trials([tmp_path]))).grounds]
    assert names == ["mlearn Si", "mlearn Si (split=grouped)"]


def test_a_descriptor_of_the_same_family_configured_otherwise_is_not_the_own_one(tmp_path):
    write_trial(tmp_path / "0")
    write_trial(tmp_path / "1", seed=1)
    write_trial(tmp_path / "2", r_cut=6.0)
    results = results_of(read_trials(find_trials([tmp_path])))
    assert {(c.descriptor, c.own) for c in results.curves} == {("snap", True), ("snap (r_cut=6.0)", False)}


def test_trials_of_single_budgets_make_a_curve_and_properties_join_their_point(tmp_path):
    for i, fraction in enumerate((0.5, 0.1)):
        write_trial(tmp_path / str(i), fractions=(fraction,))
    write_trial(tmp_path / "2", fractions=(0.1,), extra={"md/stable_fraction": 0.9}, started=2.0)
    (curve,) = results_of(read_trials(find_trials([tmp_path]))).curves
    assert curve.atoms.tolist() == [60.0, 300.0]
    assert (
        "md/stable_fraction" in curve.points[0].metrics
        and "md/stable_fraction" not in curve.points[1].metrics
    )


def test_folders_are_found_once_and_missing_ones_are_refused(tmp_path):
    write_trial(tmp_path / "a" / "10")
    write_trial(tmp_path / "a" / "9")
    found = find_trials([tmp_path, tmp_path / "a"])
    assert [folder.name for folder in found] == ["9", "10"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(TamisError, match="no record.json below"):
        find_trials([tmp_path / "empty"])
    with pytest.raises(TamisError, match="is no folder"):
        find_trials([tmp_path / "nowhere"])
