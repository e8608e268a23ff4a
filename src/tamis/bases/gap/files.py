"""gap.xml and its files of sparse points, as quippy, quip and LAMMPS ML-QUIP read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.gap.check import check_gap
from tamis.core.errors import MissingEngineError
from tamis.core.interrupts import interruptible_quip

Array = NDArray[np.float64]

GAP_FILE = "gap.xml"
LABEL = "GAP_tamis"
VERSION = 1_769_700_636
"""Of the GAP code that these conventions were checked against (quippy-ase 0.10.3). Without one QUIP takes a file for
an old one, whose SOAP of several elements was another."""
GAUSSIAN, DOT_PRODUCT = 1, 2  # QUIP's covariance_type


@dataclass(frozen=True, eq=False)
class PairTerm:
    """A two-body term: settings for QUIP; points (M,) Å; coefficients (M,) eV; cutoffs (M,); theta Å."""

    settings: str
    points: Array
    coefficients: Array
    cutoffs: Array
    theta: float

    def attributes(self) -> dict[str, object]:
        """What distinguishes the kernel."""
        return {"covariance_type": GAUSSIAN}

    def lines(self) -> list[str]:
        """Child elements that only this kernel has."""
        return [f"<theta> {self.theta:.17g} </theta>"]


@dataclass(frozen=True, eq=False)
class SoapTerm:
    """A SOAP term: settings for QUIP; points (M, F) of length 1; coefficients (M,) eV; zeta."""

    settings: str
    points: Array
    coefficients: Array
    zeta: int

    @property
    def cutoffs(self) -> Array:
        """SOAP has its cutoff inside: 1 for every point."""
        return np.ones(len(self.points))

    def attributes(self) -> dict[str, object]:
        """What distinguishes the kernel."""
        return {"covariance_type": DOT_PRODUCT, "zeta": f"{float(self.zeta):.17g}"}

    def lines(self) -> list[str]:
        """Child elements that only this kernel has."""
        return []


Term = PairTerm | SoapTerm


def write_gap(folder: Path, terms: Sequence[Term], offsets: Mapping[str, float]) -> list[Path]:
    """Write ``gap.xml`` and a file of sparse points for each term; returns the paths, gap.xml first.

    Parameters
    ----------
    folder : exists. terms : of the potential. offsets : energy of the free atom of each element, eV.
    """
    paths = [folder / GAP_FILE]
    body = []
    for number, term in enumerate(terms, start=1):
        name = f"{GAP_FILE}.sparseX.{LABEL}_{number}"
        # one number a line, point after point
        np.savetxt(folder / name, term.points.reshape(-1, 1), fmt="%.17g")
        paths.append(folder / name)
        body += _coordinates(term, number, name)
    label = quoteattr(LABEL)
    lines = [
        f"<{LABEL}>",
        f'<Potential label={label} init_args="IP GAP label={LABEL}"/>',
        f'<GAP_params label={label} gap_version="{VERSION}">',
        '<GAP_data do_core="F">',
        *(f'<e0 Z="{atomic_numbers[symbol]}" value="{e0:.17g}"/>' for symbol, e0 in offsets.items()),
        "</GAP_data>",
        f'<gpSparse label={label} n_coordinate="{len(terms)}" fitted="T">',
        *body,
        "</gpSparse>",
        "</GAP_params>",
        f"</{LABEL}>",
    ]
    paths[0].write_text("\n".join(lines) + "\n")
    return paths


def _coordinates(term: Term, number: int, name: str) -> list[str]:
    """The element of one term; its coefficients are those of a kernel of unit variance."""
    attributes = {
        "label": f"{LABEL}{number}",  # QUIP finds the terms by this name
        "dimensions": term.points[0].size,
        "signal_variance": 1.0,
        "signal_mean": 0.0,
        "sparsified": "T",
        "n_permutations": 1,
        **term.attributes(),
        "n_sparseX": len(term.points),
        "sparseX_filename": name,
    }
    head = " ".join(f"{key}={quoteattr(str(value))}" for key, value in attributes.items())
    points = [
        f'<sparseX i="{i}" alpha="{alpha:.17g}" sparseCutoff="{cutoff:.17g}"/>'
        for i, (alpha, cutoff) in enumerate(zip(term.coefficients, term.cutoffs, strict=True), start=1)
    ]
    return [
        f"<gpCoordinates {head}>",
        *term.lines(),
        f"<descriptor>{term.settings}</descriptor>",
        '<permutation i="1">1</permutation>',
        *points,
        "</gpCoordinates>",
    ]


def quip_potential(path: Path) -> Calculator:
    """quippy's compiled calculator of a gap.xml, whose files of sparse points are beside it.

    Raises
    ------
    TamisError : a file is missing or damaged. MissingEngineError : no quippy.
    """
    check_gap(path)
    try:
        from quippy.potential import Potential
    except ImportError as error:
        raise MissingEngineError(
            'GAP potentials are evaluated by QUIP and the package quippy-ase is not installed; pip install "tamis[gap]"'
        ) from error
    with interruptible_quip():
        return Potential("", param_filename=str(path))


def gap_lammps(folder: Path, elements: Sequence[str], label: str = LABEL) -> tuple[str, ...]:
    """pair_style and pair_coeff lines for LAMMPS with ML-QUIP; ``label``: root of the gap.xml in ``folder``."""
    numbers = " ".join(str(atomic_numbers[symbol]) for symbol in elements)
    return (
        "pair_style quip",
        f'pair_coeff * * "{folder / GAP_FILE}" "Potential xml_label={label}" {numbers}',
    )
