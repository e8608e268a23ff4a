"""Properties of crystals: exact results for Stillinger-Weber silicon, relations, and guards.

In the ideal diamond crystal and its bulk-terminated cuts every angle is tetrahedral and only nearest neighbours
interact, so that Stillinger and Weber's energy is minus epsilon a bond: surfaces and vacancies count broken bonds.
"""

import numpy as np
import pytest
from ase.calculators.lj import LennardJones
from ase.optimize import LBFGS
from matscipy.elasticity import fit_elastic_constants
from tests.sampling import COPPER, LOOSE, SILICON, TIGHT, Constant, all_of, emt_sample, sw_sample

from tamis.core.errors import TamisError
from tamis.core.units import GPA_PER_EV_PER_A3, J_PER_M2_PER_EV_PER_A2
from tamis.data.crystal import Crystal
from tamis.data.sources.stillinger_weber import SIGMA
from tamis.evaluation.properties.base import PropertyError, Sample
from tamis.evaluation.properties.elastic import Elastic, deformed, isotropic, stiffness
from tamis.evaluation.properties.equation_of_state import EquationOfState, birch_murnaghan, holes
from tamis.evaluation.properties.lattice import Lattice
from tamis.evaluation.properties.phonons import Phonons
from tamis.evaluation.properties.relaxation import StoppingCriteria, relax, relaxed_lattice_constant
from tamis.evaluation.properties.slab import slab
from tamis.evaluation.properties.surfaces import Surfaces
from tamis.evaluation.properties.vacancy import Vacancy
from tamis.evaluation.properties.wall import Wall, last_of_rise

EPSILON = 2.1683
"""eV, of a bond in Stillinger-Weber silicon."""
ELASTIC = Elastic(0.005, 1, TIGHT)
EOS = EquationOfState(15.0, 4.0, 31)


@pytest.fixture(scope="module")
def silicon(tmp_path_factory):
    return sw_sample(tmp_path_factory.mktemp("sw"))


@pytest.fixture(scope="module")
def elastic(silicon):
    return all_of(ELASTIC, silicon).values


# lattice


def test_lattice_of_stillinger_weber_silicon_is_that_of_its_pairs(silicon):
    values = all_of(Lattice(0.7, 1.6, 5), silicon).values
    # the pair energy of an ideal Stillinger-Weber bond is lowest at 2^(1/6) sigma, to the digits of A and B
    assert values["lattice_constant_A"] == pytest.approx(
        4.0 / np.sqrt(3.0) * 2.0 ** (1 / 6) * SIGMA, rel=1e-6
    )
    assert values["energy_eV_per_atom"] == pytest.approx(-2.0 * EPSILON, rel=1e-6)


@pytest.mark.parametrize("start", [5.05, 5.43, 5.9])
def test_the_lattice_constant_does_not_depend_on_the_start(silicon, start):
    sample = Sample(Crystal(structure="diamond", element="Si", a=start), silicon.calculator)
    assert relaxed_lattice_constant(sample) == pytest.approx(relaxed_lattice_constant(silicon), rel=1e-7)


def test_a_lattice_constant_far_from_the_start_is_not_taken(silicon):
    sample = Sample(Crystal(structure="diamond", element="Si", a=4.3), silicon.calculator)
    with pytest.raises(PropertyError, match="falls without a minimum"):
        relaxed_lattice_constant(sample)


def test_the_cohesive_curve_ends_at_separate_atoms(silicon):
    data = all_of(Lattice(0.7, 1.7, 6), silicon).data
    assert data["energy_eV_per_atom"][-1] == 0.0
    assert data["nearest_distance_A"][0] == pytest.approx(0.7 * 2.0 ** (1 / 6) * SIGMA, rel=1e-6)


# equation of state


def test_birch_murnaghan_finds_what_a_curve_was_made_with():
    v0, b0, derivative = 20.0, 0.6, 4.7
    volumes = v0 * np.linspace(0.93, 1.06, 12)
    x = (v0 / volumes) ** (2 / 3)
    energies = -3.0 + 9 * v0 * b0 / 16 * ((x - 1) ** 3 * derivative + (x - 1) ** 2 * (6 - 4 * x))
    assert birch_murnaghan(volumes, energies) == pytest.approx((v0, b0, derivative), rel=1e-8)


def test_a_curve_without_a_minimum_has_no_bulk_modulus():
    volumes = np.linspace(9.0, 11.0, 8)
    with pytest.raises(PropertyError, match="no minimum"):
        birch_murnaghan(volumes, -volumes)


