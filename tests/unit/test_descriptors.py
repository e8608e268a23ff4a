"""Parameters of the descriptors: what the generators make of them, and what they refuse."""

import pickle
import sys
from math import comb

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from tamis.bases.acsf.basis import AcsfBasis
from tamis.bases.acsf.kernel import cutoff_function
from tamis.bases.acsf.table import CUTOFF_TYPES, SymmetryFunction, SymmetryFunctionTable
from tamis.bases.blocks import in_element_blocks
from tamis.bases.dscribe_acsf import DscribeAcsfBasis
from tamis.bases.dscribe_soap import DscribeSoapBasis
from tamis.bases.none import NoDescriptor
from tamis.bases.quests import QuestsBasis
from tamis.bases.soap import SoapBasis
from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.geometry import in_vacuum

ACSF = {
    "elements": ["Si"],
    "r_cut": 5.0,
    "cutoff_type": "cos",
    "cutoff_alpha": 0.0,
    "in_units_of_r_cut": False,
    "radial_eta": [0.5],
    "radial_r_s": [0.0, 2.0],
    "angular_type": 3,
    "angular_eta": [0.1],
    "angular_lambda": [-1.0, 1.0],
    "angular_zeta": [1.0, 4.0],
}
SOAP = {"elements": ["Si"], "r_cut": 5.0, "n_max": 3, "l_max": 2, "atom_sigma": 0.5}
QUIP = {**SOAP, "cutoff_transition_width": 0.5}
DSCRIBE_SOAP = {**SOAP, "weight_power": 1.0}
DSCRIBE_ACSF = {
    **{
        name: value
        for name, value in ACSF.items()
        if not name.startswith("cutoff") and name != "angular_type"
    },
    "angular_function": "G4",
}
QUESTS = {"elements": ["Si"], "r_cut": 5.0, "k": 8}


@pytest.mark.parametrize("name", sorted(set(CUTOFF_TYPES) - {"hard"}))
@pytest.mark.parametrize("alpha", [0.0, 0.4])
def test_cutoff_functions_fall_smoothly_from_one_to_zero(name, alpha):
    shape = CUTOFF_TYPES[name]
    r = np.linspace(0.0, 5.0, 2001)
    weights = np.array([cutoff_function(x, 5.0, shape, alpha)[0] for x in r])
    start = np.tanh(1.0) ** 3 if name == "tanhu" else 1.0
    assert weights[0] == pytest.approx(start, rel=1e-14)
    assert weights[-1] == 0.0 == cutoff_function(5.1, 5.0, shape, alpha)[0]
    assert (np.diff(weights) <= 1e-15).all()
    assert weights[-2] < 1e-5
    if not name.startswith("tanh"):
        assert (weights[r < 5.0 * alpha] == 1.0).all()


def test_polynomial_cutoffs_keep_their_digits_next_to_the_cutoff():
    """To leading order poly4 is 126 (1 - x)^5 there."""
    x = 1.0 - 1e-4
    assert cutoff_function(x, 1.0, CUTOFF_TYPES["poly4"], 0.0)[0] == pytest.approx(126e-20, rel=1e-3)


def test_symmetry_functions_of_three_atoms_by_hand():
    r, eta, zeta = 2.0, 0.1, 4.0
    atoms = Atoms("Si3", [[0, 0, 0], [r, 0, 0], [0, r, 0]])
    basis = AcsfBasis(**{**ACSF, "radial_r_s": [1.5], "angular_lambda": [1.0], "angular_zeta": [zeta]})
    fc = 0.5 * (np.cos(np.pi * r / 5.0) + 1.0)
    far = 0.5 * (np.cos(np.pi * r * np.sqrt(2.0) / 5.0) + 1.0)
    radial, angular = basis.values(atoms)[0]
    assert radial == pytest.approx(2 * np.exp(-0.5 * 0.25) * fc, rel=1e-13)
    assert angular == pytest.approx(2 ** (1 - zeta) * np.exp(-eta * 4 * r**2) * fc**2 * far, rel=1e-13)


def test_far_side_beyond_the_cutoff_drops_the_narrow_function_only():
    atoms = Atoms("Si3", [[0, 0, 0], [3.0, 0, 0], [-2.9, 0.1, 0]])
    only = {"radial_eta": [], "angular_lambda": [-1.0], "angular_zeta": [1.0]}
    assert AcsfBasis(**{**ACSF, **only, "angular_type": 3}).values(atoms)[0, 0] == 0.0
    assert AcsfBasis(**{**ACSF, **only, "angular_type": 9}).values(atoms)[0, 0] > 1e-4


