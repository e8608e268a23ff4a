"""Whether the files of a GAP are whole: QUIP ends the process over one that is not, and nobody could say why.

So nothing is taken on trust: every number that QUIP reads has to be one, and descriptors have to be the two that tamis
and its gap_fit write.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tamis.core.errors import TamisError

HINT = "write or fit the potential again, or copy all its files"
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""As Fortran reads it: Python's float also takes 1_000, nan and the digits of other scripts."""
WHOLE = re.compile(r"\d{1,9}", re.ASCII)
SETTING = re.compile(r"(\w+)=(\{[^{}]*\}|[^\s{}]+)", re.ASCII)
NEEDED = {
    "soap": (
        "cutoff",
        "cutoff_transition_width",
        "n_max",
        "l_max",
        "atom_sigma",
        "Z",
        "n_species",
        "species_Z",
    ),
    "distance_2b": ("cutoff", "cutoff_transition_width", "Z1", "Z2"),
}
"""Descriptors and the settings that they cannot do without."""
OF_THE_FIT = (
    *("n_Z", "zeta", "delta", "covariance_type", "n_sparse", "sparse_method", "theta_uniform", "add_species"),
    *("config_type_n_sparse", "f0", "central_weight"),
)
"""Settings that may be there as well."""
WORDS = ("covariance_type", "sparse_method", "add_species")
"""Settings that are no numbers."""
SPARSE_FILE = "sparse_file"
"""Where a fit took its points from; QUIP has them from the potential's own files, and does not look there."""
LARGEST = {"cutoff": 100.0, "n_max": 20, "l_max": 20, "atom_sigma": 10.0}
GAUSSIAN, DOT_PRODUCT = "1", "2"


def check_gap(path: Path) -> ElementTree.Element:
    """The root of a gap.xml that, with the files beside it, has all that QUIP will look for.

    Raises
    ------
    TamisError : a file is missing, cut off or changed, or has another descriptor than soap and distance_2b; says which
        and where.
    """
    root = read_xml(path)
    potential, parameters = root.find("Potential"), root.find("GAP_params")
    data, said = root.find("GAP_params/GAP_data"), root.find("GAP_params/gpSparse")
    if potential is None or parameters is None or data is None:
        raise TamisError(f"{path} has no Potential with GAP_params and GAP_data: it is no GAP; {HINT}")
    terms = root.findall("GAP_params/gpSparse/gpCoordinates")
    if said is None or not terms or _whole(path, said, "n_coordinate") != len(terms):
        raise TamisError(
            f"{path} is damaged: it says another number of terms than it has ({len(terms)}); {HINT}"
        )
    label = root.tag
    _expect(path, potential, {"label": label, "init_args": f"IP GAP label={label}"})
    _expect(path, parameters, {"label": label})
    _expect(path, said, {"label": label, "fitted": "T"})
    _expect(path, data, {"do_core": "F"})
    _whole(path, parameters, "gap_version")
    for free_atom in data.findall("e0"):
        _number(path, free_atom, "value")
        if _whole(path, free_atom, "Z") > 118:
            raise TamisError(f"{path} is damaged: Z of an e0 is {free_atom.get('Z')}; {HINT}")
    for number, term in enumerate(terms, start=1):
        _expect(path, term, {"label": f"{label}{number}", "sparsified": "T", "n_permutations": "1"})
        _check_term(path, term)
    return root


def read_xml(path: Path) -> ElementTree.Element:
    """The root of an XML file without a document type; TamisError where it is missing or damaged.

    A document type could define entities, a few bytes that stand for gigabytes.
    """
    if not path.is_file():
        raise TamisError(f"{path} is not there; name a gap.xml, with its sparseX files in the same folder")
    data = path.read_bytes()
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:  # a zero: UTF-16 could hide the words
        raise TamisError(f"{path} has a document type or zero bytes, which no GAP has; {HINT}")
    try:
        # without a document type, see above
        return ElementTree.fromstring(data)  # nosec B314
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise TamisError(f"{path} is damaged ({error}); {HINT}") from error


def _expect(path: Path, element: ElementTree.Element, attributes: Mapping[str, str]) -> None:
    for name, value in attributes.items():
        if element.get(name) != value:
            raise TamisError(
                f"{path} is damaged: {name} of {element.tag} is {element.get(name)!r} in place of {value!r}; {HINT}"
            )


def _check_term(path: Path, term: ElementTree.Element) -> None:
    """One gpCoordinates and its file."""
    width, n_points = _whole(path, term, "dimensions"), _whole(path, term, "n_sparseX")
    for name in ("signal_variance", "signal_mean", "covariance_type"):
        _number(path, term, name)
    if term.get("covariance_type") == DOT_PRODUCT:
        _number(path, term, "zeta")
    elif term.get("covariance_type") != GAUSSIAN or not _are_numbers(term.findtext("theta"), width):
        raise TamisError(
            f"{path} is damaged: a kernel is neither 1 with {width} theta nor 2 with a zeta; {HINT}"
        )
    permutations = [(one.get("i"), (one.text or "").split()) for one in term.findall("permutation")]
    if permutations != [("1", ["1"])]:
        raise TamisError(f"{path} is damaged: a term has other permutations than 1; {HINT}")
    _check_descriptor(path, (term.findtext("descriptor") or "").strip(" "), width)
    _check_points(path, term.findall("sparseX"), n_points)
    _check_point_file(path, term, width, n_points)


