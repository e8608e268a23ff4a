"""GAP against QUIP itself: gap_fit trains on the same points, quippy evaluates the same files."""

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from tamis.bases.gap.files import quip_potential
from tamis.bases.pair_kernel import PairKernel
from tamis.bases.soap import SoapBasis
from tamis.data.dataset import Dataset
from tamis.models.gap.model import GapModel

pytest.importorskip("quippy")
BESIDE = str(Path(sys.executable).parent)
"""An environment need not be active for its programs to be found."""
GAP_FIT = shutil.which("gap_fit") or shutil.which("gap_fit", path=BESIDE)
needs_gap_fit = pytest.mark.skipif(
    GAP_FIT is None, reason="no gap_fit on the PATH, or beside the interpreter"
)

SIGMAS = (0.002, 0.05, 0.05)


def crystals(n: int, germanium: tuple[int, ...] = ()) -> list[Atoms]:
    structures = []
    for i in range(n):
        atoms = bulk("Si", a=5.3 + 0.05 * i, cubic=True)
        atoms.symbols[list(germanium)] = "Ge"
        atoms.rattle(0.05 + 0.02 * i, seed=i)
        structures.append(atoms)
    return structures


def labelled(structures: list[Atoms], with_stress: bool) -> Dataset:
    """Forces and stresses of the order of real ones; what they are does not matter for a comparison of solvers."""
    n, rng = len(structures), np.random.default_rng(5)
    return Dataset(
        structures=tuple(structures),
        energies=np.array([-4.6 * len(a) + rng.normal(scale=0.3) for a in structures]),
        forces=tuple(rng.normal(scale=0.3, size=(len(a), 3)) for a in structures),
        stresses=rng.normal(scale=0.01, size=(n, 6)) if with_stress else np.full((n, 6), np.nan),
        groups=("all",) * n,
        blocks=("all",) * n,
        ids=tuple(map(str, range(n))),
        is_test=np.zeros(n, dtype=bool),
    )


def model(elements: tuple[str, ...], pair: PairKernel | None = None, **changes) -> GapModel:
    energy, force, virial = SIGMAS
    arguments = {
        "basis": SoapBasis(elements, 4.2, 4, 3, 0.5, 0.5),
        "zeta": 4,
        "pair": pair,
        "candidates_per_structure": 6,
        "n_sparse": 20,
        "delta": 1.0,
        "pair_delta": 2.0,
        "jitter": 1e-8,
        "force_sigmas": (force,),
        "energy_ratios": (energy / force,),
        "virial_ratios": (virial / force,),
        "tuning": "kept",
        "n_folds": 3,
        "widenings": 0,
    }
    return GapModel(**arguments | changes)


PAIR = PairKernel(r_cut=4.0, cutoff_transition_width=0.6, r_min=1.8, n_points=6, theta=0.5)


def write_labels(path, dataset: Dataset) -> None:
    frames = []
    for i, atoms in enumerate(dataset.structures):
        frame = Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=True)
        frame.info["dft_energy"] = dataset.energies[i]
        if np.isfinite(dataset.stresses[i]).all():
            xx, yy, zz, yz, xz, xy = -dataset.stresses[i] * dataset.volumes[i]
            frame.info["dft_virial"] = np.array([xx, xy, xz, xy, yy, yz, xz, yz, zz])
        if dataset.has_forces[i]:
            frame.arrays["dft_forces"] = dataset.forces[i]
        if dataset.weights is not None:
            energy, force, virial = np.array(SIGMAS) / np.sqrt(dataset.weights[i])
            root = np.sqrt(len(atoms))
            frame.info |= {"energy_sigma": energy * root, "force_sigma": force, "virial_sigma": virial * root}
        frames.append(frame)
    write(path, frames, format="extxyz")


