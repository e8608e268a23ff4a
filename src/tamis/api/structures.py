"""Structures as a user has them: a Dataset, in memory, or in files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from omegaconf import OmegaConf

from tamis.api.building import changed
from tamis.api.work import at_work
from tamis.core.compose import composed
from tamis.core.config_check import check_config
from tamis.core.errors import TamisError
from tamis.data.dataset import Dataset
from tamis.data.sources.file import File
from tamis.data.sources.given import NAME, Given
from tamis.data.sources.spacing import spacing_of
from tamis.parts import build_part, plain
from tamis.report.description import Description

Structures = Dataset | Atoms | str | Path | Iterable[Atoms] | Iterable[str] | Iterable[Path]
"""A data set, structures in memory, or files: a path, a folder, a glob, or several of them."""


def read(structures: Structures, /, **settings: Any) -> Dataset:
    """Read and check structures with energies, as ``dataset=file`` does, and leave nothing out for testing.

    Parameters
    ----------
    structures : files, or ``ase.Atoms`` with labels in ``info``, ``arrays`` or a calculator's results. A ``Dataset``
        is returned as it is.
    settings : keys of ``dataset=file`` (docs/data.md), such as ``units="atomic"``, ``energy_key="dft_energy"``,
        ``test="test.xyz"`` or ``test_fraction=0.1``, which mark structures for testing.

    Returns
    -------
    Dataset : eV, eV/Å, eV/Å³. Free atoms are set apart in ``isolated``.

    Raises
    ------
    TamisError : a setting that does not exist, files that cannot be read, or structures that the checks refuse.
    """
    if isinstance(structures, Dataset):
        _refuse(settings)
        return structures
    with at_work():
        source = _source(structures, settings)
        dataset = source.load()
        return _with_scale(dataset, source)


def describe(structures: Structures, /, **settings: Any) -> Description:
    """Say what is in structures, what would be refused and what is suspicious, as ``tamis describe`` does.

    Parameters
    ----------
    structures, settings : as for ``read``; with a ``Dataset`` there are no settings.

    Returns
    -------
    Description : ``print`` shows all of it; ``problems``, ``doubts`` and ``overview`` have the parts.

    Raises
    ------
    TamisError : files that cannot be read, or a setting that does not exist.
    """
    if isinstance(structures, Dataset):
        _refuse(settings)
        return Description.of(structures)
    with at_work():
        return Description.of_files(_source(structures, settings))


def for_any_use(structures: Structures) -> Dataset:
    """Structures that may lack labels, or have wrong ones: what asks for no labels does not judge them."""
    if isinstance(structures, Dataset):
        return structures
    source = _source(structures, {})
    return _with_scale(source.read()[0], source)


def _source(structures: Structures, settings: Mapping[str, Any]) -> File:
    """A source for structures that are no ``Dataset``."""
    given = [structures] if isinstance(structures, Atoms | str | Path) else _listed(structures)
    in_memory = [one for one in given if isinstance(one, Atoms)]
    names = [str(one) for one in given if isinstance(one, str | Path)]
    if not given or len(given) not in (len(in_memory), len(names)):
        found = ", ".join(sorted({type(one).__name__ for one in given})) or "nothing"
        raise TamisError(
            f"the structures are {found}; give a Dataset, one or more ase.Atoms, or one or more names of files"
        )
    node = plain(composed("dataset=file"), resolve=False)["dataset"]
    # the first two follow from the data, which would be read for it
    mine = {
        "elements": None,
        "atom_spacing": None,
        "test_fraction": 0.0,
        **settings,
        "train": names or [NAME],
    }
    whole = OmegaConf.create({"dataset": changed(node, mine)})
    check_config(whole)
    source: File = build_part("dataset", plain(whole, resolve=True)["dataset"])
    return Given.of(in_memory, source) if in_memory else source


def _listed(structures: Any) -> list[Any]:
    return list(structures) if isinstance(structures, Iterable) else [structures]


def _refuse(settings: Mapping[str, Any]) -> None:
    if settings:
        raise TamisError(
            f"{', '.join(settings)}: a Dataset has been read already; give settings with files or ase.Atoms"
        )


def _with_scale(dataset: Dataset, source: File) -> Dataset:
    """With what default cutoffs follow from, so that parts of the set have the same ones."""
    spacing = source.atom_spacing
    try:
        spacing = spacing or spacing_of(dataset)
    except TamisError:  # a default cutoff that needs it will say so
        spacing = None
    elements = source.elements or tuple(sorted({*dataset.elements, *dataset.free_energies}))
    scaled = replace(dataset, whole_elements=elements, atom_spacing=spacing)
    return dataset.sharing_copies(scaled, np.arange(len(dataset)))