def test_acsf_counts_functions_of_every_pair_of_elements():
    basis = AcsfBasis(**{**ACSF, "elements": ["Si", "Ge", "C"]})
    assert basis.elements == ("C", "Ge", "Si")
    assert basis.n_features == 3 * (3 * 2 + comb(4, 2) * 4)


def test_units_of_r_cut_scale_with_the_cutoff():
    reduced = AcsfBasis(
        **{
            **ACSF,
            "in_units_of_r_cut": True,
            "radial_eta": [12.5],
            "radial_r_s": [0.0, 0.4],
            "angular_eta": [2.5],
        }
    )
    atoms = bulk("Si")
    np.testing.assert_allclose(reduced.values(atoms), AcsfBasis(**ACSF).values(atoms), rtol=1e-13)
    larger = AcsfBasis(**{**ACSF, "in_units_of_r_cut": True, "r_cut": 10.0})
    small = AcsfBasis(**{**ACSF, "in_units_of_r_cut": True, "r_cut": 5.0})
    stretched = atoms.copy()
    stretched.set_cell(2.0 * atoms.cell.array, scale_atoms=True)
    np.testing.assert_allclose(larger.values(stretched), small.values(atoms), rtol=1e-12)


def test_table_sorts_as_n2p2_does():
    """Type, r_cut, eta, r_s, zeta, lambda, then atomic numbers; Ge Si and Si Ge are the same pair."""
    narrow = [
        SymmetryFunction("Si", 3, ("Ge", "Si"), 0.1, 0.0, 5.0, lambda_, zeta)
        for lambda_, zeta in [(1, 1), (-1, 4), (-1, 1)]
    ]
    radial = [
        SymmetryFunction("Si", 2, (e,), eta, 0.0, 6.0) for e, eta in [("Ge", 0.1), ("Si", 0.2), ("Si", 0.1)]
    ]
    table = SymmetryFunctionTable(("Ge", "Si"), (*narrow, *radial))
    assert table.functions == (radial[2], radial[0], radial[1], narrow[2], narrow[0], narrow[1])
    assert narrow[0].neighbours == ("Si", "Ge")
    assert table.r_cut == 6.0


def test_blocks_refuse_numbers_that_are_not_finite():
    with pytest.raises(TamisError, match="atom 1 \\(Si\\)"):
        in_element_blocks(np.array([[1.0], [np.nan]]), Atoms("Si2"), ["Si"])


def test_vacuum_leaves_periodic_directions_and_distances_alone():
    slab = Atoms("Si2", [[0, 0, -7.0], [1, 1, 9.0]], cell=[4, 5, 3], pbc=[True, True, False])
    boxed = in_vacuum(slab, 3.0)
    np.testing.assert_allclose(boxed.cell.array, np.diag([4.0, 5.0, 22.0]))
    np.testing.assert_allclose(np.diff(boxed.positions, axis=0), np.diff(slab.positions, axis=0))
    assert (boxed.pbc == slab.pbc).all()
    assert in_vacuum(bulk("Si"), 3.0) == bulk("Si")
    assert abs(np.linalg.det(in_vacuum(Atoms("Si"), 3.0).cell.array)) > 1.0


def test_quip_object_is_built_once_and_not_pickled():
    basis = SoapBasis(**QUIP)
    values = basis.values(bulk("Si"))
    assert basis.descriptors is basis.descriptors
    assert "descriptors" not in pickle.loads(pickle.dumps(basis)).__dict__
    np.testing.assert_array_equal(basis.values(bulk("Si")), values)


def test_no_descriptor_has_no_columns_but_checks():
    basis = NoDescriptor(["Si"])
    assert basis.values(bulk("Si")).shape == (2, 0)
    with pytest.raises(TamisError, match="element C"):
        basis.values(bulk("C"))


