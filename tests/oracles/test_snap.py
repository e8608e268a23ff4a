"""SNAP against LAMMPS' own pair style, and the published potentials against their published errors."""

import json

import numpy as np
import pytest
import yaml
from ase import Atoms
from ase.build import bulk

from tamis.bases.snap import SnapBasis, read_snap
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.sources.mlearn import Mlearn
from tamis.evaluation.errors import Residuals, error_metrics
from tamis.models.linear import LinearPotential
from tamis.store import Store
from tamis.store.keys import basis_identity

RADII, WEIGHTS = {"Si": 0.5, "Ge": 0.45}, {"Si": 1.0, "Ge": 0.8}
KINDS = {"one density": WEIGHTS, "a density for each element": "explicit"}


def alloy():
    atoms = bulk("Si", a=5.43) * (2, 1, 1)
    atoms.symbols[1] = "Ge"
    atoms.rattle(0.1, seed=1)
    atoms.set_cell(
        atoms.cell @ (np.eye(3) + 0.05 * np.random.default_rng(0).normal(size=(3, 3))), scale_atoms=True
    )
    return atoms


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pbc", [True, [True, True, False], False])
def test_written_files_in_lammps_give_the_models_predictions(pbc, kind):
    basis = SnapBasis(("Si", "Ge"), 4.5, 4, 0.99363, 0.0, RADII, KINDS[kind])
    coefficients, offsets = np.random.default_rng(0).normal(size=basis.n_features), np.array([1.0, 2.0])
    atoms = alloy()
    atoms.pbc = pbc
    _, rows = basis.evaluate(atoms)
    energy = rows.energy @ coefficients + offsets @ [1, 3]  # elements in alphabetical order: Ge, Si
    atoms.calc = basis.calculator(coefficients, offsets)
    assert atoms.get_potential_energy() == pytest.approx(energy, rel=1e-10)
    np.testing.assert_allclose(atoms.get_forces(), rows.forces @ coefficients, atol=1e-9)
    if np.all(pbc):
        stress = rows.strain_gradient @ coefficients / atoms.cell.volume
        np.testing.assert_allclose(atoms.get_stress(), stress, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("kind", KINDS)
def test_files_are_read_back_to_the_last_bit(tmp_path, kind):
    basis = SnapBasis(("Si", "Ge"), 4.5, 4, 0.99, 0.1, RADII, KINDS[kind])
    coefficients = np.random.default_rng(0).normal(size=basis.n_features)
    basis.write(tmp_path, coefficients, np.array([0.1, -0.3]))
    again, read_coefficients, offsets = read_snap(tmp_path)
    assert again == basis
    np.testing.assert_allclose(
        read_coefficients, coefficients, rtol=1e-15 if kind == "a density for each element" else 0.0
    )
    np.testing.assert_array_equal(offsets, [0.1, -0.3])


@pytest.mark.parametrize("element", ["Si", "Mo"])
def test_published_snap_has_its_published_errors(shared, tmp_path, element):
    basis, coefficients, offsets = read_snap(shared / "golden" / "published" / element / "snap")
    dataset = mlearn_test_set(shared, element)
    potential = LinearPotential(basis, coefficients, offsets)
    residuals = Residuals.of(potential.predict(dataset, Store(tmp_path, 1)), dataset)
    metrics = error_metrics(residuals, dataset, "test", by_group=False)
    reference = yaml.safe_load((shared / "reference" / "zuo2020.yaml").read_text())
    energy_mae, force_mae = reference["test_mae"][element]["SNAP"]
    energy_rmse, force_rmse = reference["test_rmse"][element]["SNAP"]
    # the figures are printed with three digits
    assert metrics["test/energy_mae_meV_per_atom"] == pytest.approx(energy_mae, rel=0.01)
    assert metrics["test/energy_rmse_meV_per_atom"] == pytest.approx(energy_rmse, rel=0.01)
    assert metrics["test/force_mae_eV_per_A"] == pytest.approx(force_mae, rel=0.01)
    assert metrics["test/force_rmse_eV_per_A"] == pytest.approx(force_rmse, rel=0.01)


def mlearn_test_set(shared, element) -> Dataset:
    import inspect

    arguments = {name: p.default for name, p in inspect.signature(Mlearn).parameters.items()}
    arguments |= dict(
        element=element, elements=(element,), atom_spacing=2.7, root=shared / "mlearn", base_url="", cache="unused",
        verify=True, sha256={}, split="published", held_out=None, drop=(),
    )  # fmt: skip
    dataset = Mlearn(**arguments).load()
    return dataset.subset(np.flatnonzero(dataset.is_test))


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("SNAPotential.snapcoeff", "1 56\nSi 0.5 1\n1.0\n", "not a complete"),
        ("SNAPotential.snapcoeff", "hello\n", "not a complete"),
        ("SNAPotential.snapparam", "rcutfac 4.9\n", "twojmax"),
        ("SNAPotential.snapparam", "rcutfac 4.9\ntwojmax 8\nbzeroflag 0\nquadraticflag 1\n", "quadraticflag"),
        ("SNAPotential.snapparam", "rcutfac 4.9\ntwojmax 8\n", "bzeroflag"),
        ("SNAPotential.snapparam", "rcutfac 4.9\ntwojmax 8\nbzeroflag 0\nchemflag 1\n", "bnormflag"),
        ("SNAPotential.snapparam", "rcutfac 4.9\ntwojmax 6\nbzeroflag 0\n", "twojmax=6"),
    ],
)
def test_bad_files_are_named(tmp_path, file, text, message):
    basis = SnapBasis(("Si",), 4.9, 8, 0.99363, 0.0, None, None)
    basis.write(tmp_path, np.zeros(basis.n_features), np.zeros(1))
    (tmp_path / file).write_text(text)
    with pytest.raises(TamisError, match=message):
        read_snap(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"r_cut": 0.0},
        {"twojmax": -1},
        {"elements": ()},
        {"radii": {"Si": 0.5, "Ge": 0.5}},
        {"radii": [0.5]},
        {"radii": {"Si": 0.6}},
        {"weights": {}},
        {"weights": {"Si": float("nan")}},
        {"weights": "equal"},
        {"rfac0": 0.0},
        {"rmin0": 9.0},
    ],
)
def test_arguments_are_checked(change):
    good = dict(elements=("Si",), r_cut=4.9, twojmax=4, rfac0=0.99363, rmin0=0.0, radii=None, weights=None)
    with pytest.raises(TamisError, match=next(iter(change))):
        SnapBasis(**good | change)


