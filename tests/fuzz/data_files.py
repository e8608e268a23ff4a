"""Files of structures and of rows: XYZ, text of other programs, mlearn's JSON, archives, blocks of the store."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from tests.fuzz.kinds import Kind, WrongAnswer
from tests.fuzz.mutate import Rng, pick, spoiled, spoiled_json
from tests.text_files import BOHR, HARTREE, KCAL, cfg, dataset_of, input_data, xyzf

from tamis.bases.snap import SnapBasis
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.readers.formats import read_frames, reader_of
from tamis.data.sources.archive import read_archive, write_archive
from tamis.data.sources.file import File
from tamis.data.sources.mlearn import Mlearn
from tamis.store import Store, make_block, read_block

Table = tuple[list[float], list[list[float]]]
"""Energies, and positions of all atoms."""


def made(n: int, elements: str = "Si") -> list[Atoms]:
    """Rattled cells with labels whose forces sum to zero."""
    frames = []
    for i in range(n):
        rng = np.random.default_rng(i)
        atoms = bulk("Si", a=5.43, cubic=i % 2 == 0)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        forces = rng.normal(size=atoms.positions.shape)
        atoms.calc = SinglePointCalculator(
            atoms,
            energy=-4.6 * len(atoms) + 0.01 * i,
            forces=forces - forces.mean(axis=0),
            stress=0.01 * rng.normal(size=6),
        )
        atoms.info["config_type"] = ("bulk", "hot one")[i % 2]
        frames.append(atoms)
    return frames


# extended XYZ


def prepare_extxyz(folder: Path) -> bytes:
    path = folder / "good.xyz"
    ase.io.write(path, made(3), format="extxyz")
    return path.read_bytes()


def run_extxyz(rng: Rng, good: bytes, folder: Path) -> None:
    path = folder / f"{rng.integers(2**40)}.{pick(rng, ('xyz', 'extxyz', 'xyz', 'txt'))}"
    path.write_bytes(spoiled(rng, good))
    try:
        keys = {
            "virial_key": pick(rng, ("auto", "stress", None)),
            "block_key": pick(rng, (None, "config_type")),
        }
        file_format = pick(rng, (None, "extxyz", "extxyz"))
        source = File(elements=("Si", "Ge"), atom_spacing=2.7, train=str(path), format=file_format, **keys)
        compare_with_ase(source.load(), path, file_format)
    finally:
        path.unlink()


def compare_with_ase(dataset: Dataset, path: Path, file_format: str | None) -> None:
    """What was taken is finite and is what ASE reads."""
    frames = ase.io.read(path, index=":", format=file_format)
    same = len(dataset) == len(frames)
    for i, atoms in enumerate(frames if same else ()):
        energy = atoms.info.get("energy", atoms.calc.results.get("energy") if atoms.calc else None)
        ours = dataset.structures[i]
        same &= bool(
            np.array_equal(ours.positions, atoms.positions) and (ours.numbers == atoms.numbers).all()
        )
        same &= dataset.energies[i] == energy and bool(np.isfinite(ours.cell.array).all())
        theirs = atoms.calc.results.get("forces") if atoms.calc else atoms.arrays.get("forces")
        theirs = np.full((len(atoms), 3), np.nan) if theirs is None else theirs  # structures may lack forces
        same &= np.array_equal(dataset.forces[i], theirs, equal_nan=True)
    if not same:
        raise WrongAnswer("the data set is not what ASE reads")


# text of other programs


def plain(n: int) -> list[Atoms]:
    """``made`` with its labels where ``tests.text_files`` wants them."""
    frames = made(n)
    for atoms in frames:
        atoms.info |= {key: atoms.calc.results[key] for key in ("energy", "stress")}
        atoms.arrays["forces"] = atoms.calc.results["forces"]
        atoms.calc = None
    return frames


def tables_of_n2p2(text: str) -> Table:
    rows = [line.split() for line in text.splitlines() if line.split()]
    energies = [float(row[1]) * HARTREE for row in rows if row[0] == "energy"]
    return energies, [[float(x) * BOHR for x in row[1:4]] for row in rows if row[0] == "atom"]


def tables_of_chimes(text: str) -> Table:
    lines, energies, positions = iter(line for line in text.splitlines() if line.strip()), [], []
    for line in lines:
        header = next(lines).split()
        if (len(header) - (10 if header[0].startswith("NON") else 3)) % 3 == 1:  # stresses are 3 or 6
            energies.append(float(header[-1]) * KCAL)
        positions += [[float(x) for x in next(lines).split()[1:4]] for _ in range(int(line))]
    return energies, positions


def tables_of_mlip(text: str) -> Table:
    rows = [line.split() for line in text.splitlines() if line.split()]
    energies = [float(rows[i + 1][0]) for i, row in enumerate(rows) if row == ["Energy"]]
    return energies, [[float(x) for x in row[2:5]] for row in rows if len(row) == 8 and row[0].isdigit()]


def tables_of_fitsnap(text: str) -> Table:
    content = json.loads(text.partition("\n")[2] if text.startswith("#") else text)["Dataset"]["Data"]
    return [float(one["Energy"]) for one in content if "Energy" in one], [
        x for one in content for x in one["Positions"]
    ]


TEXTS: dict[str, tuple[str, Callable[[], str], Callable[[str], Table]]] = {
    "n2p2": ("input.data", lambda: input_data(plain(3)), tables_of_n2p2),
    "xyzf": ("set.xyzf", lambda: xyzf(plain(3)), tables_of_chimes),
    "mtp-cfg": ("train.cfg", lambda: cfg(plain(3)), tables_of_mlip),
    "fitsnap": (
        "one.json",
        lambda: "# file\n" + json.dumps(dataset_of(plain(1)[0]), indent=1),
        tables_of_fitsnap,
    ),
}
"""By format: the file's name, what is good, and what reads energies (eV) and positions (Å) from any of it."""


