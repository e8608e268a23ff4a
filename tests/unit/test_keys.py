"""Which names are taken for the labels: what is chosen, what is refused, and that the advice works."""

import re
import warnings
from collections.abc import Callable
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from tests.labelled_copper import copper
from tests.vasp_files import full, write_outcar, write_vasprun

from tamis.core.errors import TamisError
from tamis.data.sources.file import File
from tamis.data.sources.keys import spellings

SMEARING = [0.05 + 0.01 * i for i in range(12)]
"""eV, of cells of 4 atoms: 12.5 to 40 meV/atom."""


def changed(change: Callable[[int, Atoms], None]) -> list[Atoms]:
    """Copper cells, each changed by ``change(number, atoms)``."""
    frames = [atoms.copy() for atoms in copper()]
    for i, atoms in enumerate(frames):
        change(i, atoms)
    return frames


def written(folder: Path, frames: list[Atoms]) -> str:
    path = folder / "set.xyz"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ase.io.write(path, frames, format="extxyz")
    return str(path)


@pytest.fixture
def plain(tmp_path):
    """The frames with energy, forces and stress under ASE's names."""

    def write(change: Callable[[int, Atoms], None] = lambda i, atoms: None) -> str:
        def whole(i: int, atoms: Atoms) -> None:
            atoms.info["stress"] = full(atoms.info["stress"])
            change(i, atoms)

        return written(tmp_path, changed(whole))

    return write


@pytest.mark.parametrize("writer", [write_vasprun, write_outcar])
@pytest.mark.parametrize("packed", [False, True])
def test_vasps_free_energy_is_taken_since_forces_belong_to_it(tmp_path, writer, packed):
    path = tmp_path / {"write_vasprun": "vasprun.xml", "write_outcar": "OUTCAR"}[writer.__name__]
    writer(path, copper(), SMEARING)
    if packed:
        import gzip

        packed_path = path.with_name(path.name + ".gz")
        packed_path.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        path = packed_path
    free = np.array([atoms.info["energy"] for atoms in copper()])
    data = File(train=str(path)).load()
    np.testing.assert_allclose(data.energies, free, atol=1e-7)
    np.testing.assert_allclose(data.forces[3], copper()[3].arrays["forces"], atol=1e-8)
    np.testing.assert_allclose(data.stresses, [a.info["stress"] for a in copper()], atol=1e-7)
    assert (
        "energy from free_energy (eV) [the one that forces belong to; energy, up to 40 meV/atom"
        in data.read_as
    )
    np.testing.assert_allclose(
        File(train=str(path), energy_key="energy").load().energies, free + SMEARING, atol=1e-7
    )
    with pytest.raises(TamisError, match="format vasp-.*, whose units are known"):
        File(train=str(path), units={"energy": "hartree"}).load()


def test_forces_are_the_gradient_of_the_energy_that_is_taken(tmp_path):
    """The law behind the choice: along a path the free energy changes by minus the work of the forces."""
    start, step = copper()[0], 1e-3 * np.random.default_rng(0).normal(size=(4, 3))
    from ase.calculators.emt import EMT

    path = []
    for k in (-1, 0, 1):
        atoms = start.copy()
        atoms.positions += k * step
        atoms.calc = EMT()
        atoms.info = {"energy": atoms.get_potential_energy(), "stress": atoms.get_stress()}
        atoms.arrays["forces"] = atoms.get_forces()
        atoms.calc = None
        path.append(atoms)
    write_vasprun(tmp_path / "vasprun.xml", path, [0.03, 0.05, 0.09])  # entropy changes along the path
    data = File(train=str(tmp_path / "vasprun.xml"), test_fraction=0.0, net_force=10.0).load()
    work = float(np.sum(data.forces[1] * step))
    assert (data.energies[2] - data.energies[0]) / 2 == pytest.approx(-work, abs=1e-6)


def test_free_energy_alone_and_beside_the_same_energy(plain):
    same = File(train=plain(lambda i, atoms: atoms.info.update(free_energy=atoms.info["energy"]))).load()
    assert "energy from energy (eV) [free_energy is the same]" in same.read_as
    alone = File(train=plain(lambda i, atoms: atoms.info.update(free_energy=atoms.info.pop("energy")))).load()
    assert "energy from free_energy (eV)" in alone.read_as
    np.testing.assert_array_equal(same.energies, alone.energies)


def test_free_energy_of_some_structures_is_no_reference_for_all(plain):
    def some(i: int, atoms: Atoms) -> None:
        if i % 3 == 0:
            atoms.info["free_energy"] = atoms.info["energy"] - 0.1

    path = plain(some)
    with pytest.raises(
        TamisError, match=r"4 of 12 structures have free_energy.* up to 25 meV/atom .*others have energy"
    ):
        File(train=path).load()
    assert len(File(train=path, energy_key="energy").load()) == 12


