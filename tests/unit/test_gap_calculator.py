"""The calculator of GAP against QUIP's own on the written files."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import Calculator, PropertyNotImplementedError

from tamis.bases.gap.basis import GapBasis
from tamis.bases.gap.calculator import expansion_of
from tamis.bases.gap.files import quip_potential
from tamis.bases.gap.kernel import expand, power_spectra
from tamis.bases.neighbours import neighbours_of
from tamis.bases.pair_kernel import PairKernel
from tamis.bases.soap import SoapBasis
from tamis.core.errors import TamisError
from tamis.selection.candidates import choose_candidates
from tamis.store import Store

pytest.importorskip("quippy")

ALLOY = SoapBasis(("Ge", "Si"), 4.0, 3, 2, 0.5, 0.7)
SILICON = SoapBasis(("Si",), 3.7, 6, 5, 0.4, 1.0)
PAIR = PairKernel(r_cut=4.5, cutoff_transition_width=0.8, r_min=1.8, n_points=5, theta=0.5)


def cell(*symbols: str) -> Atoms:
    """A skewed cell shorter than the cutoffs, so that an atom meets its own images."""
    places = [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.7, 2.3, 1.1]]
    return Atoms(symbols, places, cell=[[4.4, 0.1, 0.3], [0.6, 3.7, -0.2], [-0.3, 0.5, 4.7]], pbc=True)


@pytest.fixture(scope="module", params=["alloy", "alloy without pairs", "silicon", "silicon, zeta 1"])
def case(request, tmp_path_factory) -> tuple[GapBasis, Calculator, Calculator]:
    """Basis, tamis' calculator and QUIP's, with random coefficients of which some vanish."""
    folder = tmp_path_factory.mktemp("gap")
    soap = ALLOY if "alloy" in request.param else SILICON
    seen = cell("Si", soap.elements[0], "Si") * (2, 1, 1)
    seen.rattle(0.1, seed=2)
    candidates = choose_candidates(soap, [seen], 4, Store(folder / "store", 1))
    zeta, pair = (1 if "zeta 1" in request.param else 4), (None if "without" in request.param else PAIR)
    basis = GapBasis(soap, zeta, pair, candidates)
    rng = np.random.default_rng(1)
    coefficients = rng.normal(size=basis.n_features)
    coefficients[1] = 0.0
    offsets = rng.normal(size=len(soap.elements))
    quip = quip_potential(basis.write(folder, coefficients, offsets)[0])
    return basis, basis.calculator(coefficients, offsets), quip


@pytest.mark.parametrize("pbc", [(True, True, True), (False, False, False), (True, True, False)])
def test_it_equals_quip(case, pbc):
    basis, ours, quip = case
    for seed, size in ((3, 0.02), (4, 0.3)):
        atoms = cell("Si", basis.elements[0], "Si")
        atoms.rattle(size, seed=seed)
        atoms.pbc = pbc
        if not all(pbc):  # QUIP wants all atoms in a cell, with room
            atoms.center(vacuum=6.0, axis=[axis for axis in range(3) if not pbc[axis]])
        for name in ("energy", "forces", *(["stress"] if all(pbc) else [])):
            expected = np.array(quip.get_property(name, atoms))
            largest = np.abs(expected).max()  # slopes of interpolated tables are right to 5e-8
            np.testing.assert_allclose(ours.get_property(name, atoms), expected, rtol=0, atol=2e-7 * largest)


@pytest.mark.parametrize("soap", [ALLOY, SILICON])
def test_power_spectra_are_the_vectors_that_pruners_see(soap):
    atoms = cell("Si", soap.elements[0], "Si")
    species = np.array([soap.elements.index(s) for s in atoms.get_chemical_symbols()])
    c = expand(expansion_of(soap), *neighbours_of(atoms, soap.r_cut), species, len(soap.elements))
    spectra = power_spectra(c, soap.l_max)
    spectra /= np.linalg.norm(spectra, axis=1)[:, None]
    for own, row, kind in zip(spectra, soap.values(atoms), species, strict=True):
        block = row[kind * soap.width : (kind + 1) * soap.width]
        np.testing.assert_allclose(own, block[:-1], atol=1e-9)
        assert block[-1] == 0.0  # QUIP's slot of covariance_sigma0, which the calculator leaves out


def test_narrow_gaussians_do_not_overflow():
    """Bessel functions of 2 alpha r r_a reach exp(10^4) here; QUIP's own numbers are finite, too."""
    narrow = replace(SILICON, atom_sigma=0.05, n_max=4, l_max=2)
    assert np.isfinite(expansion_of(narrow).table).all()


def test_it_keeps_its_neighbour_list_and_no_old_numbers(case):
    basis, ours, _ = case
    atoms = cell("Si", basis.elements[0], "Si")
    first = ours.get_property("energy", atoms)
    moved = atoms.copy()
    moved.positions[1, 0] += 0.05
    assert ours.get_property("energy", moved) != first
    assert ours.get_property("energy", atoms) == first


def test_the_energies_of_the_atoms_add_up(case):
    basis, ours, _ = case
    atoms = cell("Si", basis.elements[0], "Si")
    assert ours.get_property("energies", atoms).sum() == pytest.approx(ours.get_property("energy", atoms))


def test_unknown_elements_are_refused(case):
    _, ours, _ = case
    with pytest.raises(TamisError, match="element Cu is unknown"):
        ours.get_property("energy", cell("Si", "Cu", "Si"))


def test_there_is_no_stress_without_a_volume(case):
    basis, ours, _ = case
    atoms = cell("Si", basis.elements[0], "Si")
    atoms.pbc = False
    with pytest.raises(PropertyNotImplementedError):
        ours.get_property("stress", atoms)
