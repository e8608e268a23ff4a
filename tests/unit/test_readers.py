"""Readers of folders, arrays and databases of other programs, and what is said of files that none reads."""

import bz2
import gzip
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import ase.io
import h5py
import numpy as np
import pytest
from ase import Atoms
from tests.format_files import (
    BOHR,
    HARTREE,
    KCAL,
    molecules,
    write_colabfit,
    write_cp2k,
    write_schnetpack,
    write_system,
)
from tests.labelled_copper import copper
from tests.vasp_files import write_outcar, write_vasprun

from tamis.core.errors import TamisError
from tamis.data.readers.deepmd import is_deepmd
from tamis.data.readers.formats import reader_of
from tamis.data.sources.file import File


def read(path: Path) -> list[Atoms]:
    return list(reader_of(path, None).read(path))


def refusal(path: Path, says: str) -> str:
    with pytest.raises(TamisError, match=says) as caught:
        File(train=str(path)).load()
    return str(caught.value)


# DeePMD-kit


def test_a_system_of_deepmd(tmp_path):
    write_system(tmp_path / "cu", list(copper()))
    data = File(train=str(tmp_path / "cu")).load()
    np.testing.assert_array_equal(data.energies, [a.info["energy"] for a in copper()])
    np.testing.assert_allclose(data.stresses, [a.info["stress"] for a in copper()], rtol=1e-13)
    assert set(data.groups) == {"cu"} and data.ids[11] == f"{tmp_path / 'cu'}#11"


def test_many_systems_are_groups_and_single_precision_is_read(tmp_path):
    frames = list(copper())
    write_system(tmp_path / "deep" / "bulk", frames[:6])
    write_system(tmp_path / "hot", frames[6:])
    for path in tmp_path.rglob("*.npy"):
        np.save(path, np.load(path).astype("f4"))
    data = File(train=str(tmp_path)).load()
    assert data.groups == ("deep/bulk",) * 6 + ("hot",) * 6
    np.testing.assert_allclose(data.energies, [a.info["energy"] for a in frames], rtol=1e-6)
    assert data.structures[0].positions.dtype == np.float64


def test_a_folder_with_other_files_beside_its_systems_is_not_one_of_deepmd(tmp_path):
    """It would be read without them."""
    write_system(tmp_path / "cu", list(copper()))
    (tmp_path / ".hidden").touch()
    assert is_deepmd(tmp_path, b"")
    ase.io.write(tmp_path / "more.xyz", copper()[0])
    assert is_deepmd(tmp_path / "cu", b"") and not is_deepmd(tmp_path, b"")
    assert not is_deepmd(tmp_path / "cu" / "set.000", b"") and not is_deepmd(tmp_path / "more.xyz", b"")


def test_a_system_in_text_files_and_one_without_a_cell(tmp_path):
    write_system(tmp_path / "cu", list(copper()), per_set=99)
    whole = File(train=str(tmp_path / "cu")).load()
    for path in (tmp_path / "cu" / "set.000").glob("*.npy"):
        array = np.load(path)
        np.savetxt(tmp_path / "cu" / f"{path.stem}.raw", array.reshape(len(array), -1), fmt="%.17g")
        path.unlink()
    (tmp_path / "cu" / "set.000").rmdir()
    assert File(train=str(tmp_path / "cu")).load().fingerprint == whole.fingerprint
    (tmp_path / "cu" / "nopbc").touch()
    assert not any(atoms.pbc.any() or atoms.cell.any() for atoms in read(tmp_path / "cu"))


def test_the_mixed_format_has_elements_of_its_own_in_each_frame(tmp_path):
    write_system(tmp_path / "a", list(copper()))
    (tmp_path / "a" / "type_map.raw").write_text("Cu\nAu\n")
    types = np.zeros((5, 4), dtype=np.int32)
    types[1, 2], types[2, 3] = 1, -1
    np.save(tmp_path / "a" / "set.000" / "real_atom_types.npy", types)
    frames = read(tmp_path / "a")
    assert frames[1].get_chemical_symbols() == ["Cu", "Cu", "Au", "Cu"]
    assert len(frames[2]) == 3 and frames[2].arrays["forces"].shape == (3, 3)  # -1 is no atom
    np.testing.assert_array_equal(frames[2].positions, copper()[2].positions[:3])


