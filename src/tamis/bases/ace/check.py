"""Whether a B-basis of python-ace (``ace.yaml``) is whole: python-ace ends the process over many that are not.

It indexes arrays by numbers of the file without a look at their lengths. So every entry is checked here, and
python-ace gets a file with what was checked and nothing else.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from ase.data import atomic_numbers

from tamis.bases.ace.pyace import import_pyace
from tamis.core.errors import TamisError

Node = Mapping[str, Any]

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
WHOLE = re.compile(r"\d{1,9}", re.ASCII)
EMBEDDINGS = ("FinnisSinclair", "FinnisSinclairShiftedScaled")
RADIAL_BASES = ("SBessel", "ChebExpCos", "ChebPow", "ChebLinear")
CUTOFFS = ("cos", "poly")
INNER_CUTOFFS = ("density", "distance", "zbl")
LARGEST = {"ndensityi": 10, "nradmaxi": 100, "lmaxi": 20, "nradbaseij": 100, "rcutij": 100.0, "factors": 10}
"""rcutij in Å; in use are 1 to 2, 2 to 15, 0 to 6, 4 to 15, 4 to 12 and 1 to 6."""
MOST_NODES = 1e7
"""Numbers in the radial tables of a pair of elements."""
MOST_COUPLINGS = 1e5
"""Products of (2 l + 1) over the factors of a function."""
OF_ELEMENT = {"ndensityi", "npoti", "parameters", "rho_core_cut", "drho_core_cut"}
OF_PAIR = {
    *("nradmaxi", "lmaxi", "nradbaseij", "rcutij", "dcutij", "radbase", "radparameters", "radcoefficients"),
    *("NameOfCutoffFunctionij", "r_in", "delta_in", "inner_cutoff_type", "core-repulsion"),
}
OF_FUNCTION = {"type", "nr", "nl", "lint", "c", "skip"}


def read_b_basis(path: Path) -> Any:
    """The ``pyace.ACEBBasisSet`` of a file.

    Raises
    ------
    TamisError : the file is missing, damaged or cut off, or has what python-ace's B-basis has not; says what.
    """
    content = checked(path)
    with TemporaryDirectory(prefix="tamis-ace-") as folder:
        copy = Path(folder) / "ace.yaml"
        copy.write_text(json.dumps(content))  # JSON is YAML
        try:
            return import_pyace().ACEBBasisSet(str(copy))
        except (ValueError, RuntimeError, IndexError) as error:
            raise TamisError(f"{path}: python-ace cannot read it ({error}); fit it again") from error


def read_offsets(path: Path) -> dict[str, float]:
    """Energies of the free atoms that ``AceBasis.write`` puts into the metadata of an ace.yaml, eV by element.

    Raises
    ------
    TamisError : the file cannot be read, or an element of it has none: its energies would be relative ones.
    """
    basis = read_b_basis(path)
    content = yaml.BaseLoader(path.read_text()).get_single_data()
    metadata = content.get("metadata") or {}
    try:
        return {str(e): _number(metadata, f"E0_{e}") for e in basis.elements_name}
    except (ValueError, AttributeError) as error:
        raise TamisError(
            f"{path} has no sound energies of the free atoms in its metadata ({error}); tamis writes them as E0_Si and "
            "the like"
        ) from error


def checked(path: Path) -> dict[str, Any]:
    """The content of an ace.yaml as python-ace needs it, without metadata; TamisError as ``read_b_basis``."""
    try:
        # tags make nothing and all scalars stay texts: YAML would take No for a truth value and 1e-5 for a text
        content = yaml.BaseLoader(path.read_text()).get_single_data()
        node = _mapping(
            content, "the file", {"global", "species", "metadata", "auxdata"}, {"global", "species"}
        )
        spacing = _number(_mapping(node["global"], "global", {"DeltaSplineBins"}), "DeltaSplineBins")
        blocks = [_block(block, spacing) for block in _list(node, "species")]
        _check_blocks(blocks)
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise TamisError(
            f"{path} is no sound B-basis of python-ace ({reason}); fit or write the potential again"
        ) from error
    return {"global": {"DeltaSplineBins": spacing}, "species": blocks}


def _block(content: Any, spacing: float) -> dict[str, Any]:
    """One entry of ``species``: embedding (one element), radial functions (one or two), functions."""
    block = _mapping(content, "a species", {"speciesblock", "nbody"} | OF_ELEMENT | OF_PAIR, {"speciesblock"})
    name = _text(block, "speciesblock")
    elements = name.split()
    if not elements or any(atomic_numbers.get(element, 0) == 0 for element in elements):
        raise ValueError(f"speciesblock is {name!r}; chemical symbols are needed")
    if len(set(elements)) != len(elements):
        raise ValueError(f"speciesblock {name!r} names an element twice")
    out: dict[str, Any] = {"speciesblock": " ".join(elements)}
    if len(elements) == 1:
        out |= _embedding(block)
    if len(elements) <= 2:
        out |= _radial(block, spacing)
    functions = block.get("nbody") or []
    if not isinstance(functions, list):
        raise ValueError("nbody is no list")
    if len(elements) == 1 and not functions:
        raise ValueError(f"{name} has no functions (nbody)")
    return out | {"nbody": [_function(one, elements) for one in functions]}


def _embedding(block: Node) -> dict[str, Any]:
    n_densities = _whole(block, "ndensityi", 1)
    parameters = _numbers(block, "parameters", 2 * n_densities)
    out = {"ndensityi": n_densities, "npoti": _choice(block, "npoti", EMBEDDINGS), "parameters": parameters}
    return out | {name: _number(block, name) for name in ("rho_core_cut", "drho_core_cut") if name in block}


def _radial(block: Node, spacing: float) -> dict[str, Any]:
    out: dict[str, Any] = {
        "nradmaxi": (n_max := _whole(block, "nradmaxi", 0)),
        "lmaxi": (l_max := _whole(block, "lmaxi", 0)),
        "nradbaseij": (n_base := _whole(block, "nradbaseij", 1)),
        "rcutij": (r_cut := _number(block, "rcutij")),
        "dcutij": (width := _number(block, "dcutij")),
        "radbase": _choice(block, "radbase", RADIAL_BASES),
        "radparameters": _numbers(block, "radparameters"),
    }
    if not 0.0 < width <= r_cut <= LARGEST["rcutij"] or not 0.0 < spacing <= r_cut / 10.0:
        raise ValueError(
            f"rcutij is {r_cut} Å with dcutij {width} Å and DeltaSplineBins {spacing} Å; rcutij may be up to "
            f"{LARGEST['rcutij']:g}, dcutij up to rcutij and DeltaSplineBins up to a tenth of it, all above 0"
        )
    if r_cut / spacing * (n_max * (l_max + 1) + n_base) > MOST_NODES:
        raise ValueError(
            f"DeltaSplineBins is {spacing} Å; the tables would have above {MOST_NODES:g} numbers"
        )
    rows = [row for shell in _shaped(block, "radcoefficients", n_max, l_max + 1) for row in shell]
    numbers = [_numbers({"radcoefficients": row}, "radcoefficients", n_base) for row in rows]
    out["radcoefficients"] = [numbers[i * (l_max + 1) : (i + 1) * (l_max + 1)] for i in range(n_max)]
    if "NameOfCutoffFunctionij" in block:
        out["NameOfCutoffFunctionij"] = _choice(block, "NameOfCutoffFunctionij", CUTOFFS)
    if "inner_cutoff_type" in block:
        out["inner_cutoff_type"] = _choice(block, "inner_cutoff_type", INNER_CUTOFFS)
    if "core-repulsion" in block:
        out["core-repulsion"] = _numbers(block, "core-repulsion", 2)
    for name in {"r_in", "delta_in"} & block.keys():
        out[name] = _number(block, name)
        if not 0.0 <= out[name] <= r_cut:
            raise ValueError(f"{name} is {out[name]} Å; it may be from 0 to rcutij = {r_cut} Å")
    return out


def _function(content: Any, elements: list[str]) -> dict[str, Any]:
    """One entry of ``nbody``; which n and l there are is looked at in ``_check_blocks``."""
    function = _mapping(content, "an entry of nbody", OF_FUNCTION, {"type", "nr", "nl", "c"})
    atoms = _text(function, "type").split()
    rank = len(atoms) - 1
    if not 1 <= rank <= LARGEST["factors"] or atoms[0] != elements[0] or not set(atoms) <= set(elements):
        raise ValueError(f"{' '.join(atoms)!r} is no type of a function of {' '.join(elements)!r}")
    given = function["c"]
    out: dict[str, Any] = {
        "type": " ".join(atoms),
        "nr": _wholes(function, "nr", rank),
        "nl": _wholes(function, "nl", rank),
        "c": _numbers(function if isinstance(given, list) else {"c": [given]}, "c"),
    }
    if rank > 2 or "lint" in function:
        out["lint"] = _wholes(function, "lint", max(rank - 2, 0))
    if "skip" in function:
        out["skip"] = _choice(function, "skip", ("true", "false")) == "true"
    if min(out["nr"]) < 1 or math.prod(2 * ell + 1 for ell in out["nl"]) > MOST_COUPLINGS:
        raise ValueError(f"a function has nr {out['nr']} and nl {out['nl']}, which no basis has")
    return out


def _check_blocks(blocks: list[dict[str, Any]]) -> None:
    """Every element and pair has its block, and functions are of densities and radial functions that there are."""
    by_name = {tuple(block["speciesblock"].split()): block for block in blocks}
    elements = sorted({element for name in by_name for element in name})
    needed = {*((e,) for e in elements), *itertools.permutations(elements, 2)}
    if not elements or len(by_name) < len(blocks) or not needed <= by_name.keys():
        raise ValueError(
            f"it needs one species for each of {sorted(needed)} and has {[b['speciesblock'] for b in blocks]}"
        )
    for block in blocks:
        for function in block["nbody"]:
            atoms = function["type"].split()
            if len(function["c"]) != by_name[atoms[0],]["ndensityi"]:
                raise ValueError(
                    f"a function has {len(function['c'])} coefficients c; one a density is needed"
                )
            _check_factors(function, list(_pairs(atoms, by_name)))


def _pairs(atoms: list[str], by_name: Mapping[tuple[str, ...], Node]) -> Iterator[Node]:
    """What the factors of a function are of: the blocks of the central atom with each neighbour."""
    for other in atoms[1:]:
        yield by_name[(atoms[0],) if other == atoms[0] else (atoms[0], other)]


def _check_factors(function: Node, pairs: list[Node]) -> None:
    for n, ell, pair in zip(function["nr"], function["nl"], pairs, strict=True):
        n_max, l_max = (pair["nradbaseij"], 0) if len(pairs) == 1 else (pair["nradmaxi"], pair["lmaxi"])
        if n > n_max or ell > l_max:
            raise ValueError(
                f"a function {function['type']!r} has a factor with nr {n} and nl {ell}; its species has up to "
                f"{n_max} and {l_max}"
            )
    if max(function.get("lint", ()), default=0) > 2 * max(pair["lmaxi"] for pair in pairs):
        raise ValueError(f"a function {function['type']!r} has lint {function['lint']}, more than 2 lmaxi")


# what stands in the file


def _mapping(content: Any, what: str, known: set[str], needed: set[str] | None = None) -> Node:
    if not isinstance(content, dict):
        raise ValueError(f"{what} is no mapping")
    if missing := sorted((known if needed is None else needed) - content.keys()):
        raise ValueError(f"{what} has no {', '.join(missing)}: the file may be cut off")
    if unknown := sorted(str(key)[:40] for key in content.keys() - known):
        raise ValueError(f"{what} has the unknown entries {unknown}")
    return content


def _text(node: Node, name: str) -> str:
    text = node.get(name)
    if not isinstance(text, str):
        raise ValueError(f"{name} is {'missing' if text is None else 'no text'}")
    return text


def _choice(node: Node, name: str, choices: tuple[str, ...]) -> str:
    text = _text(node, name)
    if text not in choices:
        raise ValueError(f"{name} is {text[:40]!r}; it may be {', '.join(choices)}")
    return text


def _number(node: Node, name: str) -> float:
    text = _text(node, name)
    if not NUMBER.fullmatch(text) or not math.isfinite(float(text)):
        raise ValueError(f"{name} is {text[:40]!r}, no finite number")
    return float(text)


def _whole(node: Node, name: str, least: int) -> int:
    text = _text(node, name)
    largest = LARGEST.get(name, 10**9)
    if not WHOLE.fullmatch(text) or not least <= int(text) <= largest:
        raise ValueError(f"{name} is {text[:40]!r}; it must be a whole number from {least} to {largest}")
    return int(text)


def _list(node: Node, name: str) -> list[Any]:
    found = node.get(name)
    if not isinstance(found, list) or not found:
        raise ValueError(f"{name} is no list with entries")
    return found


def _numbers(node: Node, name: str, n: int | None = None) -> list[float]:
    found = _list(node, name)
    if n is not None and len(found) != n:
        raise ValueError(f"{name} has {len(found)} numbers; {n} are needed")
    return [_number({name: one}, name) for one in found]


def _wholes(node: Node, name: str, n: int) -> list[int]:
    found = node.get(name)
    if not isinstance(found, list) or len(found) != n:
        raise ValueError(f"{name} of a function is no list of {n} numbers")
    return [_whole({name: one}, name, 0) for one in found]


def _shaped(node: Node, name: str, n: int, m: int) -> list[list[Any]]:
    """A list of ``n`` lists with ``m`` entries."""
    found = node.get(name)
    if not isinstance(found, list) or len(found) != n:
        raise ValueError(f"{name} is no list of {n} lists")
    if not all(isinstance(inner, list) and len(inner) == m for inner in found):
        raise ValueError(f"{name} has a list that does not hold {m} lists")
    return found
