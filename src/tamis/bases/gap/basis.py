"""Covariances of GAP between the environments of a structure and a set of candidate sparse points.

A sparse Gaussian process is linear in the weights of its sparse points, E = sum_i sum_m k(p_i, p_m) c_m: it is a linear
basis whose functions are the points. Rows for many candidates are computed once; a fit takes the columns of the
candidates in its structures. Formulas: Bartók and Csányi, Int. J. Quantum Chem. 115, 1051 (2015), eqs. 9-23.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.base import Array, DesignRows, LinearBasis
from tamis.bases.blocks import refuse_non_finite
from tamis.bases.gap.calculator import GapCalculator
from tamis.bases.gap.files import Term, gap_lammps, pair_term, soap_term, write_gap
from tamis.bases.pair_kernel import VOIGT, PairKernel, element_pairs
from tamis.bases.soap import SoapBasis
from tamis.core.fields import Whole
from tamis.core.geometry import in_vacuum
from tamis.core.interrupts import interruptible_quip


@dataclass(frozen=True, eq=False)
class Candidates:
    """Environments that can become sparse points.

    points: (K, width) SOAP vectors of length 1.
    elements: (K,) chemical symbol of each central atom.
    owners: (K,) key of the structure of each (``tamis.data.dataset.structure_key``).
    """

    points: Array
    elements: NDArray[np.str_]
    owners: NDArray[np.str_]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (20 hex digits) of the points and their elements."""
        digest = hashlib.sha256(np.ascontiguousarray(self.points, dtype="<f8").tobytes())
        digest.update(" ".join(self.elements).encode())
        return digest.hexdigest()[:20]


@dataclass(frozen=True)
class GapBasis(LinearBasis):
    """Functions (p_i . p_m)^zeta of atoms i of the element of candidate m, then those of the pair kernel.

    soap: descriptor of the environments.
    zeta: exponent of the kernel.
    pair: two-body term; None leaves it out.
    candidates: the points; bases are equal if the fingerprints of their candidates are.
    """

    engine: ClassVar[str | None] = "quippy-ase"
    keeps_values: ClassVar[bool] = False

    soap: SoapBasis
    zeta: Annotated[int, Whole(1, say=4)]
    pair: PairKernel | None
    candidates: Candidates = field(compare=False, repr=False)
    fingerprint: str = field(init=False)
    elements: tuple[str, ...] = field(init=False)
    r_cut: float = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        reach = self.soap.r_cut if self.pair is None else max(self.soap.r_cut, self.pair.r_cut)
        object.__setattr__(self, "fingerprint", self.candidates.fingerprint)
        object.__setattr__(self, "elements", self.soap.elements)
        object.__setattr__(self, "r_cut", reach)

    @property
    def n_candidates(self) -> int:
        """Columns of the SOAP term, which come first."""
        return len(self.candidates.points)

    @property
    def n_features(self) -> int:
        """Candidates and the pair kernel's sparse points."""
        return self.n_candidates + (0 if self.pair is None else self.pair.n_columns(self.elements))

    def evaluate(self, atoms: Atoms) -> tuple[Array, DesignRows]:
        """Kernel values (n_atoms, K) and design rows in one pass."""
        self.check(atoms)
        boxed = in_vacuum(atoms, self.r_cut)
        n_atoms, k = len(atoms), self.n_candidates
        values = np.zeros((n_atoms, self.n_features))
        forces = np.zeros((n_atoms, 3, self.n_features))
        strain = np.zeros((6, self.n_features))
        for element, columns in self._columns.items():
            if len(columns) and element in atoms.symbols:
                with interruptible_quip():
                    found = self.soap.descriptors[element].calc(boxed, grad=True)
                refuse_non_finite(found["data"], atoms[np.asarray(found["ci"]) - 1])
                rows = _soap_rows(found, self.candidates.points[columns], self.zeta, n_atoms)
                for whole, part in zip((values, forces, strain), rows, strict=True):
                    whole[..., columns] = part
        if self.pair is not None:
            for whole, part in zip(
                (values, forces, strain), self.pair.rows(boxed, self.elements), strict=True
            ):
                whole[..., k:] = part
        return values, DesignRows(values.sum(axis=0), forces, strain)

    def between(self, columns: NDArray[np.intp]) -> Array:
        """Kernel of the sparse points ``columns`` with each other, (n, n), dimensionless."""
        soap = columns[columns < self.n_candidates]
        points, elements = self.candidates.points[soap], self.candidates.elements[soap]
        alike = points @ points.T
        alike **= self.zeta
        if len(self.elements) > 1:
            alike *= elements[:, None] == elements
        if len(soap) == len(columns):  # avoids a copy of a large matrix
            return np.asarray(alike)
        kernel = np.zeros((len(columns), len(columns)))
        of_soap = np.flatnonzero(columns < self.n_candidates)
        kernel[np.ix_(of_soap, of_soap)] = alike
        if self.pair is not None:
            of_pairs = np.flatnonzero(columns >= self.n_candidates)
            kind, point = np.divmod(columns[of_pairs] - self.n_candidates, self.pair.n_points)
            kernel[np.ix_(of_pairs, of_pairs)] = self.pair.between_points()[np.ix_(point, point)] * (
                kind[:, None] == kind
            )
        return kernel

    def terms(self, coefficients: Array) -> list[Term]:
        """The terms of gap.xml, with the sparse points that have a coefficient."""
        terms: list[Term] = []
        if self.pair is not None:
            blocks = coefficients[self.n_candidates :].reshape(-1, self.pair.n_points)
            for (first, second), block in zip(element_pairs(self.elements), blocks, strict=True):
                settings = self.pair.settings(atomic_numbers[first], atomic_numbers[second])
                cutoffs = self.pair.cutoff(self.pair.points)[0]
                terms.append(pair_term(settings, self.pair.points, block, cutoffs, self.pair.theta))
        for element, columns in self._columns.items():
            used = columns[coefficients[columns] != 0.0]
            if len(used):
                points = self.candidates.points[used]
                terms.append(soap_term(self.soap.settings(element), points, coefficients[used], self.zeta))
        return terms

    def write(self, folder: Path, coefficients: Array, offsets: Array) -> list[Path]:
        """Write gap.xml and its files of sparse points."""
        return write_gap(folder, self.terms(coefficients), dict(zip(self.elements, offsets, strict=True)))

    def calculator(self, coefficients: Array, offsets: Array) -> Calculator:
        """tamis' own calculator, which equals QUIP's for the written files (``quip_potential``)."""
        used = {e: columns[coefficients[columns] != 0.0] for e, columns in self._columns.items()}
        points = {e: self.candidates.points[columns] for e, columns in used.items()}
        weights = {e: coefficients[columns] for e, columns in used.items()}
        pair_weights = coefficients[self.n_candidates :]
        return GapCalculator(self.soap, self.zeta, points, weights, self.pair, pair_weights, offsets)

    def lammps(self, folder: Path) -> tuple[str, ...]:
        """pair_style and pair_coeff lines."""
        return gap_lammps(folder, self.elements)

    @cached_property
    def _columns(self) -> dict[str, NDArray[np.intp]]:
        """Candidates of each element."""
        return {e: np.flatnonzero(self.candidates.elements == e) for e in self.elements}