def test_number_of_components_is_lammps_own():
    for twojmax, n in ((0, 1), (2, 5), (4, 14), (6, 30), (8, 55)):
        assert SnapBasis(("Si",), 4.9, twojmax, 0.99363, 0.0, None, None).n_components == n


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pbc", [True, False])
def test_values_alone_are_those_of_the_rows(pbc, kind):
    """Two computes of LAMMPS, sna/atom and snap, and our order of columns."""
    basis = SnapBasis(("Si", "Ge"), 4.5, 4, 0.99363, 0.0, RADII, KINDS[kind])
    atoms = alloy()
    atoms.pbc = pbc
    np.testing.assert_allclose(basis.values(atoms), basis.evaluate(atoms)[0], rtol=1e-12, atol=1e-12)


def test_numbers_of_elements_go_by_their_names_whatever_the_order(tmp_path):
    """Lists were taken in the order of the alphabet, elements in that of the data set."""
    ways = [
        SnapBasis(elements, 4.5, 4, 0.99363, 0.0, {"Au": 0.5, "Cu": 0.45}, {"Cu": 1.0, "Au": 0.3})
        for elements in (("Cu", "Au"), ("Au", "Cu"))
    ]
    assert ways[0] == ways[1]
    basis = ways[0]
    basis.write(tmp_path, np.zeros(basis.n_features), np.zeros(2))
    heads = [line.split() for line in (tmp_path / "SNAPotential.snapcoeff").read_text().splitlines()]
    found = {words[0]: (float(words[1]), float(words[2])) for words in heads if words[0] in ("Cu", "Au")}
    assert found == {"Cu": (0.45, 1.0), "Au": (0.5, 0.3)}


