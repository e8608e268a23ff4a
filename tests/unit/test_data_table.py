"""The table in docs/data.md: every row is checked here against a reading that owes nothing to tamis."""

import csv
import gzip
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import ase.db
import ase.io
import numpy as np
import pandas as pd
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from tests.composing import composed
from tests.espresso_files import A_PER_BOHR, EV_PER_RY, write_pw
from tests.format_files import (
    BOHR,
    HARTREE,
    KCAL,
    molecules,
    table,
    write_colabfit,
    write_cp2k,
    write_schnetpack,
    write_system,
)
from tests.labelled_copper import copper
from tests.text_files import GPA, cfg, input_data, write_fitsnap, xyzf
from tests.vasp_files import KBAR_PER_EV_PER_A3, full, write_outcar, write_vasprun

from tamis.data.sources.file import File
from tamis.engines.lammps import LammpsCalculator
from tamis.records.record import COMPLETE
from tamis.trial import run_trial

SMEARING = [0.02 + 0.001 * i for i in range(12)]
TABLE = re.findall(  # rows of five columns, which no other table of the page has
    r"^\| (\S+) \|(?! source program)(?:[^|\n]*\|){4}$",
    (Path(__file__).parents[2] / "docs" / "data.md").read_text(),
    re.M,
)


@dataclass(frozen=True)
class Reading:
    """Of one structure: positions and forces (n, 3), cell and stress (3, 3), in eV and Å, ASE's sign."""

    positions: np.ndarray
    cell: np.ndarray
    energy: float
    forces: np.ndarray
    stress: np.ndarray


def in_calculators() -> list:
    frames = []
    for one in copper():
        atoms = one.copy()
        results = {name: atoms.info.pop(name) for name in ("energy", "stress")}
        atoms.calc = SinglePointCalculator(atoms, forces=atoms.arrays.pop("forces"), **results)
        frames.append(atoms)
    return frames


def extxyz(path: Path) -> list[Reading]:
    ase.io.write(path, in_calculators(), format="extxyz")
    lines, found = path.read_text().splitlines(), []
    while lines:
        n, header = int(lines[0]), lines[1]
        rows = np.array([line.split()[1:7] for line in lines[2 : n + 2]], dtype=float)
        cell, stress = (
            np.array(re.search(rf'{name}="([^"]+)"', header)[1].split(), dtype=float).reshape(3, 3)
            for name in ("Lattice", "stress")
        )
        energy = float(re.search(r"energy=(\S+)", header)[1])
        found.append(Reading(rows[:, :3], cell, energy, rows[:, 3:], stress))
        lines = lines[n + 2 :]
    return found


def packed(path: Path) -> list[Reading]:
    plain = path.with_suffix("")
    found = extxyz(plain)
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return found


def rows(path: Path) -> list[Reading]:
    with ase.db.connect(path) as database:
        for atoms in in_calculators():
            database.write(atoms)
    return [
        Reading(row.positions, row.cell, row.energy, row.forces, full(row.stress))
        for row in ase.db.connect(path).select()
    ]


def json_rows(path: Path) -> list[Reading]:
    rows(path)

    def array(value: dict) -> np.ndarray:
        shape, kind, data = value["__ndarray__"]
        return np.array(data, dtype=kind).reshape(shape)

    content, found = json.loads(path.read_text()), []
    for number in content["ids"]:
        row = content[str(number)]
        cell = row["cell"]["array"] if "array" in row["cell"] else row["cell"]
        found.append(
            Reading(
                array(row["positions"]),
                array(cell),
                row["energy"],
                array(row["forces"]),
                full(array(row["stress"])),
            )
        )
    return found


def trajectory(path: Path) -> list[Reading]:
    ase.io.write(path, in_calculators())
    return [
        Reading(a.positions, a.cell.array, a.get_potential_energy(), a.get_forces(), full(a.get_stress()))
        for a in ase.io.Trajectory(path)
    ]


