"""A Dataset in one file of arrays, without pickles, with a fingerprint that shows damage."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
from ase import Atoms

from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset


def write_archive(path: Path, dataset: Dataset) -> None:
    """Write ``dataset`` to ``path`` (.npz): to a temporary name first, then renamed, so that a kill leaves no half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            np.savez(
                file,
                fingerprint=np.array(dataset.fingerprint),
                n_atoms=dataset.n_atoms,
                numbers=np.concatenate([atoms.numbers for atoms in dataset.structures]),
                positions=np.concatenate([atoms.positions for atoms in dataset.structures]),
                cells=np.array([atoms.cell.array for atoms in dataset.structures]),
                periodic=np.array([atoms.pbc for atoms in dataset.structures]),
                energies=dataset.energies,
                forces=np.concatenate(dataset.forces),
                stresses=dataset.stresses,
                groups=np.array(dataset.groups),
                blocks=np.array(dataset.blocks),
                ids=np.array(dataset.ids),
                is_test=dataset.is_test,
            )
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def read_archive(path: Path) -> Dataset:
    """The Dataset in ``path``.

    Raises
    ------
    FileNotFoundError : there is none.
    TamisError : the file is damaged or from elsewhere.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # this program writes without compression: a file that unpacks to gigabytes is from elsewhere
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise TamisError("it is compressed")
        with np.load(path, allow_pickle=False) as file:
            content = {name: file[name] for name in file.files}
        dataset = from_arrays(content)
        intact = dataset.fingerprint == str(content["fingerprint"])
    except FileNotFoundError:
        raise
    except Exception as error:  # numpy and zipfile raise whatever a damaged file leads to
        raise TamisError(f"{path} is damaged ({error}); delete it") from error
    if not intact:
        raise TamisError(f"{path} is damaged (its fingerprint does not fit its content); delete it")
    return dataset


def from_arrays(content: dict[str, np.ndarray]) -> Dataset:
    """A Dataset from the arrays that ``write_archive`` stores."""
    ends = np.cumsum(content["n_atoms"])[:-1]
    numbers, positions = np.split(content["numbers"], ends), np.split(content["positions"], ends)
    return Dataset(
        structures=tuple(
            Atoms(numbers=z, positions=x, cell=cell, pbc=periodic)
            for z, x, cell, periodic in zip(
                numbers, positions, content["cells"], content["periodic"], strict=True
            )
        ),
        energies=content["energies"],
        forces=tuple(np.split(content["forces"], ends)),
        stresses=content["stresses"],
        groups=tuple(map(str, content["groups"])),
        blocks=tuple(map(str, content["blocks"])),
        ids=tuple(map(str, content["ids"])),
        is_test=content["is_test"],
    )
