"""GAP potentials as an ASE calculator: QUIP's energies, forces and stresses, more than ten times faster.

QUIP makes the gradient of every SOAP vector by every neighbour before it applies the kernel. Here the derivative of the
energy is propagated back through the power spectrum (``tamis.bases.gap.kernel``). The radial functions are QUIP's:
Gaussians at even distances, orthogonalised by the Cholesky factor of their overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve
from scipy.special import erf, ive

from tamis.bases.calculator import NeighbourCalculator
from tamis.bases.gap.kernel import (
    Expansion,
    Pairs,
    add_forces,
    add_pairs,
    by_coefficients,
    expand,
    power_spectra,
)
from tamis.bases.neighbours import Neighbours
from tamis.bases.pair_kernel import PairKernel, element_pairs
from tamis.bases.soap import SoapBasis

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

NODES_PER_WIDTH = 100
"""Nodes of the radial tables in the width of a Gaussian. Fewer are not exact enough; with more, slopes between nodes
lose digits, which large weights amplify: sparse points near each other have weights of a million electronvolts, and
forces of such a potential differ from QUIP's by 1e-6 eV/Å."""
BASIS_ERROR = 1e-10
"""QUIP's ``basis_error_exponent`` of 10: radial functions end where the Gaussian of an atom at r_cut is this small."""
TINY = 1e-12
"""Smallest argument of a Bessel function, because the function is divided by its argument."""


class GapCalculator(NeighbourCalculator):
    """Energy, forces and stress of a sparse Gaussian process.

    Parameters
    ----------
    soap : descriptor of the environments. zeta : exponent of their kernel.
    points : by element of the central atom, sparse points (M, width), of length 1. weights : of these, (M,) eV.
    pair : two-body term, or None. pair_weights : eV, by kind (``element_pairs``), then by point.
    offsets : (n_elements,) energies of the free atoms, eV.
    """

    def __init__(
        self,
        soap: SoapBasis,
        zeta: int,
        points: Mapping[str, Array],
        weights: Mapping[str, Array],
        pair: PairKernel | None,
        pair_weights: Array,
        offsets: Array,
    ) -> None:
        reach = soap.r_cut if pair is None else max(soap.r_cut, pair.r_cut)
        super().__init__(soap.elements, offsets, reach)
        self._zeta = zeta
        self._points = {e: np.ascontiguousarray(found[:, :-1]) for e, found in points.items()}
        self._weights = dict(weights)
        self._expansion = expansion_of(soap)
        self._pairs = None if pair is None else pairs_of(pair, pair_weights, soap.elements)

    def contributions(self, species: Integers, near: Neighbours) -> tuple[Array, Array, Array]:
        """The derivative of the energy by the power spectra is carried back to the neighbours."""
        of, n_atoms = self._expansion, len(species)
        energies, forces, strain = np.zeros(n_atoms), np.zeros((n_atoms, 3)), np.zeros((3, 3))
        c = expand(of, *near, species, len(self._elements))
        spectra = power_spectra(c, of.l_max)
        slopes = np.zeros_like(spectra)
        for element, points in self._points.items():
            mine = np.flatnonzero(species == self._elements.index(element))
            if len(mine):
                energies[mine], slopes[mine] = kernel_energies(
                    spectra[mine], points, self._weights[element], self._zeta
                )
        add_forces(of, by_coefficients(c, slopes, of.l_max), *near, species, forces, strain)
        if self._pairs is not None:
            add_pairs(self._pairs, *near, species, energies, forces, strain)
        return energies, forces, strain


def kernel_energies(spectra: Array, points: Array, weights: Array, zeta: int) -> tuple[Array, Array]:
    """Energies (n,) eV of power spectra (n, width), not normalised, and their derivatives by these, (n, width)."""
    lengths = np.linalg.norm(spectra, axis=1)[:, None]
    unit = spectra / lengths
    overlap = unit @ points.T
    lower = overlap ** (zeta - 1)
    energies = (lower * overlap) @ weights
    by_unit = (lower * (zeta * weights)) @ points
    # a vector of length 1 has no derivative along itself
    return energies, (by_unit - (by_unit * unit).sum(axis=1)[:, None] * unit) / lengths


