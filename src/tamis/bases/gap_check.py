"""Whether the files of a GAP are whole: QUIP ends the process over one that is not, and nobody could say why."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from tamis.exceptions import TamisError

HINT = "write or fit the potential again, or copy all its files"


def check_gap(path: Path) -> ElementTree.Element:
    """The root of a gap.xml that, with the files beside it, has all that QUIP will look for.

    Raises
    ------
    TamisError : a file is missing, cut off or changed; says which and where.
    """
    root = read_xml(path)
    if root.find("Potential") is None or root.find("GAP_params/GAP_data") is None:
        raise TamisError(f"{path} has no Potential with GAP_params and GAP_data: it is no GAP; {HINT}")
    terms = root.findall("GAP_params/gpSparse/gpCoordinates")
    said = root.find("GAP_params/gpSparse")
    if said is None or not terms or _whole(path, said, "n_coordinate") != len(terms):
        raise TamisError(
            f"{path} is damaged: it says another number of terms than it has ({len(terms)}); {HINT}"
        )
    for free_atom in root.findall("GAP_params/GAP_data/e0"):
        _number(path, free_atom, "value")
    for term in terms:
        _check_term(path, term)
    return root


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file; TamisError where it is missing or damaged."""
    if not path.is_file():
        raise TamisError(f"{path} is not there; name a gap.xml, with its sparseX files in the same folder")
    try:
        return ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise TamisError(f"{path} is damaged ({error}); {HINT}") from error


def _check_term(path: Path, term: ElementTree.Element) -> None:
    """One gpCoordinates and its file."""
    width, n_points = _whole(path, term, "dimensions"), _whole(path, term, "n_sparseX")
    for name in ("signal_variance", "covariance_type"):
        _number(path, term, name)
    points = term.findall("sparseX")
    if len(points) != n_points:
        raise TamisError(f"{path} is damaged: n_sparseX is {n_points} with {len(points)} points; {HINT}")
    for point in points:
        _number(path, point, "alpha")
        _number(path, point, "sparseCutoff")
    if not "".join(term.findtext("descriptor") or "").strip():
        raise TamisError(f"{path} is damaged: a term has no descriptor; {HINT}")
    file, checksum = term.get("sparseX_filename"), term.get("sparseX_md5sum")
    if file is None or not (path.parent / file).is_file():
        raise TamisError(f"{path} names the file of sparse points {file}, which is not beside it; {HINT}")
    data = (path.parent / file).read_bytes()
    if checksum is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != checksum:
        raise TamisError(
            f"{path.parent / file} is damaged: {path.name} gives another checksum for it; {HINT}"
        )
    try:
        numbers = np.array(data.split(), dtype=np.float64)
    except ValueError as error:
        raise TamisError(f"{path.parent / file} is damaged ({error}); {HINT}") from error
    if len(numbers) != width * n_points or not np.isfinite(numbers).all():
        raise TamisError(
            f"{path.parent / file} is damaged: it should hold {n_points} points of {width} finite numbers and holds "
            f"{np.isfinite(numbers).sum()} of these; {HINT}"
        )


def _number(path: Path, element: ElementTree.Element, name: str) -> float:
    """A finite number that an attribute holds."""
    text = element.get(name)
    try:
        number = float(text) if text is not None else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TamisError(
            f"{path} is damaged: {name} of a {element.tag} is {text}, which is no finite number; {HINT}"
        )
    return number


def _whole(path: Path, element: ElementTree.Element, name: str) -> int:
    """A whole number from 1 on that an attribute holds."""
    number = _number(path, element, name)
    if number != int(number) or number < 1:
        raise TamisError(
            f"{path} is damaged: {name} of a {element.tag} is {number:g}; it must be a whole number from 1 on; {HINT}"
        )
    return int(number)
