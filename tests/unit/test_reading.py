"""Formats, compressed files, units, slabs, and advice in messages that has to work."""

import bz2
import gzip
import lzma
from collections.abc import Callable
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from hydra.utils import instantiate
from tests.composing import composed
from tests.labelled_copper import copper
from tests.vasp_files import full

from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.data.file_units import PRESETS, FileUnits, typed_units
from tamis.data.sources.file import File

PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


def labelled(change: Callable[[int, Atoms], None] = lambda i, atoms: None) -> list[Atoms]:
    """Copper with labels in a calculator, each changed by ``change(number, atoms)``."""
    frames = []
    for i, one in enumerate(copper()):
        atoms = one.copy()
        results = {name: atoms.info.pop(name) for name in ("energy", "stress")}
        atoms.calc = SinglePointCalculator(atoms, forces=atoms.arrays.pop("forces"), **results)
        change(i, atoms)
        frames.append(atoms)
    return frames


def written(folder: Path, change: Callable[[int, Atoms], None] = lambda i, atoms: None) -> str:
    ase.io.write(folder / "set.xyz", labelled(change), format="extxyz")
    return str(folder / "set.xyz")


# databases


@pytest.mark.parametrize("name", ["set.db", "set.json"])
def test_key_value_pairs_and_data_of_a_database_are_read(tmp_path, name):
    with ase.db.connect(tmp_path / name) as database:
        for i, one in enumerate(copper()):
            pairs = {"config_type": ("bulk", "liquid")[i % 2], "REF_energy": one.info["energy"]}
            data = {"REF_forces": one.arrays["forces"], "REF_stress": full(one.info["stress"])}
            database.write(Atoms(one), key_value_pairs=pairs, data=data)
    keys = {"energy_key": "REF_energy", "forces_key": "REF_forces", "stress_key": "REF_stress"}
    data = File(train=str(tmp_path / name), **keys).load()
    rows = list(ase.db.connect(tmp_path / name).select())  # the independent reading
    assert data.groups == tuple(row.config_type for row in rows)
    assert data.energies.tolist() == [row.REF_energy for row in rows]
    np.testing.assert_array_equal(data.forces[4], rows[4].data["REF_forces"])
    np.testing.assert_allclose(full(data.stresses[4]), rows[4].data["REF_stress"], rtol=1e-14)


def test_labels_in_data_alone_as_schnetpack_keeps_them(tmp_path):
    with ase.db.connect(tmp_path / "set.db") as database:
        for one in copper():
            data = {"energy": np.array([one.info["energy"]]), "forces": one.arrays["forces"]}
            database.write(Atoms(one), data=data)
    data = File(train=str(tmp_path / "set.db")).load()
    np.testing.assert_array_equal(data.energies, [one.info["energy"] for one in copper()])


def test_data_that_contradict_the_rows_own_energy_are_refused(tmp_path):
    with ase.db.connect(tmp_path / "set.db") as database:
        for atoms in labelled():
            database.write(atoms, data={"energy": atoms.calc.results["energy"] + 1.0})
    with pytest.raises(
        TamisError, match=r"energy and data.energy are 1 apart .* dataset.energy_key=data.energy"
    ):
        File(train=str(tmp_path / "set.db")).load()
    found = File(train=str(tmp_path / "set.db"), energy_key="data.energy").load().energies
    np.testing.assert_allclose(found, [one.info["energy"] + 1.0 for one in copper()])


# compressed files, and files under other names


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
def test_checks_see_through_compression(tmp_path, packed):
    text = Path(written(tmp_path)).read_bytes()
    whole = File(train=str(tmp_path / "set.xyz")).load()
    path = tmp_path / f"packed.xyz.{packed}"
    path.write_bytes(PACK[packed](text))
    np.testing.assert_array_equal(File(train=str(path)).load().energies, whole.energies)
    path.write_bytes(PACK[packed](text.rstrip()[:-3]))
    with pytest.raises(TamisError, match="does not end with a whole line"):
        File(train=str(path)).load()
    path.write_bytes(PACK[packed](text.replace(b"4\nLattice", b"4000000000\nLattice", 1)))
    with pytest.raises(TamisError, match="it says 4000000000 atoms, and .* lines follow"):
        File(train=str(path)).load()
    path.write_bytes(PACK[packed](text)[:-40])
    with pytest.raises(TamisError, match="cannot be read"):
        File(train=str(path)).load()