def spoil_deepmd(name: str) -> tuple[Callable[[Path], object], str]:
    return {
        "no type_map": (lambda s: (s / "type_map.raw").unlink(), "write the chemical symbols of the types"),
        "no element": (lambda s: (s / "type_map.raw").write_text("A"), "'A' in type_map.raw is no chemical"),
        "too few types": (
            lambda s: (s / "type_map.raw").write_text(""),
            "has the type 0; type_map.raw has 0",
        ),
        "no box": (lambda s: (s / "set.000" / "box.npy").unlink(), "an empty file nopbc"),
        "no coord": (lambda s: (s / "set.000" / "coord.npy").unlink(), "has no coord.npy"),
        "fewer atoms": (lambda s: (s / "type.raw").write_text("0 0 0"), r"coord has the shape \(5, 12\)"),
        "no number": (lambda s: (s / "type.raw").write_text("0 0 x 0"), "cannot be read as deepmd"),
        "fewer energies": (
            lambda s: np.save(s / "set.001" / "energy.npy", [1.0]),
            "energy and coord have different numbers",
        ),
        "a pickle": (
            lambda s: np.save(s / "set.001" / "energy.npy", np.array([Path()]), allow_pickle=True),
            "cannot be read as deepmd .*object",
        ),
        "a header that asks for memory": (
            lambda s: (s / "set.001" / "coord.npy").write_bytes(
                b"\x93NUMPY\x01\x00\x76\x00"
                + b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999, 12), }".ljust(117)
                + b"\n"
            ),
            "cannot be read as deepmd",
        ),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        *("no type_map", "no element", "too few types", "no box", "no coord", "fewer atoms", "no number"),
        *("fewer energies", "a pickle", "a header that asks for memory"),
    ],
)
def test_systems_that_do_not_fit_are_refused(tmp_path, name):
    write_system(tmp_path / "cu", list(copper()))
    spoil, says = spoil_deepmd(name)
    spoil(tmp_path / "cu")
    refusal(tmp_path / "cu", says)


# .npz


NAMES = {
    "MD17": {"R": "R", "z": "z", "E": "E", "F": "F"},
    "rMD17": {"R": "coords", "z": "nuclear_charges", "E": "energies", "F": "forces"},
}


@pytest.mark.parametrize("kind", NAMES)
def test_molecules_in_kcal_per_mol(tmp_path, kind):
    arrays = {NAMES[kind][name]: array for name, array in molecules().items()}
    np.savez(tmp_path / "a.npz", **arrays, old_energies=np.arange(12.0), old_forces=molecules()["F"] + 1)
    reader = reader_of(tmp_path / "a.npz", None)
    assert reader.name == "npz" and reader.guess(read(tmp_path / "a.npz")) == (
        {"energy": "kcal/mol"},
        "as in MD17 and rMD17",
    )
    data = File(train=str(tmp_path / "a.npz"), units={"energy": "kcal/mol"}).load()
    np.testing.assert_allclose(data.energies, [a.info["energy"] for a in copper()], rtol=1e-6)
    np.testing.assert_allclose(data.forces[3], copper()[3].arrays["forces"], rtol=1e-5, atol=1e-8)
    assert not data.structures[0].pbc.any()
    assert data.frames[2].info["old_energies"] == 2.0
    assert data.frames[2].arrays["old_forces"].shape == (4, 3)


