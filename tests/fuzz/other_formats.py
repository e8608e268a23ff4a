"""Files and folders of other programs: pickled tables, folders of arrays, archives, databases, outputs."""

from __future__ import annotations

import gzip
import io
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from tests.espresso_files import write_pw
from tests.format_files import molecules, table, write_colabfit, write_cp2k, write_schnetpack, write_system
from tests.fuzz.kinds import Kind, WrongAnswer
from tests.fuzz.mutate import Rng, pick, spoiled
from tests.labelled_copper import copper
from tests.vasp_files import write_outcar, write_vasprun

from tamis.data.dataset import Dataset
from tamis.data.readers.formats import reader_of
from tamis.data.sources.file import File


def load(path: Path, name: str | None, **keys: str) -> Dataset:
    units = None if path.is_dir() or path.suffix != ".npz" else "metal"  # else those of MD17
    dataset = File(
        elements=("Cu",), atom_spacing=2.3, train=str(path), format=name, units=units, **keys
    ).load()
    for atoms, forces in zip(dataset.structures, dataset.forces, strict=True):
        good = (
            np.isfinite(atoms.positions).all()
            and (np.isfinite(forces).all() or np.isnan(forces).all())  # a structure may lack forces
            and forces.shape == (len(atoms), 3)
        )
        if not good or not np.isfinite(dataset.energies).all():
            raise WrongAnswer("numbers that are not finite were taken")
    return dataset


def compare(dataset: Dataset, energies: list[float]) -> None:
    if len(energies) != len(dataset) or not np.allclose(dataset.energies, energies, rtol=1e-5):
        raise WrongAnswer("the energies are not those of the file")


# pickles


def prepare_pickles(folder: Path) -> list[bytes]:
    made = [pickle.dumps(table(), protocol=protocol) for protocol in (2, 4, 5)]
    return [*made, pickle.dumps(list(copper()))]


def run_pickle(rng: Rng, good: list[bytes], folder: Path) -> None:
    path = folder / f"{rng.integers(2**40)}.pckl.gzip"
    data = spoiled(rng, pick(rng, good))
    path.write_bytes(gzip.compress(data, 1) if rng.random() < 0.5 else data)
    try:
        load(path, pick(rng, (None, "pacemaker")))
    finally:
        path.unlink()


# a folder of DeePMD-kit


def prepare_deepmd(folder: Path) -> Path:
    write_system(folder / "good", list(copper()))
    return folder / "good"


def run_deepmd(rng: Rng, good: Path, folder: Path) -> None:
    place = folder / f"system{rng.integers(2**40)}"
    shutil.copytree(good, place)
    try:
        files = [file for file in sorted(place.rglob("*")) if file.is_file()]
        for i in rng.permutation(len(files))[: rng.integers(0, 3)]:
            path = files[i]
            if path.suffix == ".npy" and rng.random() < 0.7:
                save_array(rng, path, np.load(path))
            elif rng.random() < 0.1:
                path.unlink()
            else:
                path.write_bytes(spoiled(rng, path.read_bytes()))
        dataset = load(place, pick(rng, (None, "deepmd")))
        files = sorted(place.glob("set.*/energy.npy"))
        compare(dataset, [float(e) for file in files for e in np.load(file).ravel()])
    finally:
        shutil.rmtree(place)


def save_array(rng: Rng, path: Path | io.BytesIO, array: np.ndarray) -> None:
    """``array`` with one number, its shape or its type changed."""
    how = rng.integers(5)
    if how == 0 and array.size:
        flat = array.ravel().copy()
        flat[rng.integers(flat.size)] = (
            pick(rng, (np.nan, np.inf, 1e300, -1.0, 0.0, 3.5)) if flat.dtype.kind == "f" else 3
        )
        array = flat.reshape(array.shape)
    elif how == 1:
        array = array[: rng.integers(len(array) + 1)] if array.ndim else array
    elif how == 2:
        array = array.reshape(-1)
    elif how == 3:
        array = array.astype(pick(rng, ("f4", "i4", "U9", "c16", "bool", "f2")))
    else:
        array = array.T
    np.save(path, array)


# one file of arrays


def prepare_npz(folder: Path) -> dict[str, np.ndarray]:
    return molecules()


def run_npz(rng: Rng, good: dict[str, np.ndarray], folder: Path) -> None:
    path = folder / f"{rng.integers(2**40)}.npz"
    arrays = dict(good)
    if rng.random() < 0.3:
        arrays |= {"N": np.full(12, 4), "Z": np.full((12, 4), 29)}
        del arrays["z"]
    if rng.random() < 0.7:
        name = pick(rng, sorted(arrays))
        buffer = io.BytesIO()
        save_array(rng, buffer, arrays[name])
        arrays[name] = np.load(io.BytesIO(buffer.getvalue()))
    if rng.random() < 0.2:
        arrays[pick(rng, ("E", "energies", "lattice", "N", "e_unit", "other"))] = np.zeros(rng.integers(4))
    np.savez(path, **arrays)
    if rng.random() < 0.4:
        path.write_bytes(spoiled(rng, path.read_bytes()))
    try:
        dataset = load(path, pick(rng, (None, "npz")))
        with np.load(path) as file:
            name = next(name for name in ("E", "energies") if name in file.files)
            compare(dataset, [float(np.real(e)) for e in file[name].ravel()])
    finally:
        path.unlink()


