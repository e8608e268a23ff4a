"""What a budget allows of a pool."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from tamis.core.errors import TamisError
from tamis.selection.base import Features, Limit
from tamis.selection.budget import (
    AtomsBudget,
    Budget,
    CurveBudget,
    FractionBudget,
    StructuresBudget,
    WholePool,
    select_all,
)
from tamis.selection.keep_all import KeepAll
from tamis.selection.random_choice import RandomChoice

FILES = sorted((Path(__file__).parents[2] / "conf" / "budget").glob("*.yaml"))
POOL = np.full(100, 8)


def pool_of(n_atoms):
    n = len(n_atoms)
    empty = np.empty((sum(n_atoms), 0))
    owners = np.repeat(np.arange(n), n_atoms)
    return Features(np.empty((n, 0)), empty, owners, np.array(n_atoms), ("a",) * n)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_yaml_names_every_argument_and_fits_a_large_pool(path):
    config = OmegaConf.load(path)
    budget = instantiate(config)
    assert isinstance(budget, Budget)
    assert set(config) - {"_target_"} == {field.name for field in fields(budget)}
    assert budget.limits(np.full(200, 64))


def test_the_documented_choices_are_there():
    assert {"all", "fraction", "structures", "atoms", "curve"} <= {path.stem for path in FILES}


@pytest.mark.parametrize(
    ("fraction", "n"),
    [(0.25, 25), (0.29, 29), (0.57, 57), (0.999, 99), (1.0, 100), (1, 100), (0.01, 1), (0.1, 10)],
)
def test_fraction_is_rounded_down_but_read_as_written(fraction, n):
    assert FractionBudget(fraction, "structures").limits(POOL) == (Limit(structures=n),)


def test_fraction_of_atoms():
    assert FractionBudget(0.25, "atoms").limits(np.array([4, 7, 10])) == (Limit(atoms=5),)


def test_counts_and_all():
    assert StructuresBudget(100).limits(POOL) == (Limit(structures=100),)
    assert AtomsBudget(800).limits(POOL) == (Limit(atoms=800),)
    assert WholePool().limits(POOL) == (Limit(structures=100),)


def test_curve_rises_and_has_no_limit_twice():
    budget = CurveBudget([0.1, 0.11, 0.15, 0.2, 1.0], "structures")
    assert budget.fractions == (0.1, 0.11, 0.15, 0.2, 1.0)
    assert [limit.structures for limit in budget.limits(np.full(20, 8))] == [2, 3, 4, 20]
    assert [limit.atoms for limit in CurveBudget((0.5, 1.0), "atoms").limits(np.array([3, 6]))] == [4, 9]


@pytest.mark.parametrize("value", [0.0, -0.1, 1.0001, 25, float("nan")])
def test_fractions_outside_are_refused(value):
    with pytest.raises(TamisError, match=f"fraction is {value}"):
        FractionBudget(value, "structures")
    with pytest.raises(TamisError, match=rf"fractions is \[{value}\]"):
        CurveBudget((value,), "structures")


@pytest.mark.parametrize("fractions", [(0.2, 0.1), (0.2, 0.2)])
def test_a_curve_must_rise(fractions):
    with pytest.raises(TamisError, match="larger than the one before"):
        CurveBudget(fractions, "structures")


@pytest.mark.parametrize(
    "budget",
    [
        FractionBudget(0.009, "structures"),
        FractionBudget(0.009, "atoms"),
        StructuresBudget(101),
        AtomsBudget(7),
        AtomsBudget(801),
        CurveBudget((0.009, 0.5), "structures"),
        CurveBudget((0.009, 0.5), "atoms"),
    ],
)
def test_what_leaves_nothing_or_is_above_the_pool_is_refused(budget):
    with pytest.raises(TamisError, match=r"and the pool has|keeps no structure"):
        select_all(RandomChoice(), pool_of(POOL), budget.limits(POOL), seed=0)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_empty_pool_is_refused(path):
    empty = np.array([], dtype=int)
    with pytest.raises(TamisError, match="the pool has 0"):
        select_all(RandomChoice(), pool_of(empty), instantiate(OmegaConf.load(path)).limits(empty), seed=0)


def test_keep_all_goes_with_all_and_refuses_less():
    features = pool_of([8] * 100)
    (selection,) = select_all(KeepAll(), features, WholePool().limits(features.n_atoms), seed=0)
    assert selection.indices.tolist() == list(range(100))
    for budget in (FractionBudget(0.99, "structures"), AtomsBudget(799), CurveBudget((0.5, 1.0), "atoms")):
        with pytest.raises(TamisError, match="budget=all"):
            select_all(KeepAll(), features, budget.limits(features.n_atoms), seed=0)


def test_a_nested_pruner_chooses_once(monkeypatch):
    calls = []
    choose = RandomChoice._choose

    def counted(self, features, n_structures, rng):
        calls.append(n_structures)
        return choose(self, features, n_structures, rng)

    monkeypatch.setattr(RandomChoice, "_choose", counted)
    select_all(RandomChoice(), pool_of([8] * 100), [Limit(structures=n) for n in (3, 10, 40)], seed=0)
    assert calls == [40]


def test_a_limit_below_the_first_choice_is_refused():
    features = pool_of([2] + [50] * 40)
    first = RandomChoice().select(features, Limit(structures=1), np.random.default_rng(0)).indices[0]
    assert features.n_atoms[first] == 50
    with pytest.raises(TamisError, match="10 atoms keeps no structure: the first choice alone"):
        select_all(RandomChoice(), features, [Limit(atoms=10), Limit(atoms=500)], seed=0)
