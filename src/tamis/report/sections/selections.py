"""Do the descriptors choose the same structures, and of what kind are they?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from tamis.analysis.arms import BASELINES, FAMILIES, Curve, in_order
from tamis.analysis.comparison import Comparison
from tamis.report.context import Context, at_target, file_name, target_of
from tamis.report.document import Paragraph, Part, Picture, Pictures, Section, Table
from tamis.report.heat import heat_map
from tamis.report.sections.coverage import coverage, maps, outside_in_md
from tamis.report.style import INK, label, panel
from tamis.report.words import number

Sets = Mapping[str, Mapping[tuple[int, int, int], frozenset[str]]]
"""arm -> seeds -> kept structures."""
WHOLE = 0.999
"""A point with this part of the pool's structures tells what the pool is."""


def section(context: Context) -> Section:
    """Overlap, groups, coverage in a common space, and maps."""
    parts: list[Part] = []
    for comparison in context.primary.values():
        parts += _ground(comparison, context)
    return Section("What is chosen", parts)


def _ground(comparison: Comparison, context: Context) -> Iterator[Part]:
    curves, name = list(comparison.curves), comparison.ground.name
    fraction = target_of(curves)
    if fraction is None:
        return
    sets = _sets(curves, fraction)
    chosen = in_order([arm for arm in sets if arm not in BASELINES], FAMILIES)
    arms = [*chosen, *(arm for arm in BASELINES if arm in sets)]
    groups = _group_of_kept(curves)
    where = f"at the budget nearest to {100 * fraction:.0f} % of the atoms"
    if len(arms) > 1:
        overlap = np.array([[_jaccard(sets[a], sets[b], a == b) for b in arms] for a in arms])
        yield Table(
            name=file_name("overlap", name, comparison.pruner),
            title=f"{name}: overlap (Jaccard) of the kept structures {where}",
            columns=["", *arms],
            rows=[
                [arm, *(number(value, 2) for value in row)] for arm, row in zip(arms, overlap, strict=True)
            ],
            notes="Structures that both keep by structures that either keeps, same split, mean over splits; "
            "on the diagonal: between "
            f"different splits. Two random sets of this size: {_by_chance(curves, sets):.2f}.",
        )
        frames = np.zeros(overlap.shape, dtype=np.bool_)
        title = f"{name}: overlap {where}"
        picture = heat_map(file_name("overlap", name), title, overlap, arms, arms, frames, "", "")
        yield Pictures([picture, *_frequency(sets, arms, groups, name, where)])
    yield from _groups(sets, arms, curves, groups, name, where)
    yield from coverage(curves, arms, fraction, name, context)
    yield from maps(curves, arms, fraction, groups, name, context)
    yield from outside_in_md(curves, arms, name)


def _sets(curves: list[Curve], fraction: float) -> Sets:
    """What an arm keeps does not depend on the model: the first curve of each seed tells."""
    sets: dict[str, dict[tuple[int, int, int], frozenset[str]]] = {}
    for curve in curves:
        mine = sets.setdefault(curve.arm, {})
        found = at_target(curve, fraction) if curve.seeds not in mine else None
        if found is not None:
            trial, i = curve.source[found[0]]
            mine[curve.seeds] = frozenset(trial.kept(i))
    return {arm: by_seed for arm, by_seed in sets.items() if by_seed}


def _jaccard(
    a: Mapping[tuple[int, int, int], frozenset[str]],
    b: Mapping[tuple[int, int, int], frozenset[str]],
    same: bool,
) -> float:
    if same:  # how much an arm's choice depends on the split: neighbouring seeds
        seeds = sorted(a)
        pairs = [(a[s], a[t]) for s, t in pairwise(seeds)]
    else:
        pairs = [(a[seed], b[seed]) for seed in a.keys() & b.keys()]
    values = [len(x & y) / len(x | y) for x, y in pairs if x or y]
    return float(np.mean(values)) if values else np.nan


