"""gap_fit and pacemaker for real, and what all upstream trainers refuse."""

from dataclasses import replace
from xml.etree.ElementTree import Element

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from tests.training import (
    built,
    check_calculator,
    fit,
    force_residual,
    program,
    rattled_silicon,
    stand_ins,
    with_germanium,
)

from tamis.core.errors import MissingEngineError, TamisError
from tamis.data.dataset import Dataset
from tamis.models.trainers import gap_fit, pacemaker
from tamis.models.trainers.base import FilePotential, reference_energies
from tamis.store import Store

SMALL_GAP = (
    *("model.basis.n_max=4", "model.basis.l_max=3", "model.n_sparse=25"),
    *("model.n_sparse_2b=6", "model.force_sigma=0.01", "model.virial_sigma=0.01"),
)
SMALL_ACE = (
    *("model.basis.n_functions_per_element=3", "model.basis.nradmax_by_orders=[2,1]"),
    *("model.basis.lmax_by_orders=[0,0]", "model.max_iterations=3", "model.evaluator=pyace"),
)


@pytest.fixture(scope="module")
def silicon() -> Dataset:
    return rattled_silicon()


@pytest.fixture(scope="module")
def gapped(silicon, tmp_path_factory) -> FilePotential:
    return fit(built("upstream_gap_fit", *SMALL_GAP), silicon, tmp_path_factory.mktemp("gap"))


BAD = [
    ("upstream_gap_fit", "model.n_sparse=0", "n_sparse is 0"),
    ("upstream_gap_fit", "model.n_sparse_2b=-1", "n_sparse_2b"),
    ("upstream_gap_fit", "model.force_sigma=0.0", "force_sigma"),
    ("upstream_gap_fit", "model.sparse_method=best", "cur_points"),
    ("upstream_gap_fit", "model.n_threads=0", "n_threads"),
    ("upstream_gap_fit", "model.time_limit_s=0.0", "time_limit_s"),
    ("upstream_pacemaker", "model.fs_parameters=[1.0,1.0,1.0]", "prefactor"),
    ("upstream_pacemaker", "model.evaluator=gpu", "tensorpot"),
    ("upstream_pacemaker", "model.max_iterations=0", "max_iterations"),
    ("upstream_pacemaker", "model.l2=-1.0", "l2 is -1.0"),
    ("upstream_n2p2", "model.hidden_nodes=[]", "hidden_nodes"),
    ("upstream_n2p2", "model.activation=x", "choose one of l, t"),
    ("upstream_n2p2", "model.scaling=max", "minmax"),
    ("upstream_n2p2", "model.normalisation=yes please", "force"),
    ("upstream_n2p2", "model.epochs=0", "epochs"),
    ("upstream_n2p2", "model.validation_fraction=1.0", "validation_fraction"),
    ("upstream_chimes_lsq", "model.solver=dlars", "lassolars"),
    ("upstream_chimes_lsq", "model.eps=1.0", "eps"),
    ("upstream_chimes_lsq", "model.energy_weight=0.0", "energy_weight"),
]


@pytest.mark.parametrize(("model", "override", "says"), BAD)
def test_settings_that_mean_nothing_are_refused(model, override, says, tmp_path):
    with pytest.raises(TamisError, match=says):
        built(model, *stand_ins(model, tmp_path), override)


# ---- what all trainers share


def test_nothing_kept_and_an_element_that_is_not_kept_are_reasons(silicon, tmp_path):
    model = built("upstream_gap_fit", *SMALL_GAP)
    with pytest.raises(TamisError, match="no structure is kept"):
        fit(model, silicon.subset([]), tmp_path)
    both = replace(model, basis=replace(model.basis, elements=("Ge", "Si")))
    with pytest.raises(TamisError, match="no kept structure has Ge"):
        fit(both, silicon, tmp_path)


def test_a_trainer_whose_files_are_rubbish_has_failed(silicon, tmp_path):
    """QUIP ends the whole process over such a file, so it must not get there."""
    fake = program(tmp_path, "[pathlib.Path(n).write_text('<GAP') for n in ('gap.xml', 'gap.xml.sparseX.1')]")
    with pytest.raises(TamisError, match=r"gap\.xml is damaged"):
        fit(built("upstream_gap_fit", *SMALL_GAP, f"model.program={fake}"), silicon, tmp_path)


