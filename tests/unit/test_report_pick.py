"""Picking the smallest training set that is good enough, and comparing runs."""

import json
import re
from pathlib import Path

import ase.io
import numpy as np
import pytest
from tests.composing import composed
from tests.report_folders import write_trial
from tests.typed import typed

from tamis.analysis.arms import results_of
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands import compare
from tamis.commands import pick as pick_command
from tamis.commands.compare import compare_runs
from tamis.commands.pick import Wish, on_one_ground, pick, typical, weigh, write_pick
from tamis.core.errors import TamisError
from tamis.core.irrelevant import NO_TRIAL
from tamis.records.record import read_record
from tamis.report.document import Paragraph, Table, text_of
from tamis.report.html import to_html
from tamis.report.links import Links
from tamis.trial import run_trial

WISH = Wish(within=5.0, energy_weight=1.0, force_weight=1.0, properties=5.0, stability=0.02)
PROPERTY, STABLE = "properties/elastic_C11_error_percent", "md/stable_fraction"


def candidates(folder: Path, wish: Wish = WISH):
    return weigh(results_of(read_trials(find_trials([folder]))).points, wish)


def whole_and_half(folder: Path, ratio: float, seeds=range(3), **extra: dict[str, float]) -> Path:
    """Trials on the whole pool, and on half of it with validation errors ``ratio`` times those."""
    for seed in seeds:
        write_trial(
            folder / f"whole-{seed}",
            "snap",
            "none",
            "random",
            seed,
            fractions=(1.0,),
            extra=extra.get("whole"),
        )
        level = ratio * 0.5**0.3
        write_trial(
            folder / f"half-{seed}",
            seed=seed,
            fractions=(0.5,),
            validation=0.1 * level,
            extra=extra.get("half"),
        )
    return folder


def test_the_smallest_set_within_the_allowed_error_is_picked(tmp_path):
    picked = pick(candidates(whole_and_half(tmp_path, 1.04)))
    assert picked.n_atoms == 300 and picked.ratio == pytest.approx(1.04)
    assert set(picked.unknown) == {"properties", "stability in MD"}


def test_a_set_with_larger_errors_is_not_and_the_whole_pool_is_what_is_left(tmp_path):
    found = candidates(whole_and_half(tmp_path, 1.06))
    assert pick(found).n_atoms == 600
    assert "6.0 % above" in found[0].objections[0]
    assert pick(candidates(tmp_path, Wish(7.0, 1.0, 1.0, 5.0, 0.02))).n_atoms == 300


def test_test_errors_decide_nothing(tmp_path):
    whole_and_half(tmp_path, 1.0)
    for path in tmp_path.glob("half-*/record.json"):
        record = json.loads(path.read_text())
        for point in record["curve"]:
            point["metrics"] |= {k: 1e6 for k in point["metrics"] if k.startswith("test/")}
        path.write_text(json.dumps(record))
    assert pick(candidates(tmp_path)).n_atoms == 300


def test_properties_and_stability_have_to_be_kept(tmp_path):
    good = {PROPERTY: -3.0, STABLE: 1.0}
    lost = whole_and_half(tmp_path / "a", 1.0, whole=good, half={PROPERTY: 9.0, STABLE: 1.0})
    assert "elastic_C11_error_percent grew by 6" in candidates(lost)[0].objections[0]
    unstable = whole_and_half(tmp_path / "b", 1.0, whole=good, half={PROPERTY: -3.0, STABLE: 0.9})
    assert "survived part of MD fell by 0.1" in candidates(unstable)[0].objections[0]
    kept = whole_and_half(tmp_path / "c", 1.0, whole=good, half={PROPERTY: 7.0, STABLE: 0.99})
    assert pick(candidates(kept)).n_atoms == 300


def test_a_set_that_was_tried_in_fewer_splits_is_not_picked(tmp_path):
    whole_and_half(tmp_path, 1.2)
    write_trial(tmp_path / "lucky", seed=0, fractions=(0.1,), validation=0.01)
    assert pick(candidates(tmp_path)).n_atoms == 600


