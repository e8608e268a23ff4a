"""SNAP against LAMMPS' own pair style, and the published potentials against their published errors."""

import numpy as np
import pytest
import yaml
from ase.build import bulk

from tamis.bases.snap import SnapBasis, read_snap
from tamis.dataset import Dataset
from tamis.evaluation.errors import Residuals, error_metrics
from tamis.exceptions import TamisError
from tamis.models.linear import LinearPotential
from tamis.sources.mlearn import Mlearn
from tamis.store import Store


def alloy():
    atoms = bulk("Si", a=5.43) * (2, 1, 1)
    atoms.symbols[1] = "Ge"
    atoms.rattle(0.1, seed=1)
    atoms.set_cell(
        atoms.cell @ (np.eye(3) + 0.05 * np.random.default_rng(0).normal(size=(3, 3))), scale_atoms=True
    )
    return atoms


@pytest.mark.parametrize("pbc", [True, [True, True, False], False])
def test_written_files_in_lammps_give_the_models_predictions(tmp_path, pbc):
    basis = SnapBasis(("Si", "Ge"), 4.5, 4, 0.99363, 0.0, (0.5, 0.45), (1.0, 0.8))
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


def test_files_are_read_back_to_the_last_bit(tmp_path):
    basis = SnapBasis(("Si", "Ge"), 4.5, 4, 0.99, 0.1, (0.5, 0.45), (1.0, 0.8))
    coefficients = np.random.default_rng(0).normal(size=basis.n_features)
    basis.write(tmp_path, coefficients, np.array([0.1, -0.3]))
    again, read_coefficients, offsets = read_snap(tmp_path)
    assert again == basis
    np.testing.assert_array_equal(read_coefficients, coefficients)
    np.testing.assert_array_equal(offsets, [0.1, -0.3])


@pytest.mark.parametrize("element", ["Si", "Mo"])
def test_published_snap_has_its_published_errors(shared, tmp_path, element):
    basis, coefficients, offsets = read_snap(shared / "golden" / "published" / element / "snap")
    dataset = mlearn_test_set(shared, element)
    potential = LinearPotential(basis, coefficients, offsets, {})
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
        {"radii": (0.5, 0.5)},
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


@pytest.mark.parametrize("pbc", [True, False])
def test_values_alone_are_those_of_the_rows(pbc):
    """Two computes of LAMMPS, sna/atom and snap, and our order of columns."""
    basis = SnapBasis(("Si", "Ge"), 4.5, 4, 0.99363, 0.0, (0.5, 0.45), (1.0, 0.8))
    atoms = alloy()
    atoms.pbc = pbc
    np.testing.assert_allclose(basis.values(atoms), basis.evaluate(atoms)[0], rtol=1e-12, atol=1e-12)