def test_holes_are_counted():
    x = np.linspace(-1.0, 1.0, 41)
    assert holes(x**2) == (1, 0)
    minima, concave = holes((x**2 - 0.5) ** 2)
    assert minima == 2 and concave > 5
    assert holes(np.full(9, 3.0)) == (0, 0)


def test_a_second_minimum_of_a_potential_is_reported(silicon):
    class Hole(type(silicon.calculator)):
        """Stillinger-Weber with a hole of 0.3 eV/atom at 12 % less volume."""

        def calculate(self, atoms=None, properties=("energy",), system_changes=()):
            super().calculate(atoms, properties, system_changes)
            relative = self.atoms.cell.volume / len(self.atoms) / 20.02
            self.results["energy"] -= 0.3 * len(self.atoms) * np.exp(-(((relative - 0.9) / 0.012) ** 2))

    inner = silicon.calculator
    sound = all_of(EOS, silicon).values
    holed = all_of(EOS, Sample(SILICON, Hole(inner.commands, inner.elements, inner.r_cut))).values
    assert sound["eos_extra_minima"] == sound["eos_concave_points"] == 0.0
    assert holed["eos_extra_minima"] == 1.0 and holed["eos_concave_points"] > 0.0


def test_bulk_modulus_from_the_equation_of_state_and_from_elastic_constants_agree(silicon, elastic):
    from_eos = all_of(EOS, silicon).values["eos_bulk_modulus_GPa"]
    assert from_eos == pytest.approx(elastic["elastic_bulk_modulus_GPa"], rel=0.01)


# elastic constants


def test_elastic_constants_of_stillinger_weber_silicon(elastic):
    # E. R. Cowley, Phys. Rev. Lett. 60, 2379 (1988); H. Balamane et al., Phys. Rev. B 46, 2250 (1992) print 161.6,
    # 81.6 and 60.3 for an epsilon of 2.315 eV: 151.4, 76.4 and 56.5 for this one
    assert elastic["elastic_C11_GPa"] == pytest.approx(151.4, rel=0.005)
    assert elastic["elastic_C12_GPa"] == pytest.approx(76.4, rel=0.005)
    assert elastic["elastic_C44_GPa"] == pytest.approx(56.4, rel=0.005)
    assert elastic["elastic_unstable_modes"] == 0.0


def test_elastic_constants_equal_those_of_matscipy(silicon, elastic):
    cell = silicon.crystal.primitive(relaxed_lattice_constant(silicon))
    cell.calc = silicon.calculator
    stiffness_in_ev, _ = fit_elastic_constants(
        cell, symmetry="cubic", N_steps=5, delta=2e-3, optimizer=LBFGS, fmax=1e-5, verbose=False, logfile=None
    )
    ours = [elastic[f"elastic_{name}_GPa"] for name in ("C11", "C12", "C44")]
    theirs = [stiffness_in_ev[i, j] * GPA_PER_EV_PER_A3 for i, j in ((0, 0), (0, 1), (3, 3))]
    assert ours == pytest.approx(theirs, rel=0.005)


@pytest.mark.parametrize(
    "cell", [SILICON.primitive, SILICON.conventional, lambda a: SILICON.primitive(a).repeat(2)]
)
def test_elastic_constants_do_not_depend_on_the_cell(silicon, elastic, cell):
    tensor = stiffness(silicon, cell(relaxed_lattice_constant(silicon)), 0.005, TIGHT)
    c11, c12, c44 = (elastic[f"elastic_{name}_GPa"] for name in ("C11", "C12", "C44"))
    expected = np.zeros((6, 6))
    expected[:3, :3] = c12
    expected[range(6), range(6)] = [c11] * 3 + [c44] * 3
    np.testing.assert_allclose(tensor, expected, atol=0.02)


def test_isotropic_averages_keep_their_relations_in_one_unit(elastic):
    bulk, shear = elastic["elastic_bulk_modulus_GPa"], elastic["elastic_shear_modulus_GPa"]
    young, poisson = elastic["elastic_youngs_modulus_GPa"], elastic["elastic_poisson_ratio"]
    assert young == pytest.approx(9 * bulk * shear / (3 * bulk + shear))
    assert young == pytest.approx(2 * shear * (1 + poisson))
    assert young == pytest.approx(3 * bulk * (1 - 2 * poisson))
    assert 1.0 < bulk < 1000.0  # GPa, not eV/Å³


