"""The mlearn data sets of Zuo et al.: six elements, PBE, the benchmark of cross-model comparison.

Y. Zuo et al., J. Phys. Chem. A 124, 731 (2020), DOI 10.1021/acs.jpca.9b08723; BSD-3-Clause.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.fields import OneOf, Texts, Whole
from tamis.core.units import EV_PER_A3_PER_KBAR
from tamis.data.dataset import Dataset
from tamis.data.dealing import deal_halves, named
from tamis.data.sources.base import Source, without
from tamis.data.sources.mlearn_files import FILES, PINS, download, local_copy

LOG = logging.getLogger(__name__)
Array = NDArray[np.float64]

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
"""Places of xy, xz and yz among the numbers of ``virial_stress``. They differ by element and group, and were found by
comparing the stresses with those of fits to energies and forces alone. Other groups have no usable shears: those of
surfaces are too small to tell, and those of Li's two-atom elastic cells are not monotonic in the strain."""

HOT_ABOVE = {"Si": -5.0, "Ge": -4.2, "Mo": -10.5, "Li": np.inf}
"""eV/atom that separate hot frames with a vacancy (a melt) from cold ones (a crystal near 300 K). The temperatures of
these frames in the files are wrong: they are swapped for silicon and for half of germanium, all of lithium's frames are
cold, and 2 of molybdenum's 24 are under the wrong temperature. Energies and forces of molybdenum's hot frames are those
of the bulk at 3000 K, not at 6000 K as the files say. No such energy is known for Ni and Cu."""
COLD_LABEL = "300"
"""K; temperature in the files of the colder of the two trajectories with a vacancy."""


HALVES = 2
"""Stream of random numbers of ``split=halves``."""


@dataclass(frozen=True, kw_only=True)
class Mlearn(Source):
    """One element of mlearn.

    element : Si, Ge, Li, Mo, Ni or Cu.
    root : folder with ``<element>/training.json`` and ``test.json`` (or with ``data/<element>/...``); None: download.
    base_url : where a download finds ``<element>/training.json``.
    cache : folder for downloads.
    verify : compare local copies with their sums.
    sha256 : sums of ``training`` and ``test`` instead of the built-in ones, for files that were changed on purpose.
    split : ``published``; ``grouped``: whole blocks (trajectories, strain modes, surfaces) are for testing; ``halves``:
        every block is dealt into two halves, and one of them is for testing (``halved``).
    repetition, half : which deal of ``split=halves``, and which of its halves, 0 or 1, is the pool.
    held_out : blocks or groups to test on with ``split=grouped``; None: see ``default_held_out``.
    """

    element: Annotated[str, OneOf(*PINS)]
    root: str | None
    base_url: str
    cache: str = ".tamis/data"
    verify: bool = True
    sha256: Mapping[str, str] = field(default_factory=dict, hash=False)
    split: Annotated[str, OneOf("published", "grouped", "halves")] = "published"
    repetition: Annotated[int, Whole(0)] = 0
    half: Annotated[int, Whole(0, 1)] = 0
    held_out: Annotated[tuple[str, ...] | None, Texts()] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        known = {name: digest for name, digest in self.sha256.items() if digest}  # null: the built-in sum
        object.__setattr__(self, "sha256", known)
        if self.held_out is not None and self.split != "grouped":
            raise TamisError(
                f"dataset.held_out is for dataset.split=grouped; with {self.split} leave it null"
            )
        if (self.repetition, self.half) != (0, 0) and self.split != "halves":
            raise TamisError(
                f"dataset.repetition={self.repetition} and dataset.half={self.half} are for dataset.split=halves; "
                f"with {self.split} leave them at 0"
            )
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
            blocks=tuple(block_of(self.element, frame) for frame in frames),
            ids=tuple(frame.name for frame in frames),
            is_test=np.array([frame.name.startswith(f"{self.element}/test.json#") for frame in frames]),
            notes=on_vacancies(self.element, frames),
        )
        dataset = without(dataset, self.drop)
        if self.split == "halves":
            return halved(dataset, self.repetition, self.half)
        return dataset if self.split == "published" else hold_out(dataset, self.held_out)

    def _path(self, name: str) -> Path:
        """The file ``name``.json, checked."""
        pin = f"sha256:{self.sha256[name]}" if name in self.sha256 else PINS[self.element][name]
        if self.root is not None:
            return local_copy(Path(self.root), self.element, name, pin if self.verify else None)
        return download(f"{self.base_url}/{self.element}/{name}.json", pin, Path(self.cache), self.element)


@dataclass(frozen=True, eq=False)
class MlearnEntry:
    """One entry of a file: energy in eV, forces in eV/Å, and ``virial_kbar`` with the 6 numbers of the file."""

    name: str
    atoms: Atoms
    energy: float
    forces: Array
    virial_kbar: Array
    group: str
    description: str


