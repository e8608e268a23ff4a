"""A cutoff within which atoms have no neighbours is refused or told."""

from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from tests.composing import composed
from tests.labelled import copper

from tamis.core.errors import TamisError
from tamis.data.reach import cutoff_doubts, cutoffs_of
from tamis.parts import build_part, resolved


@dataclass(frozen=True)
class Basis:
    r_cut: float
    r_cut_3b: float = 3.0
    order_3b: int = 4
    r_cut_4b: float = 1.0
    order_4b: int = 0


@dataclass(frozen=True)
class Model:
    basis: Basis
    pair: Basis | None = None


def test_a_cutoff_without_neighbours_is_refused():
    with pytest.raises(
        TamisError, match=r"model\.basis\.r_cut is 1.5 Å, within which 100.0% of the atoms.*raise it"
    ):
        cutoff_doubts(copper(), {"model": Model(Basis(1.5))})


def test_a_many_body_cutoff_without_neighbours_is_refused_where_it_is_used():
    with pytest.raises(TamisError, match=r"model\.pair\.r_cut_3b is 1 Å"):
        cutoff_doubts(copper(), {"model": Model(Basis(5.0), Basis(5.0, r_cut_3b=1.0))})
    assert not cutoff_doubts(copper(), {"model": Model(Basis(5.0, r_cut_3b=1.0, order_3b=0))})


def test_a_part_without_neighbours_is_told():
    [doubt] = cutoff_doubts(copper(), {"descriptor": Basis(2.3)})
    assert (
        doubt.startswith("descriptor.r_cut is 2.3 Å, within which ")
        and "of the atoms have no neighbour" in doubt
    )


def test_usual_cutoffs_say_nothing():
    assert not cutoff_doubts(copper(), {"model": Model(Basis(5.0)), "descriptor": SimpleNamespace(r_cut=0.1)})


@pytest.mark.parametrize("model", ["snap", "ace", "chimes", "gap", "nnp"])
def test_cutoffs_of_every_model_are_found(model):
    config = resolved(composed(f"model={model}", "dataset=sw_silicon"))
    names = dict(cutoffs_of(build_part("model", config["model"]), "model"))
    assert "model.basis.r_cut" in names and min(names.values()) > 2.0


def test_no_descriptor_has_no_cutoff():
    assert not cutoff_doubts(copper(), {"descriptor": Basis(0.0, order_3b=0)})
    assert replace(Basis(1.0)).r_cut == 1.0


@dataclass(frozen=True)
class Chebyshev:
    s_min: float


def test_an_inner_limit_above_the_distances_of_bonds_is_told():
    [doubt] = cutoff_doubts(copper(), {"model": Model(Chebyshev(2.6))})
    assert doubt.startswith("model.basis.s_min is 2.6 Å, and 100.0% of the atoms have a neighbour nearer")
    typed = float(doubt.partition("set model.basis.s_min=")[2].partition(",")[0])
    assert not cutoff_doubts(copper(), {"model": Model(Chebyshev(typed))})
