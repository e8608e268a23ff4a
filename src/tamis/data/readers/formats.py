"""Which reader takes a file.

A reader of another format is a file beside this one, and a line in ``READERS``. What no reader recognises is left to
ASE, which knows a hundred formats more.
"""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.suggestions import suggest
from tamis.data.readers.ase_database import read_database
from tamis.data.readers.chimes import is_xyzf, read_xyzf
from tamis.data.readers.colabfit import is_colabfit, read_colabfit
from tamis.data.readers.cp2k import is_cp2k, read_cp2k
from tamis.data.readers.deepmd import is_deepmd, read_deepmd
from tamis.data.readers.fitsnap import is_fitsnap, read_fitsnap
from tamis.data.readers.foreign import looks_like, without_labels
from tamis.data.readers.mtp import is_cfg, read_cfg
from tamis.data.readers.n2p2 import guess_units, is_input_data, read_input_data
from tamis.data.readers.npz import is_npz_of_molecules, is_npz_of_one_molecule, read_npz, units_of_md17
from tamis.data.readers.pacemaker import is_pickle, read_pacemaker
from tamis.data.readers.packed import first_bytes
from tamis.data.readers.reader import Reader
from tamis.data.readers.schnetpack import is_schnetpack, read_schnetpack
from tamis.data.readers.vasp import is_outcar, is_vasprun, read_by_content
from tamis.data.readers.xyz import read_xyz

HEAD = 4096
"""Bytes at the beginning of a file by which formats are recognised."""

METAL = {"length": "angstrom", "energy": "ev"}
"""Units of formats whose documentation fixes them."""

READERS: tuple[Reader, ...] = (
    Reader("extxyz", "ASE, QUIP, MACE and many others", read_xyz),
    Reader("xyz", "any program that writes XYZ", partial(read_xyz, extended=False)),
    Reader("db", "ASE databases (SQLite)", partial(read_database, kind="db")),
    Reader("json", "ASE databases (JSON)", partial(read_database, kind="json")),
    Reader("n2p2", "n2p2 and RuNNer, input.data", read_input_data, is_input_data, guess=guess_units),
    Reader("xyzf", "chimes_lsq", read_xyzf, is_xyzf, converts=True),
    Reader("mtp-cfg", "MLIP-2 and MLIP-3 (MTP)", read_cfg, is_cfg, numbered=True),
    Reader("fitsnap", "FitSNAP, JSON", read_fitsnap, is_fitsnap, converts=True),
    Reader("schnetpack", "schnetpack (SQLite)", read_schnetpack, is_schnetpack, converts=True),
    Reader("pacemaker", "pacemaker (.pckl.gzip)", read_pacemaker, is_pickle, units=METAL),
    Reader("deepmd", "DeePMD-kit and dpdata (folders)", read_deepmd, is_deepmd, units=METAL),
    Reader("npz", "MD17, rMD17, sGDML", read_npz, is_npz_of_one_molecule, guess=units_of_md17),
    Reader("physnet", "PhysNet (.npz)", read_npz, is_npz_of_molecules, units=METAL),
    Reader("colabfit", "ColabFit Exchange (Parquet)", read_colabfit, is_colabfit, units=METAL),
    Reader("cp2k", "CP2K trajectories", read_cp2k, is_cp2k, converts=True),
    Reader(
        "vasp-xml", "VASP, vasprun.xml", partial(read_by_content, name="vasp-xml"), is_vasprun, converts=True
    ),
    Reader("vasp-out", "VASP, OUTCAR", partial(read_by_content, name="vasp-out"), is_outcar, converts=True),
)
"""In the order in which they are asked; ASE recognises what has no ``recognises``."""
WITHOUT_UNITS = ("traj", "bundletrajectory")
"""Formats that ASE reads and that keep numbers as their program had them; it converts the units of all others."""


