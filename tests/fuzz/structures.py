"""Odd structures through the checks of a data set, through every basis and through calculators."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from hydra.utils import instantiate
from tests.composing import composed
from tests.fuzz.kinds import Kind, WrongAnswer
from tests.fuzz.mutate import Rng, pick

from tamis.bases.base import Basis, LinearBasis
from tamis.bases.quests import QuestsBasis
from tamis.core.errors import TamisError
from tamis.core.geometry import neighbours_within
from tamis.data.checks import Tolerances, check_dataset
from tamis.data.dataset import Dataset
from tamis.store import Store

ODD_NUMBERS = (np.nan, np.inf, -np.inf, 1e308, -1e200, 1e30, 1e16, 1e9, 1e6, 1e4, -1e5, 1e-300, 1e-12, 0.0)
MOST_ATOMS = 24


def odd_atoms(rng: Rng) -> Atoms:
    """A structure, sound or not."""
    atoms = pick(rng, BEGINNINGS)(rng)
    for _ in range(int(rng.integers(0, 3)) if rng.random() < 0.4 else 1):
        atoms = pick(rng, TWISTS)(rng, atoms)
    return atoms[:MOST_ATOMS] if len(atoms) > MOST_ATOMS else atoms


def _crystal(rng: Rng) -> Atoms:
    atoms = bulk("Si", a=float(rng.uniform(4.8, 6.0)), cubic=bool(rng.random() < 0.5))
    atoms.rattle(0.05, rng=rng)
    return atoms


def _cloud(rng: Rng) -> Atoms:
    n = int(rng.integers(1, 9))
    size = float(10 ** rng.uniform(0.2, 1.5))
    return Atoms(
        f"Si{n}", positions=rng.uniform(0, size, (n, 3)), cell=rng.normal(size=(3, 3)) * size, pbc=True
    )


def _small(rng: Rng) -> Atoms:
    """One atom in a cell with many images."""
    return Atoms("Si", cell=np.diag(rng.uniform(0.6, 3.0, 3)), pbc=True)


def _molecule(rng: Rng) -> Atoms:
    return molecule(pick(rng, ("SiH4", "Si2", "CH4", "H2O", "Si2H6")), vacuum=float(rng.uniform(0, 5)))


BEGINNINGS: tuple[Callable[[Rng], Atoms], ...] = (_crystal, _crystal, _cloud, _small, _molecule)


def _place(rng: Rng, atoms: Atoms) -> Atoms:
    if len(atoms):
        atoms.positions[int(rng.integers(len(atoms))), int(rng.integers(3))] = pick(rng, ODD_NUMBERS)
    return atoms


def _cell(rng: Rng, atoms: Atoms) -> Atoms:
    cell = atoms.cell.array.copy()
    cell[int(rng.integers(3)), int(rng.integers(3))] = pick(rng, ODD_NUMBERS)
    atoms.set_cell(cell)
    return atoms


def _vector(rng: Rng, atoms: Atoms) -> Atoms:
    """A cell vector vanishes, is another's copy, turns round, or is long."""
    cell = atoms.cell.array.copy()
    i, j = rng.permutation(3)[:2]
    cell[i] = pick(
        rng, (0 * cell[i], cell[j], -cell[i], cell[i] + 1e3 * cell[j], 1e5 * cell[i], 1e-3 * cell[i])
    )
    atoms.set_cell(cell)
    return atoms


def _scale(rng: Rng, atoms: Atoms) -> Atoms:
    factor = float(10 ** rng.uniform(-8, 8)) if rng.random() < 0.5 else float(10 ** rng.uniform(-0.5, 1))
    atoms.set_cell(atoms.cell.array * factor)
    if rng.random() < 0.7:
        atoms.positions *= factor
    return atoms


def _periodicity(rng: Rng, atoms: Atoms) -> Atoms:
    atoms.pbc = rng.random(3) < 0.5
    if rng.random() < 0.3:
        atoms.set_cell(atoms.cell.array * atoms.pbc[:, None])
    return atoms


def _coincident(rng: Rng, atoms: Atoms) -> Atoms:
    if len(atoms) > 1:
        atoms.positions[0] = atoms.positions[-1] + pick(
            rng, (0.0, 1e-15, 1e-9, 1e-4, 0.05, 0.4)
        ) * rng.normal(size=3)
    return atoms


