"""python-ace: its calculator, its files, and its functions as tables for our kernel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator, all_changes
from numpy.typing import NDArray

from tamis.bases.ace.functions import Function, Species
from tamis.bases.ace.kernel import Expansion
from tamis.bases.neighbours import VerletList
from tamis.core.elements import species_of
from tamis.core.errors import TamisError
from tamis.engines.imports import import_engine

Array = NDArray[np.float64]
Integers = NDArray[np.int64]


class AceCalculator(Calculator):
    """ASE calculator: python-ace's evaluation of a potential plus the energies of the free atoms, eV by element.

    Energy and energies (eV), forces (eV/Å), and where the cell has a volume stress (eV/Å³).
    """

    implemented_properties = ["energy", "free_energy", "energies", "forces", "stress"]

    def __init__(self, basis: Any, offsets: dict[str, float]) -> None:
        super().__init__()
        self.offsets = offsets
        pyace = import_pyace()
        # the C-tilde form with its recursive evaluator gives the same numbers as the B-basis, 1.6 times faster
        self._basis = basis.to_ACECTildeBasisSet()
        # kept, because the engine does not keep it alive
        self._evaluator = pyace.evaluator.ACERecursiveEvaluator(self._basis)
        self._evaluator.set_recursive(True)
        self._engine = pyace.ACECalculator()
        self._engine.set_evaluator(self._evaluator)
        names = list(self._basis.elements_name)
        self._elements = [element for element in names if element in offsets]
        self._types = np.array([names.index(element) for element in self._elements])
        self._list = VerletList(float(self._basis.cutoffmax))
        self._images = Images(np.zeros(0, dtype=np.int64), np.zeros((0, 3)))
        self._environment: Any = None

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Sequence[str] = ("energy",),
        system_changes: Sequence[str] = tuple(all_changes),
    ) -> None:
        """All properties in one pass.

        Raises
        ------
        TamisError : an element is unknown, or numbers are not finite.
        """
        super().calculate(atoms, properties, system_changes)
        species = species_of(self.atoms, self._elements)
        shift = np.array([self.offsets[element] for element in self._elements])[species]
        if self._list.update(self.atoms):
            self._environment, self._images = environment_of(self._list, len(species))
        of, shifts = self._images
        self._environment.species_type = self._types[species[of]].tolist()
        self._environment.x = (self.atoms.positions[of] + shifts).tolist()
        engine = self._engine
        engine.compute(self._environment, compute_projections=False)
        energies = np.array(engine.energies) + shift
        energy = float(energies.sum())
        self.results = {
            "energy": energy,
            "free_energy": energy,
            "energies": energies,
            "forces": np.array(engine.forces).reshape(-1, 3),
        }
        if self.atoms.cell.rank == 3:
            xx, yy, zz, xy, xz, yz = engine.virial
            self.results["stress"] = np.array([xx, yy, zz, yz, xz, xy]) / self.atoms.cell.volume


class Images(NamedTuple):
    """The atoms, and after them their images within reach."""

    of: Integers
    """(n,) atom numbers"""
    shifts: Array
    """(n, 3) Å"""


def environment_of(listed: VerletList, n_atoms: int) -> tuple[Any, Images]:
    """python-ace's form of a list of neighbours, to which species and places are missing, and the images it counts."""
    cells = np.column_stack([listed.others, listed.translations])
    distinct, first, inverse = np.unique(cells, axis=0, return_index=True, return_inverse=True)
    is_image = distinct[:, 1:].any(axis=1)
    number = np.where(is_image, n_atoms - 1 + np.cumsum(is_image), distinct[:, 0])
    neighbours = np.split(number[inverse.ravel()], np.searchsorted(listed.centres, np.arange(1, n_atoms)))
    images = first[is_image]
    of = np.concatenate([np.arange(n_atoms), listed.others[images]])
    environment = import_engine("pyace.catomicenvironment", "ACE", "ace").ACEAtomicEnvironment()
    # sets the number of images, against which the rest is checked
    environment.x = np.zeros((len(of), 3)).tolist()
    environment.neighbour_list = [of_atom.tolist() for of_atom in neighbours]
    environment.origins = of.tolist()
    return environment, Images(of, np.concatenate([np.zeros((n_atoms, 3)), listed.shifts[images]]))


def import_pyace() -> Any:
    """The module ``pyace``, or MissingEngineError."""
    return import_engine("pyace", "ACE", "ace")


def read_b_basis(path: Path) -> Any:
    """The ``pyace.ACEBBasisSet`` of an ace.yaml.

    Raises
    ------
    TamisError : python-ace finds it missing, damaged or cut off. (Rare damage ends the process instead: see
        ``read_elsewhere_first``.)
    """
    try:
        return import_pyace().ACEBBasisSet(str(path))
    except (ValueError, RuntimeError, IndexError, MemoryError) as error:
        raise TamisError(
            f"{path} is no B-basis that python-ace can read ({error}); write or fit it again"
        ) from error