def vasprun(path: Path) -> list[Reading]:
    write_vasprun(path, copper(), SMEARING)

    def numbers(node: ET.Element) -> np.ndarray:
        return np.array([v.text.split() for v in node.findall("v")], dtype=float)

    found = []
    for step in ET.parse(path).getroot().findall("calculation"):
        cell = numbers(step.find("structure/crystal/varray[@name='basis']"))
        positions = numbers(step.find("structure/varray[@name='positions']")) @ cell
        energy = float(step.find("energy/i[@name='e_fr_energy']").text)
        stress = -numbers(step.find("varray[@name='stress']")) / KBAR_PER_EV_PER_A3
        found.append(Reading(positions, cell, energy, numbers(step.find("varray[@name='forces']")), stress))
    return found


def outcar(path: Path) -> list[Reading]:
    write_outcar(path, copper(), SMEARING)
    lines, found = path.read_text().splitlines(), []
    for i, line in enumerate(lines):
        if "in kB" in line:
            xx, yy, zz, xy, yz, zx = (-float(word) / KBAR_PER_EV_PER_A3 for word in line.split()[2:])
            stress = np.array([[xx, xy, zx], [xy, yy, yz], [zx, yz, zz]])
        if "direct lattice vectors" in line:
            cell = np.array([row.split()[:3] for row in lines[i + 1 : i + 4]], dtype=float)
        if "TOTAL-FORCE" in line:
            table = np.array([row.split() for row in lines[i + 2 : i + 6]], dtype=float)
        if "TOTEN" in line:
            found.append(Reading(table[:, :3], cell, float(line.split()[4]), table[:, 3:], stress))
    return found


def of_n2p2(path: Path) -> list[Reading]:
    path.write_text(input_data(copper()))
    found = []
    for block in path.read_text().split("begin")[1:]:
        lines = [line.split() for line in block.splitlines() if line.strip()]
        cell, atoms = (
            np.array([[*w[1:4], *w[-3:]] for w in lines if w[0] == key], dtype=float)
            for key in ("lattice", "atom")
        )
        energy = next(float(words[1]) for words in lines if words[0] == "energy")
        forces = atoms[:, 3:] * HARTREE / BOHR
        stress = np.full((3, 3), np.nan)  # the format has none
        found.append(Reading(atoms[:, :3] * BOHR, cell[:, :3] * BOHR, energy * HARTREE, forces, stress))
    return found


def of_chimes(path: Path) -> list[Reading]:
    path.write_text(xyzf(copper()))
    lines, found = path.read_text().splitlines(), []
    for i in range(0, len(lines), 6):
        header = np.array(lines[i + 1].split()[1:], dtype=float)
        xx, yy, zz, xy, xz, yz = -header[9:15] * GPA
        stress = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
        table = np.array([line.split()[1:] for line in lines[i + 2 : i + 6]], dtype=float)
        forces = table[:, 3:] * HARTREE / BOHR
        found.append(Reading(table[:, :3], header[:9].reshape(3, 3), header[15] * KCAL, forces, stress))
    return found


def of_mlip(path: Path) -> list[Reading]:
    path.write_text(cfg(copper()))
    found = []
    for block in path.read_text().split("BEGIN_CFG")[1:]:
        lines = [line.split() for line in block.splitlines()]
        after = {words[0]: i + 1 for i, words in enumerate(lines) if words}
        cell = np.array(lines[after["Supercell"] : after["Supercell"] + 3], dtype=float)
        table = np.array(lines[after["AtomData:"] : after["AtomData:"] + 4], dtype=float)
        virial = np.array(lines[after["PlusStress:"]], dtype=float)
        energy = float(lines[after["Energy"]][0])
        stress = full(-virial / np.linalg.det(cell))
        found.append(Reading(table[:, 2:5], cell, energy, table[:, 5:], stress))
    return found


def of_fitsnap(path: Path) -> list[Reading]:
    frames = [atoms.copy() for atoms in copper()]
    for i, atoms in enumerate(frames):  # folders in the order of the frames
        atoms.info["config_type"] = f"group_{i // 6}"
    found = []
    for one in write_fitsnap(path.parents[1], frames):
        data = json.loads(one.read_text().removeprefix("# file\n"))["Dataset"]["Data"][0]
        stress = -np.array(data["Stress"]) / 1602176.6208
        arrays = (np.array(data[name]) for name in ("Positions", "Lattice"))
        found.append(Reading(*arrays, data["Energy"], np.array(data["Forces"]), stress))
    return found


