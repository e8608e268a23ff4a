"""Linear ACE: equal to python-ace, true derivatives, files that python-ace reads back."""

import pickle
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import Calculator
from numpy.testing import assert_allclose
from omegaconf import OmegaConf

from tamis.bases.ace.basis import AceBasis
from tamis.core.errors import MissingEngineError, TamisError
from tamis.models.trainers.pacemaker import load_ace, read_ace

pyace = pytest.importorskip("pyace", reason="python-ace is not installed")

SILICON = AceBasis(
    elements=("Si",),
    r_cut=5.0,
    n_functions_per_element=120,
    nradmax_by_orders=(8, 5, 3, 2, 1),
    lmax_by_orders=(0, 4, 3, 2, 1),
    radial_basis="SBessel",
    radial_parameter=5.25,
    cutoff_width=0.01,
    spline_spacing=0.001,
)
ALLOY = replace(
    SILICON,
    elements=("Si", "Mo"),
    n_functions_per_element=60,
    nradmax_by_orders=(5, 4, 2),
    lmax_by_orders=(0, 3, 2),
)
CHEBYSHEV = replace(SILICON, radial_basis="ChebExpCos", n_functions_per_element=60, cutoff_width=1.0)


def crystal(repeat: tuple[int, int, int], seed: int = 0, mo: int = 0) -> Atoms:
    atoms = bulk("Si", cubic=True).repeat(repeat)
    atoms.rattle(0.1, seed=seed)
    shear = np.array([[1.02, 0.03, 0.0], [0.0, 0.99, 0.01], [0.0, 0.0, 1.01]])
    atoms.set_cell(atoms.cell.array @ shear, scale_atoms=True)
    atoms.symbols[:mo] = "Mo"
    return atoms


def moved_out() -> Atoms:
    atoms = crystal((1, 1, 1))
    atoms.positions += [31.0, 0.0, -7.0]
    return atoms


def tiny(seed: int = 0) -> Atoms:
    atoms = bulk("Si")  # two atoms, lattice vectors of 3.8 Å
    atoms.rattle(0.1, seed=seed)
    return atoms


def slab() -> Atoms:
    atoms = crystal((1, 1, 2), seed=3)
    atoms.center(vacuum=6.0, axis=2)
    return atoms


def cluster(mo: int = 0) -> Atoms:
    atoms = crystal((1, 1, 1), seed=5, mo=mo)
    return Atoms(atoms.symbols, positions=atoms.positions - 20.0)


STRUCTURES = {
    "crystal": (SILICON, crystal((1, 1, 1))),
    "far outside the cell": (SILICON, moved_out()),
    "two atoms": (SILICON, tiny()),
    "slab": (SILICON, slab()),
    "cluster": (SILICON, cluster()),
    "one atom": (SILICON, Atoms("Si", positions=[[1, 2, 3]])),
    "alloy": (ALLOY, crystal((1, 1, 1), mo=3)),
    "alloy cluster": (ALLOY, cluster(mo=5)),
    "one element of two": (ALLOY, crystal((1, 1, 1))),
    "Chebyshev": (CHEBYSHEV, crystal((1, 1, 1))),
    "powers": (replace(CHEBYSHEV, radial_basis="ChebPow", radial_parameter=2.0), crystal((1, 1, 1))),
}