def read_offsets(basis: Any) -> dict[str, float]:
    """Energies of the free atoms, eV by element, which ``AceBasis.write`` puts into the metadata of an ace.yaml.

    Raises
    ------
    TamisError : an element has none; the energies of the potential would be relative ones.
    """
    metadata = basis.to_BBasisConfiguration().metadata
    try:
        return {str(element): float(metadata[f"E0_{element}"]) for element in basis.elements_name}
    except (KeyError, ValueError) as error:
        raise TamisError(
            f"ace.yaml has no energies of the free atoms in its metadata ({error}); tamis writes E0_Si and so on"
        ) from error


def make_configuration(
    functions: Mapping[Species, Sequence[Function]], bond: Mapping[str, Any], spacing: float
) -> Any:
    """A ``pyace.BBasisConfiguration`` with one density, a linear embedding, and all coefficients zero.

    R_n is the n-th radial function for every pair of elements and every n and l. (By default python-ace makes only as
    many radial coefficients for a pair as its single-factor functions need, and those of higher n would be zero.)

    Parameters
    ----------
    functions : of each block. bond : attributes of a pair, equal for all pairs. spacing : of the radial tables, Å.
    """
    pyace = import_pyace()
    every = [function for of_block in functions.values() for function in of_block]
    n_max = max((max(f.ns) for f in every if len(f.ns) > 1), default=0)
    n_base = max(n_max, max(max(f.ns) for f in every if len(f.ns) == 1))
    l_max = max(max(f.ls) for f in every)
    identity = np.repeat(np.eye(n_max, n_base)[:, np.newaxis, :], l_max + 1, axis=1)
    radial = {"nradmaxi": n_max, "nradbaseij": n_base, "lmaxi": l_max, "radcoefficients": identity.tolist()}
    blocks = []
    for name, of_block in functions.items():
        attributes: dict[str, Any] = {"block_name": " ".join(name), "elements_vec": list(name)}
        attributes["inner_cutoff_type"] = "distance"
        if len(name) == 1:
            attributes |= {"npoti": "FinnisSinclair", "ndensityi": 1, "fs_parameters": [1, 1]}
        if len(name) <= 2:
            attributes |= {**bond, **radial}
        # python-ace checks the bounds when it gets the functions, so these come last
        attributes["funcspecs"] = [
            pyace.BBasisFunctionSpecification(
                elements=list(f.elements), ns=list(f.ns), ls=list(f.ls), LS=list(f.between), coeffs=[0.0]
            )
            for f in of_block
        ]
        blocks.append(block := pyace.BBasisFunctionsSpecificationBlock())
        for attribute, value in attributes.items():
            setattr(block, attribute, value)
    config = pyace.BBasisConfiguration()
    config.deltaSplineBins = spacing
    config.funcspecs_blocks = blocks
    return config


def write_potential(folder: Path, basis: Any, offsets: Mapping[str, float]) -> list[Path]:
    """Write ``ace.yaml`` (B-basis, which pacemaker reads and continues) and ``ace.yace`` (LAMMPS ML-PACE).

    The .yace file has a field for the energies of the free atoms, which LAMMPS and python-ace add: its energies are
    total ones. The B-basis has none: ``ace.yaml`` gives energies relative to the free atoms, whose energies stand in
    its metadata (``E0_Si: ...``, eV).

    Parameters
    ----------
    basis : a ``pyace.ACEBBasisSet``. offsets : element -> energy of the free atom, eV, in the order of the basis.
    """
    folder.mkdir(parents=True, exist_ok=True)
    yaml, yace = folder / "ace.yaml", folder / "ace.yace"
    config = basis.to_BBasisConfiguration()
    metadata = config.metadata
    for element, energy in offsets.items():
        metadata[f"E0_{element}"] = repr(float(energy))
    config.metadata = metadata
    config.save(str(yaml))
    basis.to_ACECTildeBasisSet().save_yaml(str(yace))
    _write_offsets(yace, list(offsets.values()))
    return [yaml, yace]


def _write_offsets(yace: Path, offsets: Sequence[float]) -> None:
    """Put the free-atom energies, eV, into the E0 field of a .yace file."""
    text, n = re.subn(
        r"^E0: *\[[^\]]*\]",
        f"E0: [{', '.join(repr(float(e)) for e in offsets)}]",
        yace.read_text(),
        count=1,
        flags=re.M,
    )
    if n != 1:
        raise TamisError(f"{yace} has no field E0: this version of python-ace writes another format")
    yace.write_text(text)


