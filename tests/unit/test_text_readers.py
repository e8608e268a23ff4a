"""Files of n2p2, chimes_lsq, MLIP and FitSNAP: variants, units, golden files, and what is refused."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from tests.labelled_copper import copper
from tests.text_files import BOHR, HARTREE, cfg, dataset_of, input_data, write_fitsnap, xyzf
from tests.training import rattled_silicon

from tamis.core.errors import TamisError
from tamis.data.readers.formats import read_frames, reader_of
from tamis.data.readers.n2p2 import guess_units
from tamis.data.sources.file import File
from tamis.models.trainers import chimes_lsq, n2p2

NAMES = {"n2p2": "input.data", "xyzf": "set.xyzf", "mtp-cfg": "train.cfg", "fitsnap": "one.json"}
SOUND: dict[str, Callable[[], str]] = {
    "n2p2": lambda: input_data(copper()),
    "xyzf": lambda: xyzf(copper()),
    "mtp-cfg": lambda: cfg(copper()),
    "fitsnap": lambda: json.dumps(dataset_of(copper()[0])),
}


def frames(path: Path, species: str | None = "Cu") -> list[Atoms]:
    reader = reader_of(path, None)
    return list(read_frames(path, reader, [species] if species else None))


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / NAMES[name]
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_formats_are_recognised_by_content_also_where_files_are_compressed(tmp_path, name):
    path = written(tmp_path, name, SOUND[name]())
    assert reader_of(path, None).name == name
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert reader_of(packed, None).name == name
    assert len(frames(packed)) == len(frames(path))


# n2p2


@pytest.mark.parametrize(("case", "units"), [("si", ("bohr", "hartree")), ("sige", ("angstrom", "ev"))])
def test_units_of_the_golden_files_of_n2p2_are_found(shared, case, units):
    found = frames(shared / "golden" / "n2p2" / case / "input.data")
    length, energy = units
    assert guess_units(found)[0] == {"length": length, "energy": energy}
    assert "sums of two radii apart" in guess_units(found)[1]


def crystals() -> list[Atoms]:
    """Solids of many kinds, and molecules; Å."""
    kinds = [("Si", "diamond", 5.43), ("Na", "bcc", 4.29), ("Cs", "bcc", 6.14), ("Al", "fcc", 4.05)]
    kinds += [("C", "diamond", 3.57), ("NaCl", "rocksalt", 5.64), ("CsCl", "cesiumchloride", 4.12)]
    kinds += [("GaAs", "zincblende", 5.65), ("Mo", "bcc", 3.15)]
    solids = [bulk(name, structure, a=a) for name, structure, a in kinds]
    return [*solids, bulk("Mg"), *(molecule(name) for name in ("H2O", "CH4", "C6H6", "NH3", "H2"))]


@pytest.mark.parametrize("strain", [0.9, 1.0, 1.1])
@pytest.mark.parametrize("atoms", crystals(), ids=lambda atoms: atoms.get_chemical_formula())
def test_units_are_found_for_solids_and_molecules(atoms, strain):
    strained = atoms.copy()
    strained.set_cell(atoms.cell * strain, scale_atoms=True)
    if not atoms.pbc.any():
        strained.positions *= strain
    in_bohr = strained.copy()
    in_bohr.set_cell(strained.cell / BOHR)
    in_bohr.positions = strained.positions / BOHR
    assert guess_units([strained])[0]["length"] == "angstrom"
    assert guess_units([in_bohr])[0]["length"] == "bohr"


def test_units_that_cannot_be_told_are_asked_for():
    apart = Atoms("Cu2", positions=[[0, 0, 0], [0, 0, 3.5]])
    for atoms in (Atoms("Ar"), apart, Atoms("Cu", positions=[[np.nan] * 3]), Atoms()):
        with pytest.raises(TamisError, match=r"cannot be told .*set them, such as dataset.units.length=bohr"):
            guess_units([atoms])


def test_molecules_charges_comments_and_marks_of_n2p2_are_kept(tmp_path):
    water = molecule("H2O")
    water.arrays["forces"] = np.zeros((3, 3))
    water.info["energy"] = -76.0
    text = (
        input_data([water])
        .replace("begin", "begin set=test")
        .replace("O 0.0", "O -0.8")
        .replace("charge 0", "charge 1")
    )
    (found,) = frames(written(tmp_path, "n2p2", text))
    assert not found.pbc.any() and found.arrays["charges"].tolist() == [-0.8, 0.0, 0.0]
    assert found.info == {
        "energy": pytest.approx(-76.0 / HARTREE),
        "charge": 1.0,
        "comment": "frame 0 of copper",
        "set": "test",
    }


def test_what_n2p2_is_told_is_read_again(tmp_path):
    kept = rattled_silicon()
    n2p2.write_structures(tmp_path / "input.data", kept, np.zeros(len(kept), dtype=bool), 5.0)
    for i, atoms in enumerate(frames(tmp_path / "input.data")):
        np.testing.assert_allclose(atoms.arrays["forces"], kept.forces[i], atol=1e-9)
        assert atoms.info["energy"] == pytest.approx(kept.energies[i], abs=1e-9)


# chimes_lsq


@pytest.mark.parametrize("skewed", [True, False])
@pytest.mark.parametrize("stress", [0, 3, 6])
@pytest.mark.parametrize("energy", [True, False])
def test_every_header_of_chimes_lsq_is_read(tmp_path, skewed, stress, energy):
    atoms = copper()[0].copy()
    atoms.info |= copper()[0].info
    atoms.set_cell(np.diag(atoms.cell.lengths()))
    (found,) = frames(written(tmp_path, "xyzf", xyzf([atoms], skewed, stress, energy)))
    np.testing.assert_allclose(found.cell.array, atoms.cell.array, atol=1e-12)
    np.testing.assert_allclose(found.arrays["forces"], atoms.arrays["forces"], atol=1e-9)
    assert ("energy" in found.info) == energy and ("stress" in found.info) == (stress > 0)
    if energy:
        assert found.info["energy"] == pytest.approx(atoms.info["energy"], abs=1e-9)
    if stress:
        np.testing.assert_allclose(found.info["stress"][:stress], atoms.info["stress"][:stress], atol=1e-9)
        assert np.isnan(found.info["stress"][3:]).all() == (stress == 3)


def test_what_chimes_lsq_is_told_is_read_again(tmp_path):
    kept = rattled_silicon()
    chimes_lsq.write_structures(tmp_path / "set.xyzf", kept, 1.0)
    for i, atoms in enumerate(frames(tmp_path / "set.xyzf")):
        np.testing.assert_allclose(atoms.arrays["forces"], kept.forces[i], atol=1e-6)
        np.testing.assert_allclose(atoms.info["stress"], np.nan_to_num(kept.stresses[i]), atol=1e-7)
        assert atoms.info["energy"] == pytest.approx(kept.energies[i], rel=1e-9)


def test_forces_of_the_golden_file_are_the_target_of_chimes_lsq(shared):
    """b.txt holds what the real program made of the file: kcal/mol/Å, and three times each energy in kcal/mol."""
    folder = shared / "golden" / "chimes" / "sige_2b3b"
    target = iter(np.loadtxt(folder / "b.txt"))
    for atoms in frames(folder / "train.xyzf"):
        forces = [next(target) / 23.060547830619026 for _ in range(3 * len(atoms))]
        np.testing.assert_allclose(atoms.arrays["forces"].ravel(), forces, rtol=1e-6)
        xx, xy, xz, _, yy, yz, _, _, zz, *energies = (next(target) / 23.060547830619026 for _ in range(12))
        np.testing.assert_allclose(-atoms.info["stress"], [xx, yy, zz, yz, xz, xy], rtol=1e-5, atol=1e-12)
        np.testing.assert_allclose(energies, atoms.info["energy"], rtol=1e-9)


# MLIP


def test_direct_coordinates_features_and_further_columns_of_mlip_are_read(tmp_path):
    text = (
        cfg(copper(), direct=True)
        .replace(" fx fy fz\n", " fx fy fz site_en\n")
        .replace("SuperCell", "Supercell")
    )
    lines = [
        f"{line} 0.25" if line.startswith("   ") and len(line.split()) == 8 else line
        for line in text.splitlines()
    ]
    found = frames(written(tmp_path, "mtp-cfg", "\n".join(lines) + "\n"))
    for atoms, meant in zip(found, copper(), strict=True):
        np.testing.assert_allclose(atoms.positions, meant.positions, atol=1e-9)
        assert atoms.arrays["site_en"].tolist() == [0.25] * 4 and atoms.info["EFS_by"] == "VASP"
    data = File(train=str(tmp_path / "train.cfg"), species="Cu").load()
    assert set(data.groups) == {"bulk", "hot"}
    assert "stress from virial (eV, minus stress times volume)" in data.read_as


def test_elements_of_mlip_are_named_by_the_user(tmp_path):
    text = cfg(copper()).replace("\n   4 0", "\n   4 1")
    path = written(tmp_path, "mtp-cfg", text)
    found = File(train=str(path), species=["Cu", "Ni"]).load()
    assert found.structures[0].get_chemical_formula() == "Cu3Ni"
    with pytest.raises(
        TamisError, match=r"numbers of kinds in place of elements \(0 to 1 .*dataset.species=\[Si,Ge\]"
    ):
        File(train=str(path)).load()
    with pytest.raises(TamisError, match="kinds 0 to 1, and dataset.species names 1 elements"):
        File(train=str(path), species="Cu").load()
    with pytest.raises(TamisError, match="dataset.species has 'Kupfer'"):
        File(train=str(path), species=["Cu", "Kupfer"]).load()


# FitSNAP


def test_folders_of_fitsnap_are_groups(tmp_path):
    write_fitsnap(tmp_path / "JSON", copper())
    data = File(train=str(tmp_path / "JSON" / "*" / "*.json")).load()
    assert sorted(data.groups) == sorted(one.info["config_type"] for one in copper())


@pytest.mark.parametrize(("style", "per_bar"), [("kB", 1e-3), ("kbar", 1e-3), ("gpa", 1e-4), (None, 1.0)])
def test_the_stress_of_fitsnap_is_in_the_unit_of_its_style(tmp_path, style, per_bar):
    content = dataset_of(copper()[0])
    whole = content["Dataset"]
    whole["Data"][0]["Stress"] = (per_bar * np.array(whole["Data"][0]["Stress"])).tolist()
    whole.pop("StressStyle")
    whole |= {"StressStyle": style} if style else {}
    (found,) = frames(written(tmp_path, "fitsnap", json.dumps(content)))
    stress = found.info["stress"][[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    np.testing.assert_allclose(stress, copper()[0].info["stress"], atol=1e-9)


def test_a_published_file_of_fitsnap_is_read_with_its_sign(tmp_path):
    """Tantalum at two thirds of its volume, from FitSNAP's examples: 396 GPa of pressure."""
    content = dataset_of(bulk_tantalum())
    content["Dataset"]["Data"][0]["Stress"] = (3964027.36 * np.eye(3)).tolist()
    (found,) = frames(written(tmp_path, "fitsnap", json.dumps(content)))
    assert np.diag(found.info["stress"]) == pytest.approx(-396.4 / 160.2177, rel=1e-4)