def _group_of_kept(curves: list[Curve]) -> dict[str, str]:
    """id -> group of the structures that any trial kept."""
    trials = {trial.folder: trial for curve in curves for trial, _ in curve.source}.values()
    kept = {i for trial in trials for i in trial.ids}
    groups: dict[str, str] = {}
    for dataset in {trial.dataset for trial in trials}:
        groups |= zip(dataset.pool, dataset.pool_groups, strict=False)  # a record may be edited
    return {i: group for i, group in groups.items() if i in kept}


def _by_chance(curves: list[Curve], sets: Sets) -> float:
    """Expected overlap of two independent draws of the mean size from the pool."""
    n = float(np.median([len(curve.source[0][0].dataset.pool) for curve in curves]))
    size = float(np.mean([len(kept) for by_seed in sets.values() for kept in by_seed.values()]))
    both = size * size / n
    return both / (2 * size - both)


def _frequency(
    sets: Sets, arms: list[str], groups: Mapping[str, str], name: str, where: str
) -> Iterator[Picture]:
    """How often each structure is kept: structures by group, arms as rows."""
    ids = sorted(groups, key=lambda i: (groups[i], i))
    if not ids:
        return
    often = np.array([[np.mean([i in kept for kept in sets[arm].values()]) for i in ids] for arm in arms])
    figure, ax = panel(f"{name}: how often each structure is kept", (5.4, 1.8 + 0.3 * len(arms)))
    ax.grid(False)
    ax.imshow(often, aspect="auto", cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    ax.set_yticks(range(len(arms)), arms)
    kinds = sorted(set(groups.values()))
    edges = np.cumsum([0, *(sum(groups[i] == kind for i in ids) for kind in kinds)])
    for edge in edges[1:-1]:
        ax.axvline(edge - 0.5, color="#d1495b", lw=1)
    ax.set_xticks((edges[:-1] + edges[1:]) / 2 - 0.5, kinds, rotation=25, ha="right", rotation_mode="anchor")
    ax.tick_params(colors=INK)
    label(ax, "structures by group", "")
    yield Picture(
        file_name("frequency", name),
        f"{name}: part of the splits in which each structure is kept {where}; one column a structure, dark: "
        "always.",
        figure,
    )


def _groups(
    sets: Sets, arms: list[str], curves: list[Curve], groups: Mapping[str, str], name: str, where: str
) -> Iterator[Part]:
    """Share of each group among the kept structures, relative to the pool."""
    pool, is_exact = _pool(curves, groups)
    if not pool:
        yield Paragraph(
            f"{name}: groups of the kept structures are not known (no kept.extxyz, and the data set is not "
            "where it was)."
        )
        return
    kinds = sorted(pool)
    rows = []
    for arm in arms:
        kept = [groups[i] for one in sets[arm].values() for i in one if i in groups]
        shares = [kept.count(kind) / max(len(kept), 1) / pool[kind] for kind in kinds]
        spread = [kept.count(kind) / max(len(kept), 1) for kind in kinds]
        entropy = -sum(s * np.log(s) for s in spread if s > 0) / max(np.log(len(kinds)), 1e-9)
        rows.append([arm, *(f"{share:.2f}" for share in shares), f"{entropy:.2f}"])
    yield Table(
        name=file_name("groups", name),
        title=f"{name}: share of groups among kept structures {where}, relative to the pool",
        columns=["chosen with", *kinds, "entropy of groups"],
        rows=rows,
        notes="1: as in the pool; 2: twice as often. Entropy: of the shares among the kept structures, 1 "
        "where all groups are equally frequent."
        + (
            ""
            if is_exact
            else " No trial kept a whole pool: the pool is taken to be all structures that any trial kept."
        ),
    )


def _pool(curves: list[Curve], groups: Mapping[str, str]) -> tuple[dict[str, float], bool]:
    """Share of each group in the pool, and whether a whole pool was seen."""
    whole = [
        trial.kept(i)
        for curve in curves
        for (trial, i), point in zip(curve.source, curve.points, strict=True)
        if point.get("kept/fraction_of_structures", 0.0) >= WHOLE
    ]
    members = [groups[i] for ids in whole for i in ids if i in groups] if whole else list(groups.values())
    return {kind: members.count(kind) / len(members) for kind in set(members)}, bool(whole)