@pytest.mark.parametrize("name", ["set.txt", "set", "SET.XYZ", "set.dat"])
def test_a_cut_file_of_a_named_format_is_refused_whatever_its_suffix(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(Path(written(tmp_path)).read_bytes())
    assert len(File(train=str(path), format="extxyz").load()) == 12
    path.write_bytes(path.read_bytes().rstrip()[:-3])
    with pytest.raises(TamisError, match="does not end with a whole line"):
        File(train=str(path), format="extxyz").load()


# units


HARTREE, BOHR, KCAL = 27.211386, 0.52917721, 0.0433641  # seven digits, from elsewhere than tamis


@pytest.mark.parametrize(
    ("units", "length", "energy", "stress"),
    [
        ({"length": "bohr", "energy": "hartree"}, BOHR, HARTREE, HARTREE / BOHR**3),
        ({"length": "bohr", "energy": "Ry", "stress": "GPa"}, BOHR, HARTREE / 2, 1 / 160.21766),
        ({"energy": "kcal/mol", "stress": "-kbar"}, 1.0, KCAL, -1 / 1602.1766),
        ({"energy": "kJ/mol", "stress": "bar"}, 1.0, KCAL / 4.184, 1 / 1602176.6),
        ({"length": "nm", "energy": "meV", "stress": "ev/ang^3"}, 10.0, 1e-3, 1.0),
    ],
)
def test_numbers_in_other_units_give_the_same_set(tmp_path, units, length, energy, stress):
    def converted(i: int, atoms: Atoms) -> None:
        results = atoms.calc.results
        atoms.set_cell(atoms.cell.array / length, scale_atoms=True)
        results["energy"] /= energy
        results["forces"] = results["forces"] / (energy / length)
        results["stress"] = results["stress"] / stress
        atoms.calc.atoms = atoms.copy()

    path = tmp_path / "set.traj"  # binary: every digit
    ase.io.write(path, labelled(converted))
    data, ours = File(train=str(path), units=units).load(), labelled()
    for i, atoms in enumerate(ours):
        np.testing.assert_allclose(data.structures[i].positions, atoms.positions, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(data.structures[i].cell.array, atoms.cell.array, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(data.forces[i], atoms.calc.results["forces"], rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(data.stresses[i], atoms.calc.results["stress"], rtol=1e-5, atol=1e-8)
        assert data.energies[i] == pytest.approx(atoms.calc.results["energy"], rel=1e-5)
    assert all(text in data.read_as for text in ("energy from energy", "stress from stress"))


def test_forces_and_virial_have_units_of_their_own(tmp_path):
    def converted(i: int, atoms: Atoms) -> None:
        results = atoms.calc.results
        results["energy"] /= HARTREE
        atoms.info["virial"] = full(atoms.cell.volume * results.pop("stress")) / KCAL

    path = written(tmp_path, converted)
    units = {"energy": "hartree", "forces": "eV/Å", "virial": "-kcal/mol"}
    data = File(train=path, units=units).load()
    np.testing.assert_allclose(data.forces[1], copper()[1].arrays["forces"], atol=1e-7)
    np.testing.assert_allclose(data.stresses, [one.info["stress"] for one in copper()], rtol=1e-5, atol=1e-9)
    assert "virial (kcal/mol, plus stress times volume)" in data.read_as


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"energy": "eV/atom"}, "units.energy is ev/atom; choose one of ev, mev, hartree"),
        ({"length": "m"}, "units.length is m; choose one of angstrom, bohr, nm"),
        ({"stress": "psi"}, "units.stress is psi; choose one of gpa, mpa, pa, kbar, bar, ev/angstrom3"),
        (
            {"forces": "hartree"},
            "units.forces is hartree; choose one of ev/angstrom, ev/bohr",
        ),
        ({"virial": "gpa"}, "units.virial is gpa; choose one of ev"),
        ({"enrgy": "ev"}, "units has enrgy; its keys are length, energy, forces, stress, virial"),
        ({"energy": 5}, "units.energy is 5; choose one of ev"),
    ],
)
def test_units_that_are_none_are_refused(units, message):
    with pytest.raises(TamisError, match=message):
        FileUnits.of(units)
    with pytest.raises(TamisError, match=message):
        File(train="a.xyz", units=units)