def _soap_rows(
    found: Mapping[str, Any], points: Array, zeta: int, n_atoms: int
) -> tuple[Array, Array, Array]:
    """Values (n_atoms, M), forces (n_atoms, 3, M) and strain gradient (6, M) of (p . p_m)^zeta.

    Parameters
    ----------
    found : QUIP's descriptor with gradients: ``data`` (n_centres, F), ``ci`` (n_centres,) the centres, from 1, and for
        each gradient entry ``grad_data`` (3, F), ``grad_index_0based`` (centre, moved atom) and ``pos`` (Å) of the
        moved image. Entries of a centre are adjacent; an atom may occur several times.
    points : (M, F).
    """
    centres, gradients = np.asarray(found["ci"]) - 1, found["grad_data"]
    owner, mover = found["grad_index_0based"].T
    overlap = found["data"] @ points.T
    values = np.zeros((n_atoms, len(points)))
    values[centres] = overlap**zeta
    slope = zeta * overlap ** (zeta - 1)
    forces = np.zeros((n_atoms, 3 * len(points))).reshape(n_atoms, 3, -1)
    strain = np.zeros((6, len(points)))
    starts = np.flatnonzero(np.diff(owner, prepend=-1))
    stops = np.append(starts[1:], len(owner))
    row_of = {int(centre): row for row, centre in enumerate(centres)}
    for start, stop in zip(starts, stops, strict=True):
        mine = gradients[start:stop]
        # the gradients of a centre sum to zero, so any origin serves
        away = found["pos"][start:stop] - found["pos"][start]
        stretch = np.tensordot(away, mine, axes=(0, 0))
        six = [0.5 * (stretch[a, b] + stretch[b, a]) for a, b in VOIGT]
        movers, merged = _merge_images(mover[start:stop], mine)
        pulled = np.concatenate([merged.reshape(-1, mine.shape[2]), six]) @ points.T
        pulled *= slope[row_of[int(owner[start])]]
        forces[movers] -= pulled[:-6].reshape(len(movers), 3, -1)
        strain += pulled[-6:]
    return values, forces, strain


def _merge_images(movers: NDArray[np.intp], gradients: Array) -> tuple[NDArray[np.intp], Array]:
    """Each moved atom once, with the sum of the gradients of its images."""
    order = np.argsort(movers, kind="stable")
    unique, starts = np.unique(movers[order], return_index=True)
    if len(unique) == len(movers):
        return movers, gradients
    return unique, np.add.reduceat(gradients[order], starts, axis=0)