def read_expansion(basis: Any, n_elements: int, r_cut: float, spacing: float) -> Expansion:
    """Turn a ``pyace.ACEBBasisSet`` into plain arrays: functions element by element, single factors first."""
    by_element = [[*basis.basis_rank1[e], *basis.basis[e]] for e in range(n_elements)]
    functions = [f for block in by_element for f in block]
    radial, channels = read_radial(basis, n_elements, r_cut, spacing)
    factors = [
        [
            (int(mu), channels[f.rank == 1, int(n), int(ell)], int(ell))
            for mu, n, ell in zip(f.mus, f.ns, f.ls, strict=True)
        ]
        for f in functions
    ]
    orbitals = sorted({(channel, ell) for f in factors for _, channel, ell in f})
    first_row = np.concatenate([[0], np.cumsum([2 * ell + 1 for _, ell in orbitals])])
    row_of = dict(zip(orbitals, first_row.tolist(), strict=False))
    return Expansion(
        r_cut=float(r_cut),
        l_max=max(ell for _, ell in orbitals),
        radial=radial,
        orbital_channel=np.array([channel for channel, _ in orbitals]),
        orbital_l=np.array([ell for _, ell in orbitals]),
        orbital_row=first_row,
        first_function=np.concatenate([[0], np.cumsum([len(block) for block in by_element])]),
        **read_products(functions, factors, row_of, n_elements),
    )


def read_products(
    functions: list[Any],
    factors: list[list[tuple[int, int, int]]],
    row_of: dict[tuple[int, int], int],
    n_elements: int,
) -> dict[str, Any]:
    """The couplings of each function and the places of its derivatives (fields of Expansion).

    factors: (element, channel, l) of every factor of each function. row_of: first row of each (channel, l).
    """
    n_rows = max(row + 2 * ell + 1 for (_, ell), row in row_of.items())
    first_coupling, first_factor, first_entry = [0], [0], []
    weights: list[float] = []
    factor, factor_sign = [], []
    factor_entry: list[tuple[int, int]] = []
    entry_row: list[int] = []
    for function, orbitals in zip(functions, factors, strict=True):
        touched = []
        for ms in function.ms_combs:
            for (element, channel, ell), m in zip(orbitals, ms, strict=True):
                row = row_of[channel, ell]
                re_row = row + max(0, 2 * abs(m) - 1)
                parity = -1.0 if m < 0 and m % 2 else 1.0  # A_l,-m = (-1)^m conj(A_lm)
                factor.append(element * n_rows + re_row + (m < 0))
                factor_sign.append((parity, parity * np.sign(m)))
                touched.append(((element, re_row), (element, re_row + (m != 0))))
            first_factor.append(len(factor))
        weights.extend(function.gen_cgs if function.rank > 1 else [1.0])
        first_coupling.append(len(weights))
        entries = sorted({entry for pair in touched for entry in pair})
        number = {entry: len(entry_row) + i for i, entry in enumerate(entries)}
        factor_entry.extend((number[re], number[im]) for re, im in touched)
        counts = np.bincount([element for element, _ in entries], minlength=n_elements)
        first_entry.append(len(entry_row) + np.concatenate([[0], np.cumsum(counts)]))
        entry_row.extend(row for _, row in entries)
    return {
        "first_coupling": np.array(first_coupling),
        "coupling_weight": np.array(weights),
        "first_factor": np.array(first_factor),
        "factor": np.array(factor),
        "factor_sign": np.array(factor_sign),
        "factor_entry": np.array(factor_entry),
        "first_entry": np.array(first_entry),
        "entry_row": np.array(entry_row),
    }


def read_radial(
    basis: Any, n_elements: int, r_cut: float, spacing: float
) -> tuple[Array, dict[tuple[bool, int, int], int]]:
    """Radial tables, (E, E, n_nodes, C, 2), and the channel of each (single factor?, n, l), n from 1.

    python-ace interpolates between the same nodes with the same cubic, so the tables equal its functions. Equal tables
    (R_n is usually the same for every l) share a channel.
    """
    n_bins = int(r_cut / spacing)
    nodes = np.arange(1, n_bins) * (r_cut / n_bins)
    names = [(True, n + 1, 0) for n in range(basis.nradbase)]
    names += [(False, n + 1, ell) for n in range(basis.nradmax) for ell in range(basis.lmax + 1)]
    tables = np.zeros((n_elements, n_elements, n_bins + 1, len(names), 2))
    for pair in np.ndindex(n_elements, n_elements):
        radial = basis.radial_functions
        radial.evaluate_range(list(nodes * (1.0 + 1e-15)), basis.nradbase, basis.nradmax, *pair)
        many = basis.nradmax > 0  # without products python-ace has no array of their functions
        values = (radial.gr_vec, np.reshape(radial.fr_vec if many else [], (n_bins - 1, -1)))
        slopes = (radial.dgr_vec, np.reshape(radial.dfr_vec if many else [], (n_bins - 1, -1)))
        tables[pair][1:-1, :, 0] = np.hstack(values)
        tables[pair][1:-1, :, 1] = np.hstack(slopes) * (r_cut / n_bins)
    first_of: dict[bytes, int] = {}
    same_as = [first_of.setdefault(tables[..., c, :].tobytes(), c) for c in range(len(names))]
    kept = sorted(set(same_as))
    channels = {name: kept.index(c) for name, c in zip(names, same_as, strict=True)}
    return np.ascontiguousarray(tables[..., kept, :]), channels
