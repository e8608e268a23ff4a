"""The stages after the errors: rules that stop them, properties with their references, what fails and what goes on."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from ase.calculators.emt import EMT
from tests.sampling import (
    COPPER,
    LOOSE,
    SILICON,
    TIGHT,
    Constant,
    Crashing,
    Easy,
    Given,
    Hanging,
)

from tamis.core.errors import TamisError
from tamis.core.metrics import property_error
from tamis.data.sources.stillinger_weber import calculator as stillinger_weber
from tamis.evaluation.base import Findings, Subject
from tamis.evaluation.errors import Errors
from tamis.evaluation.evaluation import Evaluation, StopRule
from tamis.evaluation.properties.elastic import Elastic
from tamis.evaluation.properties.equation_of_state import EquationOfState
from tamis.evaluation.properties.lattice import Lattice
from tamis.evaluation.properties.stage import measure_properties, with_errors
from tamis.evaluation.properties.vacancy import Vacancy

QUICK = {
    "lattice": Lattice(0.7, 1.6, 5),
    "equation_of_state": EquationOfState(15.0, 4.0, 7),
    "elastic": Elastic(0.005, 1, TIGHT),
}


@pytest.fixture
def subject(rattled, store, tmp_path) -> Subject:
    return Subject(
        potential=Given(EMT()),
        pool=rattled,
        kept=rattled,
        crystal=COPPER,
        reference={},
        label_giver=None,
        store=store,
        folder=tmp_path,
        seed=0,
        cache=tmp_path / "cache",
    )


def told(subject) -> dict:
    return json.loads((subject.folder / "properties" / "properties.json").read_text())


# rules


@pytest.mark.parametrize(
    ("text", "holds"),
    [("a/b_eV > 1.0", True), ("a/b_eV < 1.0", False), ("a/b_eV>3", False), ("c > -1e9", False)],
)
def test_a_rule_compares_a_metric_that_is_there(text, holds):
    assert StopRule.of(text).holds({"a/b_eV": 2.0}) is holds


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a/b", "write <metric> > <number>"),
        ("a/b > much", "write <metric> > <number>"),
        ("a/b >= 1", "write <metric> > <number>"),
        ("test/force_mae_eV_per_A > 1", "the test set decides nothing"),
    ],
)
def test_rules_that_mean_nothing_are_refused(text, said):
    with pytest.raises(TamisError, match=said):
        Evaluation(Errors(True, False), None, 60.0, None, (text,))


def test_a_limit_of_no_time_is_refused():
    with pytest.raises(TamisError, match="property_limit_s is 0"):
        Evaluation(Errors(True, False), None, 0.0, None, ())


def test_hopeless_potentials_and_mistaken_rules_are_told():
    evaluation = Evaluation(Errors(True, False), None, 60.0, None, ("validation/x > 1.0", "properties/y < 0"))
    assert evaluation.hopeless({"validation/x": 0.5}) == ""
    assert "validation/x is 2, and stop_if says 'validation/x > 1.0'" in evaluation.hopeless(
        {"validation/x": 2.0}
    )
    assert "properties/y" in evaluation.mistaken({"validation/x": 0.5})
    assert evaluation.mistaken({"validation/x": 0.5, "properties/y": 1.0}) == ""


def test_stages_go_from_cheap_to_dear_and_leave_out_what_is_null(subject):
    @dataclass(frozen=True)
    class Moving:
        def measure(self, subject: Subject) -> Findings:
            return Findings({"md/x": 1.0})

    errors = Errors(True, False)
    full = Evaluation(errors, {"easy": Easy(1.0), "none": None}, 60.0, Moving(), ())
    assert list(full.stages) == ["properties", "dynamics"]
    assert full.stages["dynamics"](subject).metrics == {"md/x": 1.0}
    assert full.stages["properties"](subject).metrics["properties/easy_eV"] == 1.0
    assert Evaluation(errors, {"none": None}, 60.0, None, ()).stages == {}
    assert Evaluation(errors, None, 60.0, None, ()).stages == {}


# errors against references


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("lattice_constant_A", ("lattice_constant_error_percent", 25.0)),
        ("eos_volume_A3_per_atom", ("eos_volume_error_percent", 25.0)),
        ("elastic_C11_GPa", ("elastic_C11_error_percent", 25.0)),
        ("surface_100_J_per_m2", ("surface_100_error_percent", 25.0)),
        ("phonon_X_lowest_THz", ("phonon_X_lowest_error_percent", 25.0)),
        ("vacancy_formation_eV", ("vacancy_formation_error_eV", 1.0)),
        ("energy_eV_per_atom", ("energy_error_eV_per_atom", 1.0)),
        ("eos_extra_minima", None),
        ("wall_dimer_percent", None),
    ],
)
def test_errors_are_relative_or_not_by_their_unit(name, error):
    assert property_error(name, 5.0, 4.0) == error


def test_only_what_is_finite_is_a_metric():
    metrics = with_errors({"a_eV": np.nan, "b_eV": 2.0}, {"a_eV": 1.0, "b_eV": 1.5})
    assert metrics == {"properties/b_eV": 2.0, "properties/b_error_eV": 0.5}


def test_the_label_giver_judged_by_this_code_has_no_error(subject, tmp_path):
    sw = stillinger_weber(tmp_path)
    judged = replace(
        subject,
        potential=Given(sw),
        crystal=SILICON,
        label_giver=stillinger_weber(tmp_path),
        label_giver_name="sw",
    )
    found = measure_properties(
        QUICK | {"vacancy": Vacancy(50, (0.0, 0.2), LOOSE, False, LOOSE)}, judged, limit_s=300.0
    )
    errors = {name: value for name, value in found.metrics.items() if "_error_" in name}
    assert found.problems == {} and len(errors) >= 12
    assert set(errors.values()) == {0.0}
    assert found.metrics["properties/failed"] == 0.0
    assert told(judged)["elastic"]["values"]["elastic_C11_GPa"]["source"].startswith("the label-giver sw")
    assert {path.name for path in (tmp_path / "properties").glob("*.png")} == {
        "lattice.png",
        "equation_of_state.png",
        "elastic.png",
    }


def test_what_the_label_giver_says_is_computed_once(subject, tmp_path):
    properties = {"easy": Easy(1.5)}
    judged = replace(subject, label_giver=EMT(), label_giver_name="emt")
    measure_properties(properties, judged, 60.0)
    [kept] = (tmp_path / "cache").glob("reference-Easy-*.json")
    kept.write_text(kept.read_text().replace("1.5", "1.0"))  # what is there is taken
    assert measure_properties(properties, judged, 60.0).metrics["properties/easy_error_eV"] == 0.5
    kept.write_text("{")  # unless it is damaged
    assert measure_properties(properties, judged, 60.0).metrics["properties/easy_error_eV"] == 0.0
    other = replace(judged, label_giver_name="another")
    measure_properties(properties | {"twice": Easy(2.0)}, other, 60.0)
    assert len(list((tmp_path / "cache").glob("reference-Easy-*.json"))) == 3


def test_what_the_data_set_lists_comes_before_the_label_giver(subject):
    judged = replace(
        subject,
        label_giver=EMT(),
        label_giver_name="emt",
        reference={"properties/easy_eV": 1.0, "md/easy_GPa": 7.0},
        reference_source="a book",
    )
    metrics = measure_properties({"easy": Easy(1.5)}, judged, 60.0).metrics
    assert metrics["properties/easy_error_eV"] == 0.5  # the book's
    assert metrics["properties/easy_error_percent"] == 0.0  # the label-giver's
    values = told(judged)["easy"]["values"]
    assert values["easy_eV"] == {"value": 1.5, "reference": 1.0, "source": "a book"}


def test_without_a_reference_there_is_the_value_alone(subject):
    metrics = measure_properties({"easy": Easy(1.5)}, subject, 60.0).metrics
    assert metrics == {"properties/easy_eV": 1.5, "properties/easy_GPa": 2.0, "properties/failed": 0.0}


# what fails


def test_without_a_crystal_there_are_no_properties_but_a_reason(subject):
    found = measure_properties({"easy": Easy(1.0)}, replace(subject, crystal=None), 60.0)
    assert found.metrics == {} and "give dataset.crystal" in found.problems["properties"]


def test_a_property_that_crashes_or_hangs_leaves_what_it_had_and_the_others(subject):
    properties = {"a": Easy(1.0), "crash": Crashing(), "hang": Hanging(), "last": Easy(3.0)}
    found = measure_properties(properties, subject, 4.0)
    assert set(found.problems) == {"properties/crash", "properties/hang"}
    assert "SIGSEGV" in found.problems["properties/crash"]
    assert found.problems["properties/hang"] == "not done after 4 s"
    assert found.metrics["properties/before_eV"] == found.metrics["properties/before_hanging_eV"] == 1.0
    assert found.metrics["properties/easy_eV"] == 3.0
    assert found.metrics["properties/failed"] == 2.0
    assert told(subject)["crash"]["problem"] == found.problems["properties/crash"]


def test_a_potential_that_gives_nan_has_a_reason_for_each_property(subject):
    found = measure_properties(QUICK, replace(subject, potential=Given(Constant(np.nan))), 60.0)
    assert found.metrics == {"properties/failed": 3.0}
    assert set(found.problems) == {f"properties/{name}" for name in QUICK}
    assert all("nan" in reason for reason in found.problems.values())


def test_a_value_that_is_not_finite_is_a_problem(subject):
    found = measure_properties({"easy": Easy(np.inf)}, subject, 60.0)
    assert found.problems == {"properties/easy": "not finite: easy_eV"}
    assert "properties/easy_eV" not in found.metrics and found.metrics["properties/easy_GPa"] == 2.0
    assert told(subject)["easy"]["values"]["easy_eV"]["value"] is None


def test_a_label_giver_that_fails_is_a_problem_of_the_reference_alone(subject):
    judged = replace(subject, label_giver=Constant(np.nan), label_giver_name="broken")
    found = measure_properties({"lattice": QUICK["lattice"]}, judged, 60.0)
    assert set(found.problems) == {"properties/lattice/reference"}
    assert "properties/lattice_constant_A" in found.metrics and found.metrics["properties/failed"] == 0.0
    assert not list(subject.cache.glob("*.json"))  # a failure is not kept
