"""The mlearn data sets of Zuo et al.: six elements, PBE, the benchmark of cross-model comparison.

Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020), DOI 10.1021/acs.jpca.9b08723; BSD-3-Clause.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.dataset import Dataset
from tamis.dealing import named
from tamis.exceptions import TamisError
from tamis.sources.base import Source
from tamis.units import EV_PER_A3_PER_KBAR

LOG = logging.getLogger(__name__)
Array = NDArray[np.float64]

FILES = ("training", "test")

SHA256 = {
    "Cu": {"test": "1805a315ce8d0ce4a18bb761df4c4f619909ce114d598d426015d0071edc98c2"},
    "Ge": {
        "test": "737ea6159c9dd27ebee7fb8ffae22f15e20466884927771248ca4f5b2cd3f093",
        "training": "43dee02009a5167f94c7aafce19051222bcfc328c46181750cc2a2018187ca00",
    },
    "Li": {
        "test": "554d0ce60b35a07b357be3a80bf04f68eb8fc97b5a88328caf08c860b5e9b260",
        "training": "1cac01475c5a4fb85771ee1fd23366a6b8abfb9891e0c9e088b6e37228e147b3",
    },
    "Mo": {
        "test": "68169e2927c2115daa2f504805fcb9548ee65daf2dd015428807ba92f8e13bb8",
        "training": "b13305fca0d0d2631ab080c8fcf13c743ee79a911712fb65a34ca88fadf09f9a",
    },
    "Ni": {"test": "dccbfa14ddff5d1d35f658c48b68f6b431f95496a5261ef8b8f4d1d41e36008a"},
    "Si": {
        "test": "d452b30a89f23bff76f7cc529b7b6c2d159ea81ccd5a4599fb1a18207654fa91",
        "training": "ae6d4b0a65b00e0fcf7ba0a6fad366716710d2f0d21d70199203089c6866b500",
    },
}
"""Of the pinned upstream commit. The training files of Ni and Cu were never seen: their users give the sum."""

XY_XZ_YZ = (3, 4, 5)
XY_YZ_XZ = (3, 5, 4)
SHEARS = {
    **{
        (element, group): XY_XZ_YZ
        for element in ("Mo", "Ni", "Cu")
        for group in ("AIMD-NVT", "Vacancy", "Elastic")
    },
    **{(element, group): XY_XZ_YZ for element in ("Si", "Ge") for group in ("AIMD-NVT", "Vacancy")},
    **{(element, "Elastic"): XY_YZ_XZ for element in ("Si", "Ge")},
    **{("Li", group): XY_YZ_XZ for group in ("AIMD-NVT", "Vacancy")},
}
"""Where the numbers of ``virial_stress`` keep xy, xz and yz. It differs by element and group; it was found by fitting
energies and forces alone and comparing the predicted stresses. What is not listed has no usable shears: in surfaces
they are too small to tell, and those of Li's two-atom elastic cells are not monotonic in the strain."""