def bulk_tantalum() -> Atoms:
    atoms = bulk("Ta", "bcc", a=2.7, cubic=True)
    atoms.info |= {"energy": -11.197201, "stress": np.zeros(6)}
    atoms.arrays["forces"] = np.zeros((2, 3))
    return atoms


# what is refused

BAD = [
    ("n2p2", ("\nend\n", "\n"), "begin|unknown keyword 'begin'"),
    ("n2p2", ("charge 0.0\nend\n", ""), "has no end|unknown keyword 'begin'"),
    ("n2p2", ("energy", "enrgy"), "unknown keyword 'enrgy'"),
    ("n2p2", ("Cu 0.0 0.0", "Cu 0.0"), "a row of a table has 8 columns, expected are 9"),
    ("n2p2", ("charge 0.0", "energy -1.0"), "a structure has energy .*; one number is needed"),
    ("n2p2", ("charge 0.0", "charge 0.0 1.0"), "a structure has charge .*; one number is needed"),
    ("mtp-cfg", (" Feature   EFS_by\tVASP", " Energy\n  -1.0"), "Energy stands twice in one structure"),
    ("n2p2", ("lattice", "comment"), "lattice vectors; three, or none"),
    ("n2p2", ("energy ", "energy x"), "could not convert"),
    ("n2p2", (" Cu ", " Xy "), "KeyError: 'Xy'"),
    ("xyzf", ("4\n", "5\n"), "columns, expected are 7|invalid literal|numbers; 9 of the cell"),
    ("xyzf", ("4\n", "400\n"), "does not hold 400 whole lines"),
    ("xyzf", ("4\n", "-4\n"), "a structure of -4 atoms"),
    ("xyzf", ("NON_ORTHO ", ""), "a header has 16 numbers; 3 of the cell"),
    ("xyzf", ("NON_ORTHO ", "NON_ORTHO 1.0 "), "a header has 17 numbers; 9 of the cell"),
    ("mtp-cfg", ("END_CFG", "END"), "'END' is unknown"),
    ("mtp-cfg", ("    4\n", "    5\n"), "AtomData has 4 lines of numbers, expected are 5"),
    ("mtp-cfg", ("    4\n", "    0\n"), "a structure of 0 atoms"),
    ("mtp-cfg", ("BEGIN_CFG\n", "BEGIN_CFG\n\n 7\n"), "'7' is unknown"),
    ("mtp-cfg", (" Energy\n", " Energy\n Feature a b\n"), "'0.3.*' is unknown"),
    ("mtp-cfg", ("cartes_x", "direct_x"), "KeyError: 'direct_y'"),
    ("mtp-cfg", ("cartes_y", "cartes_x"), "two columns of AtomData have one name"),
    ("mtp-cfg", ("PlusStress:", "Stress:"), "differ between versions of MLIP; call it PlusStress:"),
    ("mtp-cfg", (" 2 0 ", " 7 0 "), "the ids of atoms are not 1, 2, 3"),
    ("mtp-cfg", (" Size\n    4\n", ""), "a structure has no Size"),
    ("mtp-cfg", ("yz          xz", "xz          xz"), "KeyError: 'yz'"),
    ("fitsnap", ('"bar"', '"psi"'), "StressStyle is psi; known are bar, kbar"),
    ("fitsnap", ('"NumAtoms": 4', '"NumAtoms": 5'), "NumAtoms is 5; there are 4 AtomTypes"),
    ("fitsnap", ('"Positions"', '"Position"'), "KeyError: 'Positions'"),
    ("fitsnap", ('"Data": [', '"Data": ['), None),
]


@pytest.mark.parametrize(("name", "change", "message"), BAD)
def test_a_damaged_file_is_refused_with_its_format_and_the_reason(tmp_path, name, change, message):
    path = written(tmp_path, name, SOUND[name]().replace(*change, 1))
    if message is None:
        assert len(frames(path)) == 1
        return
    with pytest.raises(
        TamisError, match=rf"(?s){NAMES[name]}, frame 0 or later, cannot be read as {name} .*({message})"
    ):
        list(frames(path))


@pytest.mark.parametrize("name", NAMES)
def test_a_cut_file_is_refused_wherever_it_ends(tmp_path, name):
    text = SOUND[name]()
    whole = len(frames(written(tmp_path, name, text)))
    for end in range(len(text.rstrip()) - 1, 0, -max(len(text) // 60, 1)):
        path = written(tmp_path, name, text[:end])
        try:
            found = len(list(read_frames(path, reader_of(path, name), ["Cu"])))
        except TamisError:
            continue
        assert found < whole, f"all {whole} structures from the first {end} characters"
