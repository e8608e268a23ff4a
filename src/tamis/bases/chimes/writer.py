"""Writing ``params.txt``, the file of ChIMES potentials that chimes_lsq.py makes. Energies in it are in kcal/mol."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.data import atomic_masses, atomic_numbers

from tamis.bases.base import Array
from tamis.bases.chimes.clusters import ClusterType, orbits_of_powers
from tamis.bases.chimes.functions import ChimesFunctions
from tamis.core.units import KCAL_PER_MOL_PER_EV

HEADINGS = {2: "PAIR", 3: "TRIPLET", 4: "QUADRUPLET"}
KIND_HEADINGS = {2: "PAIRTYPE PARAMS:", 3: "TRIPLETTYPE PARAMS:", 4: "QUADRUPLETYPE PARAMS:"}


def write_params(path: Path, basis: ChimesFunctions, coefficients: Array, offsets: Array) -> None:
    """Write a potential in the layout of chimes_lsq.py, and the penalty, which chimes_lsq.py leaves out.

    Numbers have all their digits (chimes_lsq prints cutoffs to 1e-5 Å): what is read back is the same potential.

    Parameters
    ----------
    coefficients : (n_features,) eV. offsets : (n_elements,) eV.
    """
    values = coefficients * KCAL_PER_MOL_PER_EV
    lines = _header(basis)
    for size in (2, 3, 4):
        kinds = [kind for kind in basis.types if len(kind.atoms) == size]
        if not any(kind.orbits for kind in kinds):
            continue
        lines += ["", f"{HEADINGS[size]} CHEBYSHEV PARAMS", ""]
        for number, kind in enumerate(kinds):
            of_kind = values[kind.column : kind.column + len(kind.orbits)]
            if not kind.orbits:  # without range; chimes_calculator wants its lines all the same
                orbits = orbits_of_powers(kind.atoms, kind.n_powers)
                kind, of_kind = replace(kind, orbits=orbits), np.zeros(len(orbits))
            lines += _pair_functions(basis, number, kind, of_kind) if size == 2 else []
            lines += _cluster_functions(basis, number, kind, of_kind) if size > 2 else []
    lines += _maps(basis)
    lines += ["", f"NO ENERGY OFFSETS: {len(basis.elements)}"]
    lines += [
        f"ENERGY OFFSET {number} {offset:.16e}"
        for number, offset in enumerate(offsets * KCAL_PER_MOL_PER_EV, 1)
    ]
    path.write_text("\n".join([*lines, "ENDFILE"]) + "\n")


def _header(basis: ChimesFunctions) -> list[str]:
    """Everything before the coefficients."""
    pairs = [kind for kind in basis.types if len(kind.atoms) == 2]
    cutoff = "CUBIC" if basis.cutoff == "cubic" else f"TERSOFF {_digits(basis.cutoff_fraction)}"
    lines = [
        "! ChIMES parameters, written by tamis",
        "USECOUL: false",
        "FITCOUL: false",
        f"USE3BCH: {str(basis.order_3b > 0).lower()}",
        f"USE4BCH: {str(basis.order_4b > 0).lower()}",
        "EXCLD1B: false",
        "EXCLD2B: false",
        "",
        f"PAIRTYP: CHEBYSHEV  {basis.order_2b} {basis.order_3b} {basis.order_4b} -1 1",
        "",
        f"ATOM TYPES: {len(basis.elements)}",
        "",
        "# TYPEIDX #\t# ATM_TYP #\t# ATMCHRG #\t# ATMMASS #",
    ]
    for number, symbol in enumerate(basis.elements):
        lines.append(f"{number}\t{symbol}\t0\t{_digits(atomic_masses[atomic_numbers[symbol]])}")
    lines += [
        "",
        f"ATOM PAIRS: {len(pairs)}",
        "",
        "# PAIRIDX #\t# ATM_TY1 #\t# ATM_TY1 #\t# S_MINIM #\t# S_MAXIM #\t# CHBDIST #\t# MORSE_LAMBDA #",
    ]
    for number, kind in enumerate(pairs):
        s_min, s_max, morse = map(_digits, kind.limits[0])
        first, second = _as_defined(basis, kind.atoms)
        lines.append(f"\t{number}\t{first}\t{second}\t{s_min}\t{s_max}\tMORSE\t{morse}")
    lines += ["", f"FCUT TYPE: {cutoff}", ""]
    lines += [
        f"PAIR CHEBYSHEV PENALTY DIST: {_digits(basis.penalty_distance)}",
        f"PAIR CHEBYSHEV PENALTY SCALING: {_digits(basis.penalty_scaling * KCAL_PER_MOL_PER_EV)}",
    ]
    return lines + _special_limits(basis) + _numbers_of_kinds(basis)


def _special_limits(basis: ChimesFunctions) -> list[str]:
    """Cutoffs of triplets and quadruplets where they are not those of their pairs.

    If any kind has its own, all are listed: chimes_calculator forgets s_min of the other kinds of quadruplets.
    """
    of_pair = {kind.atoms: kind.limits[0] for kind in basis.types if len(kind.atoms) == 2}
    lines = []
    for size, (place, key) in itertools.product((3, 4), ((0, "S_MINIM"), (1, "S_MAXIM"))):
        kinds = [kind for kind in basis.types if len(kind.atoms) == size]
        usual = [[of_pair[pair][place] for pair in itertools.combinations(kind.atoms, 2)] for kind in kinds]
        own = [kind.limits[:, place].tolist() for kind in kinds]
        if own == usual:
            continue
        lines += ["", f"SPECIAL {size}B {key}: SPECIFIC {len(kinds)}"]
        for kind, numbers in zip(kinds, own, strict=True):
            names = _slot_names(basis, kind.atoms)
            lines.append(" ".join(["".join(names), *names, *map(_digits, numbers)]))
    return lines


def _numbers_of_kinds(basis: ChimesFunctions) -> list[str]:
    n_kinds = [sum(len(kind.atoms) == size for kind in basis.types) for size in (3, 4)]
    return ["", f"ATOM PAIR TRIPLETS: {n_kinds[0]}", f"ATOM PAIR QUADRUPLETS: {n_kinds[1]}"]


def _pair_functions(basis: ChimesFunctions, number: int, kind: ClusterType, values: Array) -> list[str]:
    head = f"{KIND_HEADINGS[2]} {number} {' '.join(_as_defined(basis, kind.atoms))}"
    return [head, "", *(f"{power:3d} {value:.16e}" for power, value in enumerate(values)), ""]


def _cluster_functions(basis: ChimesFunctions, number: int, kind: ClusterType, values: Array) -> list[str]:
    total = sum(len(orbit) for orbit in kind.orbits)
    lines = [
        KIND_HEADINGS[len(kind.atoms)],
        f"   INDEX: {number} ATOMS: {' '.join(kind.atoms)}",
        f"   PAIRS: {' '.join(_slot_names(basis, kind.atoms))} UNIQUE: {len(kind.orbits)} TOTAL: {total}",
        "     index  |  powers  |  equiv index  |  param index  |       parameter       ",
        "   ----------------------------------------------------------------------------",
    ]
    line = 0
    for function, (orbit, value) in enumerate(zip(kind.orbits, values, strict=True)):
        equivalent = line
        for powers in orbit:
            lines.append(f"{line:7d}  {' '.join(map(str, powers))}  {equivalent} {function} {value:.16e}")
            line += 1
    return [*lines, ""]


def _maps(basis: ChimesFunctions) -> list[str]:
    """Which kind of cluster every order of atoms belongs to, by the names of its pairs."""
    lines: list[str] = []
    for size, key in ((2, "PAIRMAPS"), (3, "TRIPMAPS"), (4, "QUADMAPS")):
        numbers: dict[str, int] = {}
        for number, kind in enumerate(kind for kind in basis.types if len(kind.atoms) == size):
            for order in itertools.permutations(kind.atoms):
                name = "".join(order) if size == 2 else "".join(_slot_names(basis, order))
                numbers[name] = number
        if numbers:
            lines += ["", f"{key}: {len(numbers)}", *(f"{numbers[name]} {name}" for name in sorted(numbers))]
    return lines


def _as_defined(basis: ChimesFunctions, pair: Sequence[str]) -> list[str]:
    """The two symbols in the order in which chimes_lsq defines the pair: that of the elements."""
    return sorted(pair, key=basis.elements.index)


def _slot_names(basis: ChimesFunctions, atoms: Sequence[str]) -> list[str]:
    return ["".join(_as_defined(basis, pair)) for pair in itertools.combinations(atoms, 2)]


def _digits(number: float) -> str:
    """The shortest text that is read back as the same number."""
    return repr(float(number))
