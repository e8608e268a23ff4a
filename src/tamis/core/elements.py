"""Numbers of chemical elements, as mappings: nobody has to know the order of a list."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError

if TYPE_CHECKING:
    from ase import Atoms


class ByElement(Mapping[str, float]):
    """An immutable mapping from element to number, with a fixed order and a hash."""

    def __init__(self, elements: Sequence[str], numbers: Sequence[float]) -> None:
        self._numbers = {e: float(x) for e, x in zip(elements, numbers, strict=True)}

    def __getitem__(self, element: str) -> float:
        return self._numbers[element]

    def __iter__(self) -> Iterator[str]:
        return iter(self._numbers)

    def __len__(self) -> int:
        return len(self._numbers)

    def __hash__(self) -> int:
        return hash(tuple(self._numbers.items()))

    def __repr__(self) -> str:
        return shown(self)


def numbers_by_element(name: str, given: Any, elements: Sequence[str], default: float | None) -> ByElement:
    """The numbers of a setting in alphabetical order of the elements, the order of bases.

    Parameters
    ----------
    name : of the setting, for messages.
    given : a mapping with a number for each of ``elements``; None: ``default`` for all of them.
    elements : chemical symbols in the order in which they were typed, to show a list as the mapping that was meant.

    Raises
    ------
    TamisError : a list, an element too many or too few, or a value that is no finite number; says what to type.
    """
    if given is None and default is not None:
        return ByElement(sorted(elements), [default] * len(elements))
    if not isinstance(given, Mapping):
        raise TamisError(f"{name} is {_as_typed(given)}; {mapping_to_type(name, given, elements)}")
    named, wrong = [str(element) for element in given], []
    if unknown := sorted(set(named) - set(elements)):
        wrong.append(f"{', '.join(unknown)} is none of the elements")
    if missing := sorted(set(elements) - set(named)):
        wrong.append(f"{', '.join(missing)} has no number")
    if wrong:
        raise TamisError(
            f"{name} is {shown(given)}; {' and '.join(wrong)}: give one number for each of {', '.join(elements)}"
        )
    for element, number in given.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise TamisError(f"{name} of {element} is {number!r}; a finite number is needed")
    return ByElement(sorted(elements), [given[element] for element in sorted(elements)])


def mapping_to_type(name: str, given: Any, elements: Sequence[str]) -> str:
    """The mapping to type in place of a list, with the list's numbers if there is one for each element."""
    numbers = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
    if len(numbers) != len(elements) or not elements:
        example = ", ".join(f"{element}: 1.0" for element in elements or ("Cu", "Au"))
        return f"a mapping by element is needed, such as {{{example}}}"
    typed = shown(dict(zip(elements, numbers, strict=True)))
    return (
        f"the list does not show which number belongs to which element: give a mapping, such as '{name}={typed}' if "
        "that is what is meant"
    )


def shown(numbers: Mapping[Any, Any]) -> str:
    """A mapping as it is typed."""
    return "{" + ", ".join(f"{element}: {number}" for element, number in numbers.items()) + "}"


def _as_typed(given: Any) -> str:
    return str(list(given)) if isinstance(given, tuple) else str(given)


def types_of_elements(elements: Sequence[str]) -> str:
    """A comment line that says which LAMMPS atom type is which element."""
    return "LAMMPS atom types: " + ", ".join(f"{number} = {e}" for number, e in enumerate(elements, start=1))


def species_of(atoms: Atoms, elements: Sequence[str]) -> NDArray[np.int64]:
    """Place of each atom's element in ``elements``, (n_atoms,).

    Raises
    ------
    TamisError : a potential for ``elements`` does not know one of the atoms.
    """
    species = _places(tuple(elements))[atoms.numbers]
    if species.min(initial=0) < 0:
        unknown = sorted(set(atoms.symbols[species < 0]))
        raise TamisError(
            f"element {', '.join(unknown)} is unknown to this potential, which has {', '.join(elements)}"
        )
    return species


@lru_cache(maxsize=100)
def _places(elements: tuple[str, ...]) -> NDArray[np.int64]:
    """The place of each atomic number in ``elements``, -1 where it has none."""
    from ase.data import atomic_numbers, chemical_symbols

    places = np.full(len(chemical_symbols), -1)
    places[[atomic_numbers[element] for element in elements]] = np.arange(len(elements))
    return places