def _check_descriptor(path: Path, text: str, width: int) -> None:
    if not text:
        raise TamisError(f"{path} is damaged: a term has no descriptor; {HINT}")
    kind, _, rest = text.partition(" ")
    settings = dict(SETTING.findall(rest))
    known = {*NEEDED.get(kind, ()), *OF_THE_FIT, SPARSE_FILE}
    sound = kind in NEEDED and not re.search(r"[^\S ]", text)  # to QUIP a tab is a letter
    sound = sound and SETTING.sub("", rest).strip() == "" and len(SETTING.findall(rest)) == len(settings)
    sound = sound and set(NEEDED[kind]) <= settings.keys() <= known
    sound = sound and all(_is_sound(name, value) for name, value in settings.items())
    if sound and kind == "soap":
        radial = int(settings["n_max"]) * int(settings["n_species"])
        sound = len(settings["species_Z"].strip("{}").split()) == int(settings["n_species"])
        sound = sound and width == radial * (radial + 1) // 2 * (int(settings["l_max"]) + 1) + 1
    elif sound:
        sound = width == 1
    if sound:
        sound = 0.0 < float(settings["cutoff_transition_width"]) <= float(settings["cutoff"])
    if not sound:
        raise TamisError(
            f"{path}: the descriptor {text[:200]!r} of {width} dimensions is no sound {' or '.join(NEEDED)}; {HINT}"
        )


def _is_sound(name: str, text: str) -> bool:
    """Whether a setting of a descriptor has a value that it can have."""
    if name == SPARSE_FILE:
        return True
    if name in WORDS:
        return re.fullmatch(r"\w+", text, re.ASCII) is not None
    if name in ("Z", "Z1", "Z2", "species_Z"):
        numbers = text.strip("{}").split()
        return bool(numbers) and all(WHOLE.fullmatch(n) and 1 <= int(n) <= 118 for n in numbers)
    if name in ("n_max", "l_max", "n_species", "n_Z"):
        least = 0 if name == "l_max" else 1
        return bool(WHOLE.fullmatch(text.strip("{}"))) and least <= int(text.strip("{}")) <= LARGEST.get(
            name, 118
        )
    if not _are_numbers(text, 1):
        return name == "config_type_n_sparse"
    return name not in LARGEST or 0.0 < float(text) <= LARGEST[name]


def _check_points(path: Path, points: Sequence[ElementTree.Element], n_points: int) -> None:
    if len(points) != n_points:
        raise TamisError(f"{path} is damaged: n_sparseX is {n_points} with {len(points)} points; {HINT}")
    for number, point in enumerate(points, start=1):
        _expect(path, point, {"i": str(number)})
        _number(path, point, "alpha")
        _number(path, point, "sparseCutoff")


def _check_point_file(path: Path, term: ElementTree.Element, width: int, n_points: int) -> None:
    file, checksum = term.get("sparseX_filename"), term.get("sparseX_md5sum")
    # a name alone: whoever wrote the file has no say in what else is read
    if file is None or Path(file).name != file or "\0" in file or not (path.parent / file).is_file():
        raise TamisError(f"{path} names the file of sparse points {file}, which is not beside it; {HINT}")
    data = (path.parent / file).read_bytes()
    if checksum is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != checksum:
        raise TamisError(
            f"{path.parent / file} is damaged: {path.name} gives another checksum for it; {HINT}"
        )
    words = data.decode("ascii", errors="replace").split()
    n_sound = sum(_are_numbers(word, 1) for word in words)
    if n_sound != width * n_points or n_sound != len(words):
        raise TamisError(
            f"{path.parent / file} is damaged: it should hold {n_points} points of {width} finite numbers and holds "
            f"{n_sound} of these; {HINT}"
        )


def _are_numbers(text: str | None, n: int) -> bool:
    words = (text or "").split()
    return len(words) == n and all(NUMBER.fullmatch(word) and math.isfinite(float(word)) for word in words)


def _number(path: Path, element: ElementTree.Element, name: str) -> float:
    """A finite number that an attribute holds."""
    text = element.get(name)
    if text is None or not _are_numbers(text, 1):
        raise TamisError(
            f"{path} is damaged: {name} of a {element.tag} is {text}, which is no finite number; {HINT}"
        )
    return float(text)


def _whole(path: Path, element: ElementTree.Element, name: str) -> int:
    """A whole number from 1 on that an attribute holds."""
    text = element.get(name) or ""
    if not re.fullmatch(r"\d{1,10}", text, re.ASCII) or not 1 <= int(text) < 2**31:
        raise TamisError(
            f"{path} is damaged: {name} of a {element.tag} is {text}; it must be a whole number from 1 on; {HINT}"
        )
    return int(text)
