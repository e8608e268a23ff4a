"""LAMMPS reads potentials whatever the folder is called in which they are."""

import os

import numpy as np
import pytest
from ase.build import bulk

from tamis.data.sources import stillinger_weber
from tamis.engines.lammps import LammpsCalculator

FOLDERS = ("plain", "a b", "Müller", "硅 #1", "it's $x & 50%", os.fsdecode(b"M\xfcller"))


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_potential_in_a_folder_of_any_name(folder, tmp_path):
    crystal = bulk("Si", a=stillinger_weber.LATTICE_CONSTANT)
    lines = stillinger_weber.pair_lines(tmp_path / folder)
    crystal.calc = LammpsCalculator(lines, ("Si",), stillinger_weber.R_CUT)
    assert crystal.get_potential_energy() == pytest.approx(
        -4.3366 * 2, abs=1e-3
    )  # eV, of the published potential


@pytest.mark.parametrize("folder", FOLDERS)
def test_snap_with_temporary_files_in_a_folder_of_any_name(folder, tmp_path, monkeypatch, snap_basis):
    (tmp_path / folder).mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / folder))
    crystal = bulk(snap_basis.elements[0], "diamond", a=5.4)
    coefficients = np.ones(snap_basis.n_features)
    crystal.calc = snap_basis.calculator(coefficients, np.zeros(len(snap_basis.elements)))
    expected = snap_basis.values(crystal).sum(0) @ coefficients
    assert crystal.get_potential_energy() == pytest.approx(expected, rel=1e-9)
