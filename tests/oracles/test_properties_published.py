"""Published potentials give the properties that were measured on them elsewhere."""

from pathlib import Path

import pytest
import yaml
from tests.sampling import LOOSE, TIGHT, all_of, sw_sample

from tamis.bases.snap import read_snap
from tamis.data.crystal import Crystal
from tamis.evaluation.properties.base import Sample
from tamis.evaluation.properties.elastic import Elastic
from tamis.evaluation.properties.equation_of_state import EquationOfState
from tamis.evaluation.properties.lattice import Lattice
from tamis.evaluation.properties.vacancy import Vacancy

STRUCTURES = {"Si": "diamond", "Mo": "bcc"}
NAMES = {
    "a0": "lattice_constant_A",
    "C11": "elastic_C11_GPa",
    "C12": "elastic_C12_GPa",
    "C44": "elastic_C44_GPa",
    "B": "elastic_bulk_modulus_GPa",
    "E_vacancy": "vacancy_formation_eV",
}


@pytest.fixture(scope="module", params=STRUCTURES)
def published(request, shared: Path) -> tuple[Sample, dict[str, float]]:
    element = request.param
    table = yaml.safe_load((shared / "reference" / "zuo2020.yaml").read_text())
    basis, coefficients, offsets = read_snap(shared / "golden" / "published" / element / "snap")
    start = Crystal(structure=STRUCTURES[element], element=element, a=table["properties"][element]["a0"])
    return Sample(start, basis.calculator(coefficients, offsets)), table["published_SNAP_recomputed"][element]


def test_published_snap_has_the_properties_that_were_recomputed(published):
    sample, expected = published
    found = {}
    for measured in (
        Lattice(0.7, 1.6, 2),
        Elastic(0.005, 1, TIGHT),
        Vacancy(50, (0.0,), LOOSE, False, LOOSE),
    ):
        found |= all_of(measured, sample).values
    assert {name: found[NAMES[name]] for name in expected} == pytest.approx(expected, rel=0.03)


def test_bulk_moduli_of_published_snap_agree(published):
    sample, _ = published
    from_eos = all_of(EquationOfState(15.0, 4.0, 15), sample).values["eos_bulk_modulus_GPa"]
    from_constants = all_of(Elastic(0.005, 1, TIGHT), sample).values["elastic_bulk_modulus_GPa"]
    assert from_eos == pytest.approx(from_constants, rel=0.03)


def test_vacancy_of_stillinger_weber_silicon_in_a_large_cell(tmp_path):
    # H. Balamane, T. Halicioglu and W. A. Tiller, Phys. Rev. B 46, 2250 (1992): 2.82 eV, with epsilon of 2.315 eV
    # (their cohesive energy is 4.63 eV) in place of 2.1683 eV
    values = all_of(Vacancy(500, (0.0, 0.2), LOOSE, False, LOOSE), sw_sample(tmp_path)).values
    assert values["vacancy_formation_eV"] == pytest.approx(2.82 * 2.1683 / 2.315, rel=0.02)