def other_reference(i: int, atoms: Atoms) -> None:
    atoms.info["REF_energy"] = atoms.info["energy"] + 0.01 * i


def other_forces(i: int, atoms: Atoms) -> None:
    atoms.arrays["dft_forces"] = 0.9 * atoms.arrays["forces"]


def other_stress(i: int, atoms: Atoms) -> None:
    atoms.info["DFT_stress"] = (1.1 * atoms.info["stress"]).ravel()


def zero_stress_and_virial(i: int, atoms: Atoms) -> None:
    atoms.info["virial"] = -atoms.cell.volume * atoms.info["stress"]
    atoms.info["stress"] = np.zeros((3, 3))


def zero_virial(i: int, atoms: Atoms) -> None:
    atoms.info["virial"] = np.zeros((3, 3))


def scaled_stress(factor: float) -> Callable[[int, Atoms], None]:
    def change(i: int, atoms: Atoms) -> None:
        atoms.info["virial"] = -atoms.cell.volume * atoms.info["stress"]
        atoms.info["stress"] = factor * atoms.info["stress"]

    return change


def doubled_virials(i: int, atoms: Atoms) -> None:
    atoms.info["dft_virials"] = -2.0 * atoms.cell.volume * atoms.info["stress"]


def stress_beside_a_virial(i: int, atoms: Atoms) -> None:
    atoms.info["REF_stress"] = atoms.info.pop("stress")
    atoms.info["virial"] = -2.0 * atoms.cell.volume * atoms.info["REF_stress"]


def stress_called_virial(i: int, atoms: Atoms) -> None:
    atoms.info["virial"] = -atoms.info["stress"]


CONTRADICTIONS = {
    "energy": (
        other_reference,
        r"#11: energy and REF_energy are 0.11 apart .* 11 of 12 .*dataset.energy_key=REF_energy",
    ),
    "forces": (
        other_forces,
        r"forces and dft_forces are .* set dataset.forces_key=dft_forces, or dataset.forces_key=forces",
    ),
    "stress": (other_stress, r"stress and DFT_stress .* set dataset.stress_key=DFT_stress"),
    "zeros": (
        zero_stress_and_virial,
        r"stress is 0 eV/Å³.* 12 of 12 .*every stress is zero.* set dataset.stress_key=null to take virial\n",
    ),
    "other virial": (
        doubled_virials,
        r"set dataset.stress_key=null to take dft_virials, or dataset.virial_key=null to take stress",
    ),
    "other stress": (
        stress_beside_a_virial,
        r"set dataset.stress_key=null to take virial, or dataset.virial_key=null to take REF_stress",
    ),
    "zero virial": (zero_virial, r"every virial is zero.* dataset.virial_key=null to take stress"),
    "sign": (scaled_stress(-1.0), r"with dataset.units.stress=-ev/angstrom3 they agree"),
    "GPa": (scaled_stress(160.2176634), r"160.218 times .* with dataset.units.stress=gpa they agree"),
    "VASP's": (scaled_stress(-1602.176634), r"with dataset.units.stress=-kbar they agree"),
    "bar": (scaled_stress(1602176.634), r"with dataset.units.stress=bar they agree"),
    "not times volume": (stress_called_virial, "virial seems to be a stress, not multiplied with the volume"),
}


@pytest.mark.parametrize("kind", CONTRADICTIONS)
def test_labels_that_contradict_each_other_are_refused_and_every_advice_works(plain, kind):
    change, message = CONTRADICTIONS[kind]
    path = plain(change)
    with pytest.raises(TamisError, match=message) as caught:
        File(train=path).load()
    advice = re.findall(r"dataset\.([a-z_.]+)=([\w/-]+)", str(caught.value))
    assert advice
    for key, value in advice:
        told = None if value == "null" else value
        wanted = {"units": {"stress": told}} if key == "units.stress" else {key: told}
        assert len(File(train=path, **wanted).load()) == 12


def test_of_two_that_contradict_each_other_the_typed_one_is_read(plain):
    true = np.array([atoms.info["stress"] for atoms in copper()])
    wrong = File(train=plain(scaled_stress(2.0)), virial_key="virial").load()
    np.testing.assert_allclose(wrong.stresses, true, atol=1e-7)
    assert (
        "stress from virial" in wrong.read_as and "[stress contradicts it and is not read]" in wrong.read_as
    )
    path = plain(zero_virial)
    assert "[virial contradicts it and is not read]" in File(train=path, stress_key="stress").load().read_as