def test_properties_of_some_splits_leave_the_curves_of_all_together(tmp_path):
    for seed in range(3):
        write_trial(tmp_path / f"{seed}", seed=seed, fractions=(0.5, 1.0), validation=0.1)
    write_trial(tmp_path / "measured", fractions=(0.5,), validation=0.1, extra={STABLE: 1.0}, started=2.0)
    half, whole = candidates(tmp_path)
    assert len(half.members) == len(whole.members) == 3 and half.unknown == ("properties",)


def test_the_member_with_the_middle_error_is_typical(tmp_path):
    for seed, level in enumerate((0.07, 0.05, 0.06)):
        write_trial(tmp_path / f"{seed}", seed=seed, fractions=(1.0,), validation=level)
    (candidate,) = candidates(tmp_path)
    assert typical(candidate, WISH).seeds[0] == 2


def test_what_cannot_be_picked_from_is_refused(tmp_path):
    write_trial(tmp_path / "half", fractions=(0.5,))
    with pytest.raises(TamisError, match="no trial kept the whole pool"):
        candidates(tmp_path)
    with pytest.raises(TamisError, match="no training set, not even the whole pool"):
        pick([])
    with pytest.raises(TamisError, match="at least one has to be above"):
        Wish(5.0, 0.0, 0.0, 5.0, 0.02)


@pytest.fixture(scope="module")
def curve(tmp_path_factory) -> Path:
    """A real curve on sw_silicon."""
    place = tmp_path_factory.mktemp("pick")
    config = composed(
        "model.basis.twojmax=2",
        "descriptor.twojmax=2",
        "budget=curve",
        "budget.fractions=[0.2,0.5,1.0]",
        f"store.root={place}/store",
        "store.n_jobs=1",
    )
    choices = {
        "model": "snap",
        "descriptor": "snap",
        "pruner": "fps",
        "budget": "curve",
        "dataset": "sw_silicon",
    }
    trial = {k: v for k, v in config.items() if k not in NO_TRIAL}
    record = run_trial(type(config)(trial), choices, place / "trial")
    assert record.status == "complete", record.reason
    return place / "trial"


def test_a_point_within_a_curve_is_retrained_to_the_same_numbers(curve, tmp_path):
    found = candidates(curve, Wish(1e6, 1.0, 1.0, 5.0, 0.02))
    text = write_pick(pick(found), found, WISH, tmp_path / "picked")
    record = read_record(curve)
    again = read_record(tmp_path / "picked" / "trial")
    first = record.curve[0].metrics
    for name in ("test/force_mae_eV_per_A", "validation/energy_mae_meV_per_atom", "kept/atoms"):
        assert again.metrics[name] == pytest.approx(first[name], rel=1e-9)
    kept = ase.io.read(tmp_path / "picked" / "kept.extxyz", ":")
    assert [atoms.info["id"] for atoms in kept] == list(record.selection.ids)[: len(kept)]
    assert len(kept) == first["kept/structures"] and any((tmp_path / "picked" / "potential").iterdir())
    assert "retrained" in text and "Not measured for this set: properties" in text
    assert f"{first['test/force_mae_eV_per_A']:.3g} eV/Å" in text


def test_the_last_point_is_copied(curve, tmp_path):
    found = candidates(curve, Wish(1e-9, 1.0, 1.0, 5.0, 0.02))
    whole = [c for c in found if c.n_atoms == max(c.n_atoms for c in found)]
    write_pick(whole[0], found, WISH, tmp_path / "picked")
    assert (tmp_path / "picked" / "kept.extxyz").read_bytes() == (curve / "kept.extxyz").read_bytes()
    assert not (tmp_path / "picked" / "trial").exists()