def test_files_of_sparse_points_that_do_not_belong_to_the_gap_are_refused(gapped, tmp_path):
    [path, *_] = [path for path in gapped.write(tmp_path) if "sparseX" in path.name]
    path.write_text(path.read_text()[:-10])
    with pytest.raises(TamisError, match="is damaged"):
        gap_fit.read_gap(tmp_path)
    path.unlink()
    with pytest.raises(TamisError, match="not beside it"):
        gap_fit.read_gap(tmp_path)


def test_a_potential_that_cannot_be_evaluated_has_failed(silicon, tmp_path):
    fake = program(tmp_path, "pathlib.Path('ace.yaml').write_text('elements: [Si]')")
    with pytest.raises(TamisError, match=r"ace\.yaml"):
        fit(built("upstream_pacemaker", *SMALL_ACE, f"model.program={fake}"), silicon, tmp_path)


def test_a_potential_that_gives_nan_has_failed(silicon, tmp_path, monkeypatch):
    class Nan(LennardJones):
        def calculate(self, *arguments, **more):
            super().calculate(*arguments, **more)
            self.results["energy"] = np.nan

    term = '<gpCoordinates n_sparseX="0" dimensions="1" sparseX_filename="gap.xml.sparseX.1"/>'
    xml = f'<G><gpSparse n_coordinate="1">{term}</gpSparse></G>'
    writing = (
        f"pathlib.Path('gap.xml').write_text({xml!r}); pathlib.Path('gap.xml.sparseX.1').write_text(' ')"
    )
    fake = program(tmp_path, writing)
    monkeypatch.setattr(gap_fit, "load_gap", lambda folder: Nan())
    monkeypatch.setattr(gap_fit, "read_gap_xml", lambda path: Element("GAP"))
    with pytest.raises(TamisError, match="gives NaN"):
        fit(built("upstream_gap_fit", *SMALL_GAP, f"model.program={fake}"), silicon, tmp_path)


def test_reference_energies_fit_the_kept_ones_or_are_given(silicon):
    fitted = reference_energies(silicon, ("Si",), None)["Si"]
    per_atom = silicon.energies / silicon.n_atoms
    assert per_atom.min() < fitted < per_atom.max()
    assert reference_energies(silicon, ("Si",), {"Si": -1}) == {"Si": -1.0}
    with pytest.raises(TamisError, match="Ge, Si"):
        reference_energies(silicon, ("Ge", "Si"), {"Si": -1.0})


# ---- gap_fit, for real


def test_gap_fit_learns_forces_and_its_files_are_a_potential(gapped, silicon, tmp_path):
    assert force_residual(gapped, silicon, tmp_path) < 0.5
    check_calculator(gapped, silicon.structures[0])
    assert gapped.diagnostics["n_sparse"] == 25
    written = gapped.write(tmp_path / "out")
    assert {path.name.split(".sparseX")[0] for path in written} == {"gap.xml", "gap_fit.log"}
    assert all(path.stat().st_size for path in written)
    style, coefficients = gapped.lammps(tmp_path / "out")
    assert style == "pair_style quip" and coefficients.endswith('" 14')
    assert coefficients.split("xml_label=")[1].split('"')[0] in (tmp_path / "out" / "gap.xml").read_text()


def test_gap_fit_knows_two_elements(silicon, tmp_path):
    """Their list stands in braces inside the braces of the whole, which have to be doubled."""
    kept = with_germanium(silicon.subset([0, 2, 4]))
    potential = fit(built("upstream_gap_fit", *SMALL_GAP, "dataset.elements=[Ge,Si]"), kept, tmp_path)
    assert potential.diagnostics["n_sparse"] == 12 + 12
    assert force_residual(potential, kept, tmp_path) < 0.5
    potential.write(tmp_path)
    assert potential.lammps(tmp_path)[1].endswith('" 32 14')
    swapped = kept.structures[0].copy()
    swapped.symbols[:] = swapped.get_chemical_symbols()[::-1]
    energies = [potential.calculator().get_property("energy", a) for a in (kept.structures[0], swapped)]
    assert abs(energies[0] - energies[1]) > 1e-3  # it tells them apart