@dataclass(frozen=True, kw_only=True)
class Mlearn(Source):
    """One element of mlearn.

    element : Si, Ge, Li, Mo, Ni or Cu.
    root : folder with ``<element>/training.json`` and ``test.json`` (or with ``data/<element>/...``); None: download.
    base_url : where a download finds ``<element>/training.json``.
    cache : folder for downloads.
    verify : compare the SHA-256 of local copies with the known one.
    sha256 : ``training`` and ``test`` sums that replace the built-in ones.
    split : ``published``, or ``grouped``: whole blocks (trajectories, strain modes, surfaces) are for testing.
    held_out : blocks or groups to test on with ``split=grouped``; None: see ``default_held_out``.
    """

    element: str
    root: str | None
    base_url: str
    cache: str = ".tamis/data"
    verify: bool = True
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)
    split: str = "published"
    held_out: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {name: digest for name, digest in self.sha256.items() if digest}  # null: the built-in sum
        object.__setattr__(self, "sha256", known)
        if self.held_out is not None:
            object.__setattr__(self, "held_out", tuple(self.held_out))
        if self.element not in SHA256:
            raise TamisError(f"dataset.element is {self.element}; mlearn has {', '.join(sorted(SHA256))}")
        if self.split not in ("published", "grouped"):
            raise TamisError(f"dataset.split is {self.split}; choose published or grouped")
        if self.held_out is not None and self.split == "published":
            raise TamisError("dataset.held_out is for dataset.split=grouped; with published leave it null")
        wrong = sorted(set(self.sha256) - set(FILES))
        if wrong:
            raise TamisError(f"dataset.sha256 has {', '.join(wrong)}; its keys are training and test")

    def _files(self) -> list[Path]:
        return [self._path(name) for name in FILES]

    def _read(self) -> Dataset:
        paths = self._files()
        frames = [
            read_frame(entry, f"{self.element}/{name}.json#{i}")
            for name, path in zip(FILES, paths, strict=True)
            for i, entry in enumerate(read_list(path))
        ]
        if not frames:
            raise TamisError(f"{' and '.join(map(str, paths))} hold no structures")
        dataset = Dataset(
            structures=tuple(frame.atoms for frame in frames),
            energies=np.array([frame.energy for frame in frames]),
            forces=tuple(frame.forces for frame in frames),
            stresses=np.array([ase_stress(self.element, frame.group, frame.virial_kbar) for frame in frames]),
            groups=tuple(frame.group for frame in frames),
            blocks=tuple(block_of(frame.group, frame.description) for frame in frames),
            ids=tuple(frame.name for frame in frames),
            is_test=np.array([frame.name.startswith(f"{self.element}/test.json#") for frame in frames]),
        )
        return dataset if self.split == "published" else hold_out(dataset, self.held_out)

    def _path(self, name: str) -> Path:
        """The file ``name``.json, its checksum verified."""
        expected = self.sha256.get(name) or SHA256[self.element].get(name)
        if self.root is not None:
            return self._local(Path(self.root), name, expected)
        if expected is None:
            raise TamisError(
                f"the SHA-256 of mlearn's {self.element}/{name}.json is not known to tamis, so it is not downloaded "
                f"unchecked; give dataset.sha256.{name}=<sum>"
            )
        return download(
            f"{self.base_url}/{self.element}/{name}.json", expected, Path(self.cache), self.element
        )

    def _local(self, root: Path, name: str, expected: str | None) -> Path:
        candidates = [root / self.element / f"{name}.json", root / "data" / self.element / f"{name}.json"]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            raise TamisError(
                f"no {self.element}/{name}.json under dataset.root={root}; looked for "
                f"{' and '.join(map(str, candidates))}; correct the root, or leave it null to download"
            )
        if not self.verify:
            LOG.warning("%s is used unchecked (dataset.verify=false)", path)
            return path
        if expected is None:
            raise TamisError(
                f"the SHA-256 of mlearn's {self.element}/{name}.json is not known to tamis; give "
                f"dataset.sha256.{name}=<sum>, or dataset.verify=false to use {path} unchecked"
            )
        actual = hashlib.sha256(path.read_bytes()).hexdigest()
        if actual != expected.lower():
            raise TamisError(
                f"{path} has SHA-256 {actual}, expected is {expected}: damaged, or another version; get it again, or "
                "set dataset.verify=false if the change is meant"
            )
        return path


@dataclass(frozen=True, eq=False)
class Frame:
    """One entry of a file: ``virial_kbar`` has 6 numbers as in the file, energy in eV, forces in eV/Å."""

    name: str
    atoms: Atoms
    energy: float
    forces: Array
    virial_kbar: Array
    group: str
    description: str


def download(url: str, sha256: str, cache: Path, element: str) -> Path:
    """Fetch ``url`` into ``cache/mlearn/<element>``, once, and check its sum."""
    import pooch
    import requests

    name = url.rsplit("/", 1)[-1]
    try:
        return Path(
            pooch.retrieve(
                url,
                known_hash=f"sha256:{sha256}",
                fname=name,
                path=cache / "mlearn" / element,
                downloader=pooch.HTTPDownloader(timeout=30),
            )
        )
    except (requests.RequestException, OSError) as error:
        raise TamisError(
            f"cannot download {url} into {cache} ({error}); check the network and the folder, or give a local copy "
            "of the mlearn data with dataset.root=<folder>"
        ) from error
    except ValueError as error:
        raise TamisError(
            f"{url} is not the file that was pinned ({error}); check dataset.base_url, or give a local copy with "
            "dataset.root=<folder>"
        ) from error