def run_text(name: str, rng: Rng, good: bytes, folder: Path) -> None:
    file, _, tables = TEXTS[name]
    path = folder / file
    path.write_bytes(spoiled(rng, good))
    reader = reader_of(path, pick(rng, (None, name)))
    frames = list(read_frames(path, reader, ["Si"]))
    if reader.guess is not None:
        reader.guess(frames)
    if reader.name != name:
        return
    energies, positions = tables(path.read_text())
    found = [atoms.info["energy"] for atoms in frames if "energy" in atoms.info]
    length, energy = (BOHR, HARTREE) if name == "n2p2" else (1.0, 1.0)
    where = np.concatenate([atoms.positions for atoms in frames]) * length
    same = len(found) == len(energies) and np.allclose(
        np.array(found) * energy, energies, rtol=1e-7, equal_nan=True
    )
    shapes = all(
        atoms.arrays["forces"].shape == (len(atoms), 3) for atoms in frames if "forces" in atoms.arrays
    )
    if not (same and shapes and np.allclose(where, positions, rtol=1e-7, equal_nan=True)):
        raise WrongAnswer("structures are not what the file says")


# mlearn's JSON


def entry(atoms: Atoms, group: str) -> dict[str, Any]:
    """A structure as the files of mlearn have it."""
    sites = [
        {"species": [{"element": s, "occu": 1}], "xyz": list(x), "abc": [0, 0, 0]}
        for s, x in zip(atoms.get_chemical_symbols(), atoms.positions.tolist(), strict=True)
    ]
    results = atoms.calc.results
    return {
        "structure": {"lattice": {"matrix": atoms.cell.array.tolist()}, "sites": sites},
        "outputs": {
            "energy": results["energy"],
            "forces": results["forces"].tolist(),
            "virial_stress": (100 * results["stress"]).tolist(),
        },
        "group": group,
        "description": f"Snapshot 3 of 20 of AIMD NVT simulation at {300 + len(atoms)} K",
        "num_atoms": len(atoms),
    }