def test_gap_fit_takes_stresses_only_under_the_name_that_it_is_told(silicon, tmp_path):
    """A key called stress would be fitted unasked; a frame without a stress has no virial."""
    gap_fit.write_structures(tmp_path / "x.xyz", silicon, 5.0, (0.1, 0.1, 0.1))
    frames = ase.io.read(tmp_path / "x.xyz", ":")
    for i, frame in enumerate(frames):
        assert "stress" not in frame.info and frame.calc is None
        assert ("ref_virial" in frame.info) == bool(silicon.structures[i].pbc.all())
        if silicon.structures[i].pbc.all():
            virial = np.reshape(frame.info["ref_virial"], (3, 3))
            stress = -virial[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / frame.cell.volume
            np.testing.assert_allclose(stress, silicon.stresses[i], atol=1e-8)
        np.testing.assert_allclose(frame.arrays["ref_forces"], silicon.forces[i], atol=1e-7)


def test_gap_fit_is_the_same_again_and_never_asks_for_more_points_than_atoms(silicon, tmp_path):
    kept = silicon.subset([1])
    model = built("upstream_gap_fit", *SMALL_GAP, "model.n_sparse_2b=0")
    first, second = (fit(model, kept, tmp_path) for _ in range(2))
    assert first.diagnostics["n_sparse"] == 2
    energies = [p.calculator().get_property("energy", silicon.structures[0]) for p in (first, second)]
    assert energies[0] == pytest.approx(energies[1], rel=1e-10)


# ---- pacemaker, for real


@pytest.fixture(scope="module")
def paced(silicon, tmp_path_factory) -> FilePotential:
    model = built("upstream_pacemaker", *SMALL_ACE, "model.reference_energies={Si: -4.0}")
    return fit(model, silicon.subset([0, 1, 6]), tmp_path_factory.mktemp("pace"))


def test_pacemaker_gives_a_potential_with_the_energies_of_free_atoms(paced, silicon):
    far = Atoms("Si2", [[0, 0, 0], [20.0, 0, 0]])
    assert paced.calculator().get_property("energy", far) == pytest.approx(-8.0, abs=1e-6)
    check_calculator(paced, silicon.structures[0])


def test_pacemaker_is_told_of_two_densities_and_leaves_a_file_for_lammps(paced, tmp_path):
    paced.write(tmp_path)
    assert "ndensity: 2" in (tmp_path / "logs" / "input.yaml").read_text()
    assert "ndensity: 2" in (tmp_path / "ace.yace").read_text()
    assert "E0: [-4.0]" in (tmp_path / "ace.yace").read_text()
    assert paced.lammps(tmp_path) == ("pair_style pace", f'pair_coeff * * "{tmp_path}/ace.yace" Si')


def test_pacemaker_moves_its_parameters(paced, silicon, tmp_path):
    """A few steps lower the loss below that of no potential at all."""
    kept = silicon.subset([0, 1, 6])
    predicted = paced.predict(kept, Store(tmp_path, 1))
    per_atom = (predicted.energies - kept.energies) / kept.n_atoms
    nothing = (kept.energies + 4.0 * kept.n_atoms) / kept.n_atoms
    assert np.mean(per_atom**2) < 0.5 * np.mean(nothing**2)


def test_the_loss_of_pacemaker_is_that_of_the_linear_models():
    weight = 7.0
    loss = built("upstream_pacemaker", *SMALL_ACE, f"model.energy_weight={weight}").input(1)["fit"]["loss"]
    # kappa <|dF|²> = 3 kappa <dF²> per component, against (1 - kappa) <(dE/N)²>
    assert (1 - loss["kappa"]) / (3 * loss["kappa"]) == pytest.approx(weight**2)


def test_pacemaker_evaluates_with_what_is_there(monkeypatch):
    model = built("upstream_pacemaker", "model.evaluator=auto")
    for there, evaluator in ((True, "tensorpot"), (False, "pyace")):
        monkeypatch.setattr(pacemaker, "_has_tensorpot", lambda there=there: there)
        assert model.input(1)["backend"]["evaluator"] == evaluator
    with pytest.raises(MissingEngineError, match="tensorpotential"):
        built("upstream_pacemaker", "model.evaluator=tensorpot")
    assert "test_size" not in model.input(1)["data"]