def test_a_stress_under_another_name_is_read_unless_the_user_wants_none(plain):
    def renamed(i: int, atoms: Atoms) -> None:
        atoms.info["REF_stress"] = atoms.info.pop("stress")

    path = plain(renamed)
    found = File(train=path).load()
    assert "stress from REF_stress (eV/Å³, positive in tension)" in found.read_as
    np.testing.assert_allclose(found.stresses, [atoms.info["stress"] for atoms in copper()], atol=1e-12)
    assert "stress of no structure;" in File(train=path, stress_key=None).load().read_as


@pytest.mark.parametrize(
    ("factor", "unit"), [(160.2176634, "gpa"), (-1602.176634, "-kbar"), (1602176.634, "bar")]
)
def test_a_unit_that_was_advised_gives_the_right_stress(plain, factor, unit):
    data = File(train=plain(scaled_stress(factor)), units={"stress": unit}).load()
    np.testing.assert_allclose(data.stresses, [atoms.info["stress"] for atoms in copper()], atol=1e-7)


def test_stress_and_virial_that_agree_within_rounding_are_one(plain):
    def rounded(i: int, atoms: Atoms) -> None:
        atoms.info["virial"] = np.round(-atoms.cell.volume * atoms.info["stress"], 3)

    assert "stress from stress" in File(train=plain(rounded)).load().read_as


def test_a_contradiction_in_a_structure_that_is_left_out_is_none(plain):
    def one(i: int, atoms: Atoms) -> None:
        if i == 4:
            other_reference(i, atoms)

    path = plain(one)
    with pytest.raises(TamisError, match="#4: energy and REF_energy"):
        File(train=path).load()
    assert len(File(train=path, drop=[f"{path}#4"]).load()) == 11


@pytest.mark.parametrize("key", ["stress_key", "virial_key", "group_key", "block_key"])
def test_a_name_that_no_structure_has_is_an_error(plain, key):
    path = plain()
    with pytest.raises(
        TamisError, match=rf"no structure has confg_type \(dataset.{key}\); did you mean config_type\?"
    ):
        File(train=path, **{key: "confg_type"}).load()
    assert len(File(train=path, **{key: None}).load()) == 12


@pytest.mark.parametrize("key", ["energy_key", "forces_key"])
def test_energy_and_forces_under_a_name_that_no_structure_has(plain, key):
    with pytest.raises(TamisError) as caught:
        File(train=plain(), **{key: "enrgy"}).load()
    said = str(caught.value)
    assert "has 1 problem" in said and f"no structure has enrgy (dataset.{key})" in said
    assert "they have config_type, energy, forces" in said and f"correct dataset.{key}; " in said
    with pytest.raises(TamisError, match=f"dataset.{key} is .*; give a name, or auto"):
        File(train="a.xyz", **{key: ""})


def test_a_default_that_nobody_typed_may_be_missing(tmp_path):
    def bare(i: int, atoms: Atoms) -> None:
        del atoms.info["config_type"], atoms.info["stress"]

    data = File(train=written(tmp_path, changed(bare))).load()
    assert set(data.groups) == {"all"} and "stress of no structure" in data.read_as


def test_labels_that_have_other_names_throughout_are_asked_for_once(tmp_path):
    def renamed(i: int, atoms: Atoms) -> None:
        atoms.info["enthalpy"], atoms.info["energy_mace"] = atoms.info.pop("energy"), 0.0
        atoms.arrays["gradients"] = -atoms.arrays.pop("forces")

    path = written(tmp_path, changed(renamed))
    with pytest.raises(TamisError) as caught:
        File(train=path).load()
    said = str(caught.value)
    assert (
        "has 2 problem(s)" in said and "no structure has energy" in said and "no structure has forces" in said
    )
    assert len(File(train=path, energy_key="enthalpy", forces_key="gradients").load()) == 12


def test_spellings_of_a_reference():
    names = [
        "energy",
        "REF_energy",
        "dft-energy",
        "Energy",
        "total_energy",
        "MACE_energy",
        "free_energy",
        "energies",
        "TotEnergy",
        "potential_energy",
    ]
    known = {"energy", "REF_energy", "dft-energy", "Energy", "total_energy", "TotEnergy", "potential_energy"}
    assert spellings("energy", names) == known
    assert spellings("forces", ["force", "ref_forces", "gap_forces"]) == {"force", "ref_forces"}
    assert spellings("stress", ["stresses", "cauchy_stress", "stress_model"]) == {"stresses", "cauchy_stress"}


# the spellings of the field