def test_the_cell_and_the_units_of_sgdml(tmp_path):
    cell = np.array([[8.0, 1.0, 0.0], [0.0, 9.0, 0.0], [0.0, 0.0, 10.0]])
    arrays = molecules() | {"lattice": cell.T, "r_unit": "Ang", "e_unit": "eV", "type": "d", "name": "cu"}
    np.savez(tmp_path / "a.npz", **arrays)
    frames = read(tmp_path / "a.npz")
    np.testing.assert_array_equal(frames[0].cell.array, cell)
    assert frames[0].pbc.all()
    units, how = reader_of(tmp_path / "a.npz", None).guess(frames)
    assert units == {"length": "Ang", "energy": "eV"} and how == "as the file says"


def test_molecules_of_several_sizes_as_in_physnet(tmp_path):
    counts = np.array([4, 3] * 6)
    arrays = molecules() | {"N": counts, "Z": np.full((12, 4), 29), "Q": np.zeros(12)}
    del arrays["z"]
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    reader, frames = reader_of(tmp_path / "a.npz", None), read(tmp_path / "a.npz")
    assert reader.name == "physnet" and reader.guess is None and reader.units["energy"] == "ev"
    assert [len(a) for a in frames] == counts.tolist()
    np.testing.assert_array_equal(frames[1].positions, copper()[1].positions[:3])
    np.testing.assert_array_equal(frames[1].arrays["forces"], molecules()["F"][1, :3])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"E": np.zeros(11)}, r"energy has the shape \(11,\); .* \(12,\) or \(12, 1\) is needed"),
        ({"F": np.zeros((12, 4))}, r"forces has the shape \(12, 4\)"),
        ({"R": np.zeros((12, 12))}, r"positions have the shape \(12, 12\); \(frames, atoms, 3\)"),
        ({"z": np.full(5, 29)}, r"numbers has the shape \(5,\)"),
        ({"energies": np.zeros(12)}, "E and energies, which mean the same"),
        ({"E": np.array([Path()] * 12)}, "cannot be read as npz .*Object arrays"),
        ({"lattice": np.eye(2)}, r"cell has the shape \(2, 2\)"),
        ({"N": np.full(12, 5)}, "says it has 5 atoms; there are 1 to 4 rows"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, says):
    np.savez(tmp_path / "a.npz", allow_pickle=True, **(molecules() | change))
    refusal(tmp_path / "a.npz", says)


def test_a_damaged_archive_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", **molecules())
    data = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(data.replace(b"PK\x01\x02", b"PK\x01\x03", 1))
    refusal(tmp_path / "a.npz", "a zip archive")
    with pytest.raises(TamisError, match="cannot be read as npz"):
        File(train=str(tmp_path / "a.npz"), format="npz").load()


# schnetpack


