"""n2p2's files of a potential: input.nn, scaling.data, weights.ZZZ.data.

Formats: Singraber, Behler, Dellago, J. Chem. Theory Comput. 15, 1827 (2019), and the manual of n2p2. n2p2 has no units;
tamis writes Å and eV. Elements are ordered by atomic number, the functions of an element by ``rank``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from tamis.bases.acsf.table import CUTOFF_TYPES, RADIAL, SymmetryFunction, SymmetryFunctionTable
from tamis.models.nnp.network import Network, split_layers
from tamis.models.nnp.scaling import KEYWORDS, Scaling

Array = NDArray[np.float64]
Settings = Mapping[str, Sequence[Sequence[str]]]
"""The words after each keyword of input.nn, line by line."""

SETTINGS, SCALING = "input.nn", "scaling.data"
PER_ELEMENT = ("element_hidden_layers_short", "element_nodes_short", "element_activation_short")
"""Keywords for networks of different shape; they are refused, as their meaning differs between versions of n2p2."""


def weight_file(symbol: str) -> str:
    """Name of the file with the weights of an element."""
    return f"weights.{atomic_numbers[symbol]:03d}.data"


def hdnnp_lines(folder: Path, r_cut: float, elements: Sequence[str]) -> tuple[str, ...]:
    """pair_style and pair_coeff lines for a LAMMPS with ML-HDNNP; atom types in the order of ``elements``."""
    return (
        f'pair_style hdnnp {r_cut!r} dir "{folder}" showew no showewsum 0 maxew 1000000 resetew yes '
        "cflength 1.0 cfenergy 1.0",
        f"pair_coeff * * {' '.join(elements)}",
    )


# reading; errors are ValueError, LookupError, OSError and what Scaling, Network and the table raise


def read_settings(path: Path) -> Settings:
    """The content of an input.nn."""
    settings: dict[str, list[list[str]]] = {}
    for line in path.read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            settings.setdefault(words[0], []).append(words[1:])
    if refused := sorted(set(PER_ELEMENT) & set(settings)):
        raise ValueError(f"{', '.join(refused)}: only networks of one shape for all elements are read")
    return settings


def words_of(settings: Settings, keyword: str) -> Sequence[str]:
    """What the first line of a keyword says."""
    if not settings.get(keyword, [[]])[0]:
        raise ValueError(f"{SETTINGS} has no {keyword}")
    return settings[keyword][0]


def number_of(settings: Settings, keyword: str, default: float) -> float:
    """The number after a keyword."""
    return float(words_of(settings, keyword)[0]) if keyword in settings else default


def read_table(settings: Settings, length: float) -> SymmetryFunctionTable:
    """The symmetry functions; ``length``: the file's unit of length, in Å (Bohr: 0.529...)."""
    elements = sorted(words_of(settings, "elements"), key=atomic_numbers.__getitem__)
    names = {str(number): name for name, number in CUTOFF_TYPES.items()}
    shape, alpha, *_ = [*settings.get("cutoff_type", [["1"]])[0], "0.0", "0.0"]
    if shape not in names:
        raise ValueError(f"cutoff_type {shape} is unknown; n2p2 has 0 to 8")
    functions = tuple(_function(words, length) for words in settings.get("symfunction_short", []))
    return SymmetryFunctionTable(tuple(elements), functions, names[shape], float(alpha))


def _function(words: Sequence[str], length: float) -> SymmetryFunction:
    central, kind = words[0], int(words[1])
    if kind == RADIAL:
        eta, r_s, r_cut = (float(word) for word in words[3:6])
        return SymmetryFunction(central, kind, (words[2],), eta / length**2, r_s * length, r_cut * length)
    eta, lambda_, zeta, r_cut, r_s = (float(word) for word in [*words[4:], "0.0"][:5])
    return SymmetryFunction(
        central, kind, (words[2], words[3]), eta / length**2, r_s * length, r_cut * length, lambda_, zeta
    )


def read_scalings(path: Path, table: SymmetryFunctionTable, settings: Settings) -> tuple[Scaling, ...]:
    """The scaling of each element's functions, from scaling.data."""
    asked = {keyword for keywords in KEYWORDS.values() for keyword in keywords if keyword in settings}
    kind = next((name for name, keywords in KEYWORDS.items() if set(keywords) == asked), None)
    if kind is None:
        raise ValueError(f"{SETTINGS} asks for {', '.join(sorted(asked))}, which exclude each other")
    numbers = _read_numbers(path, 6)
    low, high = number_of(settings, "scale_min_short", 0.0), number_of(settings, "scale_max_short", 1.0)
    scalings = []
    for index, element in enumerate(table.elements, start=1):
        rows = numbers[numbers[:, 0] == index]
        n_functions = sum(f.central == element for f in table.functions)
        if not np.array_equal(rows[:, 1], np.arange(1, n_functions + 1)):
            raise ValueError(
                f"{path.name} has {len(rows)} lines for {element} (element {index}); its {n_functions} symmetry "
                "functions are needed, in order"
            )
        minimum, maximum, mean, sigma = rows[:, 2:6].T.copy()
        scalings.append(Scaling(kind, minimum, maximum, mean, sigma, low, high))
    return tuple(scalings)


