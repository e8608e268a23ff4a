"""Choosing structures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tamis.api.building import Choice, StoreChoice, build, seeds
from tamis.api.structures import Structures, for_any_use
from tamis.api.work import at_work
from tamis.core.errors import TamisError
from tamis.core.fields import Whole
from tamis.data.checks import check_geometries
from tamis.data.dataset import Dataset
from tamis.data.plausibility import set_isolated_apart
from tamis.data.reach import cutoff_doubts
from tamis.parts import Seeds
from tamis.selection.budget import PART, AtomsBudget, Budget, FractionBudget, StructuresBudget, select_all
from tamis.selection.pool_features import features_of_pool


def prune(
    pool: Structures,
    /,
    descriptor: Choice = "snap",
    pruner: Choice = "fps",
    *,
    atoms: float | None = None,
    structures: float | None = None,
    seed: int = 0,
    latent: Choice = "standard",
    store: StoreChoice = None,
) -> NDArray[np.intp]:
    """Choose structures to train on. Labels are not needed.

    Parameters
    ----------
    pool : where to choose from. Structures that a ``Dataset`` marks for testing are not chosen.
    descriptor, pruner, latent : a choice of the group of that name, such as "soap" or {"name": "soap", "r_cut": 5.0}.
    atoms, structures : how much is kept at most: a number (a whole one), or a part of the pool (0.2). Give one.
    seed : of the pruner's random choices, ``seed.select`` on the command line.
    store : folder of descriptor values and rows, which later calls read; or settings, such as {"n_jobs": 1}. None:
        .tamis/store in the working directory.

    Returns
    -------
    (n_kept,) indices into ``pool`` (of files: structures in the order in which they are read), in the order of choice.
    Free atoms, references for energies, come first, and are beside the budget.

    Raises
    ------
    TamisError : a choice or setting that does not exist, a budget out of range, or structures that cannot be treated.
    """
    budget = budget_of(atoms, structures)
    with at_work():
        whole = for_any_use(pool)
        check_geometries(whole)
        places = {name: i for i, name in enumerate(whole.ids)}
        bonded = set_isolated_apart(whole).training
        built = build(whole, store, descriptor=descriptor, pruner=pruner, latent=latent)
        cutoff_doubts(bonded, {"descriptor": built["descriptor"]})
        indices = choose(bonded, built, budget, seeds(select=seed))
    free = bonded.isolated.ids if bonded.isolated is not None else ()
    chosen = [bonded.ids[i] for i in indices]
    # those that reading a Dataset has set apart are not among its structures
    return np.array([places[name] for name in (*free, *chosen) if name in places], dtype=np.intp)


def choose(pool: Dataset, built: Mapping[str, Any], budget: Budget, numbers: Seeds) -> NDArray[np.intp]:
    """Indices into ``pool``, in the order of choice.

    Parameters
    ----------
    built : descriptor, latent, pruner and store. numbers : the seeds.
    """
    features = features_of_pool(built["descriptor"], built["latent"], pool, built["pruner"], built["store"])
    selections = select_all(built["pruner"], features, budget.limits(pool.n_atoms), numbers.of_choice)
    return selections[-1].indices


def budget_of(atoms: float | None, structures: float | None) -> Budget:
    """A whole number is a count, any other a part."""
    given = {
        of: amount for of, amount in (("atoms", atoms), ("structures", structures)) if amount is not None
    }
    if len(given) != 1:
        raise TamisError(
            "give how much may be kept, either as atoms or as structures: atoms=0.2 is a part of all atoms, atoms=1000 "
            "a number of them"
        )
    ((of, amount),) = given.items()
    if isinstance(amount, int | np.integer):
        count = int(Whole(1).apply(of, amount))
        return AtomsBudget(count) if of == "atoms" else StructuresBudget(count)
    return FractionBudget(float(PART.apply(of, amount)), of)