def test_an_isotropic_crystal_is_its_own_average():
    stiffness = np.diag([20.0] * 3 + [10.0] * 3)
    stiffness[:3, :3] += 10.0
    assert isotropic(stiffness)["elastic_shear_modulus_GPa"] == pytest.approx(10.0)
    assert isotropic(stiffness)["elastic_bulk_modulus_GPa"] == pytest.approx(50.0 / 3.0)


@pytest.mark.parametrize("mode", range(6))
def test_strains_have_no_rotation_and_the_named_component(mode):
    cell = SILICON.conventional(5.0)
    gradient = deformed(cell, mode, 0.01).cell.array / 5.0
    expected = np.zeros(6)
    expected[mode] = 0.01
    strain = gradient - np.eye(3)
    np.testing.assert_allclose(strain, strain.T, atol=1e-15)
    found = [strain[0, 0], strain[1, 1], strain[2, 2], 2 * strain[1, 2], 2 * strain[0, 2], 2 * strain[0, 1]]
    np.testing.assert_allclose(found, expected, atol=1e-15)


def test_a_crystal_that_is_not_stable_has_constants_and_a_reason():
    # nearest neighbours alone do not hold a bcc crystal up: C11 - C12 is not above 0
    pairs = Sample(
        Crystal(structure="bcc", element="Ar", a=1.3),
        LennardJones(sigma=1.0, epsilon=1.0, rc=1.3, smooth=True),
    )
    found = {}
    with pytest.raises(PropertyError, match="not stable"):
        for part in Elastic(0.005, 1, StoppingCriteria(1e-3, 100, 0.5)).measure(pairs):
            found |= part.values
    assert found["elastic_unstable_modes"] >= 1.0 and "elastic_C11_GPa" in found
    assert "elastic_youngs_modulus_GPa" not in found


# vacancy


def test_a_vacancy_costs_its_broken_bonds_less_what_relaxes(silicon):
    values = all_of(Vacancy(50, (0.0, 0.2), LOOSE, False, LOOSE), silicon).values
    assert values["vacancy_formation_unrelaxed_eV"] == pytest.approx(2.0 * EPSILON, rel=1e-5)
    # H. Balamane et al. (1992): 2.82 eV for an epsilon of 2.315 eV; 64 atoms are 7 % too few
    assert values["vacancy_formation_eV"] == pytest.approx(2.82 * EPSILON / 2.315, rel=0.1)


def test_the_lowest_of_the_starts_counts(silicon):
    """The ideal vacancy is a shallow minimum of this potential: forces vanish by symmetry and range."""
    alone = all_of(Vacancy(50, (0.0,), LOOSE, False, LOOSE), silicon)
    both = all_of(Vacancy(50, (0.0, 0.2), LOOSE, False, LOOSE), silicon)
    assert alone.values["vacancy_formation_eV"] == pytest.approx(2.0 * EPSILON, rel=1e-4)
    assert both.values["vacancy_formation_eV"] < 3.0
    assert both.data["lowest_from_inward"] == 0.2


def test_migration_of_a_vacancy_climbs_from_one_site_to_an_equal_one(silicon):
    measured = all_of(Vacancy(50, (0.2,), LOOSE, True, StoppingCriteria(0.02, 200, 1.5)), silicon)
    path = measured.data["path_eV"]
    assert path[0] == 0.0 and path[-1] == pytest.approx(0.0, abs=1e-3)  # both ends are the same defect
    assert max(path) == measured.values["vacancy_migration_eV"] > 0.1


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (StoppingCriteria(1e-9, 1, 1.5), "the jump into the vacancy: not relaxed after 1 steps"),
        (StoppingCriteria(1e-9, 9, 1e-4), "the jump into the vacancy: an atom moved"),
    ],
)
def test_a_path_of_migration_ends_at_its_limits(silicon, path, said):
    found = {}
    with pytest.raises(PropertyError, match=said):
        for part in Vacancy(50, (0.2,), LOOSE, True, path).measure(silicon):
            found |= part.values
    assert "vacancy_formation_eV" in found


# surfaces


