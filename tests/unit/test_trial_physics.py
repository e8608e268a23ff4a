"""What the terminal says of a trial's properties and MD."""

from pathlib import Path

import pytest

from tamis.records.record import COMPLETE, DatasetFacts, Point, TrialRecord
from tamis.report.tables import print_trial
from tamis.report.trial_physics import physics_table

ERRORS = {
    f"{part}/force_{kind}_eV_per_A": 0.1
    for part in ("train", "validation", "test")
    for kind in ("mae", "rmse")
}
PHYSICS = {
    "properties/elastic_C11_GPa": 151.5,
    "properties/elastic_C11_error_percent": -2.5,
    "properties/vacancy_formation_unrelaxed_eV": 4.25,
    "properties/vacancy_formation_eV": 3.25,
    "properties/vacancy_formation_error_eV": 0.125,
    "properties/eos_extra_minima": 0.0,
    "properties/failed": 0.0,
    "md/stable_fraction": 0.75,
    "md/stable_fraction/NVT_300K": 1.0,
}


def record(metrics: dict[str, float], problems: dict[str, str] | None = None) -> TrialRecord:
    made = TrialRecord(config={"choices": {"model": "snap"}}, status=COMPLETE, problems=problems or {})
    made.dataset = DatasetFacts(pool=("a", "b", "c", "d", "e"), validation=("f",), test=("g", "h"))
    made.metrics = ERRORS | {"kept/structures": 3.0} | metrics
    made.curve = [Point(3, 6, made.metrics)]
    return made


def rows(metrics: dict[str, float]) -> dict[str, tuple[str, str]]:
    table = physics_table(record(metrics))
    return {name: (value, error) for name, value, error in table.rows}


def test_each_value_stands_beside_its_own_error():
    assert rows(PHYSICS) == {
        "elastic_C11_GPa": ("151.5", "-2.5 %"),
        "vacancy_formation_unrelaxed_eV": ("4.25", ""),  # not that of the relaxed one
        "vacancy_formation_eV": ("3.25", "+0.125 eV"),
        "eos_extra_minima": ("0", ""),
        "md/stable_fraction": ("0.75", ""),
    }


def test_no_table_where_nothing_was_measured():
    assert physics_table(record({})) is None


def test_a_trial_alone_tells_values_and_problems(capsys):
    print_trial(record(PHYSICS, {"md/NVT_300K": "run 0: too_close"}), Path("outputs"), alone=True)
    said = capsys.readouterr().out
    assert "elastic_C11_GPa" in said and "-2.5 %" in said
    assert "md/NVT_300K: run 0: too_close" in said


def test_a_trial_of_a_search_says_what_is_searched_for(capsys):
    metrics = {"validation/force_mae_eV_per_A": 0.2, "kept/atoms": 100.0}
    print_trial(record(metrics), Path("0"), alone=False, shown=["validation/force_mae_eV_per_A"])
    said = capsys.readouterr().out
    assert said.endswith("validation/force_mae_eV_per_A 0.2\n") and "test force" not in said


@pytest.mark.parametrize(
    ("metrics", "problems", "said"),
    [
        (PHYSICS, {"md/NVT_300K": "too close"}, "test force MAE 0.1000 eV/Å, stable 0.75, 1 problem\n"),
        (PHYSICS, {"one": "x", "two": "y"}, "stable 0.75, 2 problems\n"),
        ({}, {}, "test force MAE 0.1000 eV/Å\n"),
    ],
)
def test_a_trial_of_a_sweep_says_it_in_its_line(metrics, problems, said, capsys):
    print_trial(record(metrics, problems), Path("0"), alone=False)
    assert capsys.readouterr().out.endswith(said)
