"""Properties of pruned sets' potentials against those of the whole pool's, in the report."""

import pytest
from tests.report_folders import report, write_trial

from tamis.analysis.arms import results_of
from tamis.analysis.trials import find_trials, read_trials
from tamis.commands.report import make_report
from tamis.report.document import Table
from tamis.report.links import Links
from tamis.report.sections.physics import less_whole_pool, section

C11, VACANCY = "properties/elastic_C11_GPa", "properties/vacancy_formation_eV"
ERROR = "properties/elastic_C11_error_percent"


def trial(folder, seed, fraction, model="snap", pruner="fps", **properties):
    descriptor = "none" if pruner == "keep_all" else "snap"
    named = {f"properties/{name}": value for name, value in properties.items()}
    return write_trial(
        folder,
        model,
        descriptor,
        pruner,
        seed,
        fractions=(fraction,),
        extra=named | {"properties/failed": 0.0},
    )


@pytest.fixture
def folder(tmp_path):
    """Two splits of one model, with the whole pool of each; a model without one; a curve without properties."""
    for seed, whole in ((0, 150.0), (1, 160.0)):
        trial(
            tmp_path / f"all-{seed}",
            seed,
            1.0,
            pruner="keep_all",
            elastic_C11_GPa=whole,
            vacancy_formation_eV=3.0,
        )
        pruned = {
            "elastic_C11_GPa": 0.9 * whole,
            "vacancy_formation_eV": 2.75,
            "elastic_C11_error_percent": -12.0,
        }
        trial(tmp_path / f"fps-{seed}", seed, 0.5, **pruned)
    trial(tmp_path / "alone", 0, 0.5, model="ace", elastic_C11_GPa=100.0)
    write_trial(tmp_path / "errors", "chimes", "snap", "fps", 0, fractions=(0.5, 1.0))
    return tmp_path


def measured(folder):
    results = results_of(read_trials(find_trials([folder])))
    return [p for p in results.points if any(n.startswith("properties/") for n in p.metrics)]


def test_differences_are_to_the_whole_pool_of_the_same_model_and_split(folder):
    found = less_whole_pool(measured(folder))
    assert [(point.model, point.seeds[0]) for point in found] == [("snap", 0), ("snap", 1)]
    for point in found:
        point = point.metrics
        assert point[ERROR] == pytest.approx(-10.0)  # not the -12 % to the reference
        assert point["properties/vacancy_formation_error_eV"] == pytest.approx(-0.25)
        assert point["kept/fraction_of_atoms"] == pytest.approx(0.5)
        assert C11 not in point and "properties/failed" not in point


def test_the_report_shows_the_whole_pool_first_and_the_reference_after_it(folder):
    context, _ = make_report([folder], Links())
    tables = [part for part in section(context).parts if isinstance(part, Table)]
    assert [table.title.split(": ")[1] for table in tables] == [
        "properties less those of the potential trained on the whole pool",
        "errors of properties",
    ]
    [row] = tables[0].rows
    assert tables[0].columns[4:6] == ["elastic_C11, %", "vacancy_formation, eV"]
    assert row[0] == "snap" and list(row[3:]) == ["50", "-10", "-0.25", "10", "2"]
    assert any("-12" in map(str, row) for row in tables[1].rows)


def test_without_a_potential_of_the_whole_pool_the_report_says_how_to_have_one(tmp_path):
    trial(tmp_path / "alone", 0, 0.5, elastic_C11_GPa=100.0, elastic_C11_error_percent=-12.0)
    text = report(tmp_path)
    assert "pruner=keep_all makes it" in text and "errors of properties" in text
    assert "less those of the potential" not in text


def test_the_last_point_of_a_curve_up_to_everything_is_a_potential_of_the_whole_pool(tmp_path):
    write_trial(tmp_path / "curve", "snap", "none", "random", 0, fractions=(0.5, 1.0), extra={C11: 150.0})
    trial(tmp_path / "fps", 0, 0.5, elastic_C11_GPa=165.0)
    [point] = less_whole_pool(measured(tmp_path))
    assert point.metrics[ERROR] == pytest.approx(10.0)