@pytest.mark.parametrize(
    ("miller", "bonds", "area"),
    [("100", 2, 0.5), ("110", 2, np.sqrt(0.5)), ("111", 1, np.sqrt(3.0) / 4.0)],
)
def test_surfaces_cost_half_a_bond_for_each_that_is_broken(silicon, miller, bonds, area):
    """bonds: broken in the smallest surface cell of ``area`` (in units of the cube's face), one half for each side."""
    a = relaxed_lattice_constant(silicon)
    expected = bonds * EPSILON / 2.0 / (area * a**2) * J_PER_M2_PER_EV_PER_A2
    values = all_of(Surfaces((miller,), 12.0, 15.0, LOOSE), silicon).values
    assert values[f"surface_{miller}_unrelaxed_J_per_m2"] == pytest.approx(expected, rel=1e-4)
    assert values[f"surface_{miller}_J_per_m2"] <= values[f"surface_{miller}_unrelaxed_J_per_m2"]


def test_surfaces_do_not_depend_on_the_thickness():
    thin, thick = (all_of(Surfaces(("110",), t, 15.0, LOOSE), emt_sample()).values for t in (12.0, 18.0))
    assert thin["surface_110_J_per_m2"] == pytest.approx(thick["surface_110_J_per_m2"], rel=0.01)


@pytest.mark.parametrize("structure", ["diamond", "bcc", "fcc"])
@pytest.mark.parametrize("miller", [(1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 0)])
def test_slabs_are_pieces_of_the_crystal(structure, miller):
    crystal = Crystal(structure=structure, element="Si", a=4.0)
    cut = slab(crystal, 4.0, miller, thickness=15.0, vacuum=10.0)
    distances = cut.get_all_distances(mic=True)
    np.fill_diagonal(distances, np.inf)
    assert distances.min() == pytest.approx(crystal.nearest_distance(4.0))
    neighbours = {"diamond": 4, "bcc": 8, "fcc": 12}[structure]
    middle = np.argsort(np.abs(cut.positions[:, 2] - cut.cell[2, 2] / 2))[:2]
    big = cut.repeat((5, 5, 1))
    found = [
        (np.abs(big.get_distances(i, range(len(big)), mic=True) - crystal.nearest_distance(4.0)) < 1e-6).sum()
        for i in middle
    ]
    assert found == [neighbours] * 2
    assert cut.cell[2, :2] == pytest.approx([0, 0]) and cut.cell[:2, 2] == pytest.approx([0, 0])
    assert np.ptp(cut.positions[:, 2]) >= 15.0
    # all layers: area times the thickness that they stand for is their volume
    layer = crystal.volume_per_atom(4.0) * len(cut) / np.linalg.norm(np.cross(cut.cell[0], cut.cell[1]))
    assert 0.0 < layer - np.ptp(cut.positions[:, 2]) < 4.0


# phonons


def test_the_optical_mode_is_that_of_two_atoms_shaken(silicon):
    a = relaxed_lattice_constant(silicon)
    values = all_of(Phonons(2, 0.01, 0.05), silicon).values
    step, curvatures = 0.005, []
    for side in (-1, 0, 1):
        cell = silicon.crystal.primitive(a)
        cell.positions[1, 0] += side * step
        curvatures.append(silicon.energy(cell))
    spring = (curvatures[0] - 2 * curvatures[1] + curvatures[2]) / step**2  # eV/Å², of the reduced mass m/2
    # sqrt(eV / (Å² u)) is 98.2269 rad/ps, from CODATA
    expected = 98.2269 * np.sqrt(spring / (28.085 / 2)) / (2 * np.pi)
    assert values["phonon_gamma_highest_THz"] == pytest.approx(expected, rel=1e-3)
    assert values["phonon_gamma_lowest_THz"] == pytest.approx(expected, rel=1e-3)
    assert values["phonon_imaginary_percent"] == 0.0


def test_translations_cost_nothing_and_degenerate_modes_are(silicon):
    measured = all_of(Phonons(2, 0.01, 0.05), silicon)
    np.testing.assert_allclose(measured.data["gamma_THz"][:3], 0.0, atol=0.02)
    x = measured.data["X_THz"]  # in diamond every mode at X comes in a pair
    np.testing.assert_allclose(x[::2], x[1::2], rtol=1e-3)


def test_modes_of_an_unstable_crystal_are_imaginary():
    sample = emt_sample(Crystal(structure="bcc", element="Cu", a=2.86))
    values = all_of(Phonons(2, 0.01, 0.05), sample).values
    assert values["phonon_imaginary_percent"] > 0.0 and values["phonon_N_lowest_THz"] < 0.0


# wall


def test_a_wall_reaches_to_the_end_of_the_scan(silicon):
    values = all_of(Wall(0.9, 0.5, 21), silicon).values
    assert values == {"wall_crystal_percent": pytest.approx(50.0), "wall_dimer_percent": pytest.approx(50.0)}