def reader_of(path: Path, name: str | None) -> Reader:
    """The reader of a file or folder.

    Parameters
    ----------
    name : of the format, as the user typed it; None: it is recognised.

    Raises
    ------
    TamisError : no reader has this name, or none recognises the file; tells what could be read.
    """
    known = {reader.name: reader for reader in READERS}
    if name is None:
        head = first_bytes(path, HEAD)
        for reader in READERS:
            if reader.recognises is not None and reader.recognises(path, head):
                return reader
        if sentence := looks_like(path, head):
            raise TamisError(sentence)
        name = _name_by_ase(path)
        if sentence := without_labels(path, name):
            raise TamisError(sentence)
    if name in known:
        return known[name]
    return _reader_of_ase(name)


def read_frames(path: Path, reader: Reader, species: Sequence[str] | None = None) -> Iterator[Atoms]:
    """The structures of one file, in order.

    Parameters
    ----------
    species : the elements of kinds 0, 1, 2 ..., for formats that have their numbers only.

    Raises
    ------
    TamisError : the file or one of its frames cannot be read; names the format and the frame.
    """
    count = 0
    try:
        for atoms in reader.read(path):
            if reader.numbered:
                atoms.numbers[:] = _elements(atoms.arrays["type"], path, species)
            yield atoms
            count += 1
    except TamisError:
        raise
    except Exception as error:  # readers raise whatever a damaged line leads to
        raise TamisError(
            f"{path}, frame {count} or later, cannot be read as {reader.name} ({type(error).__name__}: {error}); is "
            "the file truncated? correct it, or set dataset.format"
        ) from error
    if count == 0:
        raise TamisError(f"{path} holds no structure; remove it from dataset.train or dataset.test")


def _elements(kinds: NDArray[np.intp], path: Path, species: Sequence[str] | None) -> list[int]:
    """Atomic numbers of atoms of these kinds."""
    if species is None:
        raise TamisError(
            f"{path} has numbers of kinds in place of elements (0 to {kinds.max()} in its first structure); name the "
            "elements in this order, such as dataset.species=[Si,Ge]"
        )
    if unknown := [name for name in species if atomic_numbers.get(name, 0) == 0]:
        raise TamisError(f"dataset.species has {unknown[0]!r}; chemical symbols are needed, such as [Si, Ge]")
    if not (kinds.min() >= 0 and kinds.max() < len(species)):
        raise TamisError(
            f"{path} has atoms of the kinds {kinds.min()} to {kinds.max()}, and dataset.species names "
            f"{len(species)} elements ({', '.join(species)}), kind 0 first; name those of all kinds"
        )
    return [atomic_numbers[species[kind]] for kind in kinds]


def _name_by_ase(path: Path) -> str:
    from ase.io.formats import UnknownFileTypeError, filetype, ioformats

    try:
        name = str(filetype(str(path)))
    except UnknownFileTypeError:
        name = ""
    except Exception as error:  # a file that cannot be opened, or is damaged where ASE looks
        raise TamisError(f"{path} cannot be read ({error}); correct it, or set dataset.format") from error
    is_ours = any(reader.name == name for reader in READERS)  # by the file's suffix
    if not is_ours and (name not in ioformats or not ioformats[name].can_read):
        raise TamisError(
            f"the format of {path} is not recognised; set dataset.format to {', '.join(r.name for r in READERS)}, or "
            "to another that ASE reads (ase info --formats)"
        )
    return name


def _reader_of_ase(name: str) -> Reader:
    from ase.io import iread
    from ase.io.formats import ioformats

    if name not in ioformats or not ioformats[name].can_read:
        names = [reader.name for reader in READERS]
        raise TamisError(
            f"dataset.format is {name}; {suggest(name, [*names, *ioformats])}known are {', '.join(names)}, and those "
            "that ASE reads (ase info --formats)"
        )
    return Reader(
        name,
        ioformats[name].description,
        lambda path: iter(iread(path, index=":", format=name)),
        converts=name not in WITHOUT_UNITS,
    )


def matching(patterns: tuple[str, ...]) -> list[Path]:
    """The files and folders that ``patterns`` name, each once, sorted within a pattern."""
    paths: dict[Path, None] = {}
    for pattern in patterns:
        found = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))  # noqa: PTH207 (Path.glob refuses absolute patterns)
        if not found:
            raise TamisError(
                f"no file matches {pattern} (in {Path.cwd()}); correct dataset.train or dataset.test"
            )
        paths.update(dict.fromkeys(map(Path, found)))
    return list(paths)