def pw_output(path: Path) -> list[Reading]:
    write_pw(path, copper())
    found = []
    for run in path.read_text().split("Program PWSCF")[1:]:
        lines = run.splitlines()
        places = {
            key: next(i for i, line in enumerate(lines) if key in line)
            for key in ("celldm(1)", "crystal axes", "site n.", "!", "Forces acting", "total   stress")
        }

        def rows(key: str, skip: int, n: int, lines=lines, places=places) -> np.ndarray:
            block = lines[places[key] + skip : places[key] + skip + n]
            return np.array([re.findall(r"-?\d+\.\d+", line)[:3] for line in block], dtype=float)

        unit = float(lines[places["celldm(1)"]].split()[1]) * A_PER_BOHR
        energy = float(lines[places["!"]].split()[4]) * EV_PER_RY
        forces = rows("Forces acting", 2, 4) * EV_PER_RY / A_PER_BOHR
        stress = -rows("total   stress", 1, 3) * EV_PER_RY / A_PER_BOHR**3
        found.append(
            Reading(rows("site n.", 1, 4) * unit, rows("crystal axes", 1, 3) * unit, energy, forces, stress)
        )
    return found


def pickled(path: Path) -> list[Reading]:
    table().to_pickle(path, compression="gzip")
    return [
        Reading(
            row.ase_atoms.positions, row.ase_atoms.cell, row.energy, np.array(row.forces), full(row.stress)
        )
        for row in pd.read_pickle(path, compression="gzip").itertuples()
    ]


def deepmd_folder(path: Path) -> list[Reading]:
    write_system(path, list(copper()), per_set=99)
    coord, box, energy, force, virial = (
        np.load(path / "set.000" / f"{name}.npy") for name in ("coord", "box", "energy", "force", "virial")
    )
    return [
        Reading(x.reshape(4, 3), c, e, f.reshape(4, 3), -v.reshape(3, 3) / np.linalg.det(c))
        for x, c, e, f, v in zip(coord, box.reshape(-1, 3, 3), energy, force, virial, strict=True)
    ]


NO_STRESS = np.full((3, 3), np.nan)


def npz(path: Path) -> list[Reading]:
    np.savez(path, **molecules())
    with np.load(path) as file:
        return [
            Reading(x, np.zeros((3, 3)), e.item() * KCAL, f * KCAL, NO_STRESS)
            for x, e, f in zip(file["R"], file["E"], file["F"], strict=True)
        ]


def schnetpack(path: Path) -> list[Reading]:
    units = {"energy": "kcal/mol", "forces": "kcal/mol/Ang"}
    write_schnetpack(path, KCAL, 1.0, {"_property_unit_dict": units, "_distance_unit": "Ang"})
    return [
        Reading(row.positions, row.cell, row.data.energy[0] * KCAL, row.data.forces * KCAL, NO_STRESS)
        for row in ase.db.connect(path).select()
    ]


def colabfit(path: Path) -> list[Reading]:
    write_colabfit(path)
    return [
        Reading(
            np.vstack(row.positions),
            np.vstack(row.cell),
            row.energy,
            np.vstack(row.atomic_forces),
            np.vstack(row.cauchy_stress),
        )
        for row in pd.read_parquet(path).itertuples()
    ]


def cp2k(path: Path) -> list[Reading]:
    write_cp2k(path.parent)
    found = []
    cells = np.loadtxt(path.with_name("melt-1.cell"))[:, 2:11].reshape(-1, 3, 3)
    positions, forces = (
        path.with_name(f"melt-{name}-1.xyz").read_text().splitlines() for name in ("pos", "frc")
    )
    for i, cell in enumerate(cells):
        x, f = (
            np.array([line.split()[1:] for line in lines[6 * i + 2 : 6 * i + 6]], dtype=float)
            for lines in (positions, forces)
        )
        energy = float(positions[6 * i + 1].rpartition("=")[2]) * HARTREE
        found.append(Reading(x, cell, energy, f * HARTREE / BOHR, NO_STRESS))
    return found


