"""Transfer sets: the potentials of a trial are measured on further structures, which change nothing else."""

import numpy as np
import pytest
from ase.io import read, write
from tests.composing import composed
from tests.training import rattled_silicon

from tamis.core import metrics as names
from tamis.core.errors import TamisError
from tamis.data.sources.file import File
from tamis.data.sources.transfer import transfer_sets
from tamis.records.record import COMPLETE
from tamis.trial import run_trial

SHIFT_EV_PER_ATOM = 0.25


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two files: a set, and the same structures with another zero of energy."""
    folder = tmp_path_factory.mktemp("transfer")
    given = rattled_silicon()
    paths = {}
    for name, shift in {"same": 0.0, "shifted": SHIFT_EV_PER_ATOM}.items():
        structures = []
        for atoms, energy, forces in zip(given.structures, given.energies, given.forces, strict=True):
            atoms = atoms.copy()
            atoms.info["energy"] = energy + shift * len(atoms)
            atoms.arrays["forces"] = forces
            structures.append(atoms)
        paths[name] = folder / f"{name}.xyz"
        write(paths[name], structures)
    return paths


def a_trial(folder, written, **transfer):
    overrides = ["dataset=file", f"dataset.train={written['same']}", "dataset.test_fraction=0.25"]
    overrides += ["dataset.elements=[Si]", "dataset.atom_spacing=2.72", "model=snap", "tracking=null"]
    overrides += [f"+dataset.transfer.{name}={path}" for name, path in transfer.items()]
    folder.mkdir()
    overrides += ["pruner=random", "descriptor=none", "budget=curve", "budget.fractions=[0.6,1.0]"]
    return run_trial(composed(*overrides, f"store.root={folder / 'store'}"), {}, folder)


def test_what_is_measured_on_a_transfer_set_changes_nothing_else(tmp_path, written):
    with_it = a_trial(tmp_path / "a", written, same=written["same"], other=written["shifted"])
    without = a_trial(tmp_path / "b", written)
    assert with_it.status == without.status == COMPLETE, (with_it.reason, without.reason)
    assert len(with_it.curve) == 2
    for point, plain in zip(with_it.curve, without.curve, strict=True):
        of_transfer = {name for name in point.metrics if name.startswith(names.TRANSFER)}
        for part in ("transfer/same", "transfer/other"):
            assert names.error(part, names.FORCE_MAE) in of_transfer
        for name, value in plain.metrics.items():
            if not name.startswith(names.SECONDS) and "memory" not in name:
                assert point.metrics[name] == value, name
        same, other = (
            {quantity: point.metrics[names.error(part, quantity)] for quantity in names.ERRORS[:4]}
            for part in ("transfer/same", "transfer/other")
        )
        # another zero of energy changes no force error, and no energy error without its mean
        assert other[names.FORCE_MAE] == same[names.FORCE_MAE]
        assert other[names.ENERGY_MAE] > same[names.ENERGY_MAE]
        shifted = [
            point.metrics[names.error(p, names.ENERGY_SHIFTED_MAE)]
            for p in ("transfer/same", "transfer/other")
        ]
        assert np.isclose(*shifted, rtol=1e-6)


def test_nothing_may_be_chosen_by_a_transfer_set():
    assert names.is_of_test("transfer/hot/force_mae_eV_per_A")
    assert names.is_of_group("transfer/hot/force_mae_eV_per_A/liquid")
    assert not names.is_of_group("transfer/hot/force_mae_eV_per_A")
    assert names.unit_of("transfer/hot/force_mae_eV_per_A") == names.unit_of("test/force_mae_eV_per_A")


@pytest.mark.parametrize("name", ["a/b", "", "a b"])
def test_a_name_that_metrics_cannot_have_is_refused(name, written):
    with pytest.raises(TamisError, match="dataset.transfer has"):
        File(train=(str(written["same"]),), transfer={name: str(written["same"])})


def test_a_set_of_other_elements_or_without_a_file_is_refused(tmp_path, written):
    source = File(
        train=(str(written["same"]),), elements=("Si",), transfer={"gone": str(tmp_path / "gone.xyz")}
    )
    with pytest.raises(TamisError, match="gone"):
        transfer_sets(source, ["Si"])
    others = read(written["same"], ":")
    for atoms in others:
        atoms.symbols[:] = "Ge"
    write(tmp_path / "ge.xyz", others)
    source = File(train=(str(written["same"]),), elements=("Si",), transfer={"ge": str(tmp_path / "ge.xyz")})
    with pytest.raises(TamisError, match="Ge"):
        transfer_sets(source, ["Si"])
