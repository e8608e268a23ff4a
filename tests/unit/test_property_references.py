"""What a data set says of its crystal and of its references."""

import pytest
from hydra.utils import instantiate
from tests.composing import composed

from tamis.core.errors import TamisError
from tamis.data.crystal import Crystal
from tamis.data.sources.mlearn_files import PINS
from tamis.data.sources.sw_silicon import SwSilicon

SILICON = {"elements": ("Si",), "atom_spacing": 2.7}


@pytest.mark.parametrize("element", sorted(PINS))
def test_every_mlearn_element_has_a_crystal_and_says_where_its_references_are_from(element):
    source = instantiate(composed("dataset=mlearn", f"dataset.element={element}").dataset, _convert_="all")
    crystal, references = source.crystal, source.references
    assert crystal.element == element
    # the length by which cutoffs scale is the cube root of this crystal's volume per atom
    assert crystal.volume_per_atom(crystal.a) ** (1 / 3) == pytest.approx(source.atom_spacing, rel=0.005)
    kind = {"Ni": "as printed there", "Cu": "nothing known"}.get(element, "fits to its own Elastic frames")
    assert "Zuo" in source.reference_source and kind in source.reference_source
    assert bool(references) is (element != "Cu"), "nothing that was not seen or computed"
    if references:
        c11, c12, bulk = (references[f"properties/elastic_{x}_GPa"] for x in ("C11", "C12", "bulk_modulus"))
        assert bulk == pytest.approx((c11 + 2 * c12) / 3, abs=1.0)  # all three are rounded
    assert "properties/vacancy_formation_eV" not in references


def test_the_crystal_does_not_need_a_reference():
    overrides = ("dataset=mlearn", "dataset.reference=null")
    assert instantiate(composed(*overrides).dataset, _convert_="all").crystal.a == pytest.approx(5.469)


def test_a_user_names_crystal_and_references_on_the_command_line():
    overrides = (
        "dataset=file",
        "dataset.train=some.xyz",
        "dataset.elements=[Mo]",
        "dataset.atom_spacing=2.5",
        "dataset.crystal={_target_: tamis.data.crystal.Crystal, structure: bcc, element: Mo, a: 3.17}",
        "dataset.reference={properties/elastic_C11_GPa: 472.0, properties/vacancy_formation_eV: null}",
    )
    source = instantiate(composed(*overrides).dataset, _convert_="all")
    assert source.crystal == Crystal(structure="bcc", element="Mo", a=3.17)
    assert source.references == {"properties/elastic_C11_GPa": 472.0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"reference": {"elastic_C11_GPa": 1.0}}, "names of metrics are needed"),
        ({"reference": {"properties/elastic_C11_GPa": "many"}}, "a number in the metric's unit"),
        ({"reference": {"properties/elastic_C11_GPa": float("nan")}}, "a number in the metric's unit"),
        ({"reference": {"properties/elastic_C11_GPa": True}}, "a number in the metric's unit"),
        (
            {"crystal": Crystal(structure="bcc", element="Mo", a=3.2)},
            "crystal.element is Mo; the data set has Si",
        ),
    ],
)
def test_references_and_crystals_that_mean_nothing_are_refused(arguments, said):
    with pytest.raises(TamisError, match=said):
        SwSilicon(**SILICON, **arguments)


def test_the_structures_do_not_depend_on_crystal_and_references():
    """So that a sweep over references reads the data once."""
    plain = SwSilicon(**SILICON)
    told = SwSilicon(**SILICON, reference={"properties/elastic_C11_GPa": 1.0}, reference_source="a book")
    assert plain == told and hash(plain) == hash(told)