def read_list(path: Path) -> list[Any]:
    """The JSON list in ``path``."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TamisError(f"{path} cannot be read as JSON ({error}); is it truncated? get it again") from error
    if not isinstance(entries, list):
        raise TamisError(f"{path} holds a {type(entries).__name__}; mlearn files hold a list of structures")
    return entries


def read_frame(entry: Any, name: str) -> MlearnEntry:
    """One structure with its labels; ``name`` is its id."""
    try:
        structure, outputs = entry["structure"], entry["outputs"]
        symbols = [site["species"][0]["element"] for site in structure["sites"]]
        positions = np.array([site["xyz"] for site in structure["sites"]], dtype=float)
        cell = np.array(structure["lattice"]["matrix"], dtype=float)
        frame = MlearnEntry(
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


def block_of(element: str, frame: MlearnEntry) -> str:
    """The trajectory, strain mode or surface that a frame belongs to.

    "AIMD-NVT 1518 K", "AIMD-NVT shrunken 680 K", "Vacancy cold", "Elastic mode 3", "Surface (1_1_1)"; any other frame
    is its own block.
    """
    if frame.group == "Vacancy" and element in HOT_ABOVE:
        return f"Vacancy {'hot' if is_hot(element, frame) else 'cold'}"
    temperature = re.search(r"at (\d+) K", frame.description)
    if temperature:
        volume = re.search(r"for (expanded|shrunken) structure", frame.description)
        return " ".join([frame.group, *([volume[1]] if volume else []), f"{temperature[1]} K"])
    mode = re.search(r"mode (\d+)", frame.description)
    if mode:
        return f"{frame.group} mode {mode[1]}"
    surface = re.search(r"\([\d_-]+\)\S*", frame.description)
    return f"{frame.group} {surface[0] if surface else frame.description}"


def is_hot(element: str, frame: MlearnEntry) -> bool:
    """Whether a frame with a vacancy belongs to the hot trajectory, by its energy."""
    return frame.energy / len(frame.atoms) > HOT_ABOVE[element]


def on_vacancies(element: str, frames: Sequence[MlearnEntry]) -> tuple[str, ...]:
    """A note on the temperatures of frames with a vacancy, if there are any."""
    vacancies = [frame for frame in frames if frame.group == "Vacancy"]
    if not vacancies:
        return ()
    if element not in HOT_ABOVE:
        return (
            f"the {len(vacancies)} frames with a vacancy have the temperatures of the files, which are wrong in other "
            f"elements of mlearn: which energies of {element} are hot is not known",
        )
    said = [re.search(r"at (\d+) K", frame.description) for frame in vacancies]
    moved = sum(
        found is not None and (found[1] != COLD_LABEL) != is_hot(element, frame)
        for found, frame in zip(said, vacancies, strict=True)
    )
    limit = HOT_ABOVE[element]
    rule = f"hot is above {limit:g} eV/atom" if np.isfinite(limit) else "all energies are cold ones"
    return (
        f"{moved} of {len(vacancies)} frames with a vacancy have another temperature in the files than their "
        f"energies tell; they are named by their energies, cold or hot ({rule})",
    )


def hold_out(dataset: Dataset, held_out: tuple[str, ...] | None) -> Dataset:
    """The same structures, of which only those in the blocks or groups ``held_out`` are for testing."""
    chosen = default_held_out(dataset) if held_out is None else held_out
    is_test = named(chosen, dataset.groups, dataset.blocks)
    LOG.info("held out for testing: %s", ", ".join(sorted(chosen)))
    return dataset.with_test(is_test, "blocks", blocks_whole=True)


def halved(dataset: Dataset, repetition: int, half: int) -> Dataset:
    """The same structures, of which one half of every block is for testing; copies are in the same half.

    Blocks of one structure, such as surfaces, are dealt out together with the others of their group. The other half of
    the same repetition has pool and test set exchanged.
    """
    rng = np.random.default_rng([repetition, HALVES])
    sizes = Counter(dataset.blocks)
    strata = [b if sizes[b] > 1 else g for b, g in zip(dataset.blocks, dataset.groups, strict=True)]
    is_first = deal_halves(strata, rng, dataset.copies)
    return dataset.with_test(is_first if half else ~is_first, "half", blocks_whole=False)


def default_held_out(dataset: Dataset) -> tuple[str, ...]:
    """The default test blocks of ``split=grouped``: state points that training has not seen.

    1. The bulk trajectories at the highest temperature (Si 3374 K, Ge 2422, Li 907, Mo 6000, Ni and Cu 3000), and the
       hot ones with a vacancy (of Ni and Cu: those at the same temperature, as the files have it).
    2. The three shear modes: in a cubic crystal they are rotated copies of each other, with the same energies, so
       one alone would still be in training.
    3. The surfaces of the published test set, each a block of its own.
    """
    temperatures = {
        block: int(found[1]) for block in set(dataset.blocks) if (found := re.search(r"(\d+) K$", block))
    }
    hottest = {block for block, t in temperatures.items() if t == max(temperatures.values())}
    hottest |= {"Vacancy hot"} & set(dataset.blocks)
    modes = sorted({block for block in dataset.blocks if " mode " in block})
    surfaces = {
        block
        for block, group, is_test in zip(dataset.blocks, dataset.groups, dataset.is_test, strict=True)
        if group == "Surface" and is_test
    }
    return tuple(sorted(hottest | {*modes[3:]} | surfaces))
