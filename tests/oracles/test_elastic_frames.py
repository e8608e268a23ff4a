"""The command that takes elastic constants from the Elastic frames, on frames whose constants are known otherwise."""

import importlib
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.eos import EquationOfState
from ase.units import GPa
from hydra.utils import instantiate
from tests.composing import composed

from tamis.data.dataset import Dataset
from tamis.data.sources.mlearn import Mlearn

ROOT = Path(__file__).parents[2].parent / "shared" / "mlearn"
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def command(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("elastic_frames")


def strained(a: float) -> Dataset:
    """Copper of the effective medium theory: at rest at ``a``, pulled and sheared along each axis."""
    rest = bulk("Cu", "fcc", a=a, cubic=True)
    deformations = [np.eye(3)]
    for size in (-0.06, -0.04, -0.02, 0.02, 0.04, 0.06):
        for i in range(3):
            pull, shear = np.eye(3), np.eye(3)
            pull[i, i] += size
            shear[i, (i + 1) % 3] += size
            deformations += [pull, shear]
    frames = []
    for deformation in deformations:
        atoms = rest.copy()
        atoms.set_cell(atoms.cell.array @ deformation.T, scale_atoms=True)
        atoms.calc = EMT(fixed_cutoff=True)
        frames.append(atoms)
    n = len(frames)
    return Dataset(
        structures=tuple(frames),
        energies=np.array([atoms.get_potential_energy() for atoms in frames]),
        forces=tuple(atoms.get_forces() for atoms in frames),
        stresses=np.array([atoms.get_stress() for atoms in frames]),
        groups=("Elastic",) * n,
        blocks=("Elastic Ground state crystal", *("Elastic mode 1",) * (n - 1)),
        ids=tuple(map(str, range(n))),
        is_test=np.zeros(n, dtype=bool),
    )


def lattice_constant_and_slopes() -> tuple[float, float, float, float]:
    """Lattice constant of zero stress, and C11, C12, C44 there by small strains, GPa."""
    lengths = np.linspace(3.54, 3.64, 11)
    volumes, energies = [], []
    for a in lengths:
        atoms = bulk("Cu", "fcc", a=a)
        atoms.calc = EMT(fixed_cutoff=True)
        volumes.append(atoms.cell.volume)
        energies.append(atoms.get_potential_energy())
    a0 = (4 * EquationOfState(volumes, energies, eos="birchmurnaghan").fit()[0]) ** (1 / 3)

    def stress(i: int, j: int, size: float) -> np.ndarray:
        deformation = np.eye(3)
        deformation[i, j] += size
        atoms = bulk("Cu", "fcc", a=a0, cubic=True)
        atoms.set_cell(atoms.cell.array @ deformation.T, scale_atoms=True)
        atoms.calc = EMT(fixed_cutoff=True)
        return atoms.get_stress() / GPa

    pull = (stress(0, 0, 1e-3) - stress(0, 0, -1e-3)) / 2e-3
    shear = (stress(0, 1, 1e-3) - stress(0, 1, -1e-3)) / 2e-3
    return a0, pull[0], pull[1], shear[5]


@pytest.mark.parametrize("pressed", [0.995, 1.0, 1.003])
def test_constants_of_a_crystal_that_is_not_free_of_stress(command, pressed):
    """The frames may start from a crystal under about 2 GPa: the constants are those where there is none."""
    a0, c11, c12, c44 = lattice_constant_and_slopes()
    found = command.constants(strained(a0 * pressed), "fcc")
    assert found.a == pytest.approx(a0, rel=2e-4)
    assert found.c11 == pytest.approx(c11, rel=0.02) and found.c12 == pytest.approx(c12, rel=0.02)
    assert found.pressure * (1 - pressed) >= 0 and found.pressure == pytest.approx(
        (c11 + 2 * c12) * (1 - pressed), rel=0.05, abs=0.05
    )
    if pressed == 1.0:
        assert found.c44 == pytest.approx(c44, rel=0.02)


@pytest.mark.skipif(not ROOT.is_dir(), reason="no copy of the mlearn data in ../shared/mlearn")
@pytest.mark.parametrize("element", ["Si", "Ge", "Mo", "Li"])
def test_the_references_of_mlearn_are_what_its_frames_give(command, element):
    source = instantiate(
        composed("dataset=mlearn", f"dataset.element={element}", f"dataset.root={ROOT}").dataset,
        _convert_="all",
    )
    assert isinstance(source, Mlearn)
    found = command.constants(source.load(), source.crystal.structure)
    named = {"C11": found.c11, "C12": found.c12, "C44": found.c44, "bulk_modulus": found.b}
    for name, value in named.items():
        listed = source.references.get(f"properties/elastic_{name}_GPa")
        assert (listed is None) is bool(np.isnan(value))
        assert listed is None or listed == pytest.approx(value, abs=0.06)
    assert source.references["properties/lattice_constant_A"] == pytest.approx(found.a, abs=6e-4)
    assert source.crystal.a == pytest.approx(found.a, rel=0.01)
