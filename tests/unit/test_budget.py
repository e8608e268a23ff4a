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


@pytest.mark.parametrize("value", [0.0, -0.1, 1.0001, 25, float("nan"), True, "0.5"])
def test_fractions_outside_are_refused(value):
    with pytest.raises(TamisError, match=f"budget.fraction is {value}"):
        FractionBudget(value, "structures")
    with pytest.raises(TamisError, match=f"budget.fractions is {value}"):
        CurveBudget((value,), "structures")


@pytest.mark.parametrize("value", [0, -3, 2.5, float("nan"), True, "7"])
def test_counts_that_are_none_are_refused(value):
    with pytest.raises(TamisError, match=f"n_structures is {value}"):
        StructuresBudget(value)
    with pytest.raises(TamisError, match=f"n_atoms is {value}"):
        AtomsBudget(value)


@pytest.mark.parametrize("fractions", [(0.2, 0.1), (0.2, 0.2)])
def test_a_curve_must_rise(fractions):
    with pytest.raises(TamisError, match="larger than the one before"):
        CurveBudget(fractions, "structures")


def test_an_empty_curve_is_refused():
    with pytest.raises(TamisError, match="empty"):
        CurveBudget((), "structures")


@pytest.mark.parametrize("build", [lambda of: FractionBudget(0.5, of), lambda of: CurveBudget((0.5,), of)])
def test_a_wrong_unit_is_refused(build):
    with pytest.raises(TamisError, match=r"budget.of is 'frames'.*structures, atoms"):
        build("frames")


@pytest.mark.parametrize(
    "budget",
    [
        FractionBudget(0.009, "structures"),
        FractionBudget(0.009, "atoms"),
        AtomsBudget(7),
        CurveBudget((0.009, 0.5), "structures"),
    ],
)
def test_what_leaves_nothing_is_refused(budget):
    with pytest.raises(TamisError, match="leaves nothing"):
        budget.limits(POOL)


@pytest.mark.parametrize("budget", [StructuresBudget(101), AtomsBudget(801)])
def test_what_is_above_the_pool_is_refused(budget):
    with pytest.raises(TamisError, match="the pool has"):
        budget.limits(POOL)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_an_empty_pool_is_refused(path):
    with pytest.raises(TamisError, match="empty"):
        instantiate(OmegaConf.load(path)).limits(np.array([], dtype=int))


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
    with pytest.raises(TamisError, match="first choice has 50 atoms"):
        select_all(RandomChoice(), features, [Limit(atoms=10), Limit(atoms=500)], seed=0)


@pytest.mark.parametrize(
    "limits",
    [
        [],
        [Limit(structures=5), Limit(structures=3)],
        [Limit(structures=5), Limit(structures=5)],
        [Limit(structures=5), Limit(atoms=90)],
        [Limit(), Limit()],
    ],
)
def test_limits_that_do_not_rise_are_refused(limits):
    with pytest.raises(TamisError, match="larger than the one before"):
        select_all(RandomChoice(), pool_of([8] * 20), limits, seed=0)
