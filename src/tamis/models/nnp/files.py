"""n2p2's files of a potential: input.nn, scaling.data, weights.ZZZ.data.

Formats: Singraber, Behler, Dellago, J. Chem. Theory Comput. 15, 1827 (2019), and the manual of n2p2. n2p2 has no units;
what is written here is in Å and eV. Elements go by atomic number, the functions of an element by ``rank``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.acsf.table import CUTOFF_TYPES, RADIAL, SymmetryFunction, SymmetryFunctionTable
from tamis.core.errors import TamisError
from tamis.models.nnp.network import Network, n_parameters, split_layers
from tamis.models.nnp.scaling import KEYWORDS, Scaling

if TYPE_CHECKING:
    from tamis.models.nnp.potential import NnpPotential

Array = NDArray[np.float64]
SETTINGS, SCALING = "input.nn", "scaling.data"
PER_ELEMENT = ("element_hidden_layers_short", "element_nodes_short", "element_activation_short")
"""Keywords for networks of different shape; they are refused, as their meaning differs between versions of n2p2."""


def weight_file(symbol: str) -> str:
    """Name of the file with the weights of an element."""
    return f"weights.{atomic_numbers[symbol]:03d}.data"


def read_n2p2(folder: Path, length: float = 1.0, energy: float = 1.0) -> NnpPotential:
    """The potential in a folder.

    Parameters
    ----------
    folder : with input.nn, scaling.data and weights.*.data.
    length, energy : Å and eV in the units of the files (for Bohr: 0.529177210903, for Hartree: 27.211386245988).

    Raises
    ------
    TamisError : a file is missing or damaged, or asks for what we do not have.
    """
    from tamis.models.nnp.potential import NnpPotential

    settings = _read_settings(folder / SETTINGS)
    elements = sorted(settings["elements"][0], key=_atomic_number)
    table = _table(settings, elements, length)
    sizes, letters = _shape(settings)
    scalings = _read_scalings(folder / SCALING, table, settings)
    networks = []
    for element, scaling in zip(elements, scalings, strict=True):
        shape = (len(scaling.mean), *sizes)
        parameters = _read_numbers(folder / weight_file(element), 1)[:, 0]
        if len(parameters) != n_parameters(shape):
            raise TamisError(
                f"{folder / weight_file(element)} has {len(parameters)} numbers; layers of {shape} neurons have "
                f"{n_parameters(shape)}"
            )
        if "normalize_nodes" in settings:
            for weights, biases in split_layers(shape, parameters):
                biases /= len(weights)
                weights /= len(weights)
        networks.append(Network(shape, letters, parameters))
    offsets = _offsets(settings)
    mean = _number(settings, "mean_energy", 0.0)
    return NnpPotential(
        table=table,
        scalings=scalings,
        networks=tuple(networks),
        offsets=np.array([(offsets.get(element, 0.0) + mean) * energy for element in elements]),
        energy_unit=energy / _number(settings, "conv_energy", 1.0),
    )


def _read_settings(path: Path) -> dict[str, list[list[str]]]:
    """The words after each keyword, line by line."""
    settings: dict[str, list[list[str]]] = {}
    for line in _text(path).splitlines():
        words = line.split("#")[0].split()
        if words:
            settings.setdefault(words[0], []).append(words[1:])
    for keyword in (
        "elements",
        "global_hidden_layers_short",
        "global_nodes_short",
        "global_activation_short",
    ):
        if not settings.get(keyword, [[]])[0]:
            raise TamisError(f"{path} has no {keyword}")
    if refused := sorted(set(PER_ELEMENT) & set(settings)):
        raise TamisError(
            f"{path} has {', '.join(refused)}; only networks of one shape for all elements are read"
        )
    return settings


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError as error:
        raise TamisError(f"cannot read {path} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise TamisError(f"{path} is no text file") from error


def _atomic_number(symbol: str) -> int:
    if symbol not in atomic_numbers:
        raise TamisError(f"{symbol} in elements is no chemical symbol")
    return atomic_numbers[symbol]


def _number(settings: Mapping[str, Sequence[Sequence[str]]], keyword: str, default: float) -> float:
    if keyword not in settings:
        return default
    try:
        return float(settings[keyword][0][0])
    except (IndexError, ValueError) as error:
        raise TamisError(f"{keyword} of {SETTINGS} needs a number, got {settings[keyword][0]}") from error


def _offsets(settings: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, float]:
    """Energy of the free atom by element, in the unit of the file."""
    found = {}
    for words in settings.get("atom_energy", []):
        try:
            found[words[0]] = float(words[1])
        except (IndexError, ValueError) as error:
            raise TamisError(
                f"atom_energy of {SETTINGS} needs an element and a number, got {' '.join(words)}"
            ) from error
    return found


def _table(
    settings: Mapping[str, list[list[str]]], elements: Sequence[str], length: float
) -> SymmetryFunctionTable:
    names = {str(number): name for name, number in CUTOFF_TYPES.items()}
    shape, alpha, *_ = [*settings.get("cutoff_type", [["1"]])[0], "0.0", "0.0"]
    if shape not in names:
        raise TamisError(f"cutoff_type {shape} of {SETTINGS} is unknown; n2p2 has 0 to 8")
    functions = []
    for words in settings.get("symfunction_short", []):
        try:
            functions.append(_function(words, length))
        except (IndexError, ValueError) as error:
            raise TamisError(f"{SETTINGS}: symfunction_short {' '.join(words)} is not understood") from error
    return SymmetryFunctionTable(tuple(elements), tuple(functions), names[shape], float(alpha))


def _function(words: Sequence[str], length: float) -> SymmetryFunction:
    central, kind = words[0], int(words[1])
    if kind == RADIAL:
        eta, r_s, r_cut = (float(word) for word in words[3:6])
        return SymmetryFunction(central, kind, (words[2],), eta / length**2, r_s * length, r_cut * length)
    eta, lambda_, zeta, r_cut, r_s = (float(word) for word in [*words[4:], "0.0"][:5])
    return SymmetryFunction(
        central, kind, (words[2], words[3]), eta / length**2, r_s * length, r_cut * length, lambda_, zeta
    )


def _shape(settings: Mapping[str, list[list[str]]]) -> tuple[tuple[int, ...], str]:
    """Neurons of the hidden layers and the last, and the letters of their activations."""
    try:
        depth = int(settings["global_hidden_layers_short"][0][0])
        nodes = tuple(int(word) for word in settings["global_nodes_short"][0][:depth])
    except ValueError as error:
        raise TamisError(f"{SETTINGS}: hidden layers and nodes must be whole numbers") from error
    return (*nodes, 1), "".join(settings["global_activation_short"][0][: depth + 1])


def _read_scalings(
    path: Path, table: SymmetryFunctionTable, settings: Mapping[str, list[list[str]]]
) -> tuple[Scaling, ...]:
    asked = {keyword for keywords in KEYWORDS.values() for keyword in keywords if keyword in settings}
    kind = next((name for name, keywords in KEYWORDS.items() if set(keywords) == asked), None)
    if kind is None:
        raise TamisError(f"{SETTINGS} asks for {', '.join(sorted(asked))}, which exclude each other")
    numbers = _read_numbers(path, 6)
    scalings = []
    for index, element in enumerate(table.elements, start=1):
        rows = numbers[numbers[:, 0] == index]
        n_functions = sum(f.central == element for f in table.functions)
        if not np.array_equal(rows[:, 1], np.arange(1, n_functions + 1)):
            raise TamisError(
                f"{path} has {len(rows)} lines for {element} (element {index}); its {n_functions} symmetry functions "
                "are needed, in order"
            )
        low, high = _number(settings, "scale_min_short", 0.0), _number(settings, "scale_max_short", 1.0)
        minimum, maximum, mean, sigma = rows[:, 2:6].T.copy()
        scalings.append(Scaling(kind, minimum, maximum, mean, sigma, low, high))
    return tuple(scalings)


def _read_numbers(path: Path, n_columns: int) -> Array:
    """The first columns of all lines that are no comments, (n_lines, n_columns)."""
    lines = [
        line.split()
        for line in _text(path).splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    try:
        numbers = np.array([[float(word) for word in words[:n_columns]] for words in lines], dtype=float)
        return numbers.reshape(len(lines), n_columns)
    except ValueError as error:
        raise TamisError(f"{path} is damaged: {n_columns} numbers in every line are needed") from error


def write_n2p2(folder: Path, potential: NnpPotential) -> list[Path]:
    """Write a potential in Å and eV, without normalisation; returns the paths of its files."""
    table = potential.table
    elements = sorted(table.elements, key=atomic_numbers.__getitem__)
    places = [table.elements.index(element) for element in elements]
    networks = [potential.networks[place].scaled(potential.energy_unit) for place in places]
    texts = {
        SETTINGS: _settings_text(potential, elements, networks),
        SCALING: _scaling_text([potential.scalings[place] for place in places]),
    }
    for element, network in zip(elements, networks, strict=True):
        texts[weight_file(element)] = _weights_text(network)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def _settings_text(potential: NnpPotential, elements: Sequence[str], networks: Sequence[Network]) -> str:
    table, scaling = potential.table, potential.scalings[0]
    if len({(n.sizes[1:], n.activations) for n in networks}) > 1:
        raise TamisError(
            "the networks of the elements differ in shape; n2p2's global_nodes_short has one for all"
        )
    hidden = networks[0].sizes[1:-1]
    lines = [
        "# Lengths in Angstrom, energies in eV.",
        f"number_of_elements {len(elements)}",
        f"elements {' '.join(elements)}",
        *(f"atom_energy {e} {potential.offsets[table.elements.index(e)]:.16e}" for e in elements),
        f"cutoff_type {CUTOFF_TYPES[table.cutoff_type]} {table.cutoff_alpha!r}",
        *KEYWORDS[scaling.kind],
        f"scale_min_short {scaling.low!r}",
        f"scale_max_short {scaling.high!r}",
        f"global_hidden_layers_short {len(hidden)}",
        f"global_nodes_short {' '.join(map(str, hidden))}",
        f"global_activation_short {' '.join(networks[0].activations)}",
        "use_short_forces",
        *(function_line(f) for f in table.functions),
    ]
    return "\n".join(lines) + "\n"


def function_line(f: SymmetryFunction) -> str:
    """The line of input.nn for a symmetry function, lengths in Å."""
    head = f"symfunction_short {f.central} {f.kind} {' '.join(f.neighbours)} {f.eta:.16e}"
    if f.kind == RADIAL:
        return f"{head} {f.r_s:.16e} {f.r_cut:.16e}"
    return f"{head} {f.lambda_:.16e} {f.zeta:.16e} {f.r_cut:.16e} {f.r_s:.16e}"


def _scaling_text(scalings: Sequence[Scaling]) -> str:
    lines = ["# element, symmetry function, minimum, maximum, mean, standard deviation"]
    for element, s in enumerate(scalings, start=1):
        for function, numbers in enumerate(zip(s.minimum, s.maximum, s.mean, s.sigma, strict=True), start=1):
            lines.append(f"{element:10d} {function:10d} " + " ".join(f"{x:24.16e}" for x in numbers))
    return "\n".join(lines) + "\n"


def _weights_text(network: Network) -> str:
    lines = [
        "# value, a = weight or b = bias, number, layer and neuron it starts from, layer and neuron it ends at"
    ]
    number = 0
    for layer, (weights, biases) in enumerate(network.layers()):
        for j, row in enumerate(weights, start=1):
            for k, weight in enumerate(row, start=1):
                number += 1
                lines.append(f"{weight:24.16e} a {number:9d} {layer:5d} {j:5d} {layer + 1:5d} {k:5d}")
        for k, bias in enumerate(biases, start=1):
            number += 1
            lines.append(f"{bias:24.16e} b {number:9d} {layer + 1:5d} {k:5d}")
    return "\n".join(lines) + "\n"