def expansion_of(soap: SoapBasis) -> Expansion:
    """Tables of the radial functions of ``soap``.

    QUIP's radial basis: with Gaussians of the atoms' width at r_a, C their values at each other's centres and
    S = L L^T the overlaps of r times them, the coefficients of an atom at distance r are f_l(r) C^-1 L, where
    f_la = exp(-alpha (r^2 + r_a^2)) i_l(2 alpha r r_a), i_l the modified spherical Bessel function.
    """
    alpha = 0.5 / soap.atom_sigma**2
    end = soap.r_cut + soap.atom_sigma * np.sqrt(-2.0 * np.log(BASIS_ERROR))
    centres = np.arange(soap.n_max) * end / soap.n_max
    lower = cholesky(_overlaps(centres, alpha), lower=True)
    mixing = solve(np.exp(-alpha * (centres[:, None] - centres) ** 2), lower, assume_a="pos")
    n_bins = int(np.ceil(soap.r_cut / soap.atom_sigma * NODES_PER_WIDTH))
    nodes = np.linspace(0.0, soap.r_cut, n_bins + 1)
    table = np.empty((n_bins + 1, soap.l_max + 1, soap.n_max, 2))
    for ell in range(soap.l_max + 1):
        value, slope = _gaussian_shells(ell, nodes, centres, alpha)
        table[:, ell, :, 0] = value @ mixing
        table[:, ell, :, 1] = slope @ mixing * nodes[1]
    return Expansion(
        r_cut=soap.r_cut,
        width=soap.cutoff_transition_width,
        n_max=soap.n_max,
        l_max=soap.l_max,
        table=np.ascontiguousarray(table.reshape(n_bins + 1, -1, 2)),
        centre=np.ascontiguousarray(lower[0]),
    )


def _overlaps(centres: Array, alpha: float) -> Array:
    """Integral of r² exp(-alpha (r - r_a)²) exp(-alpha (r - r_b)²) over r from 0 on, Å³."""
    total, apart = centres[:, None] + centres, centres[:, None] - centres
    far = np.exp(-alpha * (centres[:, None] ** 2 + centres**2)) * np.sqrt(2.0) * alpha**1.5 * total
    near = np.sqrt(np.pi) * alpha * np.exp(-0.5 * alpha * apart**2) * (1.0 + alpha * total**2)
    return np.asarray((far + near * (1.0 + erf(np.sqrt(0.5 * alpha) * total))) / np.sqrt(128.0 * alpha**5))


def _gaussian_shells(ell: int, r: Array, centres: Array, alpha: float) -> tuple[Array, Array]:
    """exp(-alpha (r² + r_a²)) i_l(2 alpha r r_a), (n, N), and its derivative by r, 1/Å."""
    x = np.maximum(2.0 * alpha * r[:, None] * centres, TINY)
    scale = np.exp(-alpha * (r[:, None] - centres) ** 2) * np.sqrt(0.5 * np.pi / x)
    bessel, next_bessel = scale * ive(ell + 0.5, x), scale * ive(ell + 1.5, x)
    by_x = next_bessel + ell / x * bessel
    return bessel, 2.0 * alpha * (centres * by_x - r[:, None] * bessel)


def pairs_of(pair: PairKernel, weights: Array, elements: Sequence[str]) -> Pairs:
    """Tables of the two-body energies; weights (n_kinds * n_points,), eV."""
    weights = weights.reshape(-1, pair.n_points)
    n_bins = int(np.ceil(pair.r_cut / pair.theta * NODES_PER_WIDTH))
    nodes = np.linspace(0.0, pair.r_cut, n_bins + 1)
    away = nodes[:, None] - pair.points
    bell = np.exp(-0.5 * (away / pair.theta) ** 2) * pair.cutoff(pair.points)[0]
    slope = -bell * away / pair.theta**2
    kinds = {frozenset(kind): number for number, kind in enumerate(element_pairs(elements))}
    return Pairs(
        r_cut=pair.r_cut,
        width=pair.cutoff_transition_width,
        table=np.ascontiguousarray(np.stack([bell @ weights.T, slope @ weights.T * nodes[1]], axis=-1)),
        kind=np.array([[kinds[frozenset((a, b))] for b in elements] for a in elements], dtype=np.int64),
    )