@pytest.mark.parametrize(
    ("basis", "change", "message"),
    [
        (AcsfBasis, {"r_cut": 0.0}, "r_cut"),
        (AcsfBasis, {"r_cut": float("nan")}, "r_cut"),
        (AcsfBasis, {"elements": []}, r"elements is \[\]"),
        (AcsfBasis, {"cutoff_type": "soft"}, "cutoff_type is 'soft'"),
        (AcsfBasis, {"cutoff_alpha": 1.0}, "cutoff_alpha"),
        (AcsfBasis, {"radial_eta": [-0.1]}, "eta is -0.1 1/Å²"),
        (AcsfBasis, {"radial_eta": [0.1, 0.1]}, "occurs twice"),
        (AcsfBasis, {"radial_r_s": [float("inf")]}, "finite"),
        (AcsfBasis, {"angular_type": 4}, "kind is 4"),
        (AcsfBasis, {"angular_type": 2}, "type 2"),
        (AcsfBasis, {"angular_zeta": [0.0]}, "zeta above 0"),
        (AcsfBasis, {"radial_eta": [], "angular_eta": []}, "no symmetry function"),
        (SoapBasis, {"elements": []}, r"elements is \[\]"),
        (SoapBasis, {"cutoff_transition_width": 0.0}, "cutoff_transition_width"),
        (SoapBasis, {"cutoff_transition_width": 6.0}, "cutoff_transition_width"),
        (SoapBasis, {"atom_sigma": 0.0}, "atom_sigma"),
        (SoapBasis, {"n_max": 0}, "n_max"),
        (SoapBasis, {"n_max": 40}, "n_max"),
        (SoapBasis, {"l_max": -1}, "l_max"),
        (DscribeSoapBasis, {"elements": []}, r"elements is \[\]"),
        (DscribeSoapBasis, {"r_cut": 0.9}, "above 1"),
        (DscribeSoapBasis, {"atom_sigma": -1.0}, "atom_sigma"),
        (DscribeSoapBasis, {"l_max": 21}, "l_max"),
        (DscribeSoapBasis, {"weight_power": 0.0}, "weight_power"),
        (DscribeAcsfBasis, {"elements": []}, r"elements is \[\]"),
        (DscribeAcsfBasis, {"r_cut": -1.0}, "r_cut"),
        (DscribeAcsfBasis, {"radial_eta": [-1.0]}, "negative eta"),
        (DscribeAcsfBasis, {"angular_eta": [-1.0]}, "negative eta"),
        (DscribeAcsfBasis, {"radial_r_s": [float("nan")]}, "finite"),
        (DscribeAcsfBasis, {"angular_zeta": [0.0]}, "zeta"),
        (DscribeAcsfBasis, {"angular_function": "G3"}, "choose one of G4, G5"),
        (QuestsBasis, {"elements": []}, r"elements is \[\]"),
        (QuestsBasis, {"r_cut": 0.0}, "r_cut"),
        (QuestsBasis, {"k": 1}, "k is 1"),
    ],
)
def test_refuses_parameters(basis, change, message):
    good = {
        AcsfBasis: ACSF,
        SoapBasis: QUIP,
        DscribeSoapBasis: DSCRIBE_SOAP,
        DscribeAcsfBasis: DSCRIBE_ACSF,
        QuestsBasis: QUESTS,
    }[basis]
    basis(**good)
    with pytest.raises(TamisError, match=message):
        basis(**{**good, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neighbours": ("Si", "Si")}, "got neighbours"),
        ({"kind": 3}, "got neighbours"),
        ({"r_cut": 0.0}, "r_cut is 0.0 Å; it must be above 0"),
    ],
)
def test_refuses_symmetry_functions(change, message):
    good = {"central": "Si", "kind": 2, "neighbours": ("Si",), "eta": 0.1, "r_s": 0.0, "r_cut": 5.0}
    SymmetryFunction(**good)
    with pytest.raises(TamisError, match=message):
        SymmetryFunction(**{**good, **change})


def test_table_refuses_an_element_it_does_not_have():
    with pytest.raises(TamisError, match="name Ge"):
        SymmetryFunctionTable(("Si",), (SymmetryFunction("Si", 2, ("Ge",), 0.1, 0.0, 5.0),))


@pytest.mark.parametrize(
    "basis", [AcsfBasis(**ACSF), SoapBasis(**QUIP), DscribeAcsfBasis(**DSCRIBE_ACSF), QuestsBasis(**QUESTS)]
)
def test_refuses_atoms_at_the_same_place(basis):
    atoms = Atoms("Si3", [[0, 0, 0], [0, 0, 0], [2, 1, 0]], cell=[5, 5, 5], pbc=True)
    with pytest.raises(TamisError, match="remove the structure"):
        basis.values(atoms)


@pytest.mark.parametrize(
    ("basis", "module", "extra"),
    [
        (SoapBasis(**QUIP), "quippy.descriptors", "gap"),
        (DscribeSoapBasis(**DSCRIBE_SOAP), "dscribe.descriptors", "descriptors"),
        (DscribeAcsfBasis(**DSCRIBE_ACSF), "dscribe.descriptors", "descriptors"),
        (QuestsBasis(**QUESTS), "quests.descriptor", "descriptors"),
    ],
)
def test_missing_engine_says_what_to_install(basis, module, extra, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingEngineError, match=rf"tamis\[{extra}\]"):
        basis.values(bulk("Si"))


def test_a_cutoff_with_thousands_of_neighbours_is_refused():
    from tamis.bases.snap import SnapBasis

    basis = SnapBasis(("Si",), 1000.0, 2, 0.99363, 0.0, None, None)
    with pytest.raises(TamisError, match="neighbours an atom.*lower r_cut"):
        basis.values(bulk("Si"))
