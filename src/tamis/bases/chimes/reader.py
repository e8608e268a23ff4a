"""Reading ``params.txt``, the file of ChIMES potentials (kcal/mol), of chimes_lsq.py or of tamis.

Lines are found by their keys, numbers by their place among the words of a line, as chimes_calculator does it.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from tamis.bases.base import Array
from tamis.bases.chimes.basis import ChimesBasis
from tamis.bases.chimes.clusters import ClusterType, SlotLimits
from tamis.bases.chimes.functions import Cutoff
from tamis.bases.chimes.writer import KIND_HEADINGS
from tamis.core.errors import TamisError
from tamis.core.units import KCAL_PER_MOL_PER_EV

DEFAULT_PENALTY = {"DIST:": 0.01, "SCALING:": 1e4}
"""Å and kcal/mol/Å³; chimes_calculator's values for files without a penalty."""

Kind = tuple[str, ...]


def read_params(path: Path) -> tuple[ChimesBasis, Array, Array]:
    """Read a file into basis, coefficients (n_features,) eV and energies of the free atoms (n_elements,) eV.

    Functions that the file leaves out have the coefficient 0. The polynomials' domain is taken as -1 .. 1, as
    chimes_calculator does. Old pair tables with a column S_DELTA, which has no effect, are read as well.

    Raises
    ------
    TamisError : not a complete params.txt, or one with features that ChimesBasis lacks: charges, excluded
        interactions, another transform than MORSE.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise TamisError(f"{path} cannot be read ({error}); give a params.txt of ChIMES") from error
    # as chimes_calculator does, find headings of tables also behind a "!"
    lines = [
        re.sub("^\\s*!\\s*(?=# [A-Z]+IDX #)", "", line).split("!")[0].split() for line in text.splitlines()
    ]
    end = next((number for number, words in enumerate(lines) if words == ["ENDFILE"]), None)
    if end is None:
        raise TamisError(f"{path} has no line ENDFILE: it is cut off, or not a params.txt of ChIMES")
    file = ParamsFile(tuple(tuple(words) for words in lines[:end] if words))
    try:
        basis = file.basis()
        return basis, file.coefficients(basis), file.offsets()
    except TamisError as error:
        raise TamisError(f"{path}: {error}") from error
    except (ValueError, IndexError, KeyError) as error:
        raise TamisError(f"{path}: not a complete params.txt of ChIMES ({error}); write it again") from error


@dataclass(frozen=True, eq=False)
class ParamsFile:
    """The lines of a params.txt up to ENDFILE, split into words, without comments and empty ones.

    Its methods raise ValueError, IndexError or KeyError where something is missing or is no number.
    """

    lines: tuple[tuple[str, ...], ...]

    def find(self, key: str) -> list[int]:
        """Numbers of the lines that begin with the words of ``key``."""
        words = tuple(key.split())
        return [number for number, line in enumerate(self.lines) if line[: len(words)] == words]

    def after(self, key: str) -> tuple[str, ...]:
        """The words behind ``key`` where it stands first."""
        if not (found := self.find(key)):
            raise TamisError(f"there is no line {key!r}; is this a params.txt of ChIMES?")
        return self.lines[found[0]][len(key.split()) :]

    def table(self, key: str, n_rows: int) -> tuple[tuple[str, ...], ...]:
        """The ``n_rows`` lines below the one that begins with ``key``."""
        self.after(key)
        begin = self.find(key)[0] + 1
        if len(rows := self.lines[begin : begin + n_rows]) < n_rows:
            raise TamisError(
                f"there are only {len(rows)} of {n_rows} lines below {key!r}: the file is cut off"
            )
        return rows

    @cached_property
    def elements(self) -> tuple[str, ...]:
        """Symbols in the order of the file's types."""
        return tuple(row[1] for row in self.table("# TYPEIDX #", int(self.after("ATOM TYPES:")[0])))

    @cached_property
    def orders(self) -> dict[int, int]:
        """Order by number of atoms."""
        kind, *numbers = self.after("PAIRTYP:")
        if kind != "CHEBYSHEV":
            raise TamisError(f"PAIRTYP is {kind}; only CHEBYSHEV is supported")
        return {size: int(order) for size, order in zip((2, 3, 4), [*numbers[:3], "0", "0"], strict=False)}

    @cached_property
    def pairs(self) -> dict[Kind, tuple[str, Array]]:
        """Name as the file defines it, and s_min, s_max, Morse length, Å, of each kind of pair."""
        pairs = {}
        for row in self.table("# PAIRIDX #", int(self.after("ATOM PAIRS:")[0])):
            if len(row) not in (7, 8) or row[-2] != "MORSE":
                raise TamisError(
                    f"the pair {' '.join(row[1:3])} has the line {' '.join(row)!r}; needed is: number, two elements, "
                    "s_min, s_max, MORSE, length; other transforms are not supported"
                )
            limits = np.array([row[3], row[4], row[-1]], dtype=float)
            pairs[_sorted(row[1:3])] = (row[1] + row[2], limits)
        return pairs

    def slot_names(self, atoms: Kind) -> list[str]:
        """The pair names of a cluster, in the order 01 02 03 12 13 23."""
        return [self.pairs[_sorted(pair)][0] for pair in itertools.combinations(atoms, 2)]

    def basis(self) -> ChimesBasis:
        """The functions and the penalty of the file."""
        self._refuse_what_is_not_supported()
        limits = {atoms: slots for size in (2, 3, 4) for atoms, slots in self._limits(size).items()}
        r_cuts = [
            max((slots[:, 1].max() for atoms, slots in limits.items() if len(atoms) == size), default=0.0)
            for size in (2, 3, 4)
        ]
        s_min, _, morse = next(iter(limits.values()))[0]
        cutoff, fraction = self._cutoff()
        basis = ChimesBasis(
            elements=self.elements,
            r_cut=float(r_cuts[0]),
            r_cut_3b=float(r_cuts[1] or r_cuts[0]),
            r_cut_4b=float(r_cuts[2] or r_cuts[0]),
            s_min=float(s_min),
            morse_lambda=float(morse),
            order_2b=self.orders[2],
            order_3b=self.orders[3],
            order_4b=self.orders[4],
            cutoff=cutoff,
            cutoff_fraction=fraction,
            penalty_distance=self._penalty("DIST:"),
            penalty_scaling=self._penalty("SCALING:") / KCAL_PER_MOL_PER_EV,
        )
        # Pairs come first: what triplets and quadruplets have without an entry of their own follows from them.
        for atoms, slots in limits.items():
            if (basis.limits_of(atoms) != slots).any():
                length = float(slots[0, 2]) if len(atoms) == 2 else None
                entry = SlotLimits(atoms, tuple(slots[:, 0]), tuple(slots[:, 1]), length)
                basis = replace(basis, special=(*basis.special, entry))
        return basis

    def _refuse_what_is_not_supported(self) -> None:
        for key in ("USECOUL:", "FITCOUL:", "EXCLD1B:", "EXCLD2B:"):
            if self.find(key) and self.after(key)[:1] != ("false",):
                raise TamisError(
                    f"{key} {' '.join(self.after(key))}: charges and exclusions are not supported"
                )
        for words in self.lines:
            if "EXCLUDED:" in words:
                raise TamisError(f"{' '.join(words)!r}: excluded kinds of clusters are not supported")

    def _cutoff(self) -> tuple[Cutoff, float]:
        kind, *fraction = self.after("FCUT TYPE:")
        if kind == "CUBIC":
            return "cubic", 0.5
        if kind == "TERSOFF":
            return "tersoff", float(fraction[0])
        raise TamisError(f"FCUT TYPE is {kind}; CUBIC and TERSOFF are supported")

    def _penalty(self, name: str) -> float:
        key = f"PAIR CHEBYSHEV PENALTY {name}"
        return float(self.after(key)[0]) if self.find(key) else DEFAULT_PENALTY[name]

    def _limits(self, size: int) -> dict[Kind, Array]:
        """s_min, s_max, Morse length of the slots of all kinds of clusters of ``size`` atoms, Å."""
        kinds = [kind for kind, _ in self._blocks(size)]
        if size == 2:
            return {atoms: limits[None] for atoms, (_, limits) in self.pairs.items()}
        limits = {
            atoms: np.stack([self.pairs[_sorted(pair)][1] for pair in itertools.combinations(atoms, 2)])
            for atoms in kinds
        }
        for place, key in ((0, "S_MINIM:"), (1, "S_MAXIM:")):
            for number in self.find(f"SPECIAL {size}B {key}"):
                style, value = self.lines[number][3:5]
                if style == "ALL":
                    for slots in limits.values():
                        slots[:, place] = float(value)
                    continue
                for words in self.lines[number + 1 : number + 1 + int(value)]:
                    self._set_special(limits, words[1:], place)
        return limits

    def _set_special(self, limits: dict[Kind, Array], words: tuple[str, ...], place: int) -> None:
        """One line below SPECIAL: pair names of a kind of cluster in any order, then a number for each."""
        n_slots = len(words) // 2
        names, numbers = words[:n_slots], words[n_slots:]
        for atoms, slots in limits.items():
            own = self.slot_names(atoms)
            if sorted(own) == sorted(names):
                for name, number in zip(names, numbers, strict=True):
                    slots[own.index(name), place] = float(number)
                    own[own.index(name)] = ""  # the next number of the same name goes to the next such slot
                return
        raise TamisError(f"the special cutoffs {' '.join(words)!r} are those of no kind of cluster")

    def _blocks(self, size: int) -> Iterator[tuple[Kind, tuple[tuple[str, ...], ...]]]:
        """Atoms and coefficient lines of each kind of cluster; they come in the order of the file."""
        for number in self.find(KIND_HEADINGS[size]) if self.orders[size] > 0 else ():
            if size == 2:
                yield (
                    _sorted(self.lines[number][3:5]),
                    self.lines[number + 1 : number + 1 + self.orders[2]],
                )
                continue
            # heading; INDEX: t ATOMS: a b c; PAIRS: ... UNIQUE: u TOTAL: n; two lines of captions; n lines
            atoms, begin = _sorted(self.lines[number + 1][3 : 3 + size]), number + 5
            slots = self._slots_in_file(number, atoms)
            lines = self.lines[begin : begin + int(self.lines[number + 2][-1])]
            yield atoms, tuple((w[0], *(w[1 + slot] for slot in slots), *w[1 + len(slots) :]) for w in lines)

    def _slots_in_file(self, number: int, atoms: Kind) -> list[int]:
        """Which column of powers each slot of a cluster has.

        Parameters
        ----------
        number : of the heading. atoms : sorted; the file may have any order, which its pair names tell.
        """
        words = self.lines[number + 2]
        names = list(words[1 : 1 + math.comb(len(atoms), 2)])
        slots = list(itertools.combinations(range(len(atoms)), 2))
        for order in itertools.permutations(range(len(atoms))):
            if self.slot_names(tuple(atoms[place] for place in order)) == names:
                place_of = {place: position for position, place in enumerate(order)}
                return [
                    slots.index((min(place_of[a], place_of[b]), max(place_of[a], place_of[b])))
                    for a, b in slots
                ]
        raise TamisError(f"the pairs {' '.join(names)} are those of no order of the atoms {' '.join(atoms)}")

    def coefficients(self, basis: ChimesBasis) -> Array:
        """(n_features,) eV, in the order of the columns of ``basis``."""
        coefficients = np.zeros(basis.n_features)
        blocks = {atoms: lines for size in (2, 3, 4) for atoms, lines in self._blocks(size)}
        for kind in basis.types:
            if not kind.orbits:
                continue
            if kind.atoms not in blocks:
                raise TamisError(f"there are no coefficients of {'-'.join(kind.atoms)}")
            of_kind = _by_powers(kind, blocks[kind.atoms])
            coefficients[kind.column : kind.column + len(kind.orbits)] = of_kind
        return _in_ev(coefficients)

    def offsets(self) -> Array:
        """(n_elements,) eV; zero where the file has none."""
        offsets = np.zeros(len(self.elements))
        for number in self.find("ENERGY OFFSET"):
            words = self.lines[number]
            offsets[int(words[2]) - 1] = float(words[3])
        return _in_ev(offsets)