# a database of schnetpack


def prepare_schnetpack(folder: Path) -> bytes:
    units = {"energy": "eV", "forces": "eV/Ang"}
    write_schnetpack(folder / "good.db", 1.0, 1.0, {"_property_unit_dict": units, "_distance_unit": "Ang"})
    return (folder / "good.db").read_bytes()


def run_schnetpack(rng: Rng, good: bytes, folder: Path) -> None:
    path = folder / f"{rng.integers(2**40)}.db"
    path.write_bytes(spoiled(rng, good))
    try:
        load(path, pick(rng, (None, "schnetpack")))
    finally:
        path.unlink()


# a table of ColabFit


def prepare_colabfit(folder: Path) -> bytes:
    write_colabfit(folder / "good.parquet")
    return (folder / "good.parquet").read_bytes()


def run_colabfit(rng: Rng, good: bytes, folder: Path) -> None:
    path = folder / f"{rng.integers(2**40)}.parquet"
    path.write_bytes(spoiled(rng, good))
    try:
        load(path, pick(rng, (None, "colabfit")), forces_key="atomic_forces", stress_key="cauchy_stress")
    finally:
        path.unlink()


# texts


def prepare_texts(folder: Path) -> dict[str, bytes]:
    write_vasprun(folder / "vasprun.xml", copper(), [0.02] * 12)
    write_outcar(folder / "OUTCAR", copper(), [0.02] * 12)
    write_pw(folder / "pw.out", copper())
    return {name: (folder / name).read_bytes() for name in ("vasprun.xml", "OUTCAR", "pw.out")}


def run_text(rng: Rng, good: dict[str, bytes], folder: Path) -> None:
    name = pick(rng, sorted(good))
    path = folder / f"{rng.integers(2**40)}_{name}"
    path.write_bytes(spoiled(rng, good[name]))
    try:
        load(path, None)
    finally:
        path.unlink()


def prepare_cp2k(folder: Path) -> dict[str, bytes]:
    write_cp2k(folder)
    return {path.name: path.read_bytes() for path in folder.glob("melt-*")}


def run_cp2k(rng: Rng, good: dict[str, bytes], folder: Path) -> None:
    place = folder / f"{rng.integers(2**40)}"
    place.mkdir()
    try:
        for name, data in good.items():
            (place / name).write_bytes(spoiled(rng, data) if rng.random() < 0.4 else data)
        path = place / "melt-pos-1.xyz"
        dataset = load(path, pick(rng, (None, "cp2k")))
        if dataset.frames[0].info.keys() >= {"step"}:
            found = re.findall(r"E = +(\S+)", path.read_text())
            compare(dataset, [27.211386 * float(energy.rstrip(",")) for energy in found])
    finally:
        shutil.rmtree(place)


# any bytes


def prepare_any(folder: Path) -> list[bytes]:
    heads: list[Any] = [
        b"\x89HDF\r\n\x1a\n",
        b"PAR1",
        b"PK\x03\x04",
        b"\x80\x04",
        b"\x93NUMPY",
        b"SQLite format 3\0",
    ]
    heads += [
        b"\x1f\x8b\x08",
        b"BZh9",
        b"\xfd7zXZ\0",
        b"<modeling>",
        b" vasp.6",
        b"     8\n i = 1, E = 2\n",
        b"",
    ]
    return heads


def run_any(rng: Rng, heads: list[bytes], folder: Path) -> None:
    names = (
        "x",
        "x.xyz",
        "x.npz",
        "x.db",
        "x.gz",
        "a-pos-1.xyz",
        "x.pckl.gzip",
        "x.json",
        "x.out",
        "OUTCAR",
        "x.xml",
    )
    path = folder / pick(rng, names)
    data = pick(rng, heads) + rng.bytes(int(rng.integers(200)))
    path.write_bytes(spoiled(rng, data))
    try:
        frames: list[Atoms] = list(load(path, None).structures)
        raise WrongAnswer(f"{len(frames)} structures in no file, by {reader_of(path, None).name}")
    finally:
        path.unlink()


KINDS = (
    Kind("pickled table", prepare_pickles, run_pickle, 12),
    Kind("deepmd folder", prepare_deepmd, run_deepmd, 8),
    Kind("npz", prepare_npz, run_npz, 8),
    Kind("colabfit", prepare_colabfit, run_colabfit, 4),
    Kind("schnetpack", prepare_schnetpack, run_schnetpack, 4),
    Kind("program outputs", prepare_texts, run_text, 8),
    Kind("cp2k trajectory", prepare_cp2k, run_cp2k, 6),
    Kind("any bytes", prepare_any, run_any, 6),
)