def read_network(folder: Path, element: str, n_inputs: int, settings: Settings) -> Network:
    """The network of an element, whose energies are in the unit of the file."""
    depth = int(words_of(settings, "global_hidden_layers_short")[0])
    nodes = [int(word) for word in words_of(settings, "global_nodes_short")[:depth]]
    letters = "".join(words_of(settings, "global_activation_short")[: depth + 1])
    network = Network(
        (n_inputs, *nodes, 1), letters, _read_numbers(folder / weight_file(element), 1)[:, 0].copy()
    )
    if "normalize_nodes" in settings:
        for weights, biases in split_layers(network.sizes, network.parameters):
            biases /= len(weights)
            weights /= len(weights)
    return network


def _read_numbers(path: Path, n_columns: int) -> Array:
    """The first columns of all lines that are no comments, (n_lines, n_columns)."""
    lines = [line for line in path.read_text().splitlines() if line.strip() and line.lstrip()[0] != "#"]
    try:
        numbers = np.array([[float(word) for word in line.split()[:n_columns]] for line in lines])
        return numbers.reshape(len(lines), n_columns)
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged: {n_columns} numbers in every line are needed") from error


# writing


def write_n2p2(
    folder: Path,
    table: SymmetryFunctionTable,
    scalings: Sequence[Scaling],
    networks: Sequence[Network],
    offsets: Array,
) -> list[Path]:
    """Write a potential in Å and eV, without normalisation; returns the paths of its files.

    scalings, networks, offsets: of each element of ``table``, in its order; networks of one shape.
    """
    places = sorted(range(len(table.elements)), key=lambda i: atomic_numbers[table.elements[i]])
    scaling, network = scalings[0], networks[0]
    texts = {
        SETTINGS: settings_text(
            table,
            dict(zip(table.elements, offsets.tolist(), strict=True)),
            [
                *KEYWORDS[scaling.kind],
                f"scale_min_short {scaling.low!r}",
                f"scale_max_short {scaling.high!r}",
            ],
            network.sizes[1:-1],
            network.activations,
            ["use_short_forces"],
        ),
        SCALING: _scaling_text([scalings[i] for i in places]),
        **{weight_file(table.elements[i]): _weights_text(networks[i]) for i in places},
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [folder / name for name in texts]


def settings_text(
    table: SymmetryFunctionTable,
    offsets: Mapping[str, float],
    scaling: Iterable[str],
    hidden: Sequence[int],
    activations: str,
    more: Iterable[str],
) -> str:
    """Text of an input.nn in Å and eV.

    Parameters
    ----------
    offsets : energy of the free atom of each element, eV. scaling : lines about it. hidden : nodes of each layer.
    activations : a letter for each hidden layer and the output. more : other lines.
    """
    lines = [
        "# Lengths in Angstrom, energies in eV.",
        f"number_of_elements {len(table.elements)}",
        f"elements {' '.join(sorted(table.elements, key=atomic_numbers.__getitem__))}",
        *(f"atom_energy {element} {energy!r}" for element, energy in offsets.items()),
        f"cutoff_type {CUTOFF_TYPES[table.cutoff_type]} {table.cutoff_alpha!r}",
        *scaling,
        f"global_hidden_layers_short {len(hidden)}",
        f"global_nodes_short {' '.join(map(str, hidden))}",
        f"global_activation_short {' '.join(activations)}",
        *more,
        *map(function_line, table.functions),
    ]
    return "\n".join(lines) + "\n"


def function_line(f: SymmetryFunction) -> str:
    """The line of a symmetry function; a shift of an angular one comes last and only where it is not 0."""
    head = f"symfunction_short {f.central} {f.kind} {' '.join(f.neighbours)} {f.eta!r}"
    if f.kind == RADIAL:
        return f"{head} {f.r_s!r} {f.r_cut!r}"
    return f"{head} {f.lambda_!r} {f.zeta!r} {f.r_cut!r}" + (f" {f.r_s!r}" if f.r_s else "")


def _scaling_text(scalings: Sequence[Scaling]) -> str:
    lines = ["# element, symmetry function, minimum, maximum, mean, standard deviation"]
    for element, s in enumerate(scalings, start=1):
        for function, numbers in enumerate(zip(s.minimum, s.maximum, s.mean, s.sigma, strict=True), start=1):
            lines.append(f"{element:10d} {function:10d} " + " ".join(f"{x:24.16e}" for x in numbers))
    return "\n".join(lines) + "\n"


def _weights_text(network: Network) -> str:
    places = []
    for layer, (weights, biases) in enumerate(network.layers()):
        n_in, n_out = weights.shape
        places += [
            (f"a {{:9d}} {layer:5d} {j:5d}", f"{layer + 1:5d} {k:5d}")
            for j in range(1, n_in + 1)
            for k in range(1, n_out + 1)
        ]
        places += [("b {:9d}", f"{layer + 1:5d} {k:5d}") for k in range(1, len(biases) + 1)]
    lines = [
        "# value, a = weight or b = bias, number, layer and neuron it starts from, layer and neuron it ends at"
    ]
    for number, (value, (kind, end)) in enumerate(zip(network.parameters, places, strict=True), start=1):
        lines.append(f"{value:24.16e} {kind.format(number)} {end}")
    return "\n".join(lines) + "\n"