@pytest.mark.parametrize(
    ("energy", "length", "units"),
    [
        (1.0, 1.0, ("eV", "eV/Ang", "Ang")),
        (KCAL, 1.0, ("kcal/mol", "kcal/mol/Ang", "Ang")),
        (HARTREE, BOHR, ("Hartree", "Hartree/Bohr", "Bohr")),
    ],
)
def test_databases_of_schnetpack_are_read_in_the_units_of_their_metadata(tmp_path, energy, length, units):
    properties = {"energy": units[0], "forces": units[1], "dipole": "Debye"}
    metadata = {"_property_unit_dict": properties, "_distance_unit": units[2], "atomrefs": {}}
    write_schnetpack(tmp_path / "a.db", energy, length, metadata)
    assert reader_of(tmp_path / "a.db", None).name == "schnetpack"
    data = File(train=str(tmp_path / "a.db")).load()
    for i, one in enumerate(copper()):
        np.testing.assert_allclose(data.structures[i].positions, one.positions, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(data.structures[i].cell.array, one.cell.array, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(data.forces[i], one.arrays["forces"], rtol=1e-5, atol=1e-7)
        assert data.energies[i] == pytest.approx(one.info["energy"], rel=1e-6)
    np.testing.assert_array_equal(data.frames[0].info["dipole"], np.ones(3))


def test_a_unit_of_schnetpack_that_is_not_known_is_named(tmp_path):
    properties = {"energy": "furlong", "forces": "eV/Ang"}
    write_schnetpack(
        tmp_path / "a.db", 1.0, 1.0, {"_property_unit_dict": properties, "_distance_unit": "Ang"}
    )
    refusal(tmp_path / "a.db", "energy is in 'furlong'; known are angstrom, .*dataset.format=db")
    assert len(File(train=str(tmp_path / "a.db"), format="db").load()) == 12


def test_a_database_without_units_is_one_of_ase(tmp_path):
    write_schnetpack(tmp_path / "a.db", 1.0, 1.0, {"title": "copper"})
    assert reader_of(tmp_path / "a.db", None).name == "db"


# CP2K


def test_a_trajectory_of_cp2k(tmp_path):
    path = write_cp2k(tmp_path)
    assert reader_of(path, None).name == "cp2k"
    data = File(train=str(path)).load()
    for i, one in enumerate(copper()):
        np.testing.assert_allclose(data.structures[i].positions, one.positions, atol=1e-11)
        np.testing.assert_allclose(data.structures[i].cell.array, one.cell.array, atol=1e-11)
        np.testing.assert_allclose(data.forces[i], one.arrays["forces"], rtol=1e-6, atol=1e-7)
        assert data.energies[i] == pytest.approx(one.info["energy"], rel=1e-6)


def test_the_forces_of_cp2k_are_not_read_as_positions(tmp_path):
    write_cp2k(tmp_path)
    refusal(tmp_path / "melt-frc-1.xyz", "holds forces or velocities of CP2K; name <project>-pos-1.xyz")
    assert len(File(train=str(tmp_path)).load()) == 12  # a folder gives the trajectory once


def replaced(old: str, new: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "spoil", "says"),
    [
        ("melt-frc-1.xyz", Path.unlink, "melt-frc-1.xyz is not beside it; &MOTION &PRINT &FORCES"),
        ("melt-1.cell", Path.unlink, "melt-1.cell is not beside it; &MOTION &PRINT &CELL"),
        ("melt-frc-1.xyz", replaced("i =        5", "i =        6"), "the step 5, melt-frc-1.xyz 6"),
        ("melt-frc-1.xyz", replaced("Cu", "Au"), "the step 0, melt-frc-1.xyz 0"),
        (
            "melt-1.cell",
            lambda p: p.write_text("\n".join(p.read_text().splitlines()[:-1])),
            "the step 55.*lacks",
        ),
        ("melt-pos-1.xyz", lambda p: p.write_text(p.read_text()[:-80]), "is cut, or is no file of CP2K"),
        ("melt-frc-1.xyz", replaced("E =", "E = 0, E ="), "is cut, or is no file of CP2K, at 'i ="),
    ],
)
def test_trajectories_of_cp2k_whose_files_do_not_fit_are_refused(tmp_path, file, spoil, says):
    path = write_cp2k(tmp_path)
    spoil(tmp_path / file)
    refusal(path, says)


# ColabFit


def test_rows_of_colabfit_keep_their_names(tmp_path):
    write_colabfit(tmp_path / "co_0.parquet")
    keys = {"forces_key": "atomic_forces", "stress_key": "cauchy_stress", "group_key": "labels"}
    data = File(train=str(tmp_path / "co_0.parquet"), **keys).load()
    assert data.frames[3].info["names"] == "copper 3" and set(data.groups) == {"hot bulk"}
    assert "formation_energy" not in data.frames[3].info
    np.testing.assert_array_equal(data.forces[3], copper()[3].arrays["forces"])
    np.testing.assert_allclose(data.stresses[3], copper()[3].info["stress"], rtol=1e-14)


def test_damaged_files_of_colabfit_are_refused(tmp_path):
    import pandas as pd

    path = tmp_path / "co_0.parquet"
    write_colabfit(path)
    data = path.read_bytes()
    path.write_bytes(data[:-40])
    refusal(path, "looks like a Parquet file")
    path.write_bytes(data[:200] + bytes(40) + data[240:])
    refusal(path, "cannot be read as colabfit|looks like a Parquet file")
    path.write_bytes(data)
    pd.read_parquet(path).assign(cell=None).to_parquet(path)
    refusal(path, "a row has no cell")


# VASP under other names


@pytest.mark.parametrize("pack", [None, gzip, bz2, lzma])
@pytest.mark.parametrize("name", ["vasprun_12.xml", "OUTCAR_3", "run 7/result"])
def test_results_of_vasp_under_any_name(tmp_path, pack, name):
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (write_outcar if name == "OUTCAR_3" else write_vasprun)(path, copper(), [0.02] * 12)
    if pack:
        path.write_bytes(pack.compress(path.read_bytes()))
    np.testing.assert_allclose(
        File(train=str(path)).load().energies, [a.info["energy"] for a in copper()], atol=1e-6
    )


# files that none reads


def write_h5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["energies"] = np.arange(3.0)


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("set.xyz", "1\n\nCu 0 0 0\n")


def write_table(path: Path) -> None:
    import pandas as pd

    pd.DataFrame({"energy": [1.0]}).to_parquet(path)


BOX = "ITEM: BOX BOUNDS pp pp pp\n0 9\n0 9\n0 9\n"
DUMP = f"ITEM: TIMESTEP\n0\nITEM: NUMBER OF ATOMS\n1\n{BOX}ITEM: ATOMS id type x y z\n1 1 0 0 0\n"
FOREIGN: dict[str, tuple[Callable[[Path], object], str]] = {
    "set.h5": (write_h5, "looks like an HDF5 file, .*h5py"),
    "set.parquet": (write_table, "looks like a Parquet file, .*pandas.read_parquet"),
    "set.zip": (write_zip, "looks like a zip archive.*unpack it"),
    "set.tar": (
        lambda p: p.write_bytes(b"set.xyz".ljust(257, b"\0") + b"ustar" + bytes(250)),
        "a tar archive",
    ),
    "set.aselmdb": (lambda p: p.write_bytes(bytes(16) + b"\xde\xc0\xef\xbe" + bytes(9)), "an LMDB database"),
    "set.npz": (lambda p: np.savez(p, conf=np.zeros(3), t=1), "is an .npz file with conf, t, .*z, R, E, F"),
    "set.npy": (lambda p: np.save(p, np.zeros(3)), "a single NumPy array"),
    "set.xyz": (lambda p: p.write_text("version https://git-lfs.github.com/spec/v1\n"), "git lfs pull"),
    "page.xyz": (lambda p: p.write_text("<!doctype HTML><p>not found"), "a web page"),
    "empty.xyz": (lambda p: p.touch(), "empty.xyz is empty and holds no structure"),
    "POSCAR": (lambda p: ase.io.write(p, copper()[0], format="vasp"), "POSCAR or CONTCAR, .*vasprun.xml"),
    "dump.lammpstrj": (lambda p: p.write_text(DUMP), "a dump of LAMMPS"),
    "a.cif": (lambda p: ase.io.write(p, copper()[0]), "a CIF file, which holds structures without energies"),
    "md.out": (lambda p: p.write_text(" DBCSR| CPU Multiplication driver  BLAS\n"), "output of CP2K.*dpdata"),
    "what": (lambda p: p.write_bytes(bytes(range(200))), "format of .*what is not recognised"),
    "what.txt": (lambda p: p.write_text("one two\n"), "format of .*what.txt is not recognised"),
}


@pytest.mark.parametrize("name", FOREIGN)
@pytest.mark.parametrize("packed", [False, True])
def test_a_file_that_is_not_read_is_named_with_the_way_to_read_it(tmp_path, name, packed):
    write, says = FOREIGN[name]
    write(tmp_path / name)
    if packed and name not in ("empty.xyz", "POSCAR", "a.cif", "set.npz"):
        path = tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        refusal(path, says.replace("what is", "what.gz is").replace("what.txt is", "what.txt.gz is"))
    else:
        refusal(tmp_path / name, says)
