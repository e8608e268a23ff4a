"""Training networks on stored rows, and what a fitted potential promises."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from ase.md.verlet import VelocityVerlet
from tests import copper

from tamis.bases.acsf.basis import AcsfBasis
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.models.judging import judges_by_folds
from tamis.models.nnp.data import gather
from tamis.models.nnp.model import NnpModel
from tamis.models.nnp.potential import read_n2p2
from tamis.models.nnp.problem import NetworkProblem, first_parameters
from tamis.models.nnp.whitening import Whitening
from tamis.models.normal_equations import Weights
from tamis.models.tuning import Setting
from tamis.store import Store

SETTINGS = {
    "hidden": (5, 4),
    "n_networks": 2,
    "energy_weights": (14.0,),
    "stress_weights": (1.0,),
    "ridges": (1e-4, 1e-2),
    "widenings": 0,
    "first_rows_per_parameter": 0.5,
    "rows_per_parameter": 3.0,
    "tuning_iterations": 3,
    "max_iterations": 12,
    "patience": 20,
    "check_every": 2,
    "final_iterations": 1,
    "tuning": "kept",
    "n_folds": 5,
}
REFUSED = {
    "energy_weights": (),
    "ridges": (-1.0,),
    "hidden": (),
    "n_networks": 0,
    "max_iterations": 0,
    "patience": 0,
    "final_iterations": -1,
    "first_rows_per_parameter": 0.0,
    "rows_per_parameter": 0.0,
    "tuning": "test",
    "n_folds": 1,
}


def basis(*elements: str, **changes) -> AcsfBasis:
    config = {
        "elements": elements,
        "r_cut": 4.2,
        "cutoff_type": "poly2",
        "cutoff_alpha": 0.0,
        "in_units_of_r_cut": False,
        "radial_eta": [1.5],
        "radial_r_s": [1.5, 2.5, 3.3],
        "angular_type": 3,
        "angular_eta": [0.01, 0.1],
        "angular_lambda": [-1.0, 1.0],
        "angular_zeta": [1.0, 4.0],
    }
    return AcsfBasis(**(config | changes))


def model(*elements: str, **changes) -> NnpModel:
    return NnpModel(**({"basis": basis(*elements)} | SETTINGS | changes))


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), 1)


@pytest.fixture(scope="module")
def labelled(rattled) -> Dataset:
    """Energies, forces and stresses that belong together: of a potential with random networks."""
    rng = np.random.default_rng(3)
    with_random_labels = model("Si", ridges=(1.0,), max_iterations=3)
    store = None
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder, 1)
        calculator = with_random_labels.fit(rattled, rattled.subset([]), store, rng).calculator()
    energies, forces, stresses = [], [], []
    for atoms in rattled.structures:
        energies.append(calculator.get_property("energy", atoms))
        forces.append(calculator.get_property("forces", atoms))
        stresses.append(calculator.get_property("stress", atoms))
    return replace(rattled, energies=np.array(energies), forces=tuple(forces), stresses=np.array(stresses))


def alloy(labelled: Dataset) -> Dataset:
    """The same labels, every second atom another element."""
    structures = []
    for atoms in labelled.structures:
        changed = atoms.copy()
        changed.symbols[::2] = "Ge"
        structures.append(changed)
    return replace(labelled, structures=tuple(structures))


def fit(a_model: NnpModel, kept: Dataset, store: Store, seed: int = 0):
    return a_model.fit(kept, kept.subset([]), store, np.random.default_rng(seed))


@pytest.mark.parametrize("elements", [("Si",), ("Ge", "Si")])
def test_jacobian_is_the_derivative_of_the_residuals(elements, labelled, shared_store):
    dataset = (labelled if len(elements) == 1 else alloy(labelled)).subset(range(5))
    stresses = dataset.stresses.copy()
    stresses[1, 3:] = np.nan  # some components without a label
    stresses[2] = np.nan
    dataset = replace(dataset, stresses=stresses)
    of = basis(*elements)
    data = gather(dataset, of, shared_store, np.full(len(elements), -4.0))
    sizes = (of.n_per_element, 5, 4, 1)
    problem = NetworkProblem(sizes, data, np.array([0, 1, 2, 4]), Weights(14.0, 2.0))
    rng = np.random.default_rng(5)
    parameters = np.concatenate([first_parameters(sizes, rng) for _ in elements])
    part = problem.draw(rng, 1e6)
    _, _, moment = problem.normal_equations(problem.evaluate(parameters), part)

    def loss(parameters):
        return problem.loss(problem.evaluate(parameters), part)

    for direction in rng.normal(size=(6, len(parameters))):
        step = 3e-3 * direction / np.linalg.norm(direction)
        change = loss(parameters + step) - loss(parameters - step)
        # d|r|²/dw = 2 J'r; networks are evaluated in single precision
        assert change / 4.0 == pytest.approx(moment @ step, rel=2e-3, abs=2e-6 * np.linalg.norm(moment))


def test_the_last_iteration_takes_in_what_was_held_out(labelled, shared_store):
    a_model = model("Si", n_networks=1)
    data = gather(labelled, a_model.basis, shared_store, np.full(1, -4.0))
    judges = judges_by_folds(labelled, 3, np.random.default_rng(0), at_least=2, per_fold=3, n_used=1)
    (fold,) = a_model._folds(judges)
    setting = Setting(*a_model.most_cautious)
    training = a_model._training(setting, 1.0, data, data, judges, fold, (0, 0))
    training.advance(lambda _: 1.0, 3, 3, 1)
    finished, held_out = training.finish(0), training.run.best
    everything = training.whole.draw(np.random.default_rng(0), np.inf)

    def loss(parameters):
        at = training.whole.evaluate(parameters)
        return training.whole.loss(at, everything) + training.ridge * parameters @ parameters

    assert len(fold[0]) < len(labelled) == len(training.whole.structures)
    assert loss(finished) < loss(held_out)


def test_rows_say_the_same_as_the_calculator(labelled, shared_store):
    """Energies, forces and strain derivatives of the training equal those of the potential that comes out."""
    a_model = model("Si", n_networks=1)
    potential = fit(a_model, labelled, shared_store)
    said = potential.predict(labelled, shared_store)
    agreed = replace(labelled, energies=said.energies, forces=said.forces, stresses=said.stresses)
    data = gather(agreed, a_model.basis, shared_store, potential.offsets)
    raw = potential.networks[0]
    first, _ = raw.layers()[0]
    unfolded = raw.parameters.copy()
    unfolded[: first.size] = (np.linalg.pinv(data.whitenings[0].transform) @ first).ravel()
    problem = NetworkProblem(raw.sizes, data, np.arange(len(agreed)), Weights(14.0, 1.0))
    squares, rows = problem.mean_squares(unfolded)
    assert rows[0] == len(agreed) and rows[1] == 3 * agreed.n_atoms.sum() and rows[2] == 6 * len(agreed)
    assert np.sqrt(squares / rows).max() < 3e-5


def test_forces_and_stress_of_an_alloy_are_derivatives_of_the_energy(labelled, shared_store):
    """For one element: tests/laws/test_potentials.py."""
    dataset = alloy(labelled)
    calculator = fit(model("Ge", "Si"), dataset, shared_store).calculator()
    atoms = dataset.structures[4].copy()
    forces = calculator.get_property("forces", atoms)
    step = 1e-5
    for axis in range(3):
        energies = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.positions[1, axis] += sign * step
            energies.append(calculator.get_property("energy", moved))
        assert forces[1, axis] == pytest.approx((energies[1] - energies[0]) / (2 * step), abs=1e-7)
    stress = calculator.get_property("stress", atoms)
    for number, (a, b) in enumerate(((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))):
        strain = np.zeros((3, 3))
        strain[a, b] += 0.5 * step
        strain[b, a] += 0.5 * step
        energies = []
        for sign in (1, -1):
            strained = atoms.copy()
            strained.set_cell(atoms.cell.array @ (np.eye(3) + sign * strain), scale_atoms=True)
            energies.append(calculator.get_property("energy", strained))
        slope = (energies[0] - energies[1]) / (2 * step) / atoms.cell.volume
        assert stress[number] == pytest.approx(slope, abs=1e-7)


def test_training_lowers_the_errors(labelled, shared_store):
    few = fit(model("Si", max_iterations=1, tuning_iterations=1), labelled, shared_store)
    many = fit(model("Si", max_iterations=60, patience=60), labelled, shared_store)
    for name in ("held_out_energy_rmse_meV_per_atom", "held_out_force_rmse_eV_per_A"):
        assert many.diagnostics[name] < 0.3 * few.diagnostics[name]
    assert many.diagnostics["settings_tried"] == 2.0


def drawn_forces(monkeypatch) -> list[int]:
    """The numbers of force triples that fits draw from now on, iteration by iteration; strains come in proportion."""
    seen = []

    def watched(problem, rng, rows_per_parameter):
        part = draw(problem, rng, rows_per_parameter)
        seen.append(int(np.sum(~problem.data.groups.of_strain[part])))
        return part

    draw = NetworkProblem.draw
    monkeypatch.setattr(NetworkProblem, "draw", watched)
    return seen


def test_rows_grow_with_the_iterations(labelled, shared_store, monkeypatch):
    seen = drawn_forces(monkeypatch)
    changes = {"ridges": (1e-3,), "n_networks": 1, "rows_per_parameter": 2.0}
    potential = fit(model("Si", **changes), labelled, shared_store)
    n_parameters = potential.diagnostics["n_parameters"]
    assert seen[0] == pytest.approx(0.5 * n_parameters / 3, abs=1)
    factors = np.divide(seen[1:12], seen[:11])
    np.testing.assert_allclose(factors, 4.0 ** (1 / 12), rtol=0.1)  # whole triples
    # all of those of 9 tenths of the structures, and in the last step of all
    assert len(seen) == 14 and 60 < seen[12] < seen[13]


def test_an_iteration_of_many_parameters_draws_fewer_rows(labelled, shared_store, monkeypatch):
    """So many that their products are within what as many rows for each of 810 parameters take; in the end all."""
    monkeypatch.setattr("tamis.models.nnp.problem.WORK", 2e5 / 3)
    seen = drawn_forces(monkeypatch)
    potential = fit(model("Si", first_rows_per_parameter=3.0), labelled, shared_store)
    assert potential.diagnostics["n_parameters"] == 89
    assert seen[-1] > 60 and {n for n in seen if n <= 60} == {16}  # triples; 47² times 89 is nearly 2e5


@contextmanager
def arrays_elsewhere(monkeypatch) -> Iterator[None]:
    """Arrays of ``numpy.empty`` begin 8 bytes after a multiple of 64, while the C library gives multiples of 16."""
    empty = np.empty

    def shifted(shape, dtype=float, **other):
        wanted = np.dtype(dtype)
        n_bytes = int(np.prod(shape)) * wanted.itemsize
        raw = empty(n_bytes + 72, dtype=np.uint8)
        begin = -raw.ctypes.data % 64 + 8
        return raw[begin : begin + n_bytes].view(wanted).reshape(shape)

    with monkeypatch.context() as patched:
        patched.setattr(np, "empty", shifted)
        yield


def test_same_seed_same_potential(labelled, shared_store, monkeypatch):
    """To the last bit, wherever in memory arrays lie."""
    one = fit(model("Si"), labelled, shared_store)
    with arrays_elsewhere(monkeypatch):
        same = fit(model("Si"), labelled, shared_store)
    np.testing.assert_array_equal(one.networks[0].parameters, same.networks[0].parameters)
    other = fit(model("Si"), labelled, shared_store, seed=1)
    assert np.abs(one.networks[0].parameters - other.networks[0].parameters).max() > 1e-3


def test_files_reproduce_the_predictions(labelled, shared_store, tmp_path):
    dataset = alloy(labelled)
    potential = fit(model("Ge", "Si"), dataset, shared_store)
    names = {path.name for path in potential.write(tmp_path)}
    assert names == {"input.nn", "scaling.data", "weights.014.data", "weights.032.data"}
    again = read_n2p2(tmp_path)
    atoms = dataset.structures[2]
    for name in ("energy", "forces", "stress"):
        expected = potential.calculator().get_property(name, atoms)
        np.testing.assert_allclose(
            again.calculator().get_property(name, atoms), expected, rtol=1e-10, atol=1e-11
        )
    assert potential.lammps(tmp_path)[0].startswith("pair_style hdnnp 4.2 ")
    assert potential.lammps(tmp_path)[1] == "pair_coeff * * Ge Si"


def test_with_nothing_to_judge_by_the_most_cautious_setting_is_taken(labelled, shared_store):
    potential = fit(model("Si", n_networks=3), labelled.subset([0]), shared_store)
    assert potential.diagnostics["ridge"] == 1e-2


def test_clusters_have_no_stress(labelled, shared_store):
    free = tuple(Atoms(atoms.symbols, atoms.positions) for atoms in labelled.structures)
    dataset = replace(labelled, structures=free, stresses=np.full((len(labelled), 6), np.nan))
    calculator = fit(model("Si"), dataset, shared_store).calculator()
    assert np.abs(calculator.get_property("forces", free[0]).sum(axis=0)).max() < 1e-10
    with pytest.raises(PropertyNotImplementedError):
        calculator.get_property("stress", free[0])


def test_a_constant_symmetry_function_has_no_say(labelled, shared_store):
    far = basis("Si", radial_r_s=[2.5, 100.0])  # nobody is that far: 0 for every atom
    potential = fit(replace(model("Si"), basis=far), labelled, shared_store)
    first, _ = potential.networks[0].layers()[0]
    columns = [f.r_s == 100.0 for f in far.table.functions]
    assert not first[columns].any() and first[np.logical_not(columns)].any()
    assert np.isfinite(potential.predict(labelled, shared_store).energies).all()


def test_an_unknown_element_is_named(labelled, shared_store):
    calculator = fit(model("Si"), labelled, shared_store).calculator()
    with pytest.raises(TamisError, match="Cu is unknown"):
        calculator.get_property("energy", bulk("Cu"))


def test_a_tuning_set_is_used_where_asked_for(labelled, shared_store):
    a_model = model("Si", tuning="pool_validation")
    assert a_model.needs_tuning_set and not model("Si").needs_tuning_set
    rng = np.random.default_rng(0)
    potential = a_model.fit(labelled.subset(range(12)), labelled.subset(range(12, 20)), shared_store, rng)
    assert potential.diagnostics["held_out_force_rmse_eV_per_A"] > 0


@pytest.mark.parametrize("n_moved", [0, 1, 6])
def test_crystals_without_forces_do_not_stop_a_network_early(n_moved, store):
    """Their force errors are rounding, whose least value comes at any iteration: energies tell when to stop."""
    kept = copper.labelled(copper.force_free(12) + copper.moved(n_moved))
    kept = replace(kept, stresses=np.full((len(kept), 6), np.nan))
    long = {"n_networks": 1, "max_iterations": 30, "tuning_iterations": 10, "patience": 30, "ridges": (1e-3,)}
    late = fit(model("Cu", **long), kept, store)
    early = fit(model("Cu", **long | {"max_iterations": 4}), kept, store)
    has_forces = n_moved > 1
    assert late.diagnostics["judged_force_structures"] == (3 if has_forces else 0)
    assert ("held_out_force_rmse_eV_per_A" in late.diagnostics) == has_forces
    assert bool(late.problem) == (not has_forces)
    judged = "held_out_force_rmse_eV_per_A" if has_forces else "held_out_energy_rmse_meV_per_atom"
    assert late.diagnostics[judged] <= early.diagnostics[judged]


def test_copies_of_a_crystal_are_a_fit_without_choice(store):
    potential = fit(model("Cu"), copper.labelled([*copper.force_free(1)] * 4), store)
    assert "chosen by 0 distinct structure(s)" in potential.problem and potential.diagnostics["ridge"] == 1e-2


@pytest.mark.parametrize("name", REFUSED)
def test_settings_are_checked(name):
    with pytest.raises(TamisError, match=name):
        model("Si", **{name: REFUSED[name]})


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("input.nn", "elements Si", "", "no elements"),
        ("input.nn", "cutoff_type 6", "cutoff_type 17", "cutoff_type 17"),
        ("input.nn", "atom_energy Si ", "atom_energy Si x", "could not convert string to float: 'x"),
        ("input.nn", "Si 2 Si", "Si two Si", "invalid literal .* 'two'"),
        ("input.nn", "elements Si", "elements Si\nelement_nodes_short Si 1 4", "element_nodes_short"),
        ("input.nn", "use_short_forces", "center_symmetry_functions", "exclude each other"),
        ("scaling.data", "# element", "1 99 0 1 0 1\n# element", "in order"),
        ("scaling.data", "# element", "1 2 3\n# element", "damaged"),
        ("weights.014.data", "# value", "1.0 a\n# value", "weights and biases, not"),
        ("weights.014.data", None, None, r"No such file .*weights\.014\.data"),
    ],
)
def test_damaged_files_are_named(name, old, new, message, labelled, shared_store, tmp_path):
    fit(model("Si", max_iterations=1), labelled.subset(range(3)), shared_store).write(tmp_path)
    path = tmp_path / name
    if old is None:
        path.unlink()
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(TamisError, match=message):
        read_n2p2(tmp_path)


@pytest.mark.slow
def test_energy_is_conserved(tmp_path):
    """64 atoms at 300 K for 5 ps: less than 0.1 meV/atom/ps."""
    from hydra.utils import instantiate
    from tests.composing import composed

    config = composed("model=nnp", "dataset=sw_silicon", f"dataset.cache={tmp_path}", "model.n_networks=1")
    dataset = instantiate(config.dataset).load()
    kept = dataset.subset(np.arange(0, len(dataset), 3))
    potential = fit(instantiate(config.model), kept, Store(tmp_path / "store", 1))
    atoms = bulk("Si", a=5.431, cubic=True) * (2, 2, 2)
    atoms.calc = potential.calculator()
    MaxwellBoltzmannDistribution(atoms, temperature_K=600, rng=np.random.default_rng(0))
    moves, times, energies = VelocityVerlet(atoms, 1.0 * units.fs), [], []
    for picosecond in np.arange(0.05, 5.001, 0.05):
        moves.run(50)
        times.append(picosecond)
        energies.append(atoms.get_total_energy() / len(atoms) * 1e3)
    slope = np.polyfit(times, energies, 1)[0]
    assert abs(slope) < 0.1


def test_gradients_are_held_once(labelled, shared_store):
    """As inputs of networks, and not as they are read beside that."""
    of, many = basis("Si"), labelled.subset(np.tile(np.arange(len(labelled)), 10))
    entries = (12 * of.n_per_element + 8) * sum(map(len, shared_store.gradients(of, many.structures)))
    whitening = Whitening.of(np.concatenate(shared_store.values(of, labelled.structures)))
    tracemalloc.start()
    data = gather(many, of, shared_store, np.zeros(1), [whitening])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.groups.directions.nbytes + data.groups.atoms.nbytes == entries
    assert peak < 1.5 * entries
