"""What the calculator of every family promises before MD may use it; families are found, not listed.

Every family's model is fitted once to a few small cells labelled by the Stillinger-Weber potential. The laws are
checked there and far away, where MD that goes wrong arrives: compressed, expanded and strongly rattled cells, free
clusters, pairs of atoms at any distance.
"""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from scipy.spatial.transform import Rotation
from tests.families import FAMILIES, rattled_silicon, small_model

from tamis.core.errors import MissingEngineError
from tamis.data.dataset import Dataset
from tamis.models.base import Array, Potential
from tamis.store import Store

VOIGT = ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))
SHIFT, STRAIN = 3e-5, 1e-4
"""Steps of derivatives, Å and 1: a larger strain meets less of the energies' rounding (a GAP's: 1e-12 eV)."""
PIECES = 20
NODES, WEIGHTS = np.polynomial.legendre.leggauss(3)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rattled_silicon(tmp_path_factory.mktemp("sw"))


@pytest.fixture(scope="module", params=FAMILIES)
def fitted(request: pytest.FixtureRequest, kept: Dataset, tmp_path_factory) -> tuple[Any, Potential, Store]:
    """The model, its potential, and the store with the rows."""
    store = Store(tmp_path_factory.mktemp("store"), 1)
    try:
        model = small_model(request.param)
        model.prepare(kept, store)
        return model, model.fit(kept, kept.subset([]), store, np.random.default_rng(0)), store
    except MissingEngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def potential(fitted) -> Potential:
    return fitted[1]


@pytest.fixture(scope="module")
def calculator(potential: Potential) -> Any:
    return potential.calculator()


def crystal(scale: float = 1.0, rattle: float = 0.05) -> Atoms:
    """Six atoms in a skewed cell far smaller than the cutoffs."""
    atoms = bulk("Si", "diamond", a=5.43 * scale).repeat((3, 1, 1))
    atoms.rattle(rattle, seed=4)
    return atoms


def cluster() -> Atoms:
    return Atoms("Si5", [[0, 0, 0], [2.3, 0.1, 0], [0.2, 2.4, 0.1], [0.3, 0.2, 2.5], [2.4, 2.2, 1.9]])


def pair(distance: float) -> Atoms:
    direction = np.array([0.6, -0.48, 0.64])
    return Atoms("Si2", [np.zeros(3), distance * direction])


def with_a_visitor(distance: float) -> Atoms:
    """Four atoms and a fifth at ``distance`` (Å) from the first, which is its farthest neighbour."""
    direction = np.array([0.68, 0.68, 0.27])
    atoms = cluster()[:4]
    return atoms + Atoms("Si", [distance * direction / np.linalg.norm(direction)])


def cutoffs(model: Any) -> list[float]:
    """Every distance at which a function of the model begins or ends, Å."""
    limits = {model.basis.r_cut}
    for name in ("r_cut_3b", "r_cut_4b", "s_min"):
        limits.add(getattr(model.basis, name, model.basis.r_cut))
    if getattr(model, "pair", None) is not None:
        limits |= {model.pair.r_cut, model.pair.r_cut - model.pair.cutoff_transition_width}
    if hasattr(model.basis, "penalty_distance"):
        limits.add(model.basis.s_min + model.basis.penalty_distance)
    return sorted(limits)


STRUCTURES: dict[str, Callable[[], Atoms]] = {
    "as trained": crystal,
    "compressed": lambda: crystal(0.75, 0.15),
    "expanded": lambda: crystal(1.35, 0.2),
    "rattled": lambda: crystal(1.0, 0.4),
    "cluster": cluster,
}


def get(calculator: Any, name: str, atoms: Atoms) -> Array:
    return np.array(calculator.get_property(name, atoms), dtype=float)


def slope(energy: Callable[[float], float], step: float) -> float:
    """Five-point derivative at 0."""
    return (8 * (energy(step) - energy(-step)) - energy(2 * step) + energy(-2 * step)) / (12 * step)


@pytest.mark.parametrize("name", STRUCTURES)
def test_forces_are_minus_the_gradient_of_the_energy(calculator, name):
    atoms = STRUCTURES[name]()
    forces = get(calculator, "forces", atoms)

    def energy(atom: int, axis: int, step: float) -> float:
        moved = atoms.copy()
        moved.positions[atom, axis] += step
        return float(calculator.get_property("energy", moved))

    rounding = 4 * np.finfo(float).eps * abs(get(calculator, "energy", atoms)) / SHIFT
    for atom, axis in [(0, 0), (1, 1), (2, 2), (len(atoms) - 1, 0), (len(atoms) - 1, 2)]:
        numerical = -slope(lambda step, atom=atom, axis=axis: energy(atom, axis, step), SHIFT)
        small = 1e-6 * np.abs(forces).max() + rounding  # networks are flat where atoms are far too close
        assert forces[atom, axis] == pytest.approx(numerical, rel=1e-5, abs=small)