STYLES = {
    "MACE": ("REF_energy", "REF_forces", "REF_stress", "", "config_type"),
    "MACE with virials": ("REF_energy", "REF_forces", "", "REF_virials", "config_type"),
    "QUIP and GAP": ("dft_energy", "dft_force", "", "dft_virial", "config_type"),
    "NEP": ("Energy", "force", "", "Virial", "Config_type"),
    "ColabFit": ("energy", "atomic_forces", "cauchy_stress", "", "config_name"),
    "NequIP": ("total_energy", "forces", "", "", "config_name"),
    "many": ("QM_energy", "QM_forces", "QM_stress", "", "group"),
    "AENET and n2p2": ("TotEnergy", "force", "", "", "config_type"),
}
"""Names of energy, forces, stress, virial and group; empty: not there."""


def in_style(style: str, numbers: range = range(12)) -> list[Atoms]:
    energy, forces, stress, virial, group = STYLES[style]
    frames = []
    for one in [copper()[i] for i in numbers]:
        atoms = Atoms(one)
        atoms.info = {energy: one.info["energy"], group: one.info["config_type"]}
        atoms.arrays[forces] = one.arrays["forces"]
        if stress:
            atoms.info[stress] = full(one.info["stress"]).ravel()
        if virial:
            atoms.info[virial] = (-atoms.cell.volume * full(one.info["stress"])).ravel()
        frames.append(atoms)
    return frames


def assert_same(data, numbers: list[int], with_stress: list[bool]) -> None:
    np.testing.assert_allclose(data.energies, [copper()[i].info["energy"] for i in numbers], atol=1e-7)
    for forces, i in zip(data.forces, numbers, strict=True):
        np.testing.assert_allclose(forces, copper()[i].arrays["forces"], atol=1e-7)
    stresses = [
        copper()[i].info["stress"] if s else [np.nan] * 6 for i, s in zip(numbers, with_stress, strict=True)
    ]
    np.testing.assert_allclose(data.stresses, stresses, atol=1e-7)
    assert data.groups == tuple(copper()[i].info["config_type"] for i in numbers)


@pytest.mark.parametrize("style", STYLES)
def test_the_spellings_of_the_field_are_found_by_themselves(tmp_path, style):
    data = File(train=written(tmp_path, in_style(style)), test_fraction=0.0).load()
    energy, forces, stress, virial, group = STYLES[style]
    assert_same(data, list(range(12)), [bool(stress or virial)] * 12)
    told = [
        f"energy from {energy} ",
        f"forces from {forces} ",
        f"stress from {stress or virial} ",
        f"group from {group}",
    ]
    assert all(words in data.read_as for words in told if stress or virial or "stress" not in words)


def test_files_of_one_set_may_spell_their_labels_differently(tmp_path):
    numbers = {"MACE": range(0, 4), "QUIP and GAP": range(4, 7), "AENET and n2p2": range(7, 12)}
    for k, (style, some) in enumerate(numbers.items()):
        Path(written(tmp_path, in_style(style, some))).rename(tmp_path / f"{k}.xyz")
    data = File(train=str(tmp_path / "*.xyz"), test_fraction=0.0).load()
    assert_same(data, list(range(12)), [True] * 7 + [False] * 5)


def test_the_spelling_that_most_structures_have_is_taken(tmp_path):
    frames = in_style("MACE")
    frames[3].info["energy"] = frames[3].info["REF_energy"]
    data = File(train=written(tmp_path, frames)).load()
    assert "energy from REF_energy (eV)" in data.read_as
    frames[3].info["energy"] += 1.0
    with pytest.raises(TamisError, match="#3: REF_energy and energy are 1 apart"):
        File(train=written(tmp_path, frames)).load()


def test_a_free_energy_that_contradicts_a_reference_is_refused(tmp_path):
    def both(i: int, atoms: Atoms) -> None:
        atoms.info["free_energy"] = atoms.info["REF_energy"] - 0.1 * i

    frames = in_style("MACE")
    for i, atoms in enumerate(frames):
        both(i, atoms)
    path = written(tmp_path, frames)
    with pytest.raises(
        TamisError, match=r"REF_energy and free_energy are 1.1 apart .*dataset.energy_key=free_energy"
    ):
        File(train=path).load()
    for name in ("REF_energy", "free_energy"):
        assert len(File(train=path, energy_key=name).load()) == 12


def test_free_energies_of_one_file_and_other_energies_of_another_are_refused(tmp_path):
    write_vasprun(tmp_path / "vasprun.xml", copper()[:6], SMEARING[:6])
    frames = [one.copy() for one in copper()[6:]]
    for atoms in frames:
        del atoms.info["stress"]
    path = written(tmp_path, frames)
    both = [str(tmp_path / "vasprun.xml"), path]
    with pytest.raises(TamisError, match=r"vasprun.xml has free_energy, .*set.xyz has energy alone"):
        File(train=both).load()
    assert len(File(train=both, energy_key="energy").load()) == 12