# slabs


@pytest.mark.parametrize("periodic", [(True, True, False), (True, True, True)])
def test_a_slab_without_a_third_vector_is_a_slab(tmp_path, periodic):
    def slab(i: int, atoms: Atoms) -> None:
        atoms.cell[2] = 0.0
        atoms.cell[0, 2] = atoms.cell[1, 2] = 0.0
        atoms.pbc = periodic
        atoms.calc.results.pop("stress")

    data = File(train=written(tmp_path, slab), shortest_distance=0.3).load()
    assert all(atoms.pbc.tolist() == [True, True, False] for atoms in data.structures)
    assert ("not periodic along cell vectors of length zero" in data.read_as) == periodic[2]
    assert np.isnan(data.stresses).all() and ase.io.read(tmp_path / "set.xyz", 0).pbc.tolist() == [*periodic]


def test_cell_vectors_that_depend_on_each_other_are_refused_and_the_advice_works(tmp_path):
    def flat(i: int, atoms: Atoms) -> None:
        atoms.cell[2] = atoms.cell[1]

    path = written(tmp_path, flat)
    with pytest.raises(
        TamisError, match='cell vectors of all periodic directions in Å, pbc="T T F" for a slab'
    ):
        File(train=path).load()
    Path(path).write_text(Path(path).read_text().replace('pbc="T T T"', 'pbc="T T F"'))
    assert len(File(train=path, shortest_distance=0.3).load()) == 12


# advice


def no_energy(i: int, atoms: Atoms) -> None:
    if i == 7:
        del atoms.calc.results["energy"]


