"""Transfer sets: labelled structures of another origin, on which the potentials of a trial are measured, too.

They are never fitted, chosen from, or looked at by a search. Forces of the same kind of calculation compare directly;
energies may have another zero, so that their errors are given without their mean as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from tamis.data.dataset import Dataset
from tamis.data.sources.base import Source
from tamis.data.sources.file import File


def transfer_sets(source: Source, elements: Sequence[str]) -> dict[str, Dataset]:
    """The checked sets of ``source.transfer`` by name.

    Parameters
    ----------
    elements : of the data set, which the potential knows.

    Raises
    ------
    TamisError : a file that cannot be read, structures that fail the checks, or other elements.
    """
    sets = {
        name: File(train=(path,), test_fraction=0.0, elements=tuple(elements))
        for name, path in (source.transfer or {}).items()
    }
    return {name: file.load() for name, file in sets.items()}
