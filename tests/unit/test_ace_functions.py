"""Which functions an ACE basis has: python-ace's own choice, in a time that several elements can afford."""

import pickle
import time

import pytest
from ase.build import bulk
from numpy.testing import assert_array_equal

from tamis.bases.ace.basis import AceBasis
from tamis.bases.ace.functions import combinations_of
from tamis.core.errors import TamisError

pyace = pytest.importorskip("pyace", reason="python-ace is not installed")


def basis(elements: tuple[str, ...], n: int, n_max: tuple[int, ...], l_max: tuple[int, ...]) -> AceBasis:
    return AceBasis(
        elements=elements,
        r_cut=4.5,
        n_functions_per_element=n,
        nradmax_by_orders=n_max,
        lmax_by_orders=l_max,
        radial_basis="SBessel",
        radial_parameter=5.25,
        cutoff_width=0.01,
        spline_spacing=0.01,
    )


DEFAULT = ((12, 8, 4, 2, 1), (0, 6, 5, 4, 3))
SHAPES = {
    "one element": basis(("Si",), 400, *DEFAULT),
    "fewer than there may be": basis(("Si",), 10_000, (6, 3, 2), (0, 3, 2)),
    "two elements": basis(("Si", "Mo"), 150, (6, 4, 2, 1), (0, 4, 2, 1)),
    "the neighbour comes first in the alphabet": basis(("Cu", "Ag"), 31, (3, 3, 2), (0, 2, 2)),
    "three elements": basis(("Cu", "Ag", "Au"), 90, (3, 2, 2, 1), (0, 2, 1, 1)),
    "products of two before single factors": basis(("Cu", "Ag"), 80, (2, 4), (0, 3)),
    "blocks without functions": basis(("Cu", "Ag", "Au", "Ni"), 40, (4, 2), (0, 2)),
}


def chosen_by_pyace(of: AceBasis) -> list[tuple[object, ...]]:
    """Elements, n, l and couplings of every function in the order of python-ace's own construction."""
    config = pyace.create_multispecies_basis_config(
        {
            "deltaSplineBins": of.spline_spacing,
            "elements": list(of.elements),
            "embeddings": {"ALL": {"npot": "FinnisSinclair", "fs_parameters": [1, 1], "ndensity": 1}},
            "bonds": {
                "ALL": {
                    "radbase": of.radial_basis,
                    "radparameters": [of.radial_parameter],
                    "rcut": of.r_cut,
                    "dcut": of.cutoff_width,
                    "NameOfCutoffFunction": "cos",
                }
            },
            "functions": {
                "number_of_functions_per_element": of.n_functions_per_element,
                "ALL": {
                    "nradmax_by_orders": list(of.nradmax_by_orders),
                    "lmax_by_orders": list(of.lmax_by_orders),
                },
            },
        }
    )
    return in_order(config)


def in_order(config: object) -> list[tuple[object, ...]]:
    return [
        (block.block_name, tuple(f.elements), tuple(f.ns), tuple(f.ls), tuple(f.LS))
        for block in config.funcspecs_blocks
        for f in block.funcspecs
    ]


@pytest.mark.parametrize("name", SHAPES)
def test_the_functions_are_those_that_python_ace_chooses(name: str) -> None:
    of = SHAPES[name]
    expected = chosen_by_pyace(of)
    assert [(" ".join(block), *f) for block, found in of.functions().items() for f in found] == expected
    assert sorted(in_order(of.pyace_basis().to_BBasisConfiguration())) == sorted(expected)
    assert of.n_features == len(expected) > 0


def test_blocks_are_each_element_with_every_set_of_others() -> None:
    assert combinations_of(("A", "B", "C")) == [
        *[("A",), ("B",), ("C",)],
        *[("A", "B"), ("A", "C"), ("B", "A"), ("B", "C"), ("C", "A"), ("C", "B")],
        *[("A", "B", "C"), ("B", "A", "C"), ("C", "A", "B")],
    ]


def test_five_elements_take_seconds() -> None:
    """As python-ace makes them they do not end in ten minutes."""
    start = time.process_time()
    of = basis(("Ag", "Au", "Cu", "Ni", "Pd"), 400, *DEFAULT)
    assert of.n_features == 2000
    assert time.process_time() - start < 20.0


def test_equal_bases_share_what_they_are_made_of() -> None:
    first = basis(("Ag", "Au", "Cu"), 100, *DEFAULT)
    equal = pickle.loads(pickle.dumps(basis(("Cu", "Ag", "Au"), 100, *DEFAULT)))
    atoms = bulk("Cu", a=3.9, cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.symbols[1:3] = "Ag"
    values = first.values(atoms)
    start = time.process_time()
    assert_array_equal(equal.values(atoms), values)
    assert time.process_time() - start < 0.2
    assert len(pickle.dumps(first)) < 5_000  # workers get it with each structure


def test_says_how_many_functions_many_elements_need() -> None:
    with pytest.raises(
        TamisError, match=r"n_functions_per_element is 7, and each of 4 elements has 8 blocks"
    ):
        _ = basis(("Ag", "Au", "Cu", "Ni"), 7, (2, 1), (0, 1)).n_features