def _image(rng: Rng, atoms: Atoms) -> Atoms:
    """An atom on the image of another, or many cells away."""
    shift = rng.integers(-3, 4, size=3) * pick(rng, (1, 1, 1000))
    return atoms + Atoms(atoms.numbers[:1], positions=atoms.positions[:1] + shift @ atoms.cell.array)


def _elements(rng: Rng, atoms: Atoms) -> Atoms:
    if len(atoms):
        atoms.numbers[int(rng.integers(len(atoms)))] = pick(rng, (0, 1, 6, 14, 14, 32, 118))
    return atoms


def _none(rng: Rng, atoms: Atoms) -> Atoms:
    return atoms[:0]


def _one(rng: Rng, atoms: Atoms) -> Atoms:
    return atoms[:1]


def _far(rng: Rng, atoms: Atoms) -> Atoms:
    """The whole structure far from the origin."""
    atoms.positions += pick(rng, (1e3, 1e6, 1e9)) * rng.normal(size=3)
    return atoms


TWISTS: tuple[Callable[[Rng, Atoms], Atoms], ...] = (
    *(_place, _cell, _vector, _scale, _scale, _periodicity, _periodicity, _coincident, _image, _elements),
    *(_none, _one, _far),
)


# a whole data set


def run_check(rng: Rng, shared: Any, folder: Path) -> None:
    structures = tuple(odd_atoms(rng) for _ in range(int(rng.integers(0, 4))))
    n = len(structures)
    energies, stresses = rng.normal(size=n), rng.normal(size=(n, 6))
    forces = [np.zeros((len(atoms), 3)) for atoms in structures]
    if n and rng.random() < 0.4:
        i = int(rng.integers(n))
        energies[i] = pick(rng, ODD_NUMBERS)
        stresses[i, 2] = pick(rng, ODD_NUMBERS)
        forces[i] = pick(
            rng, (forces[i][:1], forces[i].ravel(), forces[i] + 1e200, forces[i] + np.nan, forces[i])
        )
    ids = tuple(f"made#{i}" for i in range(n))
    dataset = Dataset(
        structures, energies, tuple(forces), stresses, ("g",) * n, ids, ids, np.zeros(n, dtype=bool)
    )
    check_dataset(dataset, ("H", "Si"), Tolerances(zero_forces=True))
    for atoms in structures:  # what passes is sound
        distances = atoms.get_all_distances(mic=bool(atoms.pbc.all()))[np.triu_indices(len(atoms), 1)]
        if (
            not np.isfinite(atoms.positions).all()
            or (distances < 0.1).any()
            or set(atoms.symbols) - {"H", "Si"}
        ):
            raise WrongAnswer("a bad structure has passed")


# bases


def prepare_basis(*overrides: str) -> Callable[[Path], Basis]:
    def prepare(folder: Path) -> Basis:
        config = composed("dataset.elements=[H,Si]", *overrides)
        basis: Basis = instantiate(config.descriptor, _convert_="all")
        _all_of(basis, _crystal(np.random.default_rng(0)))  # engines load and compile once
        return basis

    return prepare


def _all_of(basis: Basis, atoms: Atoms) -> np.ndarray:
    """The values; of a linear basis with the rows, which have to fit to them."""
    if not isinstance(basis, LinearBasis):
        return np.asarray(basis.values(atoms))
    values, rows = basis.evaluate(atoms)
    if not all(np.isfinite(part).all() for part in (rows.forces, rows.strain_gradient)):
        raise TamisError("not finite")  # as the store says
    scale = 1e-6 * max(1.0, np.abs(values).max(initial=0.0)) * len(atoms)
    if not np.allclose(rows.energy, values.sum(axis=0), rtol=1e-6, atol=scale):
        raise WrongAnswer("the energy row is not the sum of the values")
    return values


def all_columns(basis: Basis, atoms: Atoms, values: np.ndarray) -> np.ndarray:
    return values