def read_list(path: Path) -> list[Any]:
    """The JSON list in ``path``."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TamisError(f"{path} cannot be read as JSON ({error}); is it truncated? get it again") from error
    if not isinstance(entries, list):
        raise TamisError(f"{path} holds a {type(entries).__name__}; mlearn files hold a list of structures")
    return entries


def read_frame(entry: Any, name: str) -> Frame:
    """One structure with its labels; ``name`` is its id."""
    try:
        structure, outputs = entry["structure"], entry["outputs"]
        symbols = [site["species"][0]["element"] for site in structure["sites"]]
        positions = np.array([site["xyz"] for site in structure["sites"]], dtype=float)
        cell = np.array(structure["lattice"]["matrix"], dtype=float)
        frame = Frame(
            name=name,
            atoms=Atoms(symbols, positions=positions, cell=cell, pbc=True),
            energy=float(outputs["energy"]),
            forces=np.array(outputs["forces"], dtype=float),
            virial_kbar=np.array(outputs["virial_stress"], dtype=float),
            group=str(entry["group"]),
            description=str(entry["description"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, OverflowError) as error:
        raise TamisError(
            f"{name}: not a structure of mlearn ({type(error).__name__}: {error}); get the file again, or correct "
            "this entry"
        ) from error
    if frame.forces.shape != (len(symbols), 3):
        raise TamisError(f"{name}: forces have shape {frame.forces.shape}; ({len(symbols)}, 3) is needed")
    if frame.virial_kbar.shape != (6,):
        raise TamisError(f"{name}: virial_stress has shape {frame.virial_kbar.shape}; 6 numbers are needed")
    return frame


def ase_stress(element: str, group: str, virial_kbar: Array) -> Array:
    """Stress (6,) in eV/Å³, ASE sign, Voigt xx yy zz yz xz xy, from the file's numbers (kbar, positive when pressed).

    Shears whose order is not known are NaN.
    """
    stress = np.full(6, np.nan)
    stress[:3] = virial_kbar[:3]
    if (element, group) in SHEARS:
        xy, xz, yz = SHEARS[element, group]
        stress[3:] = virial_kbar[[yz, xz, xy]]
    return -EV_PER_A3_PER_KBAR * stress


def block_of(group: str, description: str) -> str:
    """The trajectory, strain mode or surface that a frame belongs to.

    "AIMD-NVT 1518 K", "AIMD-NVT shrunken 680 K", "Vacancy 300 K", "Elastic mode 3", "Surface (1_1_1)"; what fits no
    pattern is a block of its own.
    """
    temperature = re.search(r"at (\d+) K", description)
    if temperature:
        volume = re.search(r"for (expanded|shrunken) structure", description)
        return " ".join([group, *([volume[1]] if volume else []), f"{temperature[1]} K"])
    mode = re.search(r"mode (\d+)", description)
    if mode:
        return f"{group} mode {mode[1]}"
    surface = re.search(r"\([\d_-]+\)\S*", description)
    return f"{group} {surface[0] if surface else description}"


def hold_out(dataset: Dataset, held_out: tuple[str, ...] | None) -> Dataset:
    """The same structures, of which those in the blocks or groups ``held_out`` (and no others) are for testing."""
    chosen = default_held_out(dataset) if held_out is None else held_out
    is_test = named(chosen, dataset.groups, dataset.blocks)
    LOG.info("held out for testing: %s", ", ".join(sorted(chosen)))
    return dataset.with_test(is_test, "blocks", blocks_whole=True)


def default_held_out(dataset: Dataset) -> tuple[str, ...]:
    """What ``split=grouped`` tests on unless told otherwise: state points that training has not seen.

    1. All trajectories, bulk and vacancy, at the highest temperature (Si 3374 K, Ge 2422, Li 907, Mo 6000, Ni and Cu
       3000): one of them in training would show the other's state point.
    2. The three shear modes: in a cubic crystal they are rotated copies of each other, with the same energies, so
       one alone would still be in training.
    3. The surfaces of the published test set, each a block of its own.
    """
    temperatures = {
        block: int(found[1]) for block in set(dataset.blocks) if (found := re.search(r"(\d+) K$", block))
    }
    hottest = [block for block, t in temperatures.items() if t == max(temperatures.values())]
    modes = sorted({block for block in dataset.blocks if " mode " in block})
    surfaces = {
        block
        for block, group, is_test in zip(dataset.blocks, dataset.groups, dataset.is_test, strict=True)
        if group == "Surface" and is_test
    }
    return tuple(sorted({*hottest, *modes[3:], *surfaces}))
