"""gap.xml and its files of sparse points, as quippy, quip and LAMMPS ML-QUIP read them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

import numpy as np
from ase.calculators.calculator import Calculator
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.interrupts import interruptible_quip
from tamis.engines.imports import import_engine

Array = NDArray[np.float64]

GAP_FILE = "gap.xml"
LABEL = "GAP_tamis"
VERSION = 1_769_700_636
"""Version of the GAP code that these conventions were checked against (quippy-ase 0.10.3). QUIP takes a file without
a version for an old one, with another SOAP of several elements."""
GAUSSIAN, DOT_PRODUCT = 1, 2  # QUIP's covariance_type


@dataclass(frozen=True, eq=False)
class Term:
    """A sum over kernels of sparse points.

    settings: QUIP's descriptor string. points: (M,) Å, or (M, F) of length 1. coefficients: (M,) eV.
    cutoffs: (M,) factor of each point. kernel: XML attributes. theta: Å, width of a Gaussian kernel.
    """

    settings: str
    points: Array
    coefficients: Array
    cutoffs: Array
    kernel: Mapping[str, object]
    theta: float | None = None


def pair_term(settings: str, points: Array, coefficients: Array, cutoffs: Array, theta: float) -> Term:
    """A two-body term with a Gaussian kernel of distances."""
    return Term(settings, points, coefficients, cutoffs, {"covariance_type": GAUSSIAN}, theta)


def soap_term(settings: str, points: Array, coefficients: Array, zeta: int) -> Term:
    """A SOAP term with the kernel (p . p')^zeta; the descriptor itself contains the cutoff."""
    kernel = {"covariance_type": DOT_PRODUCT, "zeta": f"{float(zeta):.17g}"}
    return Term(settings, points, coefficients, np.ones(len(points)), kernel)


def write_gap(folder: Path, terms: Sequence[Term], offsets: Mapping[str, float]) -> list[Path]:
    """Write ``gap.xml`` and a file of sparse points for each term; returns the paths, gap.xml first.

    offsets: energy of the free atom of each element, eV.
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
    """The XML element of one term; the coefficients belong to a kernel of unit variance."""
    attributes = {
        "label": f"{LABEL}{number}",  # QUIP finds the terms by this name
        "dimensions": term.points[0].size,
        "signal_variance": 1.0,
        "signal_mean": 0.0,
        "sparsified": "T",
        "n_permutations": 1,
        **term.kernel,
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
        *([] if term.theta is None else [f"<theta> {term.theta:.17g} </theta>"]),
        f"<descriptor>{term.settings}</descriptor>",
        '<permutation i="1">1</permutation>',
        *points,
        "</gpCoordinates>",
    ]


HINT = "write or fit the potential again, or copy all its files"


def read_gap_xml(path: Path) -> ElementTree.Element:
    """The root of a gap.xml, after a look at what QUIP would not notice, or would end the process over.

    Raises
    ------
    TamisError : a file is missing or damaged, or the XML names files outside of its folder, or has a document type
        (whose entities may be a few bytes that stand for gigabytes).
    """
    if not path.is_file():
        raise TamisError(f"{path} is not there; name a gap.xml, with its sparseX files in the same folder")
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:  # a zero: UTF-16 could hide the words
        raise TamisError(f"{path} has a document type or zero bytes, which no GAP has; {HINT}")
    try:
        root = ElementTree.fromstring(data)  # nosec B314 # without a document type
        terms = root.findall(".//gpCoordinates")
        n_terms = sum(int(one.get("n_coordinate", "")) for one in root.iter("gpSparse"))
        for term in terms:
            _check_points(path, term)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise TamisError(f"{path} is damaged ({error}); {HINT}") from error
    if not terms or n_terms != len(terms):
        raise TamisError(f"{path} is no whole GAP: it has {len(terms)} of {n_terms} terms; {HINT}")
    return root


def _check_points(path: Path, term: ElementTree.Element) -> None:
    """Compare a term with its file of sparse points; ValueError where what should be a number is none."""
    name, checksum = term.get("sparseX_filename", ""), term.get("sparseX_md5sum")
    file = path.parent / name
    if Path(name).name != name or not file.is_file():  # the author has no say in what else is read
        raise TamisError(f"{path} names the file of sparse points {name!r}, which is not beside it; {HINT}")
    data, n_points = file.read_bytes(), int(term.get("n_sparseX", ""))
    n_needed = n_points * int(term.get("dimensions", ""))
    n_numbers = int(np.isfinite(np.array(data.split(), dtype=float)).sum())
    if len(term.findall("sparseX")) != n_points or n_numbers != n_needed:
        raise TamisError(
            f"{file} is damaged, or {path.name} is: {n_points} points of {n_needed} finite numbers are needed "
            f"and there are {len(term.findall('sparseX'))} of {n_numbers}; {HINT}"
        )
    if checksum is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != checksum:
        raise TamisError(f"{file} is damaged: {path.name} gives another checksum for it; {HINT}")


def quip_potential(path: Path) -> Calculator:
    """quippy's compiled calculator of a gap.xml, whose files of sparse points are beside it.

    Raises
    ------
    TamisError : see ``read_gap_xml``; QUIP ends the process over other damage (see ``read_elsewhere_first``).
    MissingEngineError : quippy is not installed.
    """
    read_gap_xml(path)
    quippy = import_engine("quippy.potential", "a GAP in QUIP", "gap")
    with interruptible_quip():
        return quippy.Potential("", param_filename=str(path))


def gap_lammps(folder: Path, elements: Sequence[str], label: str = LABEL) -> tuple[str, ...]:
    """pair_style and pair_coeff lines for LAMMPS with ML-QUIP; ``label`` is the root element of gap.xml."""
    numbers = " ".join(str(atomic_numbers[symbol]) for symbol in elements)
    return (
        "pair_style quip",
        f'pair_coeff * * "{folder / GAP_FILE}" "Potential xml_label={label}" {numbers}',
    )