def run_basis(
    rng: Rng,
    basis: Basis,
    folder: Path,
    defined: Callable[[Basis, Atoms, np.ndarray], np.ndarray] = all_columns,
) -> None:
    """Values are finite, and those of the same atoms in another order and elsewhere in the cell are the same.

    defined : which of them the definition of the descriptor settles; the others zero.
    """
    atoms = odd_atoms(rng)
    before = atoms.copy()
    values = _all_of(basis, atoms)
    if not (np.array_equal(before.positions, atoms.positions) and before == atoms):
        raise WrongAnswer("the structure was changed")
    if values.shape != (len(atoms), basis.n_features):
        raise WrongAnswer(f"shape {values.shape}")
    if not np.isfinite(values).all():
        raise TamisError("not finite")  # as the store says
    tolerance = _tolerance(atoms, values)
    values = defined(basis, atoms, values)
    if atoms.pbc.any() and len(atoms) < 9 and rng.random() < 0.4:
        twice = [
            2 if periodic and axis == np.argmax(atoms.pbc) else 1 for axis, periodic in enumerate(atoms.pbc)
        ]
        repeated = atoms.repeat(twice)
        again = defined(basis, repeated, np.asarray(basis.values(repeated)))
        for half in (again[: len(atoms)], again[len(atoms) :]):
            if not np.allclose(half, values, rtol=1e-5, atol=tolerance):
                raise WrongAnswer(f"values change by {np.abs(half - values).max()} when the cell is repeated")
        return
    order = rng.permutation(len(atoms))
    other = atoms[order]
    shifts = rng.integers(-1, 2, size=(len(atoms), 3)) * atoms.pbc
    other.positions += shifts @ atoms.cell.array
    again = defined(basis, other, np.asarray(basis.values(other)))
    if not np.allclose(again, values[order], rtol=1e-5, atol=tolerance):
        raise WrongAnswer(f"values change by {np.abs(again - values[order]).max()} when atoms are wrapped")


def settled_by_distance(basis: QuestsBasis, atoms: Atoms, values: np.ndarray) -> np.ndarray:
    """Without the means of QUESTS where more than one neighbour may be the k-th: they are equally far."""
    first, _, distances = neighbours_within(atoms, basis.r_cut)
    means = np.arange(basis.n_features) % (2 * basis.k - 1) >= basis.k
    values = values.copy()
    for atom in range(len(atoms)):
        near = np.sort(distances[first == atom])
        if len(near) > basis.k and near[basis.k] - near[basis.k - 1] < 1e-5:
            values[atom, means] = 0.0
    return values


def _tolerance(atoms: Atoms, values: np.ndarray) -> float:
    """Absolute; far from the origin fewer digits are left."""
    size = max(1.0, np.abs(atoms.positions).max(), np.abs(atoms.cell.array).max())
    return float(max(1e-6, 1e-10 * size) * max(1.0, np.abs(values).max()))


# the store on the way


def prepare_store(folder: Path) -> tuple[Store, Basis]:
    return Store(root=folder / "store", n_jobs=1), prepare_basis("descriptor.twojmax=2")(folder)


def run_store(rng: Rng, shared: tuple[Store, Basis], folder: Path) -> None:
    store, basis = shared
    structures = [odd_atoms(rng) for _ in range(2)]
    first, again = store.values(basis, structures), store.values(basis, structures)
    for atoms, one, two in zip(structures, first, again, strict=True):
        if len(one) != len(atoms) or not np.array_equal(one, two) or not np.isfinite(one).all():
            raise WrongAnswer("what was kept is not what was computed")


SMALL = {
    "snap": ("descriptor.twojmax=4",),
    "ace": ("descriptor.n_functions_per_element=40", "descriptor.spline_spacing=0.01"),
    "soap": ("descriptor.n_max=4", "descriptor.l_max=4"),
    "acsf": (),
    # in dense cells larger cutoffs see millions of quadruplets
    "chimes": tuple(
        f"descriptor.{x}" for x in ("order_2b=6", "order_3b=3", "order_4b=2", "r_cut=5.0", "r_cut_4b=3.2")
    ),
    "soap_dscribe": ("descriptor.n_max=4",),
    "acsf_dscribe": (),
    "quests": (),
}
"""Every basis, with settings for which a structure takes milliseconds."""
KINDS = (
    Kind("checks", lambda folder: None, run_check, 10),
    *(
        Kind(
            f"basis {name}",
            prepare_basis(f"descriptor={name}", *settings),
            partial(run_basis, defined=settled_by_distance) if name == "quests" else run_basis,
            2.5,
        )
        for name, settings in SMALL.items()
    ),
    Kind("store", prepare_store, run_store, 2.5),
)