def test_a_set_that_comes_out_otherwise_than_it_was_is_refused(curve, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    record = json.loads((curve / "record.json").read_text())
    record["selection"]["ids"][0] = "somewhere#0"
    (moved / "record.json").write_text(json.dumps(record))
    found = candidates(moved, Wish(1e6, 1.0, 1.0, 5.0, 0.02))
    with pytest.raises(TamisError, match="data or code have changed"):
        write_pick(pick(found), found, WISH, tmp_path / "picked")


def test_one_of_several_data_sets_and_settings_is_chosen(tmp_path, capsys):
    """The usual setting has the name of its data set alone, which others have in theirs."""
    whole_and_half(tmp_path / "usual", 1.04)
    write_trial(tmp_path / "matched", model_r_cut=4.0, fractions=(1.0,))
    write_trial(tmp_path / "other", element="Mo", fractions=(1.0,))
    assert typed(pick_command, tmp_path) == 1
    said = capsys.readouterr().err
    names = re.findall(r"--data '?(.+?)'?$", said, re.M)
    assert "of 3 data sets or settings" in said and {"mlearn Mo", "mlearn Si"} < set(names)
    points = results_of(read_trials(find_trials([tmp_path]))).points
    for name in names:
        assert {point.ground.name for point in on_one_ground(points, name)} == {name}
    assert {point.ground.name for point in on_one_ground(points, "r_cut")} == set(names) - {
        "mlearn Mo",
        "mlearn Si",
    }
    assert typed(pick_command, tmp_path, "--data", "mlearn") == 1
    assert "--data 'mlearn' fits 3 of them" in capsys.readouterr().err


# comparing


def tables(document) -> dict[str, Table]:
    return {part.name: part for s in document.sections for part in s.parts if isinstance(part, Table)}


def test_runs_are_compared_by_configuration_metrics_and_structures(tmp_path):
    a = write_trial(tmp_path / "a", level=0.1, fractions=(0.5,))
    b = write_trial(tmp_path / "b", level=0.2, fractions=(0.5,), r_cut=6.0)
    c = write_trial(tmp_path / "c", "snap", "ace", level=0.1, fractions=(0.1,))
    found = tables(document := compare_runs([a, b, c], Links()))
    different = {row[0]: row[1:] for row in found["configuration"].rows}
    assert different["descriptor.r_cut"] == ["5.0", "6.0", "5.0"] and "model" not in different
    metrics = {row[0]: row[1:] for row in found["metrics"].rows}
    assert metrics["test/force_mae_eV_per_A"][3] == "2.000"
    kept = {row[0]: row[1:] for row in found["kept"].rows}
    assert kept["a, b"] == ["30", "30", "30", "1.00"]
    x, y = (set(read_record(folder).selection.ids) for folder in (a, c))
    assert kept["a, c"][2:] == [str(len(x & y)), f"{len(x & y) / len(x | y):.2f}"]
    assert "test/force_mae_eV_per_A" in to_html(document)


def test_runs_on_different_data_are_compared_with_a_warning(tmp_path):
    a, b = (
        write_trial(tmp_path / "x" / "0"),
        write_trial(tmp_path / "y" / "0", element="Mo", problems={"md": "no"}),
    )
    document = compare_runs([a, b], Links())
    texts = [part.text for s in document.sections for part in s.parts if isinstance(part, Paragraph)]
    assert any("different data sets" in text for text in texts) and "y/0, md: no" in texts
    assert [text_of(row[0]) for row in tables(document)["runs"].rows] == ["x/0", "y/0"]


def test_comparing_needs_two_runs_that_can_be_read(tmp_path):
    a = write_trial(tmp_path / "a")
    with pytest.raises(TamisError, match="give another"):
        compare_runs([a], Links())
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "record.json").write_text("{")
    with pytest.raises(TamisError, match="damaged"):
        compare_runs([a, tmp_path / "b"], Links())


def test_the_compare_command_writes_a_page_and_refuses_what_is_no_run(tmp_path, capsys):
    write_trial(tmp_path / "a")
    write_trial(tmp_path / "b", level=0.2)
    where = ("--out", tmp_path / "comparison.html", "--tracking", f"sqlite:///{tmp_path}/none.db")
    assert typed(compare, tmp_path / "a", tmp_path / "b", *where) == 0
    assert "2.000" in capsys.readouterr().out and (tmp_path / "comparison.html").is_file()
    assert typed(compare, tmp_path / "a", "0123abc", *where) == 1
    assert "nor the id of a run" in capsys.readouterr().err


def test_losses_are_means_of_logs():
    metrics = {"validation/energy_mae_meV_per_atom": np.e**2, "validation/force_mae_eV_per_A": np.e**-1}
    assert Wish(0, 1, 1, 0, 0).loss(metrics) == pytest.approx(0.5)
    assert Wish(0, 0, 2, 0, 0).loss(metrics) == pytest.approx(-1.0)