def prepare_mlearn(folder: Path) -> list[Any]:
    (folder / "Si").mkdir()
    whole = [entry(atoms, ("AIMD-NVT", "Elastic")[i % 2]) for i, atoms in enumerate(made(4))]
    (folder / "Si" / "test.json").write_text(json.dumps(whole[:1]))
    return whole[1:]


def run_mlearn(rng: Rng, good: list[Any], folder: Path) -> None:
    text = json.dumps(spoiled_json(rng, good) if rng.random() < 0.8 else good).encode()
    text = spoiled(rng, text) if rng.random() < 0.3 else text
    (folder / "Si" / "training.json").write_bytes(text)
    split = pick(rng, ("published", "grouped"))
    source = Mlearn(
        elements=("Si",),
        atom_spacing=2.7,
        element="Si",
        root=str(folder),
        base_url="",
        verify=False,
        split=split,
    )
    dataset = source.load()
    entries = json.loads(text)
    energies = [float(one["outputs"]["energy"]) for one in entries]
    if len(dataset) != len(entries) + 1 or not np.array_equal(dataset.energies[:-1], energies):
        raise WrongAnswer("the data set is not what the file says")


# archives of data sets


def prepare_archive(folder: Path) -> tuple[bytes, str]:
    path = folder / "set.npz"
    ase.io.write(folder / "good.xyz", made(4), format="extxyz")
    dataset = File(elements=("Si",), atom_spacing=2.7, train=str(folder / "good.xyz")).load()
    write_archive(path, dataset)
    return path.read_bytes(), dataset.fingerprint


def run_archive(rng: Rng, good: tuple[bytes, str], folder: Path) -> None:
    path = folder / "set.npz"
    path.write_bytes(spoiled(rng, good[0]))
    if read_archive(path).fingerprint != good[1]:
        raise WrongAnswer("another data set was read from a damaged archive")


# blocks of the store


def prepare_block(folder: Path) -> tuple[bytes, np.ndarray, Store, SnapBasis, Atoms]:
    basis = SnapBasis(("Si",), 4.2, 2, 0.99363, 0.0, None, None)
    atoms = made(1)[0]
    path = folder / "block.npy"
    make_block(basis, atoms, path, "design")
    block = read_block(path)
    assert block is not None
    store = Store(root=folder / "store", n_jobs=1)
    store.design(basis, [atoms])
    return path.read_bytes(), block.copy(), store, basis, atoms


def run_block(rng: Rng, good: tuple[bytes, np.ndarray, Store, SnapBasis, Atoms], folder: Path) -> None:
    data, block, store, basis, atoms = good
    path = folder / "block.npy"
    path.write_bytes(_with_checksum(rng, spoiled(rng, data)))
    try:
        found = read_block(path)
    except TamisError:
        raise
    if found is not None and path.read_bytes()[-4:] == data[-4:] and not np.array_equal(found, block):
        raise WrongAnswer("other numbers were read from a damaged block")
    if rng.random() < 0.05:  # the whole way: damaged, found out, made again
        own = next(store.root.glob("*/design/*/*.npy"))
        own.write_bytes(spoiled(rng, data))
        if not np.array_equal(store.design(basis, [atoms])[0].forces.ravel(), block[8:-6].ravel()):
            raise WrongAnswer("a damaged block was not made again")


def _with_checksum(rng: Rng, data: bytes) -> bytes:
    """Sometimes the right checksum of spoiled content: what a hostile hand would write."""
    import zlib

    if rng.random() < 0.5 or len(data) < 5:
        return data
    return data[:-4] + zlib.crc32(data[:-4]).to_bytes(4, "little")


KINDS = (
    Kind("extxyz", prepare_extxyz, run_extxyz, 12),
    *(
        Kind(f"text {name}", lambda folder, good=good: good().encode(), partial(run_text, name), 4)
        for name, (_, good, _) in TEXTS.items()
    ),
    Kind("mlearn json", prepare_mlearn, run_mlearn, 14),
    Kind("archive", prepare_archive, run_archive, 10),
    Kind("store block", prepare_block, run_block, 16),
)