def _by_powers(kind: ClusterType, lines: tuple[tuple[str, ...], ...]) -> list[float]:
    """The coefficient of each function of a kind from lines ``number, powers ..., equiv, param, value``."""
    name = "-".join(kind.atoms)
    given: dict[tuple[int, ...], float]
    if len(kind.atoms) == 2:
        given = {(int(words[0]) + 1,): float(words[1]) for words in lines}
    else:
        given = {tuple(map(int, words[1:-3])): float(words[-1]) for words in lines}
    if len(given) != len(lines):
        raise TamisError(f"a line of the coefficients of {name} stands twice")
    coefficients = []
    for orbit in kind.orbits:
        values = {given.pop(powers, 0.0) for powers in orbit}
        if len(values) != 1:
            raise TamisError(
                f"the powers {' '.join(map(str, orbit[0]))} of {name} have {len(values)} coefficients; an exchange of "
                "like atoms turns them into each other, so they must have one"
            )
        coefficients.append(values.pop())
    if given:
        raise TamisError(f"the powers {next(iter(given))} of {name} do not belong to the orders of the file")
    return coefficients


def _sorted(atoms: Iterable[str]) -> Kind:
    return tuple(sorted(atoms))


def _in_ev(energies: Array) -> Array:
    if not np.isfinite(energies).all():
        raise TamisError("there are coefficients that are not finite; fit the potential again")
    return energies / KCAL_PER_MOL_PER_EV