def word_for_energy(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.calc.results["energy"] = "failed"


def truth_for_energy(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.calc.results["energy"] = True


def broken_tensor(i: int, atoms: Atoms) -> None:
    stress = atoms.calc.results.pop("stress")
    atoms.info["my_stress"] = stress[:5] if i == 7 else stress


def nan_position(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.positions[1] = np.nan


def no_atoms(i: int, atoms: Atoms) -> None:
    if i == 7:
        del atoms[:]
        atoms.calc.results["forces"] = np.empty((0, 3))


def no_element(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.numbers[0] = 0


def drifting(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.calc.results["forces"] = atoms.calc.results["forces"] + 0.5


def touching(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.positions[1] = atoms.positions[0] + [0.3, 0.0, 0.0]


def per_atom(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.calc.results["energy"] -= 100.0


def two_energies(i: int, atoms: Atoms) -> None:
    if i == 7:
        atoms.positions, atoms.cell = copper()[3].positions, copper()[3].cell


SPOILED = {
    no_energy: "has no energy",
    word_for_energy: "energy is 'failed'; numbers are needed",
    truth_for_energy: "energy is 'True'; numbers are needed",
    broken_tensor: "my_stress needs 6 or 9 numbers",
    nan_position: r"position\[1, 0\] is nan",
    no_atoms: "has no atoms",
    no_element: "which is no element",
    drifting: "forces sum to",
    touching: "are 0.300 Å apart",
    per_atom: "from what its composition suggests",
    two_energies: "one structure with energies",
}


@pytest.mark.parametrize("spoil", SPOILED)
def test_a_structure_that_is_refused_can_be_left_out_as_the_message_says(tmp_path, spoil):
    path = written(tmp_path, spoil)
    keys = {"stress_key": "my_stress"} if spoil is broken_tensor else {}
    with pytest.raises(TamisError, match=f"(?s)#7[:,].*{SPOILED[spoil]}.*in dataset.drop") as caught:
        File(train=path, **keys).load()
    assert "dataset.drop" in str(caught.value)
    data = File(train=path, drop=[f"{path}#7"], **keys).load()
    assert len(data) == 11 and "11 structures read" in data.read_as and data.is_test.sum() == 1
    assert data.elements == ("Cu",)


def test_a_structure_that_is_left_out_is_as_good_as_not_there(tmp_path):
    path = written(tmp_path, no_energy)
    dropped = File(train=path, drop=[f"{path}#7"]).load()
    ase.io.write(tmp_path / "set.xyz", [a for i, a in enumerate(labelled()) if i != 7], format="extxyz")
    without = File(train=path).load()
    np.testing.assert_array_equal(dropped.energies, without.energies)
    np.testing.assert_array_equal(dropped.is_test, without.is_test)
    assert dropped.groups == without.groups


def test_an_id_to_leave_out_that_is_one_off_is_told_first(tmp_path):
    path = written(tmp_path, no_energy)
    with pytest.raises(TamisError, match=rf"dataset.drop names {path}#12, .* the last is {path}#11"):
        File(train=path, drop=[f"{path}#12"]).load()


def test_advised_tolerances_and_keys_work(tmp_path):
    for spoil, change in ((drifting, {"net_force": 2.0}), (touching, {"shortest_distance": 0.1})):
        assert len(File(train=written(tmp_path, spoil), **change).load()) == 12
    assert len(File(train=written(tmp_path, per_atom), energy_window=30.0).load()) == 12

    def renamed(i: int, atoms: Atoms) -> None:
        atoms.info["E"] = atoms.calc.results.pop("energy")

    path = written(tmp_path, renamed)
    with pytest.raises(
        TamisError, match=r"no structure has energy .*they have E, .*: correct dataset.energy_key"
    ):
        File(train=path).load()
    assert len(File(train=path, energy_key="E").load()) == 12
    with pytest.raises(TamisError, match="has Cu, but dataset.elements is Au; add what is missing"):
        File(train=path, energy_key="E", elements=("Au",)).load()
    assert len(File(train=path, energy_key="E", elements=("Au", "Cu")).load()) == 12


# units by one word, and on the command line


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ([], {}),
        (["dataset.units.energy=hartree"], {"energy": "hartree"}),
        (["dataset.units=atomic"], {"length": "bohr", "energy": "hartree"}),
        (["dataset.units=real"], {"length": "angstrom", "energy": "kcal/mol"}),
        (["dataset.units={length: nm}"], {"length": "nm"}),
    ],
)
def test_units_as_the_command_line_gives_them(typed, expected):
    given = ("dataset=file", "dataset.train=a.xyz", "dataset.elements=[Cu]", "dataset.atom_spacing=2.3")
    config = composed(*given, *typed)
    check_config(config.dataset, "dataset.")
    source = instantiate(config.dataset, _convert_="all")
    assert typed_units(source.units) == expected


def test_presets_are_units_of_length_and_energy_from_which_the_others_follow():
    assert FileUnits.of("atomic") == FileUnits.of({"length": "bohr", "energy": "hartree"})
    assert FileUnits.of("atomic").factor("forces") == pytest.approx(HARTREE / BOHR, rel=1e-6)
    assert FileUnits.of("metal") == FileUnits() and set(PRESETS) > {"metal", "real", "atomic"}
    with pytest.raises(
        TamisError, match=r"dataset.units is atomc; did you mean atomic\? choose one of metal \(angstr"
    ):
        FileUnits.of("atomc")
