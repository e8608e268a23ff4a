"""Rules that stand beside the fields of a dataclass."""

from dataclasses import dataclass
from typing import Annotated

import pytest

from tamis.core.errors import TamisError
from tamis.core.fields import Above, AtLeast, Between, Checked, Elements, OneOf, Whole


@dataclass(frozen=True)
class Example(Checked):
    elements: Elements = ("Si",)
    r_cut: Annotated[float, Above(0, "Å", say=4.9)] = 5.0
    n_max: Annotated[int, Between(1, 20)] = 8
    ridges: Annotated[tuple[float, ...], AtLeast(0)] = (1.0,)
    zeta: Annotated[float, Whole(1)] = 4
    kind: Annotated[str, OneOf("values", "none")] = "none"
    limit: Annotated[float | None, Above(0)] = None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"elements": []}, "elements is []; name at least one chemical symbol, such as [Si], each once"),
        ({"elements": ["Si", "Si"]}, "each once"),
        ({"elements": ["Xx"]}, "chemical symbol"),
        ({"r_cut": 0.0}, "r_cut is 0.0 Å; it must be above 0, say 4.9"),
        ({"r_cut": float("nan")}, "r_cut is nan Å"),
        ({"r_cut": float("inf")}, "r_cut is inf Å"),
        ({"n_max": 21}, "n_max is 21; it must be at least 1 and at most 20"),
        (
            {"ridges": [1.0, -1.0]},
            "ridges is [1.0, -1.0]; give at least one, and of each: it must be at least 0",
        ),
        ({"ridges": []}, "ridges is []; give at least one"),
        ({"zeta": 4.5}, "zeta is 4.5; it must be a whole number from 1 on"),
        ({"kind": "row"}, "kind is 'row'; choose one of values, none"),
        ({"limit": -1.0}, "limit is -1.0; it must be above 0"),
    ],
)
def test_what_a_rule_does_not_allow_is_refused_with_what_it_allows(given, words):
    with pytest.raises(TamisError) as error:
        Example(**given)
    assert words in str(error.value)


def test_lists_are_kept_as_tuples_and_symbols_in_order():
    example = Example(elements=["Si", "Ge"], ridges=[1.0, 2.0])
    assert example.elements == ("Ge", "Si")
    assert example.ridges == (1.0, 2.0)