def by_pyace(basis: AceBasis, atoms: Atoms) -> tuple[np.ndarray, np.ndarray]:
    """Values (n_atoms, K) and force rows (n_atoms, 3, K) as python-ace computes them."""
    functions = basis.pyace_basis()
    evaluator = pyace.ACEBEvaluator(functions)
    calculator = pyace.ACECalculator(evaluator)
    mapper = {e: i for i, e in enumerate(functions.elements_name)}
    environment = pyace.atomicenvironment.aseatoms_to_atomicenvironment(atoms, basis.r_cut, mapper)
    calculator.compute(environment, compute_projections=True, compute_b_grad=True)
    n_by_element = [len(functions.basis_rank1[e]) + len(functions.basis[e]) for e in range(len(mapper))]
    assert len(set(n_by_element)) == 1  # else python-ace writes force rows into the wrong columns
    values = np.zeros((len(atoms), sum(n_by_element)))
    for i, (symbol, row) in enumerate(zip(atoms.symbols, calculator.projections, strict=True)):
        start = mapper[symbol] * n_by_element[0]
        values[i, start : start + n_by_element[0]] = row[: n_by_element[0]]
    return values, np.transpose(calculator.forces_bfuncs, (0, 2, 1))


@pytest.mark.parametrize("name", STRUCTURES)
def test_equals_python_ace(name: str) -> None:
    basis, atoms = STRUCTURES[name]
    values, forces = by_pyace(basis, atoms)
    got, rows = basis.evaluate(atoms)
    assert got.shape == (len(atoms), basis.n_features)
    assert_allclose(got, values, rtol=0, atol=1e-10 * max(1e-10, abs(values).max()))
    assert_allclose(rows.forces, forces, rtol=0, atol=1e-10 * max(1e-10, abs(forces).max()))
    assert_allclose(rows.energy, values.sum(axis=0), rtol=0, atol=1e-10 * max(1e-10, abs(values).max()))
    assert_allclose(basis.values(atoms), got, rtol=0, atol=0)


def test_no_function_is_dead() -> None:
    """python-ace alone leaves products zero whose radial number exceeds that of the single factors."""
    basis = replace(SILICON, nradmax_by_orders=(2, 4), lmax_by_orders=(0, 2))
    assert (abs(basis.values(crystal((1, 1, 1)))).max(axis=0) > 0).all()


def test_blocks_of_elements() -> None:
    atoms = crystal((1, 1, 1), mo=3)
    values = ALLOY.values(atoms)
    half = ALLOY.n_features // 2
    assert ALLOY.elements == ("Mo", "Si")
    assert not values[:3, half:].any() and not values[3:, :half].any()
    assert abs(values[:3, :half]).max() > 0 and abs(values[3:, half:]).max() > 0


@pytest.mark.parametrize("name", ["crystal", "two atoms", "cluster", "alloy"])
def test_forces_are_minus_the_gradient(name: str) -> None:
    basis, atoms = STRUCTURES[name]
    forces, step = basis.design(atoms).forces, 1e-4
    for atom, axis in [(0, 0), (1, 1), (len(atoms) - 1, 2)]:
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[atom, axis] += sign * step
            energies.append(basis.design(moved).energy)
        numerical = -(energies[0] - energies[1]) / (2 * step)
        assert_allclose(forces[atom, axis], numerical, atol=1e-5 * abs(forces).max())