def run_gap_fit(folder, dataset: Dataset, gap: GapModel, potential, with_stress: bool) -> None:
    """gap_fit with the sparse points, sigmas, deltas and free-atom energies of ``potential``."""
    write_labels(folder / "labels.xyz", dataset)
    terms = []
    for number, term in enumerate(potential.basis.terms(potential.coefficients)):
        points = term.points.reshape(len(term.coefficients), -1)
        np.savetxt(
            folder / f"points{number}", np.hstack([term.cutoffs[:, None], points]).reshape(-1, 1), fmt="%.17g"
        )
        is_pair = term.settings.startswith("distance_2b")
        kernel = (
            f"covariance_type=ard_se theta_uniform={gap.pair.theta} delta={gap.pair_delta}"
            if is_pair
            else f"covariance_type=dot_product zeta={gap.zeta} delta={gap.delta}"
        )
        settings = term.settings.replace("{", "{{").replace("}", "}}")  # gap_fit peels off one pair
        terms.append(
            f"{settings} {kernel} n_sparse={len(points)} sparse_method=file sparse_file=points{number} "
            "add_species=F"
        )
    offsets = ":".join(
        f"{symbol}:{energy:.17g}"
        for symbol, energy in zip(potential.basis.elements, potential.offsets, strict=True)
    )
    command = [
        GAP_FIT,
        "at_file=labels.xyz",
        f"gap={{{' : '.join(terms)}}}",
        "default_sigma={" + " ".join(map(str, SIGMAS)) + " 0}",
        "energy_parameter_name=dft_energy",
        "force_parameter_name=dft_forces",
        f"virial_parameter_name={'dft_virial' if with_stress else 'none'}",
        f"e0={{{offsets}}}",
        f"sparse_jitter={gap.jitter}",
        "gp_file=theirs.xml",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert (folder / "theirs.xml").exists(), done.stdout[-2000:] + done.stderr[-2000:]


CASES = {
    "SOAP": (("Si",), None, True, {}),
    "without stresses": (("Si",), None, False, {}),
    "another delta": (("Si",), None, True, {"delta": 3.0}),
    "with distances": (("Si",), PAIR, True, {}),
    "two elements": (("Ge", "Si"), PAIR, True, {"candidates_per_structure": 8, "n_sparse": 30}),
}


@needs_gap_fit
@pytest.mark.parametrize("case", CASES)
def test_predictions_are_those_of_gap_fit(case, tmp_path, store):
    """On structures that neither was trained on, and on a slice of what was featurised."""
    elements, pair, with_stress, changes = CASES[case]
    germanium = (1, 4, 6) if len(elements) == 2 else ()
    dataset = labelled(crystals(8, germanium), with_stress)
    gap = model(elements, pair, **changes)
    gap.prepare(dataset, store)
    kept, others = dataset.subset(range(1, 6)), dataset.subset([0, 6, 7])
    ours = gap.fit(kept, others, store, np.random.default_rng(0))
    run_gap_fit(tmp_path, kept, gap, ours, with_stress)
    theirs = quip_potential(tmp_path / "theirs.xml")
    said = ours.predict(others, store)
    for i, atoms in enumerate(others.structures):
        energy, forces, stress = (theirs.get_property(p, atoms) for p in ("energy", "forces", "stress"))
        assert said.energies[i] == pytest.approx(energy, rel=1e-6)
        assert np.abs(said.forces[i] - forces).max() <= 1e-6 * np.abs(forces).max()
        assert np.abs(said.stresses[i] - stress).max() <= 1e-6 * np.abs(stress).max()


@needs_gap_fit
def test_weights_are_those_of_gap_fit_and_missing_forces_are_missing(tmp_path, store):
    """Weights of each kind with a mean of 1, so that sigmas mean the same; one structure has its energy alone."""
    dataset = labelled(crystals(8), True)
    forces = tuple(np.full_like(f, np.nan) if i == 3 else f for i, f in enumerate(dataset.forces))
    weights = np.array([[0.2, 1.5, 3.0], [1.8, 0.5, 0.5], [1.0, 9.0, 0.5], [1.2, 1.6, 0.5], [0.8, 0.4, 0.5]])
    kept = replace(replace(dataset, forces=forces).subset(range(1, 6)), weights=weights)
    others = dataset.subset([0, 6, 7])
    gap = model(("Si",), PAIR)
    gap.prepare(dataset, store)
    plain, ours = (
        gap.fit(some, others, store, np.random.default_rng(0)) for some in (replace(kept, weights=None), kept)
    )
    run_gap_fit(tmp_path, kept, gap, ours, True)
    theirs = quip_potential(tmp_path / "theirs.xml")
    said, unweighted = (one.predict(others, store) for one in (ours, plain))
    for i, atoms in enumerate(others.structures):
        energy, forces, stress = (theirs.get_property(p, atoms) for p in ("energy", "forces", "stress"))
        assert said.energies[i] == pytest.approx(energy, rel=1e-6)
        assert np.abs(said.forces[i] - forces).max() <= 1e-6 * np.abs(forces).max()
        assert np.abs(said.stresses[i] - stress).max() <= 1e-6 * np.abs(stress).max()
        assert np.abs(said.forces[i] - unweighted.forces[i]).max() > 1e-3


@pytest.mark.parametrize("elements", [("Si",), ("Ge", "Si")])
def test_quip_evaluates_the_written_files_to_the_same_numbers(elements, tmp_path, store):
    germanium = (1, 4, 6) if len(elements) == 2 else ()
    structures = [*crystals(3, germanium), crystals(1, germanium)[0] * (2, 1, 1)]
    dataset = labelled(structures, True)
    potential = model(elements, PAIR).fit(dataset, dataset, store, np.random.default_rng(0))
    paths = potential.write(tmp_path)
    assert all(path.parent == tmp_path and path.exists() for path in paths)
    quip, said = quip_potential(tmp_path / "gap.xml"), potential.predict(dataset, store)
    for i, atoms in enumerate(structures):
        assert said.energies[i] == pytest.approx(quip.get_property("energy", atoms), rel=1e-10)
        np.testing.assert_allclose(said.forces[i], quip.get_property("forces", atoms), atol=1e-8)
        np.testing.assert_allclose(said.stresses[i], quip.get_property("stress", atoms), atol=1e-10)


def test_clusters_and_slabs_are_evaluated_as_quip_does(store, tmp_path):
    dataset = labelled(crystals(3), True)
    potential = model(("Si",), PAIR).fit(dataset, dataset, store, np.random.default_rng(0))
    potential.write(tmp_path)
    quip = quip_potential(tmp_path / "gap.xml")
    cluster = Atoms("Si3", [[0, 0, 0], [2.3, 0.1, 0], [0.2, 2.4, 0.1]])
    slab = bulk("Si", cubic=True)
    slab.pbc = (True, True, False)
    slab.rattle(0.1, seed=1)
    for atoms in (cluster, slab):
        rows = potential.basis.design(atoms)
        energy = rows.energy @ potential.coefficients + len(atoms) * potential.offsets[0]
        assert energy == pytest.approx(quip.get_property("energy", atoms), rel=1e-10)
        np.testing.assert_allclose(
            rows.forces @ potential.coefficients, quip.get_property("forces", atoms), atol=1e-8
        )


@pytest.mark.parametrize("kinds", [("Si", "Si"), ("Ge", "Si")])
def test_distances_count_as_in_quip(kinds):
    from ase.data import atomic_numbers
    from quippy.descriptors import Descriptor

    pair = replace(PAIR, n_points=3)
    atoms = crystals(2, (1, 4, 6))[1]
    numbers = (atomic_numbers[kind] for kind in kinds)
    found = Descriptor(pair.settings(*numbers)).calc(atoms)
    r, weights = found["data"][:, 0], found["covariance_cutoff"]
    points = pair.points
    kernel = np.exp(-((r[:, None] - points) ** 2) / (2 * pair.theta**2)) * weights[:, None]
    expected = kernel.sum(axis=0) * pair.cutoff(points)[0]
    column = {("Si", "Si"): 6, ("Ge", "Si"): 3}[kinds]
    values = pair.rows(atoms, ("Ge", "Si"))[0].sum(axis=0)
    np.testing.assert_allclose(values[column : column + 3], expected, rtol=1e-10)


@pytest.mark.slow
def test_dynamics_keeps_its_energy(store):
    """1 ps at 300 K, 64 atoms, of a potential made from Stillinger-Weber labels: under 0.1 meV/atom/ps."""
    from ase import units
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
    from ase.md.verlet import VelocityVerlet

    from tamis.data.sources.sw_silicon import SwSilicon

    source = SwSilicon(elements=("Si",), atom_spacing=2.7155, cache=str(store.root / "data"))
    dataset = source.load()
    kept = dataset.subset(np.flatnonzero(~dataset.is_test)[::3])
    potential = model(("Si",), PAIR, n_sparse=150).fit(kept, kept.subset([]), store, np.random.default_rng(0))
    atoms = bulk("Si", a=5.431, cubic=True) * 2
    MaxwellBoltzmannDistribution(
        atoms, temperature_K=600, rng=np.random.default_rng(1)
    )  # half goes to the springs
    atoms.calc = potential.calculator()
    dynamics, energies = VelocityVerlet(atoms, 1.0 * units.fs), []
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()), interval=10)
    dynamics.run(1000)
    per_ps = np.polyfit(np.linspace(0, 1, len(energies)), energies, 1)[0] / len(atoms)
    assert abs(per_ps) < 1e-4
    assert 150 < atoms.get_temperature() < 450
