"""Do the descriptors choose the same structures, and of what kind are they?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from tamis.analysis.arms import BASELINES, FAMILIES, Curve, Seeds, in_order
from tamis.analysis.comparison import Comparison
from tamis.report.context import Context, at_target, file_name, target_of
from tamis.report.document import Part, Picture, Pictures, Row, Section, Table, number
from tamis.report.sections.coverage import coverage, maps
from tamis.report.style import INK, label, panel

Sets = Mapping[str, Mapping[Seeds, frozenset[str]]]
"""arm -> seeds -> kept structures."""


def section(context: Context) -> Section:
    """Overlap, groups, coverage in a common space, and maps."""
    parts = [part for comparison in context.forces.values() for part in _ground(comparison, context)]
    return Section("What is chosen", parts)


def _ground(comparison: Comparison, context: Context) -> Iterator[Part]:
    curves, name = comparison.curves, comparison.ground.name
    fraction = target_of(curves)
    if fraction is None:
        return
    sets = _sets(curves, fraction)
    chosen = in_order([arm for arm in sets if arm not in BASELINES], FAMILIES)
    arms = [*chosen, *(arm for arm in BASELINES if arm in sets)]
    groups = _groups(curves)
    where = f"at the budget nearest to {100 * fraction:.0f} % of the atoms"
    if len(arms) > 1:
        overlap = np.array([[_jaccard(sets[a], sets[b], a == b) for b in arms] for a in arms])
        rows = zip(arms, overlap, strict=True)
        yield Table(
            name=file_name("overlap", name, comparison.pruner),
            title=f"{name}: overlap (Jaccard) of the kept structures {where}",
            columns=["", *arms],
            rows=[[arm, *(number(value, 2) for value in row)] for arm, row in rows],
            notes="Structures that both keep by structures that either keeps, same split, mean over splits; on the "
            f"diagonal: between different splits. Two random sets of this size: {_by_chance(curves, sets):.2f}.",
        )
        yield Pictures([_frequency(sets, arms, groups, name, where)])
    yield _shares(sets, arms, curves, groups, name, where)
    yield from coverage(curves, arms, fraction, name, context)
    yield from maps(curves, arms, fraction, groups, name, context)


def _sets(curves: Sequence[Curve], fraction: float) -> Sets:
    """Kept sets of each arm, from the first curve of each seed, since they do not depend on the model."""
    sets: dict[str, dict[Seeds, frozenset[str]]] = {}
    for curve in curves:
        mine = sets.setdefault(curve.arm, {})
        found = at_target(curve, fraction) if curve.seeds not in mine else None
        if found is not None:
            mine[curve.seeds] = frozenset(found.kept)
    return {arm: by_seed for arm, by_seed in sets.items() if by_seed}


def _groups(curves: Sequence[Curve]) -> dict[str, str]:
    """id -> group of the structures of all pools."""
    groups: dict[str, str] = {}
    for dataset in {id(c.trial.dataset): c.trial.dataset for c in curves}.values():
        groups |= zip(dataset.pool, dataset.pool_groups, strict=False)  # a record may be edited
    return groups


def _jaccard(a: Mapping[Seeds, frozenset[str]], b: Mapping[Seeds, frozenset[str]], same: bool) -> float:
    if same:  # how much an arm's choice depends on the split: neighbouring seeds
        pairs = [(a[s], a[t]) for s, t in pairwise(sorted(a))]
    else:
        pairs = [(a[seed], b[seed]) for seed in a.keys() & b.keys()]
    values = [len(x & y) / len(x | y) for x, y in pairs if x or y]
    return float(np.mean(values)) if values else np.nan


def _by_chance(curves: Sequence[Curve], sets: Sets) -> float:
    """Expected overlap of two independent draws of the mean size from the pool."""
    n = float(np.median([len(curve.trial.dataset.pool) for curve in curves]))
    size = float(np.mean([len(kept) for by_seed in sets.values() for kept in by_seed.values()]))
    both = size * size / n
    return both / (2 * size - both)


def _frequency(sets: Sets, arms: list[str], groups: Mapping[str, str], name: str, where: str) -> Picture:
    """A picture of how often each structure is kept: structures by group, arms as rows."""
    ids = sorted(groups, key=lambda i: (groups[i], i))
    often = np.array([[np.mean([i in kept for kept in sets[arm].values()]) for i in ids] for arm in arms])
    figure, ax = panel(f"{name}: how often each structure is kept", (5.4, 1.8 + 0.3 * len(arms)))
    ax.grid(False)
    ax.imshow(often, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ax.set_yticks(range(len(arms)), arms)
    kinds = sorted(set(groups.values()))
    edges = np.cumsum([0, *(sum(groups[i] == kind for i in ids) for kind in kinds)])
    for edge in edges[1:-1]:
        ax.axvline(edge - 0.5, color=INK, lw=1)
    ax.set_xticks((edges[:-1] + edges[1:]) / 2 - 0.5, kinds, rotation=25, ha="right", rotation_mode="anchor")
    ax.tick_params(colors=INK)
    label(ax, "structures by group", "")
    caption = f"{name}: part of the splits in which each structure is kept {where}; one column a structure."
    return Picture(file_name("frequency", name), f"{caption} Dark: always.", figure)


def _shares(
    sets: Sets, arms: list[str], curves: Sequence[Curve], groups: Mapping[str, str], name: str, where: str
) -> Table:
    """Share of each group among the kept structures, relative to the pool."""
    pool = Counter(group for curve in curves for group in curve.trial.dataset.pool_groups)
    kinds = sorted(pool)
    rows: list[Row] = []
    for arm in arms:
        kept = [groups[i] for one in sets[arm].values() for i in one if i in groups]
        shares = [kept.count(kind) / max(len(kept), 1) for kind in kinds]
        relative = [f"{s * pool.total() / pool[kind]:.2f}" for s, kind in zip(shares, kinds, strict=True)]
        entropy = -sum(s * np.log(s) for s in shares if s > 0) / max(np.log(len(kinds)), 1e-9)
        rows.append([arm, *relative, f"{entropy:.2f}"])
    return Table(
        name=file_name("groups", name),
        title=f"{name}: share of groups among kept structures {where}, relative to the pool",
        columns=["chosen with", *kinds, "entropy of groups"],
        rows=rows,
        notes="1: as in the pool; 2: twice as often. Entropy: of the shares among the kept structures, 1 where all "
        "groups are equally frequent.",
    )