@pytest.mark.parametrize("given", [[1.0, 0.3], (1.0, 0.3)])
def test_a_list_is_refused_with_the_mapping_to_type(given):
    with pytest.raises(TamisError, match=r"'weights=\{Cu: 1.0, Au: 0.3\}' if that is what is meant"):
        SnapBasis(("Cu", "Au"), 4.5, 4, 0.99363, 0.0, None, given)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"Cu": 1.0}, "Au has no number"),
        ({"Cu": 1.0, "Au": 0.3, "Ag": 1.0}, "Ag is none of the elements"),
        ({"Cu": "one", "Au": 0.3}, "weights of Cu is 'one'"),
    ],
)
def test_elements_that_are_missing_or_too_many_are_refused(given, message):
    with pytest.raises(TamisError, match=message):
        SnapBasis(("Cu", "Au"), 4.5, 4, 0.99363, 0.0, None, given)


def test_defaults_by_number_of_elements():
    """One element: as ever. Two and three: densities of their own. More: weights that all differ."""

    def default(*elements: str) -> SnapBasis:
        return SnapBasis(elements, 4.5, None, 0.99363, 0.0, None, None)

    one, two, three, four = default("Si"), default("Si", "Ge"), default("Si", "Ge", "C"), default(*"CNOH")
    assert (one.twojmax, dict(one.weights), one.n_features) == (8, {"Si": 1.0}, 55)
    assert (two.twojmax, two.weights, two.n_features) == (8, "explicit", 720)
    assert (three.twojmax, three.weights, three.n_features) == (6, "explicit", 1740)
    assert (four.twojmax, four.n_features) == (8, 55 * 4)
    assert dict(four.weights) == pytest.approx({"O": 1.0, "N": 0.9, "C": 0.8, "H": 0.7})


def test_rows_in_a_store_keep_their_keys():
    """As they were when weights and radii were tuples."""
    identity = {
        "class": "tamis.bases.snap.SnapBasis", "revision": 1,
        "config": {"elements": ["Si"], "r_cut": 4.9, "twojmax": 8, "rfac0": 0.99363, "rmin0": 0.0, "radii": [0.5],
                   "weights": [1.0]},
    }  # fmt: skip
    found = json.loads(json.dumps(basis_identity(SnapBasis(("Si",), 4.9, 8, 0.99363, 0.0, None, None))))
    assert {name: found[name] for name in identity} == identity
    alloy = SnapBasis(("Cu", "Au"), 4.9, 8, 0.99363, 0.0, None, {"Cu": 1.0, "Au": 0.3})
    assert json.loads(json.dumps(basis_identity(alloy)))["config"]["weights"] == [0.3, 1.0]


def test_equal_weights_do_not_tell_neighbours_apart():
    """What the laws of the default forbid."""
    places = [[0.1, 0.0, 0.2], [2.2, 0.4, 0.3], [0.3, 2.5, 0.4]]
    one, other = (Atoms(["Si", *pair], places) for pair in (("Si", "Ge"), ("Ge", "Si")))
    equal, default = (
        SnapBasis(("Ge", "Si"), 4.5, 4, 0.99363, 0.0, None, w) for w in ({"Ge": 1.0, "Si": 1.0}, None)
    )
    np.testing.assert_allclose(equal.values(one)[0], equal.values(other)[0], rtol=1e-9)
    assert np.abs(default.values(one)[0] - default.values(other)[0]).max() > 0.1
