"""Parts that all upstream trainers share: a model that runs outside programs, and the potential in their files."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.fields import Above, Checked, Whole
from tamis.core.geometry import in_vacuum
from tamis.core.messages import listed
from tamis.data.dataset import Dataset
from tamis.models.base import Model, Potential
from tamis.models.free_atoms import free_atom_energies
from tamis.models.trainers.programs import Workshop, workshop
from tamis.store import Store

Array = NDArray[np.float64]

LOG_FOLDER = "logs"
SHOWN = 5


@dataclass(frozen=True, eq=False)
class FilePotential(Potential):
    """A potential that consists of the files which a program has written.

    files: name -> content of all that an evaluation needs. logs: name -> output of the programs.
    reader: makes an ASE calculator from a folder with the files, and needs the folder no longer afterwards.
    pair_lines: LAMMPS' pair_style and pair_coeff lines for files in a folder; gives None where tamis has no style.
    """

    files: Mapping[str, bytes]
    logs: Mapping[str, bytes]
    reader: Callable[[Path], Calculator]
    pair_lines: Callable[[Path], tuple[str, ...] | None]

    def calculator(self) -> Calculator:
        """An ASE calculator with energy, forces and stress."""
        with TemporaryDirectory(prefix="tamis-potential-") as folder:
            self._write(Path(folder), self.files)
            return self.reader(Path(folder))

    def write(self, folder: Path) -> list[Path]:
        """Write the programs' files, and their logs to a folder inside."""
        return self._write(folder, self.files) + self._write(folder / LOG_FOLDER, self.logs)

    def lammps(self, folder: Path) -> tuple[str, ...] | None:
        """pair_style and pair_coeff lines for a LAMMPS that has the style."""
        return self.pair_lines(folder)

    @staticmethod
    def _write(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        return [folder / name for name in files]


@dataclass(frozen=True)
class Trainer(Checked, Model):
    """A model that is trained by outside programs, with the one setting of its YAML: they retune nothing.

    Subclasses have a field ``basis``.

    time_limit_s: seconds for all programs of one fit together; then they are ended and the trial fails.
    n_threads: threads of each program.
    scratch: folder for working files, which stay there after a failure; None: temporary ones.
    """

    time_limit_s: Annotated[float, Above(0.0, "s")]
    n_threads: Annotated[int, Whole(1)]
    scratch: Path | None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.scratch is not None:
            object.__setattr__(self, "scratch", Path(self.scratch).absolute())

    @abstractmethod
    def train(self, kept: Dataset, shop: Workshop, rng: np.random.Generator) -> FilePotential:
        """Write the programs' input to ``shop.folder``, run them, and take over their files."""

    def prepare(self, dataset: Dataset, store: Store) -> None:
        """Nothing: the programs start from the positions in every fit."""

    def fit(self, kept: Dataset, tuning: Dataset, store: Store, rng: np.random.Generator) -> FilePotential:
        """Train on ``kept``; ``tuning`` and ``store`` have no use here.

        Raises
        ------
        TamisError : nothing to train on, an element that no kept structure has, or programs that fail; says why.
        """
        if len(kept) == 0:
            raise TamisError("no structure is kept: there is nothing to train on; raise the budget")
        if missing := sorted(set(self.elements) - set(kept.elements)):
            raise TamisError(
                f"no kept structure has {', '.join(missing)}, and {type(self).__name__} cannot train a potential for "
                "an element that it has not seen; raise the budget or choose another pruner"
            )
        with workshop(self.scratch, self.time_limit_s, self.n_threads) as shop:
            potential = self.train(kept, shop, rng)
            check_usable(potential, kept.structures[int(np.argmin(kept.n_atoms))])
        return potential


def check_usable(potential: FilePotential, atoms: Atoms) -> None:
    """Raise TamisError unless the files can be read and give finite numbers for ``atoms``."""
    names = ", ".join(potential.files)
    try:
        calculator = potential.calculator()
        energy = calculator.get_property("energy", atoms)
        forces = calculator.get_property("forces", atoms)
    except TamisError:
        raise
    except Exception as error:  # engines raise what they like about a damaged file
        raise TamisError(
            f"the trainer ended well, but its files ({names}) cannot be evaluated: {type(error).__name__}: {error}"
        ) from error
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise TamisError(
            f"the trainer ended well, but its potential ({names}) gives NaN for a kept structure of {len(atoms)} atoms"
        )


def refuse_missing_forces(kept: Dataset, program: str) -> None:
    """Raise TamisError if a structure has no forces, for programs that ask for them."""
    without = [name for name, given in zip(kept.ids, kept.has_forces, strict=True) if not given]
    if without:
        raise TamisError(
            f"{program} trains on the forces of every structure, and {listed(without, SHOWN)} have none; leave these "
            "out with dataset.drop, or choose a model that learns from energies alone (docs/fits.md)"
        )


def refuse_weights(kept: Dataset, program: str) -> None:
    """Raise TamisError if the labels of one kind differ in their weights, for programs that have none."""
    if kept.weights is not None and (kept.weights != kept.weights[0]).any():
        raise TamisError(
            f"{program} knows no weights of structures, and those of the kept ones differ; leave them out "
            "(dataset.weight_key=null), or choose a model that has them (docs/fits.md)"
        )


def reference_energies(
    kept: Dataset, elements: Sequence[str], given: Mapping[str, float] | None
) -> dict[str, float]:
    """Energy of a free atom of each element, eV: as given, else of isolated atoms, else what fits the energies best.

    Raises
    ------
    TamisError : ``given`` leaves an element out, or names one too many.
    """
    if given is not None:
        if set(given) != set(elements):
            raise TamisError(
                f"reference_energies has {', '.join(given) or 'nothing'}; give an energy, eV, for each of "
                f"{', '.join(elements)}, or null to fit them"
            )
        return {element: float(given[element]) for element in elements}
    return dict(zip(elements, free_atom_energies(kept, elements, kept.free_energies).tolist(), strict=True))


def as_periodic(atoms: Atoms, width: float) -> Atoms:
    """A copy without labels, periodic in all directions, with ``width`` Å of vacuum on each side where it was not."""
    boxed = in_vacuum(Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc), width)
    boxed.pbc = True
    return boxed


def periodic_or_free(atoms: Atoms, width: float) -> Atoms:
    """``as_periodic`` for structures that are periodic in any direction; free clusters stay free, without a cell."""
    return as_periodic(atoms, width) if atoms.pbc.any() else Atoms(atoms.numbers, atoms.positions)


def draw_seed(rng: np.random.Generator) -> int:
    """A seed for a program: a positive number that any of them can read."""
    return int(rng.integers(1, 2**31 - 1))