@pytest.mark.parametrize("name", ["crystal", "two atoms", "alloy"])
@pytest.mark.parametrize("component", range(6))
def test_strain_gradient_is_the_strain_derivative(name: str, component: int) -> None:
    basis, atoms = STRUCTURES[name]
    step = 1e-5
    a, b = [(0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1)][component]
    energies = []
    for sign in (1, -1):
        strain = np.eye(3)
        strain[a, b] += sign * step / 2
        strain[b, a] += sign * step / 2
        strained = atoms.copy()
        strained.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        energies.append(basis.design(strained).energy)
    numerical = (energies[0] - energies[1]) / (2 * step)
    expected = basis.design(atoms).strain_gradient
    assert_allclose(expected[component], numerical, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("basis, atoms", [(SILICON, tiny()), (ALLOY, crystal((1, 1, 1), mo=3))])
def test_a_supercell_has_the_same_atoms(basis: AceBasis, atoms: Atoms) -> None:
    values, rows = basis.evaluate(atoms)
    many, big = basis.evaluate(atoms.repeat((2, 1, 3)))
    assert_allclose(many, np.tile(values, (6, 1)), atol=1e-11 * abs(values).max())
    assert_allclose(big.forces, np.tile(rows.forces, (6, 1, 1)), atol=1e-11 * abs(rows.forces).max())
    assert_allclose(
        big.strain_gradient, 6 * rows.strain_gradient, atol=1e-10 * abs(rows.strain_gradient).max()
    )


def test_a_wide_vacuum_needs_no_periodicity() -> None:
    atoms = slab()
    values, rows = SILICON.evaluate(atoms)
    atoms.pbc = (True, True, False)
    open_values, open_rows = SILICON.evaluate(atoms)
    assert_allclose(open_values, values, atol=1e-12 * abs(values).max())
    assert_allclose(open_rows.forces, rows.forces, atol=1e-12 * abs(rows.forces).max())


@pytest.mark.parametrize(
    "basis", [SILICON, CHEBYSHEV, replace(CHEBYSHEV, radial_basis="ChebPow", radial_parameter=2)]
)
def test_smooth_to_zero_at_the_cutoff(basis: AceBasis) -> None:
    pair = Atoms("Si2", positions=[[0, 0, 0], [0, 0, basis.r_cut - 0.01]])
    near = basis.evaluate(Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.6 * basis.r_cut]]))
    values, rows = basis.evaluate(pair)
    assert abs(values).max() < 1e-3 * abs(near[0]).max()
    assert abs(rows.forces).max() < 0.05 * abs(near[1].forces).max()
    pair.positions[1, 2] = basis.r_cut + 0.01
    assert not basis.values(pair).any()


def random_potential(basis: AceBasis) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(11)
    return rng.normal(size=basis.n_features) * 1e-2, np.array([-1.25, -7.5])[: len(basis.elements)]


def assert_equal_to_rows(
    calculator: Calculator, basis: AceBasis, atoms: Atoms, coefficients: np.ndarray, offsets: np.ndarray
) -> None:
    rows = basis.design(atoms)
    energy = rows.energy @ coefficients + sum(offsets[basis.elements.index(s)] for s in atoms.symbols)
    forces = rows.forces @ coefficients
    calculator.calculate(atoms)
    assert_allclose(np.squeeze(calculator.results["energy"]), energy, rtol=1e-8)
    assert_allclose(calculator.results["forces"], forces, atol=1e-8 * abs(forces).max())
    if atoms.pbc.any():
        stress = rows.strain_gradient @ coefficients / atoms.get_volume()
        assert_allclose(calculator.results["stress"], stress, atol=1e-8 * abs(stress).max())


@pytest.mark.parametrize("name", ["crystal", "two atoms", "cluster", "alloy"])
def test_calculator_and_files_equal_the_rows(name: str, tmp_path: Path) -> None:
    basis, atoms = STRUCTURES[name]
    coefficients, offsets = random_potential(basis)
    yaml, yace = basis.write(tmp_path / "new", coefficients, offsets)
    assert (yaml.name, yace.name) == ("ace.yaml", "ace.yace")
    assert_equal_to_rows(basis.calculator(coefficients, offsets), basis, atoms, coefficients, offsets)
    assert_equal_to_rows(pyace.PyACECalculator(str(yace)), basis, atoms, coefficients, offsets)
    assert_equal_to_rows(pyace.PyACECalculator(str(yaml)), basis, atoms, coefficients, 0 * offsets)


def test_calculator_is_a_plain_ase_calculator() -> None:
    coefficients, offsets = random_potential(SILICON)
    atoms = crystal((1, 1, 1))
    atoms.calc = SILICON.calculator(coefficients, offsets)
    assert isinstance(atoms.get_potential_energy(), float)
    assert atoms.get_potential_energy(force_consistent=True) == atoms.get_potential_energy()
    assert_allclose(atoms.get_potential_energies().sum(), atoms.get_potential_energy())
    assert atoms.get_forces().shape == (8, 3) and atoms.get_stress().shape == (6,)