CHECKS: dict[str, tuple[str, Callable[[Path], list[Reading]]]] = {
    "extxyz": ("set.xyz", extxyz),
    "extxyz.gz": ("set.xyz.gz", packed),
    "db": ("set.db", rows),
    "json": ("set.json", json_rows),
    "traj": ("set.traj", trajectory),
    "vasp-xml": ("vasprun.xml", vasprun),
    "vasp-out": ("OUTCAR", outcar),
    "n2p2": ("input.data", of_n2p2),
    "xyzf": ("set.xyzf", of_chimes),
    "mtp-cfg": ("train.cfg", of_mlip),
    "fitsnap": ("JSON/*/*.json", of_fitsnap),
    "espresso-out": ("pw.out", pw_output),
    "colabfit": ("co_0.parquet", colabfit),
    "cp2k": ("melt-pos-1.xyz", cp2k),
    "pacemaker": ("set.pckl.gzip", pickled),
    "deepmd": ("system", deepmd_folder),
    "npz": ("molecule.npz", npz),
    "schnetpack": ("schnet.db", schnetpack),
}
ROUNDED = {"npz": 1e-6, "n2p2": 1e-6, "xyzf": 1e-6, "schnetpack": 1e-6, "cp2k": 1e-6, "espresso-out": 1e-6}
"""Relative; the factors above have seven digits, and ASE's units of Quantum ESPRESSO are those of 2006."""
OPTIONS = {
    "n2p2": {"units": {"length": "bohr", "energy": "hartree"}},
    "mtp-cfg": {"species": "Cu"},
}


def test_every_row_of_the_table_has_a_check_and_the_other_way_round():
    assert sorted(TABLE) == sorted(CHECKS)


@pytest.mark.parametrize("name", CHECKS)
def test_what_is_read_is_what_the_file_says(tmp_path, name):
    file, write_and_read = CHECKS[name]
    theirs = write_and_read(tmp_path / file)
    ours = File(train=str(tmp_path / file), **OPTIONS.get(name, {})).load()
    near = {"rtol": ROUNDED.get(name, 1e-7), "atol": 1e-9}
    assert len(ours) == len(theirs) == len(copper())
    for i, reading in enumerate(theirs):
        np.testing.assert_allclose(ours.structures[i].positions, reading.positions, **near)
        np.testing.assert_allclose(ours.structures[i].cell.array, reading.cell, **near)
        assert ours.energies[i] == pytest.approx(reading.energy, rel=ROUNDED.get(name, 1e-12), abs=1e-9)
        np.testing.assert_allclose(ours.forces[i], reading.forces, **near)
        np.testing.assert_allclose(full(ours.stresses[i]), reading.stress, **near)
        assert ours.energies[i] == pytest.approx(copper()[i].info["energy"], abs=1e-6)  # and what was meant
        if np.isfinite(reading.stress).all():
            np.testing.assert_allclose(ours.stresses[i], copper()[i].info["stress"], atol=1e-6)


def test_lammps_finds_the_test_errors_from_the_written_potential_and_the_file_alone(tmp_path):
    extxyz(tmp_path / "set.xyz")
    config = composed(
        "dataset=file",
        f"dataset.train='{tmp_path / 'set.xyz'}'",
        "dataset.test_fraction=0.25",
        *(
            "model.basis.twojmax=4",
            "descriptor.twojmax=4",
            "budget=all",
            f"store.root='{tmp_path / 'store'}'",
        ),
    )
    record = run_trial(config, {}, tmp_path)
    assert record.status == COMPLETE, record.reason
    lines = (tmp_path / "potential" / "in.potential").read_text().splitlines()[1:]
    commands = [line.replace('"SNAP', f'"{tmp_path}/potential/SNAP') for line in lines]
    calculator = LammpsCalculator(commands, ("Cu",), 5.0)
    frames = ase.io.read(tmp_path / "set.xyz", ":")
    with (tmp_path / "test_errors.csv").open() as file:
        errors = list(csv.DictReader(file))
    assert len(errors) == 3
    for row in errors:
        labels = frames[int(row["id"].partition("#")[2])]
        atoms = labels.copy()
        atoms.calc = calculator
        energy = 1000 * (atoms.get_potential_energy() - labels.get_potential_energy()) / len(atoms)
        force = np.abs(atoms.get_forces() - labels.get_forces()).mean()
        assert float(row["energy_error_meV_per_atom"]) == pytest.approx(energy, rel=1e-4, abs=1e-4)
        assert float(row["force_mae_eV_per_A"]) == pytest.approx(force, rel=1e-4)
