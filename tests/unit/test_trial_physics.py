"""What the terminal says of a trial's properties and MD."""

from pathlib import Path

from tamis.records.record import COMPLETE, CurvePoint, DatasetFacts, TrialRecord
from tamis.report.tables import physics_table, print_trial

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
    made.curve = [CurvePoint(3, 6, made.metrics)]
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
    print_trial(record(PHYSICS, {"md/NVT_300K": "run 0: too_close"}), Path("outputs"))
    said = capsys.readouterr().out
    assert "elastic_C11_GPa" in said and "-2.5 %" in said
    assert "md/NVT_300K: run 0: too_close" in said