def test_calculator_takes_mixed_periodicity() -> None:
    coefficients, offsets = random_potential(SILICON)
    atoms = slab()
    atoms.pbc = (True, True, False)
    assert_equal_to_rows(SILICON.calculator(coefficients, offsets), SILICON, atoms, coefficients, offsets)


def test_one_calculator_follows_atoms_that_move_and_change_their_element() -> None:
    coefficients, offsets = random_potential(ALLOY)
    calculator, atoms = ALLOY.calculator(coefficients, offsets), STRUCTURES["alloy"][1].copy()
    for seed, step in enumerate(
        (0.02, 0.02, 0.5)
    ):  # the kept list holds for the first two, and not for the last
        atoms.rattle(step, seed=seed)
        assert_equal_to_rows(calculator, ALLOY, atoms, coefficients, offsets)
    atoms.symbols = list(reversed(atoms.get_chemical_symbols()))
    assert_equal_to_rows(calculator, ALLOY, atoms, coefficients, offsets)


def test_offsets_are_not_lost(tmp_path: Path) -> None:
    coefficients, offsets = random_potential(ALLOY)
    yaml, yace = ALLOY.write(tmp_path, coefficients, offsets)
    assert "E0: [-1.25, -7.5]" in yace.read_text().splitlines()
    assert {k: float(v) for k, v in OmegaConf.load(yaml).metadata.items() if k.startswith("E0_")} == {
        "E0_Mo": -1.25,
        "E0_Si": -7.5,
    }


def test_lammps_lines(tmp_path: Path) -> None:
    assert ALLOY.lammps(tmp_path) == ("pair_style pace", f'pair_coeff * * "{tmp_path}/ace.yace" Mo Si')


def test_pickle_and_fork_keep_the_numbers() -> None:
    atoms = tiny()
    values = SILICON.values(atoms)
    copy = pickle.loads(pickle.dumps(SILICON))
    assert copy == SILICON
    assert_allclose(copy.values(atoms), values, rtol=0, atol=0)
    with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
        assert_allclose(pool.submit(SILICON.values, atoms).result(), values, rtol=0, atol=0)


def test_accepts_lists_and_sorts_elements() -> None:
    basis = replace(ALLOY, elements=["Si", "Mo"], lmax_by_orders=[0, 3, 2])
    assert basis == ALLOY and hash(basis) == hash(ALLOY)


@pytest.mark.parametrize(
    "changes, word",
    [
        ({"elements": ()}, "elements"),
        ({"elements": ("Si", "Si")}, "elements"),
        ({"elements": ("Xx",)}, "elements"),
        ({"r_cut": 0.0}, "r_cut"),
        ({"r_cut": float("nan")}, "r_cut"),
        ({"n_functions_per_element": 0}, "n_functions_per_element"),
        ({"nradmax_by_orders": (8, 4)}, "2 and lmax_by_orders 5"),
        ({"nradmax_by_orders": (), "lmax_by_orders": ()}, "nradmax_by_orders"),
        ({"nradmax_by_orders": (8, 0), "lmax_by_orders": (0, 1)}, "whole number from 1 on"),
        ({"nradmax_by_orders": (8, 2), "lmax_by_orders": (1, 1)}, "start with 0"),
        ({"nradmax_by_orders": (8, 2), "lmax_by_orders": (0, -1)}, "whole number from 0 on"),
        ({"radial_basis": "Gaussian"}, "SBessel"),
        ({"radial_parameter": 0.0}, "radial_parameter"),
        ({"cutoff_width": 0.0}, "cutoff_width"),
        ({"cutoff_width": 9.0}, "cutoff_width"),
        ({"spline_spacing": 0.0}, "spline_spacing"),
        ({"spline_spacing": 1.0}, "spline_spacing"),
    ],
)
def test_refuses_bad_arguments(changes: dict[str, object], word: str) -> None:
    with pytest.raises(TamisError, match=word):
        replace(SILICON, **changes)


