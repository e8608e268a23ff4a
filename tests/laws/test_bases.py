"""What every file in conf/descriptor promises about its numbers; files are found, not listed."""

import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from hydra.utils import get_class, instantiate
from omegaconf import OmegaConf
from tests.composing import choices, file_of

from tamis.bases.ace.basis import AceBasis
from tamis.bases.base import Basis
from tamis.core.errors import MissingEngineError
from tamis.testing import LINEAR_LAWS, NEIGHBOUR_LAWS
from tamis.testing.checks import require_same, silicon
from tamis.testing.descriptors import BLOCK_LAWS, GENERAL_LAWS

CHOICES = choices("descriptor")
WITH_DESIGN = [
    c for c in CHOICES if hasattr(get_class(OmegaConf.load(file_of("descriptor", c))._target_), "design")
]
BY_CLUSTER = {"chimes", "chimes_fingerprint"}
"""Choices whose columns belong to kinds of clusters, of which all atoms get a share, not to the central element."""
WITH_BLOCKS = [choice for choice in CHOICES if choice not in BY_CLUSTER]


@cache
def build(choice: str, *elements: str) -> Basis:
    OmegaConf.register_new_resolver("tamis.times", lambda a, b: float(a) * float(b), replace=True)
    config = OmegaConf.create({"dataset": {"elements": sorted(elements), "atom_spacing": 2.73}})
    config.descriptor = OmegaConf.load(file_of("descriptor", choice))
    return instantiate(config.descriptor)


def maker(choice: str) -> Callable[..., Basis]:
    """Of a choice; the test is skipped without its engine."""
    try:
        build(choice, "Si").values(silicon())
    except MissingEngineError as error:
        pytest.skip(str(error))
    return lambda *elements: build(choice, *elements)


def small_maker(choice: str) -> Callable[..., Basis]:
    """The time to make the functions of ACE grows with the elements, what is asked does not."""
    make = maker(choice)

    def small(*elements: str) -> Basis:
        basis = make(*elements)
        if isinstance(basis, AceBasis):
            return replace(basis, nradmax_by_orders=[4, 2], lmax_by_orders=[0, 2])
        return basis

    return cache(small)


def test_there_are_choices():
    assert {"acsf", "none", "quests", "soap"} <= set(CHOICES)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("law", GENERAL_LAWS)
def test_law(choice, law):
    law(maker(choice))


@pytest.mark.parametrize("choice", WITH_BLOCKS)
@pytest.mark.parametrize("law", BLOCK_LAWS)
def test_law_of_blocks(choice, law):
    law(maker(choice))


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("law", NEIGHBOUR_LAWS)
def test_law_of_neighbours(choice, law):
    law(small_maker(choice))


@pytest.mark.parametrize("choice", WITH_DESIGN)
@pytest.mark.parametrize("law", LINEAR_LAWS)
def test_law_of_design_rows(choice, law):
    law(maker(choice))


def _values_of_pickled(basis: Basis, atoms: Atoms) -> np.ndarray:
    return basis.values(atoms)


def test_works_in_other_processes():
    """One pool for all choices, because a process that starts afresh imports for a second."""
    ready = [build(name, "Si") for name in CHOICES]
    expected = {}
    for basis in ready:
        try:
            expected[basis] = basis.values(silicon())
        except MissingEngineError:
            continue
    assert expected
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.starmap(_values_of_pickled, [(basis, silicon()) for basis in expected])
    for values, other in zip(expected.values(), found, strict=True):
        require_same(other, values, 1e-12)