def test_a_hole_in_the_wall_is_found_where_it_begins():
    assert last_of_rise(np.array([0.0, 1.0, 3.0, 2.0, 9.0])) == 2
    assert last_of_rise(np.array([0.0, -1.0])) == 0
    assert last_of_rise(np.array([0.0, 1.0])) == 1


# what goes wrong


MEASURED = [
    Lattice(0.7, 1.6, 5),
    EOS,
    ELASTIC,
    Vacancy(20, (0.0,), LOOSE, False, LOOSE),
    Surfaces(("100",), 12.0, 15.0, LOOSE),
    Phonons(2, 0.01, 0.05),
    Wall(0.9, 0.5, 5),
]


@pytest.mark.parametrize("measured", MEASURED, ids=lambda one: type(one).__name__)
def test_a_potential_that_gives_nan_has_no_properties(measured):
    with pytest.raises(PropertyError, match="gives the energy nan"):
        all_of(measured, Sample(COPPER, Constant(np.nan)))


@pytest.mark.filterwarnings("ignore:.*:RuntimeWarning")  # an optimiser in a field without a gradient
def test_relaxations_end():
    atoms = COPPER.conventional()
    pushed = Sample(COPPER, Constant(0.0, force=1.0))
    with pytest.raises(PropertyError, match="not relaxed after 1 steps: a force of 1 eV/Å is left"):
        relax(atoms, pushed, StoppingCriteria(0.01, 1, 100.0))
    with pytest.raises(PropertyError, match=r"an atom moved .*more than 0.01 Å"):
        relax(atoms, pushed, StoppingCriteria(0.01, 100, 0.01))
    with pytest.raises(PropertyError, match="an atom moved nan Å"):  # where the optimiser divides by zero
        relax(atoms, pushed, StoppingCriteria(0.01, 100, 0.25))
    with pytest.raises(PropertyError, match="a force is not finite"):
        relax(atoms, Sample(COPPER, Constant(0.0, force=np.nan)), LOOSE)
    assert (atoms.positions == COPPER.conventional().positions).all()


def test_a_surface_that_does_not_relax_leaves_the_others(silicon):
    measured = Surfaces(("100", "111"), 12.0, 15.0, StoppingCriteria(1e-9, 1, 1.0))
    found = {}
    with pytest.raises(PropertyError, match=r"100: not relaxed .*111: not relaxed"):
        for part in measured.measure(Sample(COPPER, emt_sample().calculator)):
            found |= part.values
    assert set(found) == {"surface_100_unrelaxed_J_per_m2", "surface_111_unrelaxed_J_per_m2"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Lattice(1.6, 0.7, 5), "low must be less than high"),
        (lambda: Lattice(0.0, 0.7, 5), "low is 0.0"),
        (lambda: EquationOfState(4.0, 15.0, 31), "fit_percent is 15.0"),
        (lambda: EquationOfState(15.0, 4.0, 4), "from 5 on"),
        (lambda: Elastic(0.1, 1, TIGHT), "strain is 0.1"),
        (lambda: Elastic(0.005, 0, TIGHT), "repeat is 0"),
        (lambda: Vacancy(0, (0.0,), LOOSE, False, LOOSE), "n_atoms is 0"),
        (lambda: Vacancy(50, (), LOOSE, False, LOOSE), r"inward is \[\]"),
        (lambda: Vacancy(50, (0.5,), LOOSE, False, LOOSE), "inward is"),
        (lambda: Surfaces(("10",), 12.0, 15.0, LOOSE), "three digits"),
        (lambda: Surfaces(("000",), 12.0, 15.0, LOOSE), "three digits"),
        (lambda: Surfaces(("100",), 0.0, 15.0, LOOSE), "thickness is 0"),
        (lambda: Phonons(0, 0.01, 0.05), "repeat is 0"),
        (lambda: Phonons(2, 0.01, -1.0), "imaginary is -1.0"),
        (lambda: Wall(0.5, 0.9, 21), "end must be less than start"),
        (lambda: Wall(0.9, 0.5, 2), "n_points is 2"),
        (lambda: StoppingCriteria(0.0, 10, 1.0), "fmax is 0"),
        (lambda: Crystal(structure="hcp", element="Mg", a=3.2), "structure is 'hcp'"),
        (lambda: Crystal(structure="fcc", element="Xx", a=3.2), "element is 'Xx'"),
        (lambda: Crystal(structure="fcc", element="Cu", a=-1.0), "a is -1.0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, said):
    with pytest.raises(TamisError, match=said):
        make()