def test_refuses_a_shape_that_python_ace_has_not() -> None:
    with pytest.raises(TamisError, match="cannot make this basis"):
        _ = replace(SILICON, nradmax_by_orders=(4,) * 8, lmax_by_orders=(0,) + (3,) * 7).n_features


def test_refuses_a_basis_without_functions() -> None:
    with pytest.raises(TamisError, match="n_functions_per_element"):
        _ = replace(ALLOY, n_functions_per_element=1).n_features


def test_refuses_atoms_on_top_of_each_other() -> None:
    with pytest.raises(TamisError, match=r"atoms 0 and 1 are 0\.0005 Å apart"):
        SILICON.values(Atoms("Si2", positions=[[0, 0, 0], [0, 0, 0.0005]]))


def test_refuses_an_unknown_element() -> None:
    with pytest.raises(TamisError, match="Mo is unknown"):
        SILICON.values(Atoms("Mo", positions=[[0, 0, 0]]))


def test_refuses_wrong_lengths(tmp_path: Path) -> None:
    coefficients, offsets = random_potential(SILICON)
    with pytest.raises(TamisError, match="coefficients"):
        SILICON.calculator(coefficients[:-1], offsets)
    with pytest.raises(TamisError, match="offsets"):
        SILICON.calculator(coefficients, np.zeros(2))
    with pytest.raises(TamisError, match="offsets"):
        SILICON.write(tmp_path, coefficients, np.zeros(2))
    assert not list(tmp_path.iterdir())


def test_says_how_to_get_python_ace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyace", None)
    with pytest.raises(MissingEngineError, match=r'pip install "tamis\[ace\]"'):
        _ = replace(SILICON, r_cut=4.5).n_features


def test_config_names_every_argument() -> None:
    config = OmegaConf.load(Path(__file__).parents[2] / "conf" / "descriptor" / "ace.yaml")
    keys = set(OmegaConf.to_container(config, resolve=False)) - {"_target_"}
    assert keys == {field.name for field in fields(AceBasis)}


@pytest.mark.parametrize("elements", [("Si",), ("Ge", "Si")])
def test_what_model_ace_writes_is_read_back(tmp_path, elements):
    """By tamis, with the energies of the free atoms from the metadata, and by python-ace from ace.yace."""
    basis = replace(SILICON, elements=elements, nradmax_by_orders=(4, 2), lmax_by_orders=(0, 2))
    rng = np.random.default_rng(0)
    coefficients, offsets = rng.normal(size=basis.n_features), np.array([-100.0, -50.0])[: len(elements)]
    basis.write(tmp_path, coefficients, offsets)
    atoms = bulk("Si", a=5.43) * (2, 1, 1)
    atoms.symbols[0] = elements[0]
    atoms.rattle(0.1, seed=1)
    calculators = [
        basis.calculator(coefficients, offsets),
        read_ace(tmp_path),
        pyace.PyACECalculator(str(tmp_path / "ace.yace")),
    ]
    energies = [float(np.ravel(c.get_property("energy", atoms))[0]) for c in calculators]
    assert_allclose(energies, energies[0], rtol=1e-9)
    for calculator in calculators[1:]:
        expected = calculators[0].get_property("forces", atoms)
        assert_allclose(calculator.get_property("forces", atoms), expected, atol=1e-6)


def test_ace_yaml_without_energies_of_free_atoms_is_refused(tmp_path):
    basis = replace(SILICON, nradmax_by_orders=(4, 2), lmax_by_orders=(0, 2))
    basis.write(tmp_path, np.zeros(basis.n_features), np.array([-100.0]))
    text = (tmp_path / "ace.yaml").read_text()
    (tmp_path / "ace.yaml").write_text(text.replace("E0_Si", "note"))
    with pytest.raises(TamisError, match="no energies of the free atoms"):
        load_ace(tmp_path)
