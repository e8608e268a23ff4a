"""``tamis describe``: numbers of the overview, and what the command says of good and of bad sets."""

import argparse
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from tests.copper import labelled, moved, trajectory
from tests.labelled_copper import copper
from tests.vasp_files import full

from tamis.commands import describe
from tamis.core.config_errors import explain
from tamis.core.errors import TamisError
from tamis.data.overview import Overview
from tamis.report.overview import SHOWN, group_table, picture


def write(path: Path, frames: list[Atoms]) -> str:
    ase.io.write(path, frames, format="extxyz")
    return str(path)


def good() -> list[Atoms]:
    frames = [one.copy() for one in copper()]
    for atoms in frames:
        atoms.info["stress"] = full(atoms.info["stress"])
    return frames


def said(capsys, *words: str) -> tuple[int, str]:
    parser = argparse.ArgumentParser()
    describe.add_arguments(parser)
    status = describe.run(parser.parse_intermixed_args(list(words)))
    return status, capsys.readouterr().out


def test_a_good_set_is_described(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, text = said(capsys, write(tmp_path / "set.xyz", good()))
    assert status == 0 and "refused" not in text
    assert "12 structures read as extxyz; energy from energy (eV)" in text
    assert "12 structures with 48 atoms, in 2 groups" in text and "elements Cu (48 atoms)" in text
    assert "atom_spacing 2.3 Å" in text and "picture: described.png" in text
    assert (tmp_path / "described.png").read_bytes().startswith(b"\x89PNG")
    assert "described-2.png" in said(capsys, "set.xyz")[1]  # nothing is overwritten


def test_what_would_be_refused_is_told_beside_the_rest(tmp_path, capsys):
    frames = good()
    frames[3].positions[1] = frames[3].positions[0] + 0.1
    frames[5].info["energy"] = np.nan
    frames[7].info["REF_energy"] = 1.0
    status, text = said(capsys, write(tmp_path / "set.xyz", frames), "--no-picture")
    assert status == 1
    for words in ("#3: atoms 0 and 1 are", "#5: energy is nan", "#7: energy and REF_energy are"):
        assert words in text
    assert "all structures" in text and "picture:" not in text


def test_settings_are_those_of_the_command_line(tmp_path, capsys):
    path = write(tmp_path / "set.xyz", good())
    status, text = said(
        capsys, path, "dataset.group_from=file", "dataset.units.energy=hartree", "--no-picture"
    )
    assert "energy from energy (hartree)" in text and "in 1 group" in text
    assert "set  " in text and "look at:" in text  # energies that belong to no such forces
    with pytest.raises(TamisError, match=r"dataset.unit is no setting|dataset.units"):
        said(capsys, path, "+dataset.unit=ev")
    with pytest.raises(TamisError, match=r"dataset.units is atomc; did you mean atomic\?") as caught:
        said(capsys, path, "dataset.units=atomc")
    assert explain(caught.value) == str(caught.value)  # Hydra's error and this one are causes of each other
    with pytest.raises(TamisError, match="needs a file, a folder or a glob"):
        said(capsys, "dataset.units=atomic")


def test_trajectories_and_the_kind_of_test_are_told(tmp_path, capsys):
    data = labelled([*moved(10, size=2), *trajectory(12)])
    frames = []
    for i, atoms in enumerate(data.structures):
        frame = atoms.copy()
        frame.info = {"energy": data.energies[i], "config_type": "bulk" if i < 10 else "MD"}
        frame.arrays["forces"] = data.forces[i]
        frames.append(frame)
    _, text = said(capsys, write(tmp_path / "set.xyz", frames), "--no-picture")
    assert f"trajectories, by the positions: {tmp_path}/set.xyz#10 to {tmp_path}/set.xyz#21" in text
    assert "test:    2 of 22 structures, drawn at random from each group" in text
    assert "a random choice of frames of one trajectory" in text
    _, text = said(capsys, str(tmp_path / "set.xyz"), "--no-picture", "dataset.block_from=file")
    assert "test:    no structure" in text


def test_numbers_of_the_overview_are_those_of_the_structures():
    data = labelled(moved(6), groups=["a", "b", "b", "b", "a", "b"])
    overview = Overview.of(data)
    first, second = overview.groups()
    assert (first.name, first.structures, first.atoms, first.sizes) == ("b", 4, 16, (4.0, 4.0))
    members = [0, 4]
    per_atom = data.energies[members] / 4
    assert second.energy == pytest.approx((per_atom.min(), per_atom.max()))
    forces = np.concatenate([data.forces[i] for i in members])
    assert second.force == pytest.approx(np.sqrt(np.mean(forces**2)))
    assert second.largest_force == pytest.approx(np.linalg.norm(forces, axis=1).max())
    assert second.stress == pytest.approx(np.abs(data.stresses[members]).max() * 160.21766, rel=1e-6)
    volumes = [atoms.cell.volume / 4 for atoms in data.structures]
    np.testing.assert_allclose(overview.volumes, volumes)
    assert overview.whole().structures == 6 and not overview.by_element


def test_volumes_of_large_sets_are_those_of_an_even_sample_of_each_group(monkeypatch):
    monkeypatch.setattr("tamis.data.overview.MOST", 5)
    overview = Overview.of(
        labelled(moved(12), groups=["a", "b", "c"] * 4)
    )  # every third would be of one group
    assert np.flatnonzero(np.isfinite(overview.volumes)).tolist() == [0, 1, 2, 9, 10, 11]
    assert all(np.isfinite(group.volume).all() for group in overview.groups())


def test_energies_of_different_compositions_are_compared_above_their_elements():
    data = labelled(
        [*moved(4), *(Atoms("Au4", a.positions, cell=a.cell * 1.1, pbc=True) for a in moved(4, 1))]
    )
    overview = Overview.of(data)
    assert overview.by_element and overview.compositions == 2
    assert np.ptp(overview.energies) < np.ptp(data.energies / data.n_atoms) + 1e-9
    assert "less a sum over elements" in " ".join(group_table(overview).columns)


def test_many_groups_share_a_colour_and_labels_may_be_missing():
    n = SHOWN + 4
    data = labelled(moved(n), groups=[f"_{i}$" for i in range(n)])
    forces = tuple(np.full((4, 3), np.nan) for _ in range(n))
    from dataclasses import replace

    bare = replace(data, forces=forces, stresses=np.full((n, 6), np.nan), energies=np.full(n, np.nan))
    for one in (data, bare):
        assert picture(Overview.of(one)).png.startswith(b"\x89PNG")
    row = group_table(Overview.of(bare)).rows[0]
    assert row[-1] == "1 forces, 1 stress" and row[4] == "" and row[-2] == ""