@pytest.mark.parametrize("name", [name for name in STRUCTURES if name != "cluster"])
def test_stress_is_the_strain_derivative_of_the_energy(calculator, name):
    atoms = STRUCTURES[name]()
    stress = get(calculator, "stress", atoms)

    def energy(a: int, b: int, amount: float) -> float:
        strain = np.zeros((3, 3))
        strain[a, b] += amount / 2
        strain[b, a] += amount / 2
        changed = atoms.copy()
        changed.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        return float(calculator.get_property("energy", changed))

    for number, (a, b) in enumerate(VOIGT):
        numerical = slope(lambda amount, a=a, b=b: energy(a, b, amount), STRAIN) / atoms.cell.volume
        assert stress[number] == pytest.approx(numerical, rel=1e-5, abs=1e-6 * np.abs(stress).max())


def test_a_finite_path_of_strain_and_shifts_costs_the_work_done(calculator):
    """From the crystal to a cell sheared by 10 %, compressed by 9 % and rattled by 0.2 Å: dE = V σ : dF F⁻¹ - f · F du.

    u are the positions before the deformation F; both go in a straight line.
    """
    start = crystal(1.0, 0.0)
    change = np.array([[-0.03, 0.1, 0.0], [0.0, -0.04, 0.04], [0.02, 0.0, -0.02]])
    shifts = np.random.default_rng(6).normal(scale=0.2, size=(len(start), 3))

    def at(t: float) -> tuple[Atoms, Array]:
        deformation = np.eye(3) + t * change
        atoms = start.copy()
        atoms.set_cell(start.cell.array @ deformation.T)
        atoms.positions = (start.positions + t * shifts) @ deformation.T
        return atoms, deformation

    pieces, work, path = PIECES, 0.0, 0.0
    for piece in range(pieces):
        for node, weight in zip(NODES, WEIGHTS, strict=True):
            atoms, deformation = at((piece + 0.5 + 0.5 * node) / pieces)
            xx, yy, zz, yz, xz, xy = get(calculator, "stress", atoms)
            stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
            power = atoms.cell.volume * (stress * (change @ np.linalg.inv(deformation))).sum()
            power -= (get(calculator, "forces", atoms) * (shifts @ deformation.T)).sum()
            work += 0.5 * weight / pieces * power
            path += 0.5 * weight / pieces * abs(power)
    ends = [float(calculator.get_property("energy", at(t)[0])) for t in (0.0, 1.0)]
    assert work == pytest.approx(ends[1] - ends[0], abs=1e-4 * path)


def test_a_pair_from_deep_inside_to_beyond_every_cutoff(fitted, calculator):
    """No step of the energy is anything but the work of the forces, which pull along the bond."""
    step, direction = 0.015, pair(1.0).positions[1]
    distances = np.arange(1.2, max(cutoffs(fitted[0])) + 0.3, step)
    energies, pulls = [], []
    for distance in distances:
        atoms = pair(distance)
        forces = get(calculator, "forces", atoms)
        energies.append(float(calculator.get_property("energy", atoms)))
        pulls.append(forces[1] @ direction)
        assert np.abs(forces[0] + forces[1]).max() <= 1e-8 * max(1.0, np.abs(forces).max())
        assert np.abs(np.cross(forces[1], direction)).max() <= 1e-7 * max(1.0, np.abs(forces).max())
    energies, pulls = np.array(energies), np.array(pulls)
    # trapezoids are wrong by h³/12 of the third derivative of the energy, which differences of the forces tell
    bend = np.abs(np.diff(pulls, 2))
    bend = np.maximum(np.append(bend, 0.0), np.insert(bend, 0, 0.0))
    work = -0.5 * step * (pulls[1:] + pulls[:-1])
    assert (np.abs(np.diff(energies) - work) <= step * bend + 1e-7).all()
    assert np.ptp(energies) > 0.01 and pulls[-1] == pytest.approx(0.0, abs=1e-10)


@pytest.mark.parametrize("structure", [pair, with_a_visitor])
def test_nothing_jumps_where_an_atom_crosses_a_cutoff(fitted, calculator, structure):
    for limit in cutoffs(fitted[0]):
        (energy, forces), (other_energy, other_forces) = (
            (float(calculator.get_property("energy", atoms)), get(calculator, "forces", atoms))
            for atoms in (structure(limit - 1e-6), structure(limit + 1e-6))
        )
        scale = max(np.abs(forces).max(), 1.0)
        assert energy == pytest.approx(other_energy, abs=1e-5 * scale)
        assert np.abs(forces - other_forces).max() <= 1e-4 * scale


