"""Draws structures for testing, validation, tuning and folds.

Draws take whole bundles, spread over strata (groups of structures). A bundle is a set of structures that may not be on
both sides of a draw: copies of one structure and, if blocks are held out whole, a trajectory or strain mode.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tamis.core.errors import TamisError
from tamis.core.messages import listed

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

SHOWN = 20
"""Names in a message."""
ALWAYS_TRAINED = -1
"""Fold of structures that are never held out."""


def bundles_of(copies: Indices, blocks: Sequence[str]) -> Indices:
    """Number of each structure's bundle, (n,): its block; copies that several blocks share are a bundle of their own.

    Parameters
    ----------
    copies : (n,) number of the set of copies. blocks : (n,) names.
    """
    home: dict[int, set[str]] = {}
    for copy, block in zip(copies.tolist(), blocks, strict=True):
        home.setdefault(copy, set()).add(block)
    keys = [
        ("block", block) if len(home[copy]) == 1 else ("copies", str(copy))
        for copy, block in zip(copies.tolist(), blocks, strict=True)
    ]
    number = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    return np.array([number[key] for key in keys], dtype=np.intp)


def hold_out(strata: Sequence[str], fraction: float, rng: np.random.Generator, bundles: Indices) -> Mask:
    """True for about ``fraction`` of the structures, (n,): whole bundles, spread over the strata in proportion.

    Every stratum gives the whole part of its share; the strata with the largest remainders give one more until the
    total is right. A stratum with one bundle gives none, since training needs it. If no stratum has two, all of them
    together are one stratum.

    Parameters
    ----------
    strata : name of each structure's stratum; that of a bundle is its first member's. fraction : from 0 to less than
    1. rng : draws within strata. bundles : (n,) number of each structure's bundle.
    """
    held_out = np.zeros(len(strata), dtype=np.bool_)
    first, sizes = first_members(bundles)
    size_of = dict(zip(first.tolist(), sizes.tolist(), strict=True))
    names = [strata[i] for i in first]
    members = {name: first[[n == name for n in names]] for name in sorted(set(names))}
    if len(first) > 1 and max(len(found) for found in members.values()) == 1:
        members = {"": first}
    n_in = {name: sum(size_of[i] for i in found) for name, found in members.items()}
    shares = {name: fraction * n_in[name] for name, found in members.items() if len(found) > 1}
    counts = {name: int(share) for name, share in shares.items()}
    missing = round(fraction * len(strata)) - sum(counts.values())
    for name in sorted(shares, key=lambda name: (counts[name] - shares[name], name))[: max(missing, 0)]:
        counts[name] = min(counts[name] + 1, n_in[name] - 1)
    for name, count in counts.items():
        taken = _fill(rng.permutation(members[name]).tolist(), size_of, count)
        held_out |= np.isin(bundles, bundles[taken])
    return held_out


def deal_halves(strata: Sequence[str], rng: np.random.Generator, bundles: Indices) -> Mask:
    """True for the first half of the structures, (n,): the bundles of every stratum are shuffled and dealt out.

    Each bundle goes to the half that has fewer structures of its stratum so far. Where these are equal, it goes to the
    half that has fewer of all structures, so that many small strata do not add up to unequal halves.

    Parameters
    ----------
    strata : name of each structure's stratum; that of a bundle is its first member's. rng : draws the order and ties.
    bundles : (n,) number of each structure's bundle.
    """
    first, sizes = first_members(bundles)
    in_first = np.zeros(len(strata), dtype=np.bool_)
    names = sorted({strata[i] for i in first})
    total = np.zeros(2, dtype=np.intp)
    for name in rng.permutation(names).tolist():
        of_stratum = np.zeros(2, dtype=np.intp)
        members = np.flatnonzero([strata[i] == name for i in first])
        for k in rng.permutation(members).tolist():
            half = min(rng.permutation(2).tolist(), key=lambda h: (of_stratum[h], total[h]))
            of_stratum[half] += sizes[k]
            total[half] += sizes[k]
            in_first |= (bundles == bundles[first[k]]) & (half == 0)
    return in_first


def _fill(drawn: list[int], size_of: dict[int, int], count: int) -> list[int]:
    """Bundles in the order drawn that fit into ``count``, or the smallest one; at least one is left."""
    taken: list[int] = []
    room = count
    for i in drawn:
        if size_of[i] <= room and len(taken) < len(drawn) - 1:
            taken.append(i)
            room -= size_of[i]
    if count > 0 and not taken:
        taken = [min(drawn, key=size_of.__getitem__)]
    return taken


def deal_into_folds(
    strata: Sequence[str], n_folds: int, rng: np.random.Generator, bundles: Indices
) -> Indices:
    """Fold number of each structure, (n,): the bundles of every stratum are shuffled and dealt out in turn."""
    first, _ = first_members(bundles)
    folds = np.empty(len(strata), dtype=np.intp)
    next_fold = 0
    for stratum in sorted({strata[i] for i in first}):
        members = rng.permutation([i for i in first if strata[i] == stratum])
        folds[members] = (next_fold + np.arange(len(members))) % n_folds
        next_fold += len(members)
    of_bundle = dict(zip(bundles[first].tolist(), folds[first].tolist(), strict=True))
    return np.array([of_bundle[bundle] for bundle in bundles.tolist()], dtype=np.intp)


def first_members(bundles: Indices) -> tuple[Indices, Indices]:
    """The first structure of each bundle, ascending, and how many structures the bundle has."""
    _, first, sizes = np.unique(bundles, return_index=True, return_counts=True)
    order = np.argsort(first)
    return first[order], sizes[order]


def test_in_words(kind: str, n_test: int, n: int) -> str:
    """How the test structures were chosen, and what errors on them say.

    Parameters
    ----------
    kind : ``test_kind`` of the data set. n_test : structures for testing. n : all structures.
    """
    ways = {
        "published": "as published",
        "file": "those of dataset.test",
        "half": "the other half of each trajectory, strain mode and surface",
        "random": "drawn at random from each group (errors on structures like those that were trained on)",
        "blocks": "whole blocks (errors on trajectories, strain modes or files that were not trained on)",
    }
    return f"{n_test} of {n} structures, {ways[kind]}" if n_test and kind in ways else "no structure"


def named(names: Sequence[str], groups: Sequence[str], blocks: Sequence[str]) -> Mask:
    """True for structures whose block or group is among ``names``, (n,).

    Raises
    ------
    TamisError : a name that no structure has; everything or nothing would be held out.
    """
    unknown = sorted(set(names) - set(blocks) - set(groups))
    if unknown:
        of_blocks = len(set(blocks)) < len(blocks)
        others = (
            f" and the blocks {_listed(blocks)}"
            if of_blocks
            else "; there are no blocks: see dataset.block_key"
        )
        raise TamisError(
            f"dataset.held_out has {', '.join(unknown)}; choose among the groups {_listed(groups)}{others}"
        )
    found = np.array([b in names or g in names for b, g in zip(blocks, groups, strict=True)], dtype=np.bool_)
    if found.all() or not found.any():
        raise TamisError(
            f"dataset.held_out={list(names)} leaves {'no structure for training' if found.all() else 'no test set'}"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return listed(sorted(set(names)), SHOWN)