def test_atoms_out_of_reach_are_alone(fitted, calculator):
    lone = float(calculator.get_property("energy", Atoms("Si")))
    assert np.isfinite(lone)
    far = pair(fitted[0].basis.r_cut + 0.5)
    assert float(calculator.get_property("energy", far)) == pytest.approx(2 * lone, abs=1e-8)
    assert np.abs(get(calculator, "forces", far)).max() <= 1e-10


@pytest.mark.parametrize("name", ["as trained", "compressed"])
def test_rotation_translation_permutation_and_other_images(calculator, name):
    atoms = STRUCTURES[name]()
    energy, forces, stress = (get(calculator, name, atoms) for name in ("energy", "forces", "stress"))
    turn = Rotation.from_rotvec([0.4, -1.1, 0.7]).as_matrix()
    order = np.random.default_rng(0).permutation(len(atoms))
    changed = atoms[order]
    changed.positions += np.random.default_rng(1).integers(-2, 3, size=(len(atoms), 3)) @ atoms.cell.array
    changed.positions = (changed.positions + np.array([1.7, -9.3, 25.1])) @ turn.T
    cell = atoms.cell.array.copy()
    cell[2] += cell[0] - cell[1]
    changed.set_cell(cell @ turn.T)
    assert float(calculator.get_property("energy", changed)) == pytest.approx(float(energy), rel=1e-8)
    np.testing.assert_allclose(
        get(calculator, "forces", changed), forces[order] @ turn.T, atol=1e-7 * np.abs(forces).max()
    )
    full = np.zeros((3, 3))
    for value, (a, b) in zip(stress, VOIGT, strict=True):
        full[a, b] = full[b, a] = value
    turned = turn @ full @ turn.T
    expected = [turned[a, b] for a, b in VOIGT]
    np.testing.assert_allclose(get(calculator, "stress", changed), expected, atol=1e-7 * np.abs(stress).max())


def test_a_supercell_is_so_many_cells(calculator):
    atoms = crystal(0.95)
    twice = atoms.repeat((1, 2, 1))
    energy = float(calculator.get_property("energy", atoms))
    assert float(calculator.get_property("energy", twice)) == pytest.approx(2 * energy, rel=1e-9)
    forces, stress = get(calculator, "forces", atoms), get(calculator, "stress", atoms)
    np.testing.assert_allclose(get(calculator, "forces", twice), np.tile(forces, (2, 1)), atol=1e-8)
    np.testing.assert_allclose(get(calculator, "stress", twice), stress, atol=1e-9)


def test_a_calculator_has_no_memory(potential):
    """Lists of neighbours that are kept between steps, and structures of another size in between, change nothing."""
    used = potential.calculator()
    atoms = crystal()
    rng = np.random.default_rng(2)
    for number in range(9):
        atoms.positions += rng.normal(scale=0.1, size=atoms.positions.shape)
        if number == 3:
            atoms.set_cell(atoms.cell.array * 1.04, scale_atoms=True)
        if number == 6:
            used.get_property("energy", cluster())
        found = [get(used, name, atoms) for name in ("energy", "forces", "stress")]
        if number in (1, 3, 6, 8):
            fresh = potential.calculator()
            for name, value in zip(("energy", "forces", "stress"), found, strict=True):
                np.testing.assert_allclose(value, get(fresh, name, atoms), rtol=1e-9, atol=1e-9)


def test_the_calculator_says_what_the_rows_said(fitted, kept, calculator):
    """``predict``, which reads the store, and the calculator are one potential."""
    _, potential, store = fitted
    said = potential.predict(kept, store)
    for i in (0, 1, 5):
        atoms = kept.structures[i]
        assert float(calculator.get_property("energy", atoms)) == pytest.approx(said.energies[i], rel=1e-8)
        np.testing.assert_allclose(get(calculator, "forces", atoms), said.forces[i], atol=1e-6)
        np.testing.assert_allclose(get(calculator, "stress", atoms), said.stresses[i], atol=1e-7)
    assert np.abs(np.concatenate(said.forces)).max() > 0.5


def test_a_potential_survives_the_way_to_another_process(potential, calculator, kept):
    """Properties and MD run apart; the potential goes there by pickle, also after it was used here."""
    atoms = kept.structures[0]
    again = pickle.loads(pickle.dumps(potential)).calculator()
    for name in ("energy", "forces", "stress"):
        np.testing.assert_array_equal(get(again, name, atoms), get(calculator, name, atoms))
